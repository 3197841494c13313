"""Invariants: what is divided by the same number all along a loop is multiplied by 1 over that number instead.

So are several quotients of an element that have one divisor. A division takes several times as long as a
multiplication, which rounds once more: half a unit of the last place. Where float64 results are right to that place,
a loop divides for those and multiplies for results in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import sympy

from symloss.language.atoms import ratio
from symloss.language.nodes import Access
from symloss.lowering.expressions import rebuilt
from symloss.lowering.names import fresh_name
from symloss.lowering.nodes import Assign, Blocks, Chunks, Inverse, Loop, Node, Store, Strips, Update

_Made = dict[tuple[sympy.Expr, bool], Inverse]


class quotient(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """A number divided by a prepared divisor, which is given by its two numbers."""

    nargs = 3


class over(sympy.Function):  # noqa: N801 - a function, written as in a formula
    """The same, divided by the divisor itself, the second argument, where results are not rounded to float32."""

    nargs = 4


def with_inverses(nodes: tuple[Node, ...], *, either: bool = False) -> tuple[Node, ...]:
    """Return a kernel's nodes, its reductions cut, whose innermost loops divide by nothing that they leave alone.

    Parameters
    ----------
    nodes : tuple of Node
        Of a kernel.
    either : bool
        Divide where results are not rounded to float32; quotients that are 0 where the divisor is stay as they are.
    """
    made: _Made = {}
    found: list[Node] = []
    for node in nodes:
        match node:
            case Loop() | Strips() if all(isinstance(n, Assign | Store | Update) for n in node.body):
                before = len(made)
                loop = _multiplied(node, made, either=either)
                found += [*list(made.values())[before:], loop]
            case Loop() | Blocks() | Chunks():
                found.append(replace(node, body=with_inverses(node.body, either=either)))
            case _:
                found.append(node)
    return tuple(found)


def _multiplied(loop: Loop | Strips, made: _Made, *, either: bool) -> Loop | Strips:
    """Return a loop with products in the place of quotients by what it does not change; the divisors are noted."""
    changed = {n.name for n in loop.body if isinstance(n, Assign | Update)} | {loop.index.name}

    def is_fixed(divisor: sympy.Basic) -> bool:
        return isinstance(divisor, sympy.Symbol) and divisor.name not in changed

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access) or not node.args:
            return node
        if not either and isinstance(node, ratio) and is_fixed(node.args[1]) and _varies(node.args[0], changed):
            return quotient(walk(node.args[0]), *_factors(node.args[1], made, zero=True))
        under = _divisor(node, is_fixed) if isinstance(node, sympy.Mul) and _varies(node, changed) else None
        if under is not None:
            product = _numerator(node, under, walk)
            factors = _factors(under.base, made, zero=False)
            return over(product, under.base, *factors) if either else quotient(product, *factors)
        return rebuilt(node, tuple(walk(a) for a in node.args))

    body = (
        replace(n, expression=walk(n.expression)) if isinstance(n, Assign | Store | Update) else n for n in loop.body
    )
    return replace(loop, body=tuple(body))


def with_shared_divisors(body: tuple[Node, ...], taken: set[str]) -> tuple[Node, ...]:
    """Return the body of a loop in which the divisor of several quotients is inverted once.

    Parameters
    ----------
    body : tuple of Node
        Assignments, stores and updates.
    taken : set of str
        Names in use; those of the inverses are added.
    """
    quotients: dict[sympy.Basic, set[sympy.Basic]] = {}
    for node in body:
        if isinstance(node, Assign | Store | Update):
            for divisor, whole in _quotients(node.expression):
                quotients.setdefault(divisor, set()).add(whole)
    inverses = {d: sympy.Symbol(fresh_name("inverse", taken), real=True) for d, of in quotients.items() if len(of) > 1}

    def walk(node: sympy.Basic) -> sympy.Basic:
        if isinstance(node, Access) or not node.args:
            return node
        if isinstance(node, sympy.Pow) and node.exp == -1:
            return inverses.get(node.base, node)
        under = _divisor(node, inverses.__contains__) if isinstance(node, sympy.Mul) else None
        if under is None:
            return rebuilt(node, tuple(walk(a) for a in node.args))
        return over(_numerator(node, under, walk), under.base, sympy.S.One, inverses[under.base])

    found: list[Node] = []
    left = dict(inverses)
    for node in body:
        if isinstance(node, Assign | Store | Update):
            node = replace(node, expression=walk(node.expression))
            due = [d for d, inverse in left.items() if inverse in node.expression.free_symbols]
            found += [Assign(left.pop(d).name, sympy.Pow(d, -1, evaluate=False)) for d in due]
        found.append(node)
    return tuple(found)


def _quotients(expression: sympy.Basic) -> Iterator[tuple[sympy.Basic, sympy.Basic]]:
    """Yield the quotients of an expression that have a safe divisor, each with that.

    A sum that has a number in it is 0, or not so small that 1 over it were infinite and a quotient not.
    """

    def is_safe(divisor: sympy.Basic) -> bool:
        return isinstance(divisor, sympy.Add) and any(a.is_number and a != 0 for a in divisor.args)

    under = _divisor(expression, is_safe) if isinstance(expression, sympy.Mul) else None
    if under is not None:
        yield under.base, expression
    elif isinstance(expression, sympy.Pow) and expression.exp == -1 and is_safe(expression.base):
        yield expression.base, expression
    for part in expression.args:
        if part != under:
            yield from _quotients(part)


def _varies(node: sympy.Basic, changed: set[str]) -> bool:
    """Tell whether an expression is another one every time round."""
    return node.has(Access) or any(isinstance(s, sympy.Symbol) and s.name in changed for s in node.free_symbols)


def _divisor(product: sympy.Mul, is_fixed: Callable[[sympy.Basic], bool]) -> sympy.Pow | None:
    """Return the one factor that divides, where it is by such a number."""
    under = [a for a in product.args if isinstance(a, sympy.Pow) and a.exp.is_number and a.exp.is_negative]
    return under[0] if len(under) == 1 and under[0].exp == -1 and is_fixed(under[0].base) else None


def _numerator(product: sympy.Mul, under: sympy.Pow, walk: Callable[[sympy.Basic], sympy.Basic]) -> sympy.Basic:
    """Return what a product divides, its factors walked, in their order."""
    rest = [walk(a) for a in product.args if a != under]
    return rest[0] if len(rest) == 1 else sympy.Mul(*rest, evaluate=False)


def _factors(divisor: sympy.Expr, made: _Made, *, zero: bool) -> list[sympy.Symbol]:
    """Return the two numbers that stand for a divisor."""
    base = f"{'over' if zero else 'per'}_{divisor}"
    inverse = made.setdefault((divisor, zero), Inverse((f"{base}_unit", base), divisor, zero))
    return [sympy.Symbol(name, real=True) for name in inverse.names]
