// What pages do beyond being read: boxes that scroll take the focus, cards are filtered, curves are chosen.
"use strict";

function focusable() {
  for (const box of document.querySelectorAll("article pre, .table-wrapper, div.math, article p math, figure.picture")) {
    if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
    else box.removeAttribute("tabindex");
  }
}

function printed() {
  // Folded formulas are part of the page; folded code is not.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")].filter((part) => part.querySelector("div.math"));
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
}

function filters() {
  const buttons = [...document.querySelectorAll(".filters button")];
  const cards = [...document.querySelectorAll(".card[data-tags]")];
  const shown = document.getElementById("shown");
  function apply() {
    const wanted = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.tag);
    for (const card of cards) {
      const tags = card.dataset.tags.split("|");
      card.hidden = !wanted.every((tag) => tags.includes(tag));
    }
    if (shown) shown.textContent = `${cards.filter((c) => !c.hidden).length} of ${cards.length}`;
  }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  if (buttons.length) apply();
}

const STROKES = ["", "6 3", "2 3", "8 3 2 3"];

function colour(place) {
  const theme = document.body.dataset.theme;
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  return `hsl(${(place * 137.5) % 360} 70% ${dark ? 70 : 40}%)`;
}

function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((size) => size * power >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step / 1000; k++) found.push(+(k * step).toPrecision(6));
  return found;
}

function draw(svg, curves, chosen, key) {
  const [width, height, left, bottom] = [420, 260, 44, 36];
  const lines = curves.filter((c) => chosen.includes(c.name));
  const numbers = lines.flatMap((c) => c[key]).filter(Number.isFinite);
  let [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  if (!(high > low)) [low, high] = [-1, 1];
  const xs = curves[0].x;
  const px = (x) => left + ((x - xs[0]) / (xs[xs.length - 1] - xs[0])) * (width - left - 8);
  const py = (y) => 8 + ((high - y) / (high - low)) * (height - bottom - 16);
  const parts = [];
  for (const y of ticks(low, high)) {
    parts.push(`<line x1="${left}" x2="${width}" y1="${py(y)}" y2="${py(y)}" stroke="currentColor" opacity="0.15"/>`);
    parts.push(`<text x="${left - 4}" y="${py(y) + 4}" font-size="11" text-anchor="end" fill="currentColor">${y}</text>`);
  }
  for (const x of ticks(xs[0], xs[xs.length - 1])) {
    parts.push(`<text x="${px(x)}" y="${height - 18}" font-size="11" text-anchor="middle" fill="currentColor">${x}</text>`);
  }
  parts.push(`<text x="${(left + width) / 2}" y="${height - 3}" font-size="11" text-anchor="middle" fill="currentColor">${svg.dataset.along}</text>`);
  for (const line of lines) {
    const place = curves.indexOf(line);
    const jump = 0.2 * (Math.max(...line[key]) - Math.min(...line[key])) || Infinity;
    let path = "";
    line[key].forEach((y, k) => {
      const apart = k === 0 || Math.abs(y - line[key][k - 1]) > jump;
      path += `${apart ? "M" : "L"}${px(line.x[k]).toFixed(1)} ${py(y).toFixed(1)}`;
    });
    parts.push(`<path d="${path}" fill="none" stroke="${colour(place)}" stroke-width="2" stroke-dasharray="${STROKES[place % 4]}"><title>${line.title}</title></path>`);
  }
  svg.innerHTML = parts.join("");
}

function compare() {
  for (const place of document.querySelectorAll("[data-compare]")) {
    const curves = JSON.parse(document.getElementById(place.dataset.compare).textContent);
    const boxes = [...place.querySelectorAll("input[type=checkbox]")];
    const apply = () => {
      const chosen = boxes.filter((b) => b.checked).map((b) => b.value);
      for (const svg of place.querySelectorAll("svg")) draw(svg, curves, chosen, svg.dataset.key);
    };
    const all = () => {
      boxes.forEach((box, k) => {
        box.parentElement.querySelector(".mark").style.background = colour(k);
      });
      apply();
    };
    boxes.forEach((box) => box.addEventListener("change", apply));
    new MutationObserver(all).observe(document.body, { attributeFilter: ["data-theme"] });
    all();
  }
}

document.addEventListener("DOMContentLoaded", () => {
  focusable();
  addEventListener("resize", focusable);
  document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", focusable));
  printed();
  filters();
  compare();
});
