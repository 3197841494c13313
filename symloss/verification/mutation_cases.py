"""Why a mutant that no probe kills means the same, seen in its surroundings: cases, factors, signs and what is stored.

A mutant comes in, with something that runs the probes that reach it; out goes a reason with the number of visits, or an
empty string.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.verification.mutation_parity import EVEN, is_without_sign
from symloss.verification.mutation_plain import Plain
from symloss.verification.mutation_sites import Site
from symloss.verification.mutation_watch import (
    ABSURD,
    MANY,
    WATCH,
    Run,
    alike,
    call_of,
    conditionals,
    holds,
    thunk,
    watching,
)

TOGETHER = 8.0
"""How often two conditions must be expected to hold together before it is believed that they never do."""

Where = tuple[ast.AST, str, int | None]


def is_even(module: Plain, site: Site) -> bool:
    """Tell whether of the number that a statement names only the size matters: it is squared, or its signs cancel."""
    statement = site.statement
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return False
    loop = _innermost_loop(module.functions[site.function], statement)
    above = {id(child): node for node in ast.walk(loop) for child in ast.iter_child_nodes(node)}
    name, body = statement.targets[0].id, getattr(loop, "body", [])
    after = body[body.index(statement) + 1 :] if statement in body else None
    return _only_even(loop, above, name, frozenset()) or (after is not None and is_without_sign(after, name))


def _innermost_loop(function: ast.FunctionDef, statement: ast.stmt) -> ast.AST:
    """Return the innermost loop that a statement stands in, where locals are set anew, or the function."""
    found: ast.AST = function
    for node in ast.walk(function):  # outer nodes first
        if isinstance(node, ast.For) and statement in node.body:
            found = node
    return found


def _only_even(loop: ast.AST, above: dict[int, ast.AST], name: str, passed: frozenset[str]) -> bool:
    if name in passed:
        return False
    reads = [n for n in ast.walk(loop) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    return bool(reads) and all(_even_read(loop, above, node, passed | {name}) for node in reads)


def _even_read(loop: ast.AST, above: dict[int, ast.AST], node: ast.AST, passed: frozenset[str]) -> bool:
    """Tell whether one reading of a number does not depend on its sign."""
    while True:
        parent = above.get(id(node))
        match parent:
            case ast.UnaryOp(op=ast.USub()):
                node = parent
            case ast.BinOp(left=left, op=ast.Mult(), right=right) if ast.unparse(left) == ast.unparse(right):
                return True
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                node = parent
            case ast.Call(func=ast.Name(id=called), args=[argument, *_]) if argument is node and called in EVEN:
                return True
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
                return _is_zero_number(right) or ast.unparse(left) == ast.unparse(right)
            case ast.Assign(targets=[ast.Name(id=name)]):
                return _only_even(loop, above, name, passed)
            case _:
                return False


def _is_zero_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _same_size(module: Plain, site: Site, run: Run) -> str:
    """Find a number of the same size, where only its size is used."""
    statement = site.statement
    if not isinstance(statement, ast.Assign) or not is_even(module, site):
        return ""
    with site.applied():
        changed = copy.deepcopy(statement.value)
    seen: Counter[bool] = Counter()

    def watch(usual: Any, mutant: Callable[[], Any]) -> Any:
        seen[bool(abs(usual) == abs(mutant()) or usual != usual)] += 1
        return usual

    module.namespace[WATCH] = watch
    watching(module, site, (statement, "value", None), call_of(statement.value, thunk(changed)), run)
    if seen[False] or seen.total() < MANY:
        return ""
    return f"only its size is used, and that is the same at each of {seen.total()} visits"


def _enclosing(site: Site) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the conditions under which the place of a mutant is chosen: a test, and what it must say."""
    for _, test, body, orelse in conditionals(site.statement):
        for part, wanted in ((body, True), (orelse, False)):
            if part is site.old or holds(part, site.owner):
                yield test, wanted


def _implied(module: Plain, site: Site, run: Run) -> str:
    """Find a test ``a < 0`` after ``a >= 0`` failed, changed to one of a number that is never above ``a``."""
    if not isinstance(site.statement, ast.Assign | ast.AugAssign):
        return ""
    for node, first, _, orelse in conditionals(site.statement):
        inner = next((c for c in conditionals(orelse) if c[0] is orelse), None)
        if inner is None or not holds(inner[1], site.owner):
            continue
        second = inner[1]
        if not (_asks(first, ast.GtE) and _asks(second, ast.Lt)) or not holds(second.left, site.owner):  # type: ignore[attr-defined]
            continue
        usual = copy.deepcopy(second.left)  # type: ignore[attr-defined]
        if ast.unparse(first.left) != ast.unparse(usual):  # type: ignore[attr-defined]
            continue
        with site.applied():
            changed = copy.deepcopy(second.left)  # type: ignore[attr-defined]
        seen: Counter[bool] = Counter()

        def watch(test: Any, usual: Any, mutant: Any, seen: Counter[bool] = seen) -> Any:
            seen[bool(mutant <= usual or usual != usual)] += 1
            return test

        module.namespace[WATCH] = watch
        place = (node, "test", None) if isinstance(node, ast.IfExp) else (node, "args", 0)
        watching(module, site, place, call_of(first, usual, changed), run)
        if seen.total() >= MANY and not seen[False]:
            return f"what is asked is never above what the test before it denied, at each of {seen.total()} visits"
    return ""


def _asks(test: ast.expr, kind: type[ast.cmpop]) -> bool:
    """Tell whether a test compares something with 0 in one way."""
    return (
        isinstance(test, ast.Compare) and type(test.ops[0]) is kind
        and isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value == 0
    )  # fmt: skip


def _excluded(module: Plain, site: Site, run: Run) -> str:
    """Find a case whose conditions hold often, each for itself, and never together."""
    statement = site.statement
    conditions = list(_enclosing(site))
    if not isinstance(statement, ast.Assign | ast.AugAssign) or len(conditions) < 2:
        return ""
    seen: Counter[tuple[bool, ...]] = Counter()

    def watch(value: Any, *tests: Callable[[], Any]) -> Any:
        seen[tuple(bool(test()) is wanted for test, (_, wanted) in zip(tests, conditions, strict=True))] += 1
        return value

    module.namespace[WATCH] = watch
    thunks = [thunk(copy.deepcopy(test)) for test, _ in conditions]
    watching(module, site, (statement, "value", None), call_of(statement.value, *thunks), run)
    if not seen or seen[(True,) * len(conditions)]:
        return ""
    visits = seen.total()
    for one in range(len(conditions)):
        for two in range(one):
            each = [sum(count for said, count in seen.items() if said[k]) for k in (one, two)]
            both = sum(count for said, count in seen.items() if said[one] and said[two])
            if both == 0 and each[0] * each[1] >= TOGETHER * visits:
                return f"two of its conditions hold at {each[0]} and {each[1]} of {visits} visits, and never together"
    return ""


def _idle(module: Plain, site: Site, run: Run) -> str:
    """Find a number that only decides where something is put that is there already, or that is put there itself."""
    function = module.functions[site.function]
    stores = _stores_decided(function, site)
    if not stores:
        return ""
    seen: Counter[bool] = Counter()

    def watch(value: Any, before: Callable[[], Any]) -> Any:
        seen[bool(before() == value)] += 1
        return value

    for store in stores:
        before = copy.deepcopy(store.targets[0])
        before.ctx = ast.Load()  # type: ignore[attr-defined]
        for mutated in (False, True) if site.statement is not store else (False,):
            module.namespace[WATCH] = watch
            new = call_of(store.value, thunk(before))
            if not mutated:
                watching(module, site, (store, "value", None), new, run)
                continue
            with _Put(store, new):
                watching(module, site, (site.owner, site.field, site.place), site.new, run)
    if seen[False] or seen.total() < MANY:
        return ""
    return f"it only decides what is put where the same is already, at each of {seen.total()} visits"


class _Put:
    """A store with another value, for as long as the context lasts."""

    def __init__(self, store: ast.Assign, new: ast.expr) -> None:
        self.store, self.new, self.old = store, new, store.value

    def __enter__(self) -> None:
        ast.copy_location(self.new, self.store)
        ast.fix_missing_locations(self.new)
        self.store.value = self.new

    def __exit__(self, *_: object) -> None:
        self.store.value = self.old


def _stores_decided(function: ast.FunctionDef, site: Site) -> list[ast.Assign]:
    """Return the stores that a statement is, or all that a name does that it sets; none where it does more."""
    match site.statement:
        case ast.Assign(targets=[ast.Subscript()]) as store if site.kind == "dropped statement":
            return [store]
        case ast.If(body=body) if holds(site.statement.test, site.owner) or site.owner is site.statement:
            return _stores(body)
        case ast.Assign(targets=[ast.Name(id=name)]):
            uses = [
                s for s in ast.walk(function)
                if isinstance(s, ast.If) and any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(s))
            ]  # fmt: skip
            loop = _innermost_loop(function, site.statement)
            uses = [s for s in uses if s in getattr(loop, "body", ())]
            reads = [
                n for n in ast.walk(loop)
                if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
            ]  # fmt: skip
            if len(uses) == 1 and all(holds(uses[0], n) for n in reads):
                return _stores(uses[0].body) if not uses[0].orelse else []
    return []


def _stores(body: list[ast.stmt]) -> list[ast.Assign]:
    """Return statements, if all of them put something into arrays."""
    found = [s for s in body if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Subscript)]
    steps = [s for s in body if isinstance(s, ast.Expr)]
    return found if len(found) + len(steps) == len(body) else []


def _multiplied_away(module: Plain, site: Site, run: Run) -> str:
    """Find a part that counts, since NaN there is seen, but whatever number it is, something multiplies it by 0."""
    part = _part(site)
    if part is None:
        return ""
    owner, field, at = part
    node = getattr(owner, field) if at is None else getattr(owner, field)[at]
    visits = [0]

    def through(change: Callable[[Any], Any]) -> list[NDArray[Any]]:
        def watch(value: Any) -> Any:
            visits[0] += 1
            return change(value)

        module.namespace[WATCH] = watch
        found: list[NDArray[Any]] = []
        watching(module, site, part, call_of(node), lambda: found.extend(a for result in run() for a in result))
        return found

    try:
        usual = through(lambda x: x)
        count = visits[0]
        if count < MANY or not alike(usual, through(lambda x: x + ABSURD)):
            return ""
        if not alike(usual, through(lambda x: x * -ABSURD + 1.0)) or alike(usual, through(lambda x: x * np.nan)):
            return ""
    except Exception:  # it is no number: an index or a flag
        return ""
    return f"whatever number stands there is multiplied by 0, at each of {count} visits"


def _part(site: Site) -> Where | None:
    """Return where the innermost expression stands that a mutant changes."""
    if isinstance(site.old, ast.expr) and isinstance(site.new, ast.expr):
        return site.owner, site.field, site.place
    for node in ast.walk(site.statement):
        for field, value in ast.iter_fields(node):
            if value is site.owner:
                return node, field, None
            if isinstance(value, list):
                for at, inner in enumerate(value):
                    if inner is site.owner:
                        return node, field, at
    return None


CASES: tuple[Callable[[Plain, Site, Run], str], ...] = (_same_size, _implied, _excluded, _idle, _multiplied_away)
"""Why a mutant is equivalent for what surrounds it."""
