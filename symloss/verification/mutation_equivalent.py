"""Why a mutant that no probe kills means the same: rules over its text.

A mutant comes in; out goes a reason, or an empty string where no rule applies. A reason says whether it is *proved*, by
the text, or *observed*, at so many visits: rules that need numbers, from runs with something watched, are in
`mutation_watch` and `mutation_cases`.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

from symloss.verification.mutation_both import COMPARE
from symloss.verification.mutation_buffers import why_buffers_do
from symloss.verification.mutation_cases import CASES, is_even
from symloss.verification.mutation_flow import why_both_are_equal
from symloss.verification.mutation_plain import Plain
from symloss.verification.mutation_sites import Site
from symloss.verification.mutation_watch import UNSEEN, conditionals, flipped, holds

SYMMETRIC = (
    "_dd_sum", "_dd_product", "_add_in_lanes", "_larger", "_larger_beside", "_pair_of_sum", "_pair_of_product",
    "_pair_add", "_pair_multiply", "_pair_larger", "_loose_add", "_loose_multiply", "_larger_by_bits",
)  # fmt: skip
ANY = (
    "argument", "branch", "comparison", "constant", "dropped statement", "dropped term", "index", "loop", "operator",
    "sign",
)  # fmt: skip
FREE = (
    ("", ANY, "_fetch(", "what the cache is asked for changes no number"),
    ("", ANY, "for ahead in range(", "what the cache is asked for changes no number"),
    ("", ANY, "if strip < np.uint64(", "what the cache is asked for changes no number"),
    ("", ("sign", "dropped term"), "wide = _wide(", "anything but None says that results are float64"),
    ("outside", ("dropped term",), "own(0.0)", "a zero of either width counts nothing"),
    (
        "",
        ("constant",),
        "= 1.0 if wide is None else -np.inf",
        "relative to any number, no square leaves the format",
    ),
    ("", ("dropped term",), "_lanes[row] = np.int32(", "an index of either width is the same"),
    ("_closely", ("dropped term",), "return float(", "a number of NumPy's is the same"),
    ("_loose_decay", ("comparison",), "x[0] < 0.0", "the exponential of a zero of either sign is 1"),
    (
        "_block_sum",
        ("constant", "operator", "dropped term"),
        "most, many =",
        "many at a time or one, the sum is the same",
    ),
    ("_closely", ("constant",), "result = 0", "it is written before it is read"),
    ("_closely", ("loop",), "for row in range(len(t))", "the last row is the last result: written before it is read"),
    ("_loose_exp", ("constant", "comparison"), "h = _choose(", "what lies between is 0 or infinite either way"),
    ("", ("constant",), "most = own(0.0)", "where a number is outside, its bits are larger than those of any inside"),
    ("outside", ("sign",), "[i]", "the domain is symmetric: no probe at or beyond its ends sees it"),
    ("", ("constant",), "doubtful = 0", "a second look at a chunk without doubts changes nothing"),
    ("_block_sum", ("sign", "dropped term"), "part = block.dtype", "a zero of either sign or width adds nothing"),
    ("_block_sum", ("dropped statement",), "_stay_apart()", "it only keeps the function from being inlined"),
    (
        "_inverse",
        ("constant", "comparison"),
        "unit = ",
        "any power of two serves that leaves 1 over the product finite",
    ),
    ("_magnified", ("constant", "comparison"), "x < -690.0", "both forms are right on either side of the threshold"),
)
"""Function, or an empty string for any, kinds of change, text, and why the change means the same."""


def why_equivalent(module: Plain, site: Site, run: Callable[[], Any]) -> str:
    """Return why a mutant is equivalent, or an empty string.

    Parameters
    ----------
    module : Plain
        The module.
    site : Site
        The mutant, not applied.
    run : callable
        Runs the probes that reach it.
    """
    proof = (
        _same_operands(site)
        or _same_sum(site)
        or _free_choice(site)
        or _beside_nan(site)
        or _beside_size(module, site)
        or _adds_nothing(site)
        or _decided_before(site)
        or _even(module, site)
        or _running_extreme(site)
        or why_buffers_do(module, site)
        or why_both_are_equal(module, site)
    )
    if proof:
        return f"proved: {proof}"
    for rule in (*UNSEEN, *CASES):
        try:
            seen = rule(module, site, run)
        except Exception:  # what is watched cannot be computed there
            continue
        if seen:
            return f"observed: {seen}"
    return ""


def _same_operands(site: Site) -> str:
    """Arguments of a symmetric function may change places."""
    before, after = site.texts()
    if before == after:
        return "the text is the same"
    call = site.owner
    name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    if site.kind == "argument" and name == "_completed":
        return "the function is symmetric but for an infinite sum, which no finite loss has"
    return "the function is symmetric in its arguments" if site.kind == "argument" and name in SYMMETRIC else ""


def _same_sum(site: Site) -> str:
    """Find a tie in whether a sum is computed again."""
    again = site.function.startswith("_careful_") and flipped(site)
    return "both sides compute the same sum, and both are near enough at the tie" if again else ""


def _free_choice(site: Site) -> str:
    """Find a number that could as well be another: where a function takes a factor apart, or gives up."""
    before, _ = site.texts()
    for function, kinds, text, reason in FREE:
        if function in ("", site.function) and site.kind in kinds and text in before:
            return reason
    return ""


def _beside_nan(site: Site) -> str:
    """Find the rest of a pair that is NaN: the pair is their sum."""
    pair = site.owner
    first = ast.unparse(pair.elts[0]) if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 else ""
    return "a pair is NaN where its first part is" if first == "np.nan" and site.place == 1 else ""


def _beside_size(module: Plain, site: Site) -> str:
    """Find the rest of a pair of whose size only the first part is read, which comes from the first part alone."""
    match site.statement:
        case ast.Assign(
            targets=[ast.Name(name)], value=ast.Call(func=ast.Name("_loose_magnitude"), args=[ast.Tuple() as pair])
        ) if pair is site.owner and site.place == 1:
            pass
        case _:
            return ""
    nodes = list(ast.walk(module.functions[site.function]))
    loads = [n for n in nodes if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    firsts = [n for n in nodes if isinstance(n, ast.Subscript) and ast.unparse(n) == f"{name}[0]"]
    return "only the first part of the size is read" if len(loads) == len(firsts) else ""


def _adds_nothing(site: Site) -> str:
    """Find the number 0 added: whether, how or where does not matter."""
    statement = site.statement
    added = statement.value if isinstance(statement, ast.AugAssign) else None
    zero = isinstance(added, ast.Constant) and added.value == 0
    return "0 is added" if zero and site.old is not added else ""


def _running_extreme(site: Site) -> str:
    """``if x > most: most = x`` assigns the same number at a tie."""
    if not (flipped(site) and isinstance(site.statement, ast.If) and isinstance(site.owner, ast.Compare)):
        return ""
    left, right = ast.unparse(site.owner.left), ast.unparse(site.owner.comparators[0])
    body = [ast.unparse(s) for s in site.statement.body]
    return "a running extreme: at a tie the same number is assigned" if body == [f"{right} = {left}"] else ""


def _decided_before(site: Site) -> str:
    """In the last branch of a conditional, the tests before it have failed: with these, both tests say the same."""
    found = next((c for c in _tests(site.statement) if holds(c[-1], site.owner)), None)
    if found is None or site.kind not in ("comparison", "constant"):
        return ""
    *before, test = found
    before = [t for t in before if isinstance(t, ast.Compare)]  # flags only leave fewer cases
    with site.applied():
        changed = ast.unparse(test)
    texts = [ast.unparse(t) for t in (*before, test)]
    trees = [ast.parse(text, mode="eval") for text in (*texts, changed)]
    if not all(isinstance(t.body, ast.Compare) and len(t.body.ops) == 1 for t in trees):
        return ""
    operands = [o for t in trees if isinstance(t.body, ast.Compare) for o in (t.body.left, *t.body.comparators)]
    numbers = sorted({0.0} | {float(ast.literal_eval(o)) for o in operands if isinstance(o, ast.Constant)})
    names = sorted({ast.unparse(o) for o in operands if not isinstance(o, ast.Constant)})
    grid = [numbers[0] - 1, *numbers, *(a / 2 + b / 2 for a, b in pairwise(numbers)), numbers[-1] + 1, math.nan]
    if len(names) > 2:
        return ""
    for point in product(grid, repeat=len(names)):
        known = dict(zip(names, point, strict=True))
        *earlier, old, new = [_truth(tree, known) for tree in trees]
        if not any(earlier) and old != new:
            return ""
    return "the tests before it decide every case in which the two differ"


def _tests(statement: ast.stmt) -> list[list[ast.expr]]:
    """Return each test of a conditional expression after those that failed before it."""
    found = []

    chosen = {id(node): parts for node, *parts in conditionals(statement)}

    def walk(node: ast.AST, before: list[ast.expr]) -> None:
        if id(node) in chosen:
            test, body, orelse = chosen[id(node)]
            found.append([*before, test])
            walk(test, [])
            walk(body, [])
            walk(orelse, [*before, test])
            return
        for child in ast.iter_child_nodes(node):
            walk(child, [])

    walk(statement, [])
    return found


def _truth(tree: ast.Expression, known: dict[str, float]) -> bool:
    """Evaluate a comparison whose operands are constants or known by their text."""

    def number(node: ast.expr) -> float:
        return float(ast.literal_eval(node)) if isinstance(node, ast.Constant) else known[ast.unparse(node)]

    compare = tree.body
    assert isinstance(compare, ast.Compare)
    return bool(COMPARE[type(compare.ops[0])](number(compare.left), number(compare.comparators[0])))


def _even(module: Plain, site: Site) -> str:
    """Find a number that is only squared or taken the size of: its sign does not matter."""
    if site.kind != "sign" or site.owner is not site.statement or not is_even(module, site):
        return ""
    return "only its square or its size is used, or whether it is 0"
