"""Why a mutant that no probe kills means the same, seen while the probes run: tests, factors and parts are watched.

A mutant comes in, with something that runs the probes that reach it; out goes a reason with the number of visits, or an
empty string.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from symloss.verification.mutation_both import choice_of
from symloss.verification.mutation_plain import Plain
from symloss.verification.mutation_sites import Site

AGREE = Fraction(1, 2**48)
"""Relative difference up to which both branches agree, where they are rounded functions."""
PAIRS_AGREE = Fraction(1, 2**90)
"""And pairs of numbers, which have 106 bits."""
MANY, SOME = 16, 4
"""Visits from which what never happens is believed not to; and where what stands there is seen to matter elsewhere."""
ABSURD = 12345.7
"""Added where nothing should depend on what stands there."""
WATCH = "_mutation_watch"
CHOOSE = "_choose"
Run = Callable[[], Any]
"""Runs the probes that reach a mutant, and returns what they give."""


def holds(tree: ast.AST, node: ast.AST) -> bool:
    """Tell whether a node is a part of a tree."""
    return any(part is node for part in ast.walk(tree))


def flipped(site: Site) -> bool:
    """Tell whether a comparison only changed what it says at a tie."""
    pair = {type(site.old), type(site.new)}
    return site.kind == "comparison" and pair in ({ast.Lt, ast.LtE}, {ast.Gt, ast.GtE})


def conditionals(statement: ast.AST) -> list[tuple[ast.AST, ast.expr, ast.expr, ast.expr]]:
    """Return each choice in a statement: its node, its test, and what it chooses from."""
    found: list[tuple[ast.AST, ast.expr, ast.expr, ast.expr]] = []
    for node in ast.walk(statement):
        choice = choice_of(node)
        if choice is not None:
            found.append((node, *choice))
    return found


def watching(module: Plain, site: Site, where: tuple[ast.AST, str, int | None], new: ast.expr, run: Run) -> Any:
    """Run with something else in one place of the statement of a mutant: what stands there, watched."""
    with module.mutated(Site(site.function, "watch", site.statement, *where, new)):
        return run()


def call_of(*arguments: ast.expr) -> ast.Call:
    """Return a call of what watches."""
    return ast.Call(ast.Name(WATCH, ast.Load()), list(arguments), [])


def thunk(body: ast.expr) -> ast.Lambda:
    """Return an expression to be evaluated if what watches asks for it."""
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), body)


def _is_zero(value: Any) -> bool:
    """Tell whether a number is 0, or NaN, which is NaN however it is mistaken."""
    return bool(np.all((value == 0) | (value != value)))


def _equal(first: Any, second: Any) -> bool:
    return bool(np.all((first == second) | ((first != first) & (second != second))))


def unit_factor(module: Plain, site: Site, run: Run) -> str:
    """Multiplied or divided by 1 or -1 is the same."""
    node = site.owner
    if not (site.kind == "operator" and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)):
        return ""
    seen: Counter[float] = Counter()

    def watch(value: Any) -> Any:
        if value == value:
            seen[float(value)] += 1
        return value

    module.namespace[WATCH] = watch
    watching(module, site, (node, "right", None), call_of(node.right), run)
    if seen and all(abs(value) == 1.0 for value in seen):
        return f"the factor is 1 or -1 at each of {seen.total()} visits"
    chosen = any(holds(part, node) for _, *parts in conditionals(site.statement) for part in parts[1:])
    if chosen and seen[1.0] and all(abs(value) in (0.0, 1.0) for value in seen):
        return f"the factor is 1 or -1 at each of {seen.total()} visits but where it is 0 and not chosen"
    return ""


def _no_factor(module: Plain, site: Site, run: Run) -> str:
    """Find a factor left out that is 1 wherever the rest is not 0: a step function's square is itself."""
    node = site.old
    if site.kind != "dropped term" or not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult | ast.Div):
        return ""
    rest = node.left if site.new is node.left else node.right
    seen: Counter[bool] = Counter()

    def watch(whole: Any, rest: Callable[[], Any]) -> Any:
        seen[_equal(whole, rest())] += 1
        return whole

    module.namespace[WATCH] = watch
    watching(module, site, (site.owner, site.field, site.place), call_of(node, thunk(copy.deepcopy(rest))), run)
    if seen[False] or seen.total() < MANY:
        return ""
    return f"the factor is 1, or the rest is 0, at each of {seen.total()} visits"


def _zero_term(module: Plain, site: Site, run: Run) -> str:
    """Find a 0 added or taken away: it changes no sum."""
    node = site.owner if site.kind == "operator" else site.old
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)):
        return ""
    side = "right"
    if site.kind != "operator" and site.new is not node.left:
        if site.new is not node.right or not isinstance(node.op, ast.Add):
            return ""
        side = "left"
    seen: Counter[bool] = Counter()

    def watch(value: Any) -> Any:
        seen[_is_zero(value)] += 1
        return value

    module.namespace[WATCH] = watch
    watching(module, site, (node, side, None), call_of(getattr(node, side)), run)
    return "" if seen[False] or seen.total() < MANY else f"the term is 0 at each of {seen.total()} visits"


def _never_negative(module: Plain, site: Site, run: Run) -> str:
    """Find the size or the positive part of what is not negative: it is that number itself."""
    call = site.old
    match call:
        case ast.Call(func=ast.Name(id="abs" | "_positive_part"), args=[argument]) if site.new is argument:
            pass
        case _:
            return ""
    seen: Counter[bool] = Counter()

    def watch(value: Any) -> Any:
        seen[bool(value >= 0 or value != value)] += 1
        return value

    module.namespace[WATCH] = watch
    watching(module, site, (call, "args", 0), call_of(argument), run)
    if seen and not seen[False]:
        return f"the number is not negative at any of {seen.total()} visits"
    return ""


def _either_way(module: Plain, site: Site, run: Run) -> str:
    """Find a test that chooses between two ways to one number; one that calls for fewer second looks is none."""
    place = _test_of(site)
    if place is None:
        return ""
    owner, field, at = place
    with site.applied():
        changed = copy.deepcopy(_node(owner, field, at))
    test = _node(owner, field, at)
    seen: Counter[tuple[bool, bool]] = Counter()

    def watch(usual: Any, mutant: Callable[[], Any]) -> Any:
        seen[bool(usual), bool(mutant())] += 1
        return usual

    module.namespace[WATCH] = watch
    watching(module, site, place, call_of(test, thunk(changed)), run)
    text = ast.unparse(test)
    fewer = seen[True, False] if "doubt" in text else seen[False, True] if "_cancels" in text else 0
    apart = seen[True, False] + seen[False, True]
    if not apart and site.kind == "dropped term" and seen.total() >= MANY:
        return f"the rest of the test decides alone at each of {seen.total()} visits"
    if fewer or not apart:
        return ""
    return f"both ways give the same at each of the {apart} visits, of {seen.total()}, where the tests differ"


def _changed_value(site: Site) -> ast.expr | None:
    """Return what a mutant assigns, where that is what it changes."""
    statement = site.statement
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return None
    if not holds(statement.value, site.owner) and site.field != "value":
        return None
    with site.applied():
        return copy.deepcopy(statement.value)


def _nothing(module: Plain, site: Site, run: Run) -> str:
    """Find a term that is 0 with the mistake and without it: another factor of it is."""
    statement, changed = site.statement, _changed_value(site)
    if not isinstance(statement, ast.Assign | ast.AugAssign) or changed is None:
        return ""
    seen: Counter[bool] = Counter()

    def watch(usual: Any, mutant: Callable[[], Any]) -> Any:
        seen[_is_zero(usual) and _is_zero(mutant())] += 1
        return usual

    module.namespace[WATCH] = watch
    watching(module, site, (statement, "value", None), call_of(statement.value, thunk(changed)), run)
    if seen[False] or seen.total() < MANY:
        return ""
    return f"another factor is 0 at each of {seen.total()} visits"


def _unread_where_they_differ(module: Plain, site: Site, run: Run) -> str:
    """Find a number that is read only where the mistake does not change it: anything else may stand there."""
    statement, changed = site.statement, _changed_value(site)
    if not isinstance(statement, ast.Assign) or changed is None:
        return ""
    seen: Counter[bool] = Counter()
    wrong = False

    def watch(usual: Any, mutant: Callable[[], Any]) -> Any:
        same = _equal(usual, mutant())
        seen[same] += 1
        return usual + ABSURD if same == wrong else usual

    module.namespace[WATCH] = watch
    place, watched, right = (statement, "value", None), call_of(statement.value, thunk(changed)), run()
    if not alike(watching(module, site, place, watched, run), right):
        return ""
    met, wrong = dict(seen), True
    if min(met.get(True, 0), met.get(False, 0)) < SOME:
        return ""
    if alike(watching(module, site, place, watched, run), right):
        return ""  # nothing depends on it anywhere: what does may not be tried
    return f"it is not read at the {met[False]} visits, of {sum(met.values())}, where the two differ"


def alike(first: Any, second: Any) -> bool:
    """Tell whether two runs gave the same bits, but for which NaN."""
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(alike(a, b) for a, b in zip(first, second, strict=True))
    return np.array_equal(np.asarray(first), np.asarray(second), equal_nan=True)


def _test_of(site: Site) -> tuple[ast.AST, str, int | None] | None:
    """Return where the innermost test that a mutant changes stands."""
    places: list[tuple[ast.AST, str, int | None]] = []
    if isinstance(site.statement, ast.If):
        places.append((site.statement, "test", None))
    places += [
        (node, "test", None) if isinstance(node, ast.IfExp) else (node, "args", 0)
        for node, *_ in conditionals(site.statement if not isinstance(site.statement, ast.If) else site.statement.test)
    ]
    for owner, field, at in reversed(places):
        whole = site.owner is owner and site.field == field and site.place == at
        if whole or holds(_node(owner, field, at), site.owner):
            return owner, field, at
    return None


def _node(owner: ast.AST, field: str, at: int | None) -> ast.expr:
    found: Any = getattr(owner, field)
    node: ast.expr = found if at is None else found[at]
    return node


@dataclass
class _Ties:
    met: int = 0
    apart: int = 0


def at_ties(module: Plain, site: Site, run: Run) -> str:
    """Compare both branches of a conditional expression wherever its comparison is tied."""
    if not flipped(site) or not isinstance(site.owner, ast.Compare):
        return ""
    found = next((c for c in conditionals(site.statement) if holds(c[1], site.owner)), None)
    if found is None:
        return ""
    node, test, body, orelse = found
    ties = _Ties()

    def watch(left: Any, right: Any, first: Callable[[], Any], second: Callable[[], Any]) -> bool:
        if left == right:
            ties.met += 1
            ties.apart += not _agree(first(), second())
        return True

    module.namespace[WATCH] = watch
    watched = ast.BoolOp(
        ast.And(),
        [call_of(site.owner.left, site.owner.comparators[0], thunk(body), thunk(orelse)), test],
    )
    watching(module, site, (node, *(("test", None) if isinstance(node, ast.IfExp) else ("args", 0))), watched, run)
    if ties.met == 0 or ties.apart:
        return ""
    return f"both branches agree at each of the {ties.met} ties met"


def _same_branches(module: Plain, site: Site, run: Run) -> str:
    """Find a choice whose branches change places, and are two ways to one number."""
    match site.old, site.new:
        case ast.IfExp(body=body, orelse=orelse), ast.IfExp(body=other) if site.kind == "branch" and other is orelse:
            pass
        case _:
            return ""
    seen: Counter[bool] = Counter()

    def watch(usual: Any, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        seen[_agree(first(), second())] += 1
        return usual

    module.namespace[WATCH] = watch
    whole = call_of(copy.deepcopy(site.old), thunk(copy.deepcopy(body)), thunk(copy.deepcopy(orelse)))
    watching(module, site, (site.owner, site.field, site.place), whole, run)
    if seen[False] or seen.total() < MANY:
        return ""
    return f"both branches give the same at each of {seen.total()} visits"


def _agree(first: Any, second: Any) -> bool:
    if isinstance(first, tuple) and isinstance(second, tuple):
        return _pairs_agree(first, second)
    if first == second or (first != first and second != second):
        return True
    try:
        left, right = Fraction(float(first)), Fraction(float(second))
    except (ValueError, OverflowError):
        return False
    return abs(left - right) <= AGREE * max(abs(left), abs(right))


def _pairs_agree(first: tuple[float, float], second: tuple[float, float]) -> bool:
    if first[0] != first[0] or second[0] != second[0]:
        return bool(first[0] != first[0] and second[0] != second[0])
    try:
        left, right = (Fraction(float(high)) + Fraction(float(low)) for high, low in (first, second))
    except (ValueError, OverflowError):
        return first == second
    return abs(left - right) <= PAIRS_AGREE * max(abs(left), abs(right))


UNSEEN: tuple[Callable[[Plain, Site, Run], str], ...] = (
    at_ties, _same_branches, unit_factor, _no_factor, _zero_term, _never_negative, _either_way, _nothing,
    _unread_where_they_differ,
)  # fmt: skip
"""Why a mutant is equivalent where its tests, factors and parts are what they are at every visit."""
