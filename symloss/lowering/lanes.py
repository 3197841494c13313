"""Lanes: rows so short that vector instructions take many of them side by side, one in each lane.

A loop over rows comes in; a loop over blocks of rows goes out. What a row computes once becomes a loop over the rows
of the block, and a loop along the row has such a loop inside. What one loop leaves to the next is kept for every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import sympy

from symloss.language.axes import Index
from symloss.language.nodes import Access, LabelAccess
from symloss.lowering.nodes import (
    LANES,
    ROW,
    Assign,
    Begin,
    Beside,
    Buffer,
    Finish,
    Lane,
    Lanes,
    Loop,
    Node,
    Side,
    Skip,
    Store,
    Turn,
    Update,
    When,
)
from symloss.lowering.reductions import exp_difference
from symloss.lowering.rows import special_entry

COUNTED, LEFT_OUT = "counted", "left_out"
"""Whether a row counts, 1 or 0, and how many rows of a block do not."""


@dataclass
class _Block:
    """What is known while the loop over rows is rewritten."""

    index: Index
    inputs: frozenset[str]
    buffers: frozenset[str]
    places: set[str] = field(default_factory=set)
    kept: dict[str, str] = field(default_factory=dict)
    loaded: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str) -> str:
        """Return the name of what holds a number for every row."""
        return self.kept.setdefault(name, f"{name}_lanes")

    def read(self, node: sympy.Basic, own: frozenset[str], along: Index | None = None) -> sympy.Basic:
        """Return an expression with numbers of the row read from where they are kept, `own` aside."""
        match node:
            case sympy.Symbol() if node.name in self.kept and node.name not in own:
                name = self.kept[node.name]
                return _place(name) if node.name in self.places else Access(name, ROW)
            case Access() if node.name in self.buffers:
                return Access(node.name, *(self.read(s, own, along) for s in node.slots), ROW)
            case Access() if along is not None and node.name in self.loaded and node.slots == (self.index, along):
                return Access(self.loaded[node.name], along, ROW)
            case Access():
                return node.func(node.args[0], *(self.read(s, own, along) for s in node.slots))
            case sympy.core.relational.Relational() if along is not None and along in node.args:
                narrow = sympy.Symbol(f"np.int32({along.name})", integer=True)
                return node.func(*(narrow if a == along else self.read(a, own, along) for a in node.args))
            case _ if node.args and any(isinstance(a, sympy.Basic) for a in node.args):
                arguments = [self.read(a, own, along) if isinstance(a, sympy.Basic) else a for a in node.args]
                plain = isinstance(node, sympy.logic.boolalg.Boolean) or not isinstance(node, sympy.Expr)
                return node.func(*arguments) if plain else node.func(*arguments, evaluate=False)
            case _:
                return node


def _place(name: str) -> sympy.Symbol:
    """Return an integer that is kept for every row."""
    return sympy.Symbol(f"{name}[{ROW}]", integer=True)


def by_lanes(nodes: tuple[Node, ...], inputs: frozenset[str], taken: set[str]) -> tuple[Node, ...] | None:
    """Return a kernel's nodes for short rows, or None where there is nothing to gain or something stands against it.

    Parameters
    ----------
    nodes : tuple of Node
        Its scalars named, before their reductions are cut.
    inputs : frozenset of str
        The arrays that are read.
    taken : set of str
        Names in use.
    """
    loops = [n for n in nodes if isinstance(n, Loop) and any(isinstance(m, Loop) for m in n.body)]
    if len(loops) != 1 or not _fits(loops[0], nodes):
        return None
    (loop,) = loops
    row_buffers = {n.name: n for n in nodes if isinstance(n, Buffer)}
    block = _Block(loop.index, inputs, frozenset(row_buffers))
    body = tuple(_block(loop, block))
    parts = (_part(n) for n in loop.body if isinstance(n, Update))
    new = (*block.kept.values(), *block.loaded.values(), *block.written.values(), *parts)
    if any(name in taken for name in (*new, COUNTED, LEFT_OUT, "lanes", "places")):
        return None
    wide = [n for n in block.kept if n not in block.places]
    sums = [n.name for n in loop.body if isinstance(n, Begin) and n.op.startswith("compensated")]
    memory: list[Node] = [Beside("lanes", tuple(block.kept[n] for n in wide), tuple(block.kept[n] for n in sums))]
    memory += (
        [Beside("places", tuple(block.kept[n] for n in sorted(block.places)), (), "int32")] if block.places else []
    )
    axis = next(n.index.axis.name for n in loop.body if isinstance(n, Loop))
    memory += [Buffer(n, (axis, str(LANES))) for n in block.loaded.values()]
    memory += [Buffer(n, (axis, str(LANES)), dtype="like") for n in block.written.values()]
    memory += [Buffer(n, (*b.axes, str(LANES))) for n, b in row_buffers.items()]
    rest = [Lanes(loop.index, body) if n is loop else n for n in nodes if not isinstance(n, Buffer)]
    return (*memory, *rest)


def _fits(loop: Loop, nodes: tuple[Node, ...]) -> bool:
    """Tell whether rows have exponentials along one axis, and nothing that lanes cannot do."""
    inner = [n for n in loop.body if isinstance(n, Loop)]
    begun = {n.name for n in loop.body if isinstance(n, Begin)}
    ops = [n.op for n in loop.body if isinstance(n, Begin)]
    flat = all(isinstance(n, Assign | Store | Update) for k in inner for n in k.body)
    plain = all(isinstance(n, Assign | Store | Update | Begin | Finish | Skip | Loop) for n in loop.body)
    if not flat or not plain or len({k.index.axis for k in inner}) != 1:
        return False
    if any(len(n.axes) != 1 or n.axes[0] != inner[0].index.axis.name for n in nodes if isinstance(n, Buffer)):
        return False
    if any(op.removesuffix("_masked") != "compensated" and op not in ("max", "argmax") for op in ops):
        return False
    buffers = {n.name for n in nodes if isinstance(n, Buffer)}
    for index, node in ((k.index, n) for k in inner for n in k.body):
        match node:
            case Update() if node.name not in begun or (node.op != "compensated" and node.where is not sympy.true):
                return False
            case Store() if node.guard or node.where is not sympy.true:
                return False
            case Store() if node.array not in buffers and node.slots != (loop.index, index):
                return False
    series = (n.expression for k in inner for n in k.body if isinstance(n, Assign | Store))
    return any(e.has(exp_difference) for e in series)


def _block(loop: Loop, block: _Block) -> Iterator[Node]:
    """Yield the loops over one block of rows."""
    body = list(loop.body)
    skip = next((n for n in body if isinstance(n, Skip)), None)
    block.kept |= _crossing(body, skip)
    if skip is not None:
        place = body.index(skip)
        yield from _counted(body[:place], skip, block)
        body = body[place + 1 :]
    inner = [n for n in body if isinstance(n, Loop)]
    along = inner[0].index
    for name in sorted({a.name for k in inner for n in k.body for a in _read_along(n, block, k.index)}):
        block.loaded[name] = f"{name}_lanes"
        yield Turn(name, f"{name}_lanes", along.axis.name)
    pending: list[Node] = []
    for node in body:
        if isinstance(node, Loop):
            yield from _sides(pending, block, counted=skip is not None)
            pending = []
            yield from _along(node, block)
        else:
            pending.append(node)
    yield from _sides(pending, block, counted=skip is not None)
    if skip is not None:
        zeros = tuple(replace(z, where=sympy.Eq(_place(COUNTED), 0)) for z in skip.zeros)
        yield When(f"{LEFT_OUT} > 0", (Side(block.index, zeros),))


def _read_along(node: Node, block: _Block, along: Index) -> list[Access]:
    """Return the entries of inputs that a loop along the row reads."""
    parts = (node.expression, node.where) if isinstance(node, Store | Update) else (node.expression,)  # type: ignore[union-attr]
    found = sorted(set().union(*(p.atoms(Access) for p in parts)), key=str)
    return [a for a in found if a.name in block.inputs and a.slots == (block.index, along)]


def _crossing(body: list[Node], skip: Skip | None) -> dict[str, str]:
    """Return the numbers of a row that another loop than that which sets them may read."""
    names = [n.name for n in body if isinstance(n, Assign | Begin)]
    found = {n: f"{n}_lanes" for n in names}
    return found | ({COUNTED: COUNTED} if skip is not None else {})


def _counted(before: list[Node], skip: Skip, block: _Block) -> Iterator[Node]:
    """Yield what finds the rows that count; the label of any other is 0, a place that is there."""
    nodes: list[Node] = []
    labels = [n for n in before if isinstance(n, Assign) and isinstance(n.expression, LabelAccess)]
    others = [n for n in before if n not in labels]
    nodes += labels
    nodes.append(Lane(COUNTED, "unless", skip.condition, sympy.S.Zero))
    block.places |= {COUNTED, *(n.name for n in labels)}
    nodes += [Lane(block.kept[n.name], "unless", skip.condition, sympy.Symbol(n.name, real=True)) for n in labels]
    nodes.append(Lane(LEFT_OUT, "count", sympy.Eq(_place(COUNTED), 0), sympy.S.Zero))
    yield Begin(LEFT_OUT, "count")
    yield Side(block.index, tuple(nodes))
    yield from _sides(others, block, counted=True)


def _along(loop: Loop, block: _Block) -> Iterator[Node]:
    """Yield a loop along the rows of a block."""
    own = frozenset(n.name for n in loop.body if isinstance(n, Assign))
    found: list[Node] = []
    late: list[Node] = []
    single: list[Node] = []
    turned: list[Node] = []
    for node in loop.body:
        match node:
            case Assign():
                found.append(replace(node, expression=block.read(node.expression, own, loop.index)))
            case Store():
                apart = None if node.array in block.buffers else special_entry(node, loop.index)
                if apart is not None and not {s.name for s in apart[0].free_symbols} & own:
                    special, at, usual = apart
                    slots = tuple(block.read(at, frozenset()) if s == loop.index else s for s in node.slots)
                    single.append(replace(node, slots=slots, expression=block.read(special, frozenset())))
                    node = replace(node, expression=usual)
                expression = block.read(node.expression, own, loop.index)
                name, slots = node.array, (*node.slots, ROW)
                if name not in block.buffers:  # a row of a result: turned when all of the block is there
                    name = block.written.setdefault(name, f"{name}_lanes")
                    turned.append(Turn(name, node.array, loop.index.axis.name, back=True))
                    slots = (loop.index, ROW)
                found.append(replace(node, array=name, slots=slots, expression=expression))
            case Update(op="max"):
                late.append(
                    Lane(block.kept[node.name], "larger", sympy.true, block.read(node.expression, own, loop.index))
                )
            case Update(op="argmax"):
                best = next(n for n in loop.body if isinstance(n, Update) and n.op == "max"
                            and n.expression == node.expression)  # fmt: skip
                read = block.read(node.expression, own, loop.index)
                where = sympy.Gt(read, Access(block.kept[best.name], ROW), evaluate=False)
                narrow = sympy.Symbol(f"np.int32({loop.index.name})", integer=True)
                found.append(Lane(block.kept[node.name], "place", where, narrow))
            case Update():
                part = node.expression
                if node.where is not sympy.true:
                    part = sympy.Piecewise((part, node.where), (sympy.S.Zero, True), evaluate=False)
                found.append(Lane(block.kept[node.name], "add", sympy.true, block.read(part, own, loop.index)))
    yield Loop(loop.index, (Side(block.index, (*found, *late)),))
    yield from turned
    if single:
        yield Side(block.index, tuple(single))


def _sides(nodes: list[Node], block: _Block, *, counted: bool) -> Iterator[Node]:
    """Yield loops over the rows of a block: what is the same for all lanes apart from what fetches single entries."""
    levels: list[tuple[int, Node]] = []
    made: dict[str, tuple[int, bool]] = {}
    for node in nodes:
        apart = _is_apart(node, block)
        level = 0
        for name in _names(node):
            if name in made:
                at, other = made[name]
                level = max(level, at + (other != apart))
        level += (level % 2 == 0) == apart  # even levels for all lanes alike
        levels.append((level, node))
        if isinstance(node, Assign | Begin | Finish):
            made[node.name] = level, apart
    for level in sorted({at for at, _ in levels}):
        found = [n for at, n in levels if at == level]
        own = frozenset(n.name for n in found if isinstance(n, Assign))
        made_here: list[Node] = []
        totals = [n for n in found if isinstance(n, Update)]
        for node in found:
            made_here += _row_node(node, block, own, counted=counted)
        yield from (Begin(_part(n), "lanewise") for n in totals)
        yield Side(block.index, tuple(made_here))
        yield from (replace(n, expression=sympy.Symbol(_part(n), real=True)) for n in totals)


def _part(node: Update) -> str:
    """Return the name of what a block has of a sum over rows."""
    return f"{node.name}_part"


def _row_node(node: Node, block: _Block, own: frozenset[str], *, counted: bool) -> list[Node]:
    """Return what a statement of a row is for one lane."""
    match node:
        case Assign():
            if isinstance(node.expression, LabelAccess):
                block.places.add(node.name)
            expression = block.read(node.expression, own)
            return [
                replace(node, expression=expression),
                Store(block.kept[node.name], (ROW,), sympy.Symbol(node.name, real=True)),
            ]
        case Begin():
            if node.op == "argmax":
                block.places.add(node.name)
            return [Lane(block.kept[node.name], f"begin {node.op.removesuffix('_masked')}", sympy.true, sympy.S.Zero)]
        case Finish():
            return [Lane(block.kept[node.name], "finish", sympy.true, sympy.S.Zero)]
        case Store():
            return [replace(node, expression=block.read(node.expression, own), where=block.read(node.where, own),
                            slots=tuple(block.read(s, own) for s in node.slots))]  # fmt: skip
        case Update():
            part = block.read(node.expression, own)
            if counted:
                part = sympy.Piecewise((sympy.S.Zero, sympy.Eq(_place(COUNTED), 0)), (part, True), evaluate=False)
            return [replace(node, name=_part(node), op="lanewise", expression=part)]
        case _:
            return [node]


def _is_apart(node: Node, block: _Block) -> bool:
    """Tell whether a statement fetches single entries, writes to arrays or adds up over rows."""
    match node:
        case Assign():
            return any(
                isinstance(a, LabelAccess) or (a.slots != (block.index,) and bool(a.slots))
                for a in node.expression.atoms(Access)
            )
        case Begin() | Finish():
            return False
        case _:
            return True


def _names(node: Node) -> set[str]:
    match node:
        case Assign():
            parts: tuple[sympy.Basic, ...] = (node.expression,)
        case Store() | Update():
            parts = (node.expression, node.where, *(node.slots if isinstance(node, Store) else ()))
        case Finish():
            return {node.name}
        case _:
            return set()
    return {s.name for p in parts for s in p.free_symbols if isinstance(s, sympy.Symbol)}
