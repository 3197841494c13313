"""Why a mutant of a buffer means the same: from the text alone, by what is read of the buffer, and when.

A mutant comes in; out goes a reason, or an empty string where no rule applies.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from symloss.verification.mutation_plain import Plain
from symloss.verification.mutation_sites import Site

Place = tuple[float, float]
"""Where a statement stands in a loop over blocks: which part of it, and where in a loop over its rows."""


def why_buffers_do(module: Plain, site: Site) -> str:
    """Return why a mutant of what a buffer is, or of what is put into one, is equivalent, or an empty string."""
    function = module.functions[site.function]
    return _never_read(function, site) or _fresh(function, site) or _shared(function, site) or _started(function, site)


def _never_read(function: ast.FunctionDef, site: Site) -> str:
    """Find a number put where nothing reads it."""
    match site.statement:
        case (
            ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))])
            | ast.AugAssign(target=ast.Subscript(value=ast.Name(id=name)))
        ):
            pass
        case _:
            return ""
    written = {a.arg for a in function.args.args}
    target = site.statement.target if isinstance(site.statement, ast.AugAssign) else site.statement.targets[0]
    if name in written or _readings(function, name) or any(n is site.owner for n in ast.walk(target)):
        return ""
    return "what is put there is never read" if name in _names(function) else ""


def _names(function: ast.FunctionDef) -> dict[str, ast.Assign]:
    """Return each name that is a row of an array of its own, `x = rows[3]`, with the statement that says so."""
    assigned = [s for s in ast.walk(function) if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)]
    arrays = {ast.unparse(s.targets[0]) for s in assigned if ast.unparse(s.value).startswith("np.empty(")}
    found: dict[str, ast.Assign] = {}
    for s in ast.walk(function):
        match s:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Subscript(value=ast.Name(id=rows), slice=ast.Constant(value=int())),
            ) if rows in arrays:
                found[name] = s
    return found


def _readings(function: ast.FunctionDef, name: str) -> bool:
    """Tell whether anything is read of an array, or whether it is handed on."""
    stored = {id(s.value) for s in ast.walk(function) if isinstance(s, ast.Subscript) and isinstance(s.ctx, ast.Store)}
    augmented = {
        id(s.target.value) for s in ast.walk(function)
        if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Subscript)
    }  # fmt: skip
    loads = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    return any(id(n) not in stored or id(n) in augmented for n in loads)


def _fresh(function: ast.FunctionDef, site: Site) -> str:
    """Find a buffer with another one's sign: that is a new one, and what is in it before it is written is not read."""
    owner = site.statement
    fresh = site.kind == "sign" and site.owner is owner and owner in _names(function).values()
    return "an array of its own is as good as a row of one: it is written before it is read" if fresh else ""


def _shared(function: ast.FunctionDef, site: Site) -> str:
    """Find two rows in one place of which one is never needed after the other was begun."""
    names = _names(function)
    mine = next((n for n, s in names.items() if s is site.statement), None)
    if mine is None or site.kind != "constant":
        return ""
    first = ast.unparse(site.statement.value)  # type: ignore[attr-defined]
    with site.applied():
        taken = ast.unparse(site.statement.value)  # type: ignore[attr-defined]
    other = next((n for n, s in names.items() if ast.unparse(s.value) == taken and n != mine), None)
    if other is None or first == taken:
        return ""
    ours, theirs = _life(function, mine), _life(function, other)
    if ours is None or theirs is None or not (ours[1] < theirs[0] or theirs[1] < ours[0]):
        return ""
    return "two rows in one place: the one is read for the last time before the other is begun"


def _life(function: ast.FunctionDef, name: str) -> tuple[Place, Place] | None:
    """Return where in the loop over blocks an array is met first and last; None where it is met elsewhere too."""
    blocks = next((s for s in function.body if isinstance(s, ast.For) and ast.unparse(s.target) == "start"), None)
    outside = [s for s in function.body if s is not blocks and not _binds(s, name)]
    if blocks is None or any(_meets(s, name) for s in outside):
        return None
    met = [place for k, s in enumerate(blocks.body) for place in _places(k, s, name)]
    return (min(met), max(met)) if met else None


def _binds(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name


def _places(k: int, statement: ast.stmt, name: str) -> Iterator[Place]:
    if isinstance(statement, ast.For) and ast.unparse(statement.target) == "row":
        yield from ((k, place) for place, inner in enumerate(statement.body) if _meets(inner, name))
    elif _meets(statement, name):
        yield from ((k, 0), (k, len(ast.unparse(statement))))


def _meets(tree: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(tree))


def _started(function: ast.FunctionDef, site: Site) -> str:
    """Find the place of a largest number before there was any: the first number is larger than what it starts from."""
    statement = site.statement
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Constant):
        return ""
    target = ast.unparse(statement.targets[0])
    whole = site.kind == "dropped statement" or site.owner is statement
    moved = any(
        isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == target and isinstance(s.value, ast.IfExp)
        and ast.unparse(s.value.orelse) == target and _starts_lowest(function, s.value.test)
        for s in ast.walk(function)
    )  # fmt: skip
    return "the place of the first number takes its place; without a number all is NaN" if whole and moved else ""


def _starts_lowest(function: ast.FunctionDef, test: ast.expr) -> bool:
    """Tell whether a test asks for more than what was set to minus infinity."""
    if not (isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Gt)):
        return False
    most = ast.unparse(test.comparators[0])
    return any(ast.unparse(s) == f"{most} = -np.inf" for s in ast.walk(function) if isinstance(s, ast.Assign))
