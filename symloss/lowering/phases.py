"""Phases: a kernel over rows in two, one for the sums of all rows and one for what is made of them.

Inputs are looked at before anything is written. A kernel that only adds up can do that on the way, for what memory
delivers anyway, and once it has been through all rows the other one writes: that spares a pass over the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import sympy

from symloss.language.axes import Index
from symloss.language.declarations import Argument
from symloss.language.definition import Definition
from symloss.language.domains import is_bounded
from symloss.language.nodes import Access
from symloss.lowering.bounds import as_input, from_zero_to, inside
from symloss.lowering.nodes import Assign, Begin, Buffer, Extreme, Finish, Kernel, Loop, Node, Store, Strips, Update
from symloss.lowering.rows import STRIP, names_read, nodes_within, used_nodes

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
    added = [(name, op) for node in loop.body[:end] if isinstance(node, Strips) for name, op, _ in node.sums]
    if any(op == "wide" for _, op in added):  # the array that hands them on is read as float32
        return ()
    found = [name for name, _ in added]
    done = tuple(n for n in loop.body[end:] if isinstance(n, Finish) and n.name in found)
    before, after = loop.body[:end] + done, tuple(n for n in loop.body[end:] if n not in done)
    looking = _looking(before, bounded, loop.index)
    if not all(map(_only_adds_up, before)) or len(looking) < len(bounded):
        return ()
    assigned = [node for node in before if isinstance(node, Assign)]
    names = [name for name in found if name in names_read([*assigned, *after])]
    known = [Assign(n, Access("sums", loop.index, sympy.Integer(k))) for k, n in enumerate(names)]
    kept = [Store("sums", (loop.index, sympy.Integer(k)), sympy.Symbol(n)) for k, n in enumerate(names)]
    first = (*_with_looks(before, looking), *kept)
    verdict = sympy.Piecewise((0, from_zero_to(sympy.Symbol(MOST), as_input(high))), (1, True))
    idle = {node.name for node in kernel.body if isinstance(node, Buffer)} - {STRIP} | {kernel.returns}
    outer = [n for n in kernel.body if n is not loop and getattr(n, "name", "") not in idle]
    inputs = kernel.arguments[: kernel.arguments.index("sample_weights") + 1]
    own = inputs + (("loss_scale",) if "loss_scale" in kernel.arguments else ())
    sums = Kernel(
        kernel.name + SUMS, (*inputs, "sums"),
        (*outer, Begin(MOST, "bits"), replace(loop, body=used_nodes(first)), Assign(OUTSIDE, verdict)), OUTSIDE,
        f"what {kernel.name} adds up of each row, and whether a number may lie outside its domain", sums=len(names),
    )  # fmt: skip
    rest = replace(
        kernel, name=kernel.name + REST, arguments=(*own, "sums", *kernel.arguments[len(own) :]),
        body=tuple(replace(n, body=used_nodes((*known, *assigned, *after))) if n is loop else n for n in kernel.body),
        summary=f"{kernel.summary}, from what is added up of each row",
    )  # fmt: skip
    return (sums, rest) if all(_is_whole(part, kernel) for part in (sums, rest)) else ()


def _is_whole(part: Kernel, kernel: Kernel) -> bool:
    """Tell whether a part of a kernel sets, or is given, all that it reads of what that sets or is given."""
    everything, own = (_made(k.body).union(k.arguments) for k in (kernel, part))
    return names_read(part.body) & everything <= own and _named(part.body, Finish) <= _named(part.body, Begin)


def _made(nodes: Iterable[Node]) -> set[str]:
    """Return the names of scalars that nodes set, but for what sums are finished to."""
    places = {node.place for node in nodes_within(nodes) if isinstance(node, Extreme)}
    return places.union(*(_named(nodes, kind) for kind in (Assign, Begin, Extreme)))


def _named(nodes: Iterable[Node], kind: type[Assign | Begin | Extreme | Finish]) -> set[str]:
    """Return the names of the nodes of a kind."""
    return {node.name for node in nodes_within(nodes) if isinstance(node, kind)}


def _only_adds_up(node: Node) -> bool:
    """Tell whether a node leaves nothing but numbers of the row."""
    if isinstance(node, Strips):
        return all(isinstance(n, Assign) or (isinstance(n, Store) and n.array == STRIP) for n in node.body)
    return isinstance(node, Assign | Begin | Finish)


def _limit(definition: Definition) -> tuple[list[Argument], sympy.Expr]:
    """Return the inputs that are bounded, and the largest number that they may be; none where that has other forms."""
    bounded = [a for a in definition.inputs if a.kind == "real" and is_bounded(a.domain)]
    match [inside(sympy.Symbol(MOST), domain) for domain in {a.domain for a in bounded}]:
        case [from_zero_to(args=(_, high))]:
            return bounded, high
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


def _with_looks(nodes: Iterable[Node], looking: dict[str, tuple[Strips, Update]]) -> Iterator[Node]:
    """Yield nodes that look at inputs on the way."""
    for node in nodes:
        if isinstance(node, Strips):
            looks = [look for strips, look in looking.values() if strips is node]
            yield replace(node, body=(*node.body, *looks))
        else:
            yield node
