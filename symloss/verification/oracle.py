"""The oracle: balls of certified radius, on the textbook formula as the author wrote it.

A definition's formula is compiled once into closures over truncated power series with ball coefficients, so that
``f(x + t v)`` gives value, slope and curvature along a direction. Precision is raised until each ball pins one float; a
bare midpoint is never taken. Nothing of the compiler is used: no rule, no derivative, no printer.

A ball pins a float when it is exactly 0, when it is known to `ENOUGH` bits, or when it lies within `TINY` of 0, where
every float64 and float32 rounds to 0; such a ball may contain 0 and its sign is then unknown.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import flint
import numpy as np
import sympy

from symloss.language.axes import Index, Size
from symloss.language.definition import Definition, axes_of
from symloss.language.nodes import Access, Let, Reduction
from symloss.verification import series
from symloss.verification.point import Point
from symloss.verification.series import Undecided, Undefined, working
from symloss.verification.tree import Holds, Run, compile_condition, compile_formula

__all__ = ["Oracle", "Undecided", "Undefined", "counts", "oracle_of", "pinned", "refine"]

Tensors = Mapping[str, Any]
Scalars = Mapping[str, Any]
Sample = tuple[int, ...]
Balls = tuple[Any, ...]

ENOUGH = 80
"""Bits to which a ball must be known: 53 of a double, and some for the distance to a tie."""
LEAST = 128
"""Bits of working precision to begin with."""
MOST = 1 << 15
"""Bits of working precision beyond which the oracle gives up."""
TINY = flint.arb(2) ** -1100
"""What is nearer to 0 than this rounds to 0 in every format: the smallest subnormal double is 2**-1074."""


@dataclass(frozen=True, eq=False)
class Oracle:
    """The formula of a definition, ready to be evaluated at points.

    Parameters
    ----------
    definition : Definition
        Whose formula it is.
    run : callable
        The formula of one sample.
    holds : callable
        Whether a sample counts.
    links : mapping of str to tuple of (int, int) pairs
        For each input, which of its slots always hold which index of the sample: an entry then only concerns the
        samples that agree with it there.
    """

    definition: Definition
    run: Run
    holds: Holds
    links: Mapping[str, tuple[tuple[int, int], ...]]

    def along(
        self, tensors: Tensors, scalars: Scalars, directions: Mapping[str, Any], order: int, sample: Sample = (0,)
    ) -> Balls:
        """Return value and derivatives of one sample's loss along a direction, as balls that pin a float each.

        Parameters
        ----------
        tensors, scalars : mapping
            Inputs and tensor parameters as arrays; scalar parameters, None where left out.
        directions : mapping
            For each input or parameter that moves, an array, a number, or numbers by index.
        order : int
            The highest derivative, 0 to 2.
        sample : tuple of int
            Which sample.

        Returns
        -------
        tuple of flint.arb
            ``f(0), f'(0), ..., f^(order)(0)`` for ``f(t) = loss(x + t v)``.

        Raises
        ------
        Undecided
            Where even the highest precision does not pin a float, or there is no derivative.
        """
        return refine(lambda: self.expand(tensors, scalars, directions, order, ((sample, 1.0),)), order)

    def total(
        self, tensors: Tensors, scalars: Scalars, directions: Mapping[str, Any], order: int,
        samples: Sequence[tuple[Sample, float]],
    ) -> Balls:  # fmt: skip
        """Return value and derivatives of a weighted sum over samples."""
        return refine(lambda: self.expand(tensors, scalars, directions, order, samples), order)

    def expand(
        self, tensors: Tensors, scalars: Scalars, directions: Mapping[str, Any], order: int,
        samples: Sequence[tuple[Sample, float]],
    ) -> Balls:  # fmt: skip
        """Return the derivatives of a weighted sum at the precision at hand, however wide the balls."""
        point = self._point(tensors, scalars, directions)
        total: Any = flint.arb(0)
        for sample, weight in samples:
            point.indices = self._indices(sample)
            loss = self.run(point)
            total = total + (loss if weight == 1.0 else loss * flint.arb(weight))
        coefficients = series.series(total)
        return tuple(coefficients[k] * (1, 1, 2)[k] for k in range(order + 1))

    def gap(self, tensors: Tensors, scalars: Scalars, sample: Sample = (0,)) -> float:
        """Return how near the closest comparison is to a tie, relative to what is compared; 0 at a tie."""
        return self._visited(tensors, scalars, sample).gap

    def sides(self, tensors: Tensors, scalars: Scalars, sample: Sample) -> Mapping[object, tuple[float, int]]:
        """Return how near each comparison is to a tie, and on which side of it."""
        return self._visited(tensors, scalars, sample).sides

    def tied(self, tensors: Tensors, scalars: Scalars, sample: Sample = (0,)) -> bool:
        """Tell whether a comparison is tied or a kink is hit."""
        return self._visited(tensors, scalars, sample).tied

    def _visited(self, tensors: Tensors, scalars: Scalars, sample: Sample) -> Point:
        """Return the point after the formula has been evaluated there."""
        found: list[Point] = []

        def run() -> Balls:
            point = self._point(tensors, scalars, {})
            point.indices = self._indices(sample)
            self.run(point)
            found.append(point)
            return ()

        refine(run, 0)
        return found[-1]

    def counts(self, tensors: Tensors, scalars: Scalars, sample: Sample) -> bool:
        """Tell whether a sample counts."""
        if self.definition.where is sympy.true:
            return True
        point = self._point(tensors, scalars, {})
        point.indices = self._indices(sample)
        return self.holds(point)

    def shape(self, tensors: Tensors) -> tuple[int, ...]:
        """Return how many samples there are along each index."""
        sizes = _sizes(self.definition, tensors)
        return tuple(sizes[k.axis.name] for k in self.definition.per)

    def extents(self, tensors: Tensors) -> dict[str, int]:
        """Return the extent of each axis, by its name."""
        return _sizes(self.definition, tensors)

    def concerned(self, name: str, at: tuple[int, ...], tensors: Tensors) -> list[Sample]:
        """Return the samples whose loss may depend on one entry of an input or on a parameter."""
        ranges = [range(size) for size in self.shape(tensors)]
        for slot, position in self.links.get(name, ()):
            ranges[position] = range(at[slot], at[slot] + 1)
        return list(itertools.product(*ranges))

    @property
    def separable(self) -> bool:
        """Whether samples along the first index do not interact: what they share has no entries of theirs."""
        own = self.definition.per[0].axis.name
        shared = [a.name for a in self.definition.inputs if not a.axes or a.axes[0].name == own]
        sized = any(isinstance(node, Size) and node.name == own for node in _nodes(self.definition.formula))
        return not sized and all((0, 0) in self.links[name] for name in shared if name in self.links)

    def _indices(self, sample: Sample) -> dict[str, int]:
        return {k.name: n for k, n in zip(self.definition.per, sample, strict=True)}

    def _point(self, tensors: Tensors, scalars: Scalars, directions: Mapping[str, Any]) -> Point:
        sizes = _sizes(self.definition, tensors)
        return Point(_filled(self.definition, tensors, sizes), scalars, directions, sizes)


def refine(compute: Callable[[], Balls], order: int) -> Balls:
    """Repeat a computation at rising precision until every ball pins a float.

    Raises
    ------
    Undecided
        Where `MOST` bits are not enough.
    """
    bits = LEAST
    while bits <= MOST:
        with working(bits, order):
            try:
                balls = compute()
            except Undefined:
                raise
            except (Undecided, ZeroDivisionError, ValueError):
                balls = (flint.arb("nan"),)
            if all(map(pinned, balls)):
                return balls
        bits *= 4
    message = f"undecided at {MOST} bits"
    raise Undecided(message)


def pinned(ball: Any) -> bool:
    """Tell whether a ball leaves no choice which float it rounds to, the neighbourhood of half-way cases aside."""
    return bool(ball.is_zero() or (ball.is_finite() and (ball.rel_accuracy_bits() >= ENOUGH or abs(ball) < TINY)))


@lru_cache(maxsize=256)
def oracle_of(definition: Definition) -> Oracle:
    """Return the oracle of a definition."""
    run, holds = compile_formula(definition.formula), compile_condition(definition.where)
    return Oracle(definition, run, holds, _links(definition))


def counts(definition: Definition, tensors: Tensors, scalars: Scalars, sample: Sample) -> bool:
    """Tell whether a sample counts."""
    return oracle_of(definition).counts(tensors, scalars, sample)


def _links(definition: Definition) -> dict[str, tuple[tuple[int, int], ...]]:
    """Find which slots of each input always hold an index of the sample."""
    found: dict[str, set[tuple[int, int]]] = {}
    for node in _nodes(definition.formula):
        if isinstance(node, Access):
            pairs = {(s, p) for s, slot in enumerate(node.slots) for p, k in enumerate(definition.per) if slot == k}
            found[node.name] = found.get(node.name, pairs) & pairs
    return {name: tuple(sorted(pairs)) for name, pairs in found.items()}


def _nodes(formula: sympy.Basic) -> Iterator[sympy.Basic]:
    """Walk a formula with its named values written out; bound indices are made distinct from the sample's."""
    stack = [formula]
    while stack:
        node = stack.pop()
        if isinstance(node, Let):
            stack.append(node.inlined)
            continue
        yield node
        if isinstance(node, Reduction):
            fresh = {k: Index(f"{k.name}*", k.axis) for k in node.bound}
            stack += [Size(k.axis.name) for k in node.bound]  # it runs over the whole axis
            stack += [node.body.xreplace(fresh), node.where.xreplace(fresh), node.empty]
        else:
            stack += [a for a in node.args if isinstance(a, sympy.Basic)]


def _filled(definition: Definition, tensors: Tensors, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return tensors as arrays, those parameters that are left out filled with what stands for them."""
    found = {name: np.asarray(x) for name, x in tensors.items() if x is not None}
    for argument in definition.parameters:
        if argument.axes and argument.name not in found:
            found[argument.name] = np.full([sizes[a.name] for a in argument.axes], argument.fill)
    return found


def _sizes(definition: Definition, tensors: Tensors) -> dict[str, int]:
    """Return the extents of the axes, as the arrays have them."""
    found: dict[str, int] = {}
    for argument in definition.arguments:
        axes = argument.axes
        if not axes and argument.role == "input" and definition.elementwise:
            axes = (definition.per[0].axis,)
        array = tensors.get(argument.name) if axes else None
        if array is not None:
            found |= {axis.name: size for axis, size in zip(axes, np.shape(array), strict=False)}
    return dict.fromkeys((axis.name for axis in axes_of(definition.arguments)), 1) | found
