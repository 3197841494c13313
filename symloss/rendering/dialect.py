"""Dialects: how a library of whole arrays spells what a program needs, and what its generated modules carry along."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dialect:
    """One library of arrays.

    Parameters
    ----------
    name : str
        The folder of its modules in the output.
    header, imports : str
        What a module says below its formula, and imports.
    calls : mapping of str to str
        The function of each atom; those that begin with an underscore come along.
    choice, spread, count, product, scatter : str
        Patterns of an entrywise choice, of widening to a shape, of the indices of an axis, of a contraction, and of
        adding parts up at places. In each, ``{like}`` is an array argument of the function.
    number : str
        A plain number as an argument of a function.
    turn, root : str
        Functions that reorder dimensions and take a square root.
    reductions : mapping of str to str
        The function of each reduction, and of ``"any"``.
    axis : str
        The keyword that names the dimensions of a reduction.
    infinity, nan : str
        As they are spelled.
    scalars, rules : tuple of function
        Carried along: the first where they are called, the others always.
    """

    name: str
    header: str
    imports: str
    calls: Mapping[str, str]
    choice: str
    spread: str
    count: str
    product: str
    scatter: str
    number: str
    turn: str
    root: str
    reductions: Mapping[str, str]
    axis: str
    infinity: str
    nan: str
    scalars: tuple[Callable[..., Any], ...]
    rules: tuple[Callable[..., Any], ...]

    def sources(self, used: set[str]) -> tuple[str, ...]:
        """Return the source of the functions that a module needs, in a fixed order."""
        texts = {f.__name__: inspect.getsource(f).rstrip() for f in self.scalars}
        always = [inspect.getsource(f).rstrip() for f in self.rules]
        wanted = (set(used) | _called("\n".join(always))) & set(texts)
        stack = list(wanted)
        while stack:
            found = _called(texts[stack.pop()]) & set(texts) - wanted
            wanted |= found
            stack += found
        chosen = [text for name, text in texts.items() if name in wanted]
        return tuple(map(_untyped, [*chosen, *always]))


def _called(text: str) -> set[str]:
    return set(re.findall(r"\b_\w+(?=\()", text))


def _untyped(text: str) -> str:
    return re.sub(r"(: Any| -> (Any|bool))(?=[,):]|$)", "", text, flags=re.MULTILINE)
