"""Phases: a kernel over rows in two, one for the sums of all rows and one for what is made of them.

Inputs are looked at before anything is written. A kernel that only adds up can do that on the way, for what memory
delivers anyway, and once it has been through all rows the other one writes: that spares a pass over the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import sympy

from symloss.language.axes import Index
from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import Interval, is_bounded
from symloss.language.nodes import Access
from symloss.lowering.bounds import as_input, from_zero_to
from symloss.lowering.nodes import Assign, Begin, Buffer, Extreme, Finish, Kernel, Loop, Node, Store, Strips, Update
from symloss.lowering.rows import STRIP

SUMS, REST = "_sums", "_rest"
"""How the names of the two end; the array between them is called the sums."""
MOST, OUTSIDE = "most", "outside"
"""The number with the largest bits, and what tells whether that may be outside."""


def in_phases(kernel: Kernel, definition: Definition) -> tuple[Kernel, ...]:
    """Return the two kernels that together do what one does, or none where it is not made like that.

    Parameters
    ----------
    kernel : Kernel
        Over rows, its sums by strips.
    definition : Definition
        With inputs that all lie between 0 and the same number, or are not bounded.
    """
    bounded, high = _limit(definition)
    loops = [node for node in kernel.body if isinstance(node, Loop)]
    if not bounded or len(loops) != 1 or not definition.separable or definition.where is not sympy.true:
        return ()
    (loop,) = loops
    strips = [place for place, node in enumerate(loop.body) if isinstance(node, Strips)]
    if not strips:
        return ()
    end = strips[-1] + 1
    found = [name for node in loop.body[:end] if isinstance(node, Strips) for name, *_ in node.sums]
    done = tuple(n for n in loop.body[end:] if isinstance(n, Finish) and n.name in found)
    before, after = loop.body[:end] + done, tuple(n for n in loop.body[end:] if n not in done)
    looking = _looking(before, bounded, loop.index)
    if not all(map(_only_adds_up, before)) or len(looking) < len(bounded):
        return ()
    assigned = [node for node in before if isinstance(node, Assign)]
    names = [name for name in found if sympy.Symbol(name) in _read([*assigned, *after])]
    known = [Assign(n, Access("sums", loop.index, sympy.Integer(k))) for k, n in enumerate(names)]
    kept = [Store("sums", (loop.index, sympy.Integer(k)), sympy.Symbol(n)) for k, n in enumerate(names)]
    asked = frozenset(a.name for a in definition.inputs)
    first = (*_with_looks(before, looking, asked), *kept)
    verdict = sympy.Piecewise((0, from_zero_to(sympy.Symbol(MOST), as_input(high))), (1, True))
    idle = {node.name for node in kernel.body if isinstance(node, Buffer)} - {STRIP} | {kernel.returns}
    outer = [n for n in kernel.body if n is not loop and getattr(n, "name", "") not in idle]
    inputs = kernel.arguments[: kernel.arguments.index("sample_weights") + 1]
    own = inputs + (("loss_scale",) if "loss_scale" in kernel.arguments else ())
    sums = Kernel(
        kernel.name + SUMS, (*inputs, "sums"),
        (*outer, Begin(MOST, "bits"), replace(loop, body=_needed(first)), Assign(OUTSIDE, verdict)), OUTSIDE,
        f"what {kernel.name} adds up of each row, and whether a number may lie outside its domain", sums=len(names),
    )  # fmt: skip
    rest = replace(
        kernel, name=kernel.name + REST, arguments=(*own, "sums", *kernel.arguments[len(own) :]),
        body=tuple(replace(n, body=_needed((*known, *assigned, *after))) if n is loop else n for n in kernel.body),
        summary=f"{kernel.summary}, from what is added up of each row",
    )  # fmt: skip
    return (sums, rest) if all(_is_whole(part, kernel) for part in (sums, rest)) else ()


def _is_whole(part: Kernel, kernel: Kernel) -> bool:
    """Tell whether a part of a kernel sets, or is given, all that it reads of what that sets or is given."""
    everything, own = (_made(k.body) | {sympy.Symbol(a) for a in k.arguments} for k in (kernel, part))
    return _read(part.body) & everything <= own and _named(part.body, Finish) <= _named(part.body, Begin)


def _made(nodes: Iterable[Node]) -> set[sympy.Basic]:
    """Return the names of scalars that nodes set, but for what sums are finished to."""
    places = {node.place for node in _all(nodes) if isinstance(node, Extreme)}
    return {sympy.Symbol(n) for n in places.union(*(_named(nodes, kind) for kind in (Assign, Begin, Extreme)))}


def _named(nodes: Iterable[Node], kind: type[Assign | Begin | Extreme | Finish]) -> set[str]:
    """Return the names of the nodes of a kind."""
    return {node.name for node in _all(nodes) if isinstance(node, kind)}


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield nodes and those in loops."""
    for node in nodes:
        yield node
        if isinstance(node, Loop | Strips):
            yield from _all(node.body)


def _only_adds_up(node: Node) -> bool:
    """Tell whether a node leaves nothing but numbers of the row."""
    if isinstance(node, Strips):
        return all(isinstance(n, Assign) or (isinstance(n, Store) and n.array == STRIP) for n in node.body)
    return isinstance(node, Assign | Begin | Finish)


def _limit(definition: Definition) -> tuple[list[Argument], sympy.Expr]:
    """Return the inputs that are bounded, where all have the same bounds, and the largest number that they may be."""
    bounded = [a for a in definition.inputs if a.kind == "real" and is_bounded(a.domain)]
    domains = {a.domain for a in bounded}
    match tuple(domains):
        case (Interval(low=0, low_open=False, high_open=False) as domain,) if 0 < domain.high < math.inf:
            return bounded, sympy.Float(domain.high)
    return [], sympy.oo


def _looking(nodes: Iterable[Node], bounded: list[Argument], row: Index) -> dict[str, tuple[Strips, Update]]:
    """Return, for each input of which such loops go through whole rows, the loop and what looks at an entry there."""
    found: dict[str, tuple[Strips, Update]] = {}
    for argument in bounded:
        for node in nodes:
            if isinstance(node, Strips) and argument.axes == (row.axis, node.index.axis):
                entry = Access(argument.name, row, node.index)
                found.setdefault(argument.name, (node, Update(MOST, "bits", entry, sympy.true, node.index)))
    return found


def _with_looks(
    nodes: Iterable[Node], looking: dict[str, tuple[Strips, Update]], inputs: frozenset[str]
) -> Iterator[Node]:
    """Yield nodes that look at inputs on the way, and have the cache fetch nothing else."""
    for node in nodes:
        if isinstance(node, Strips):
            looks = [look for strips, look in looking.values() if strips is node]
            asked = tuple(each for each in node.asked if each[0] in inputs)
            yield replace(node, body=(*node.body, *looks), asked=asked)
        else:
            yield node


def _needed(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return nodes without the scalars that nothing after them reads."""
    found: list[Node] = []
    for node in reversed(nodes):
        if not isinstance(node, Assign) or sympy.Symbol(node.name) in _read(found):
            found.insert(0, node)
    return tuple(found)


def _read(nodes: Iterable[Node]) -> set[sympy.Basic]:
    """Return the names of scalars that nodes read."""
    found: set[sympy.Basic] = set()
    for node in _all(nodes):
        match node:
            case Strips():
                found |= _names(*(left_out for *_, left_out in node.sums if left_out is not None))
            case Extreme():
                found |= _names(node.row)
            case Assign():
                found |= _names(node.expression)
            case Update():
                found |= _names(node.expression, node.where)
            case Store():
                found |= _names(node.expression, node.where, *node.slots)
    return found


def _names(*parts: sympy.Basic) -> set[sympy.Basic]:
    """Return the symbols in expressions, whatever is assumed of them."""
    return {sympy.Symbol(s.name) for part in parts for s in part.free_symbols if isinstance(s, sympy.Symbol)}
