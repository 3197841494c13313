"""Places of largest numbers among all but one: in the text of a function, which names never hold which index.

``if k != j: place = k`` in a loop over `k` leaves `place` other than `j`, and so is what is stored of it in an array.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

Pair = tuple[str, str]


@dataclass(frozen=True)
class LeftOut:
    """What never equals what.

    Parameters
    ----------
    names : frozenset of (str, str)
        Names of places, and the index that each never is.
    arrays : mapping of str to int
        Arrays of such places, and which of their slots holds that index.
    """

    names: frozenset[Pair]
    arrays: dict[str, int]

    @property
    def facts(self) -> frozenset[tuple[str, str, str]]:
        """The equalities that never hold, whatever is assigned."""
        return frozenset((min(p), "Eq", max(p)) for p in self.names)

    def never(self, value: ast.expr) -> str | None:
        """Return the index that an entry of such an array never is."""
        match value:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=slots)) if name in self.arrays:
                slot = slots[self.arrays[name]]
                return slot.id if isinstance(slot, ast.Name) else None
        return None


def left_out(function: ast.FunctionDef) -> LeftOut:
    """Find names that are only set to -1, or under a test to an index that is not another one, and where they go."""
    above = {id(child): node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    names: dict[str, str] = {}
    assigned: dict[str, list[ast.stmt]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned.setdefault(node.id, []).append(above[id(node)])  # type: ignore[arg-type]
    for name, statements in assigned.items():
        other = [_never(s, above) for s in statements]
        indices = {o for o in other if o != ""}
        if other.count("") == 1 and len(indices) == 1 and None not in indices:
            index = indices.pop()
            if index is not None and _is_set_first(function, name, index, statements[other.index("")]):
                names[name] = index
    return LeftOut(frozenset(names.items()), _arrays(function, names))


def _never(statement: ast.AST, above: dict[int, ast.AST]) -> str | None:
    """Return the index that a place is not when a statement has set it, "" for any index; None if it may be each."""
    match statement:
        case ast.Assign(targets=[ast.Name()], value=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
            return ""
        case ast.Assign(targets=[ast.Name()], value=ast.Name(id=place)):
            pass
        case _:
            return None
    node: ast.AST = statement
    while id(node) in above:
        inner, node = node, above[id(node)]
        match node:
            case ast.If(test=ast.Compare(left=ast.Name(id=one), ops=[ast.NotEq()], comparators=[ast.Name(id=two)])):
                if place in (one, two) and inner in node.body and _is_index(two if one == place else one, node, above):
                    return two if one == place else one
    return None


def _is_set_first(function: ast.FunctionDef, name: str, index: str, first: ast.stmt) -> bool:
    """Tell whether a place is set to -1 in a loop over an index before it is met there, and met nowhere else."""
    met = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name]
    loops = [
        n for n in ast.walk(function)
        if isinstance(n, ast.For) and isinstance(n.target, ast.Name) and n.target.id == index
    ]  # fmt: skip
    around = [loop for loop in loops if any(n is first for n in ast.walk(loop))]
    if not around or any(n.lineno < first.lineno for n in met):
        return False
    inside = {id(n) for n in ast.walk(around[-1])}
    return all(id(n) in inside for n in met)


def _is_index(name: str, node: ast.AST, above: dict[int, ast.AST]) -> bool:
    """Tell whether a name is the index of a loop around a statement: it is not below 0."""
    while id(node) in above:
        node = above[id(node)]
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id == name:
            return True
    return False


def _arrays(function: ast.FunctionDef, names: dict[str, str]) -> dict[str, int]:
    """Return the arrays that hold nothing but such places, each at the index that it is not."""
    found: dict[str, set[int | None]] = {}
    for statement in ast.walk(function):
        match statement:
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=array), slice=index)], value=value):
                slots = [s.id if isinstance(s, ast.Name) else "" for s in getattr(index, "elts", ())]
                never = names.get(value.id) if isinstance(value, ast.Name) else None
                found.setdefault(array, set()).add(slots.index(never) if never in slots else None)
            case ast.AugAssign(target=ast.Subscript(value=ast.Name(id=array))):
                found.setdefault(array, set()).add(None)
    handed = {
        n.id for e in ast.walk(function) if isinstance(e, ast.Expr) for n in ast.walk(e) if isinstance(n, ast.Name)
    }
    return {
        array: next(iter(places)) for array, places in found.items()  # type: ignore[misc]
        if len(places) == 1 and None not in places and array not in handed
    }  # fmt: skip
