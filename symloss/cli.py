"""The ``symloss`` command: the pipeline's stages, with progress on a terminal and errors of one line."""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from symloss import pipeline, verifying
from symloss.ablation import UnknownRule, effect
from symloss.bench.report import markdown, plain, put_into, summary, tables
from symloss.bench.run import chosen, machine, run
from symloss.language.errors import DefinitionError

ABLATED = 120
"""Points for each dtype where a rule is left out."""
EXPECTED = (
    click.ClickException, UnknownRule, pipeline.UnknownLoss, OSError,
    DefinitionError, pipeline.StaleOutput, RuntimeError,
)  # fmt: skip
"""What is told in one line."""
SIGNS = {"passed": "✓", "short": "~", "failed": "✗", "stale": "✗"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options every command has."""

    definitions: Path | None
    output: Path | None
    check: bool
    as_json: bool
    quiet: bool

    def say(self, text: object) -> None:
        """Print for a person, unless asked for silence or JSON."""
        if self.quiet or self.as_json:
            return
        if isinstance(text, str):
            click.echo(text)
        else:
            Console().print(text)

    def data(self, content: Any) -> None:
        """Print for a program."""
        if self.as_json:
            click.echo(json.dumps(content, indent=1, default=str))


@contextmanager
def progress(settings: Settings, verb: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress on a terminal; in a pipe there is none."""
    console = Console(stderr=True)
    if settings.quiet or settings.as_json or not console.is_terminal:
        yield lambda name, done, total: None
        return
    columns = (TextColumn(verb), BarColumn(), TextColumn("{task.fields[loss]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(verb, loss="", total=None)
        yield lambda name, done, total: bar.update(task, completed=done, total=total, loss=name)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options every command has."""
    folder = click.Path(file_okay=False, path_type=Path)
    for option in (
        click.option("--definitions", type=folder, help="Folder of definitions; the project's own by default."),
        click.option("--output", type=folder, help="Folder of generated files; the project's own by default."),
        click.option("--check", is_flag=True, help="Write nothing; exit 1 and print a diff if the output is stale."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option("--traceback", "trace", is_flag=True, help="Show where an error came from."),
    ):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> Settings:
    """Return the common options as one object."""
    names = ("definitions", "output", "check", "as_json", "quiet")
    return Settings(**{name: options[name] for name in names})


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="symloss")
def cli() -> None:
    """Loss functions written once as mathematics; everything else derived and verified."""


def _generate(names: Sequence[str], settings: Settings) -> int:
    with progress(settings, "generate") as report:
        outcomes = pipeline.generate(
            names, settings.definitions, settings.output, check=settings.check, progress=report
        )
    changed = [o for o in outcomes if o.changed]
    settings.data([dataclasses.asdict(o) for o in outcomes])
    if settings.check and changed:
        for outcome in changed:
            if not settings.as_json:
                click.echo(outcome.diff)
        click.echo(f"stale: {', '.join(o.name for o in changed)}; run symloss generate", err=True)
        return 1
    seconds = sum(o.seconds for o in outcomes)
    settings.say(f"generated {len(outcomes)} losses in {seconds:.1f} s, {len(changed)} changed")
    return 0


def _verify(names: Sequence[str], settings: Settings, full: bool, peers: bool = False, *, bars: bool = True) -> int:
    """Print what was verified; 1 where a check failed or, with `bars`, where a loss falls short of one."""
    with progress(settings, "verify") as report:
        verdicts = verifying.verify(
            names, settings.definitions, settings.output, full=full, check=settings.check, progress=report,
            peers=peers,
        )  # fmt: skip
    settings.data([dataclasses.asdict(v) for v in verdicts])
    bad = [v for v in verdicts if v.status in ("failed", "stale")]
    if settings.check:
        for verdict in bad:
            click.echo(f"{verdict.file}:1: {verdict.name}: {verdict.checks[0]['detail']}", err=True)
    else:
        settings.say(_table(verdicts))
        if peers:
            settings.say(_peers_table(verdicts))
        for verdict in bad:
            click.echo(f"{verdict.file}:1: {verdict.name}: {_reasons(verdict)}", err=True)
    short = [v.name for v in verdicts if bars and v.status == "short"]
    if short and not settings.check:
        click.echo(f"short of a bar: {', '.join(short)}", err=True)
    if rough := [v.name for v in verdicts if v.fast_status == "short"]:  # it has no bar: what it reaches is stated
        settings.say(f"fast is off by more than 4 (1 + kappa) units in {', '.join(rough)}: pages state by how much")
    return 1 if bad or (short and not settings.check) else 0


def _reasons(verdict: verifying.Verdict) -> str:
    """Return why a loss failed, in one line."""
    numbers = dict.fromkeys(r["quantity"] for r in verdict.rows if r["wrong"] or r["nans"])
    narrow = dict.fromkeys(r["quantity"] for r in verdict.fast if r["nans"])
    found = [f"wrong numbers in {', '.join(numbers)}"] if numbers else []
    found += [f"NaN in {', '.join(narrow)} where accuracy is 'fast'"] if narrow else []
    wrong = [c for c in (*verdict.checks, *verdict.claims) if c["status"] in ("failed", "refuted")]
    found += [c.get("detail") or f"{c['claim']}: {c['evidence']}" for c in wrong]
    return "; ".join(found) or "there are no numbers to compare"


def _without(rule: str, names: Sequence[str], settings: Settings) -> int:
    """Tell what is worse without a rule; 1 where anything is."""
    effects = []
    with progress(settings, "verify") as report:
        losses = pipeline.select(names, settings.definitions)
        for number, definition in enumerate(losses):
            report(definition.name, number, len(losses))
            effects.append(effect(definition, rule, ABLATED))
        report("", len(losses), len(losses))
    settings.data([dataclasses.asdict(e) for e in effects])
    lines = [f"{e.loss} without {rule}: {line}" for e in effects for line in e.what]
    for line in lines:
        click.echo(line, err=True)
    if not lines:
        settings.say(f"nothing is worse without {rule}")
    return 1 if lines else 0


def _table(verdicts: Sequence[verifying.Verdict]) -> Table:
    """Return the table of largest errors, in units of the last place; of "fast", over 1 + the condition number."""
    table = Table("loss", "dtype", "value", "gradient", "Hessian", "product", "zeros", "claims", "", box=None)
    for verdict in verdicts:
        kinds = [(d, [r for r in verdict.rows if r["dtype"] == d], "max_ulp") for d in ("float64", "float32")]
        kinds += [("fast", list(verdict.fast), "max_conditioned")] if verdict.fast else []
        for kind, rows, key in kinds:
            first = kind == "float64"
            status = {"float64": verdict.status, "fast": verdict.fast_status}

            def worst(quantity: str, rows: list[dict[str, Any]] = rows, key: str = key) -> str:
                found = [float(r[key]) for r in rows if r["quantity"] == quantity]
                return f"{max(found, default=0.0):.3g}"

            held = sum(c["status"] != "refuted" for c in verdict.claims)
            table.add_row(
                verdict.name if first else "", kind, worst("value"), worst("gradient"),
                worst("hessian_diagonal"), worst("hessian_product"), str(sum(r["false_zeros"] for r in rows)),
                f"{held}/{len(verdict.claims)}" if first else "", SIGNS[status[kind]] if kind in status else "",
            )  # fmt: skip
    return table


def _peers_table(verdicts: Sequence[verifying.Verdict]) -> Table:
    """Return the table of other libraries' largest errors."""
    table = Table("loss", "library", "version", "dtype", "quantity", "in", "ULP", "zeros", "nan", "signs", box=None)
    for verdict in verdicts:
        for r in verdict.peers:
            counts = (str(r[key]) for key in ("false_zeros", "nans", "wrong_signs"))
            table.add_row(
                verdict.name, r["library"], r["version"], r["dtype"], r["quantity"], r["wrt"],
                f"{float(r['max_ulp']):.3g}", *counts,
            )  # fmt: skip
    return table


def _docs(settings: Settings) -> int:
    with progress(settings, "docs") as report:
        result = pipeline.docs(settings.definitions, settings.output, None, progress=report)
    settings.data(dataclasses.asdict(result))
    settings.say(f"site: {result.html}")
    settings.say(f"book: {result.pdf}" if result.pdf else "book: skipped")
    for note in result.notes:
        settings.say(note)
    return 0


@cli.command()
@click.argument("names", nargs=-1)
@common
def generate(names: tuple[str, ...], **options: Any) -> int:
    """Kernels, LaTeX and records into the output folder."""
    return _generate(names, settings_of(options))


@cli.command()
@click.argument("names", nargs=-1)
@click.option("--full", is_flag=True, help="Ten times the points, every mutant, every float32 of one prediction.")
@click.option("--without", metavar="RULE", default="", help="Only tell what is worse without one stability rule.")
@click.option("--peers", is_flag=True, help="Measure the other libraries that are installed too.")
@common
def verify(names: tuple[str, ...], full: bool, peers: bool, without: str, **options: Any) -> int:
    """Evidence files; exit 1 where anything fails."""
    if without:
        return _without(without, names, settings_of(options))
    return _verify(names, settings_of(options), full, peers)


@cli.command()
@click.argument("names", nargs=-1)
@click.option("--grid", is_flag=True, help="Every case: all sizes and dtypes, rows and pairs too.")
@click.option("--threads", type=click.IntRange(1), multiple=True, default=(1,), show_default=True, help="Processors.")
@click.option("--runs", type=click.IntRange(1), default=1, show_default=True, help="Processes; their medians count.")
@click.option("--compiled", is_flag=True, help="Let torch compile too: several seconds a case.")
@click.option("--apart", is_flag=True, help="First calls and peaks of memory too, in processes of their own.")
@click.option(
    "--write", type=click.Path(path_type=Path), help="Put the tables, as Markdown, into a page or a new file."
)
@common
def bench(names: tuple[str, ...], grid: bool, threads: tuple[int, ...], runs: int, compiled: bool, apart: bool,
          write: Path | None, **options: Any) -> int:  # fmt: skip
    """Time kernels beside the installed libraries, in turns."""
    settings = settings_of(options)
    try:
        cases = chosen(names, grid=grid)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    found = {}
    for count in threads:
        with progress(settings, f"bench, threads: {count}") as report:
            found[count] = run(cases, count, compiled=compiled, runs=runs, apart=apart, progress=report)
        settings.say("\n".join([machine(count), *(line for t in tables(found[count]) for line in (*plain(t), ""))]))
        settings.say(summary(found[count]))
    settings.data([{"machine": machine(n), "runs": runs, "cases": [t.row() for t in of]} for n, of in found.items()])
    if write is not None:
        often = "one run" if runs == 1 else f"medians of {runs} runs"
        text = "\n".join(markdown(timings, f"{machine(count)} Here: {often}.") for count, timings in found.items())
        write.write_text(put_into(write.read_text(encoding="utf-8") if write.exists() else "", text), encoding="utf-8")
    return 0


@cli.command()
@common
def docs(**options: Any) -> int:
    """HTML site and PDF."""
    return _docs(settings_of(options))


@cli.command()
@click.argument("names", nargs=-1)
@common
def build(names: tuple[str, ...], **options: Any) -> int:
    """Generate, verify, document: the main job."""
    settings = settings_of(options)
    code = _generate(names, settings)
    if code == 0 and settings.check:
        return _verify(names, settings, full=False)
    return code or _verify(names, settings, full=False, bars=False) or _docs(settings)


@cli.command()
@click.argument("name")
@common
def show(name: str, **options: Any) -> int:
    """Print formula, gradient, Hessian and claims."""
    settings = settings_of(options)
    record = pipeline.show(name, settings.definitions)
    settings.data(record)
    settings.say(f"{record['title']}: {record['summary']}")
    settings.say(f"\n  formula   {record['formula']['text']}")
    for part in ("gradient", "hessian"):
        for entry in record[part]:
            settings.say(f"  {part:<9} in {entry['wrt']}: {entry['text']}")
    for claim in record["claims"]:
        settings.say(f"  claim     {claim['claim']}")
    return 0


@cli.command()
@click.argument("name")
@common
def new(name: str, **options: Any) -> int:
    """Write a definition that already builds."""
    settings = settings_of(options)
    path = pipeline.new(name, settings.definitions)
    settings.data({"file": path})
    settings.say(f"wrote {path}; next: symloss build --definitions {path.parent} --output out")
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Exit codes are 0 for fine, 1 for a failed check, 2 for wrong usage, which paths are that cannot be read or written.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(cli.main(given, standalone_mode=False) or 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except EXPECTED as error:
        click.echo(_line_of(error), err=True)
        if "--traceback" in given:
            traceback.print_exc()
        sys.exit(1 if isinstance(error, RuntimeError | DefinitionError | pipeline.StaleOutput) else 2)


def _line_of(error: Exception) -> str:
    """Return what is told of an error; definitions and generated files are named by their own."""
    match error:
        case click.ClickException():
            return f"symloss: {error.format_message()}"
        case OSError():
            return f"symloss: {error.filename or 'a file'}: cannot be read or written: {error.strerror or error}"
        case UnknownRule() | pipeline.UnknownLoss():
            return f"symloss: {error}"
    return str(error)
