"""Scalar functions that generated modules carry along: their source is copied in, only what a module uses.

They are written once, for any loss, and run as plain Python too, which is how they are tested.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from symloss.rendering.double_double import OPERATIONS, Pair, _dd_product


def _positive_part(x: float) -> float:
    """max(0, x); NaN stays NaN."""
    return x if not x <= 0.0 else 0.0


def _step(x: float) -> float:
    """1 where x > 0, else 0; NaN stays NaN."""
    return 1.0 if x > 0.0 else 0.0 if x <= 0.0 else math.nan


def _signum(x: float) -> float:
    """Return the sign: -1, 0 or 1; NaN stays NaN."""
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0 if x == 0.0 else math.nan


def _decay(x: float) -> float:
    """exp(-|x|), in (0, 1]."""
    return math.exp(-abs(x))


def _exp_difference(a: float, b: float) -> float:
    """exp(a - b), multiplied by what rounding took from the difference."""
    d = a - b
    if d < -746.0:
        return 0.0
    back = d - a
    lost = (a - (d - back)) - (b + back)
    e = math.exp(d)
    return e + e * lost


def _plus(total: float, lost: float, x: float) -> Pair:
    """Add a number to a sum, and what rounding took to what it has taken so far: Knuth's two-sum."""
    s = total + x
    back = s - total
    return s, lost + ((total - (s - back)) + (x - back))


def _completed(total: float, lost: float) -> float:
    """Return a sum with what rounding took; an infinite sum has lost nothing."""
    return total + lost if lost == lost else total


def _decay_of_sum(terms: Any) -> float:
    """exp(-|x|) of a sum, multiplied by what rounding took from the sum."""
    total, lost = 0.0, 0.0
    for x in terms:
        total, lost = _plus(total, lost, x)
    e = math.exp(-abs(total))
    return e + e * (lost if total < 0.0 else -lost) if e > 0.0 else e


def _power(x: float, exponent: float) -> float:
    """X to a power; 0 to a negative power is 0, the convention for derivatives at 0, and none is infinite."""
    if exponent < 0.0:
        return 0.0 if x == 0.0 else min(math.pow(x, exponent), 1.7976931348623157e308)
    return math.pow(x, exponent)


def _sigmoid_power(x: float, lost: float, exponent: float) -> float:
    """Return sigmoid(x) to a power as an exponential; `lost` is log(1 + exp(-|x|)), the product x exponent is exact."""
    near = math.exp(-exponent * lost)
    if x < 0.0:
        p, rest = _dd_product(x, exponent)
        near = near * math.exp(p)
        near = near + near * rest
    return min(near, 1.7976931348623157e308) if exponent < 0.0 else near


def _magnified(p: float, x: float) -> float:
    """Return 2**64 p, also where p is too small to have all its bits: it is exp(x) there."""
    return p * 18446744073709551616.0 if not x < -690.0 else math.exp(x + 44.0) * 1.4353655505588518


def _ratio(a: float, b: float) -> float:
    """Return a / b, and 0 where b is 0."""
    return 0.0 if b == 0.0 else a / b


GEMM = """ensure_blas()
# SciPy's BLAS, as Numba calls it: kind, transposed?, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc
_gemm = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        types.char, types.char, types.char, types.intp, types.intp, types.intp, types.voidptr, types.voidptr,
        types.intp, types.voidptr, types.intp, types.voidptr, types.voidptr, types.intp,
    ),
)"""
_gemm: Any = None


def _multiply(left: Any, left_transposed: bool, right: Any, right_transposed: bool, out: Any, add: bool) -> None:
    """Write the product of two matrices, or add it to what is there; by columns, as BLAS has it, its transpose."""
    m, n = out.shape
    k = left.shape[0] if left_transposed else left.shape[1]
    if m == 0 or n == 0:
        return
    if k == 0:
        if not add:
            out[:] = 0.0
        return
    one, beta = np.ones(1, out.dtype), np.full(1, 1.0 if add else 0.0, out.dtype)
    _gemm(
        ord("d") if out.itemsize == 8 else ord("s"), ord("t") if right_transposed else ord("n"),
        ord("t") if left_transposed else ord("n"), n, m, k, one.ctypes, right.ctypes, right.shape[1], left.ctypes,
        left.shape[1], beta.ctypes, out.ctypes, out.shape[1],
    )  # fmt: skip


def _update_columns(block: Any, start: int, peak: Any, winner: Any, rest: Any) -> None:
    """Take rows into the largest entry of every column, its row, and the sum of the exponentials of the others."""
    rows, columns = block.shape
    top, at, others = block[0].copy(), np.full(columns, start), np.zeros(columns)
    for row in range(1, rows):
        for k in range(columns):
            if block[row, k] > top[k] or block[row, k] != block[row, k]:
                top[k] = block[row, k]
                at[k] = start + row
    for row in range(rows):
        for k in range(columns):
            if start + row != at[k]:
                others[k] += _exp_difference(block[row, k], top[k])
    for k in range(columns):
        if start == 0:
            peak[k], winner[k], rest[k] = top[k], at[k], others[k]
        elif top[k] > peak[k] or top[k] != top[k]:
            rest[k] = others[k] + (1.0 + rest[k]) * _exp_difference(peak[k], top[k])
            peak[k], winner[k] = top[k], at[k]
        else:
            rest[k] += (1.0 + others[k]) * _exp_difference(top[k], peak[k])


PRIMITIVES = (
    _plus, _completed, _decay_of_sum, _positive_part, _step, _signum, _decay, _exp_difference, _power, _sigmoid_power,
    _magnified, _ratio, _multiply, _update_columns,
)  # fmt: skip


def source_of(names: set[str]) -> tuple[str, ...]:
    """Return the source of the primitives called `names` and of those that they call, in a fixed order."""
    known = {f.__name__: f for f in (*OPERATIONS, *PRIMITIVES)}
    wanted, stack = set(names), [name for name in names if name in known]
    while stack:
        called = {name for name in known[stack.pop()].__code__.co_names if name in known} - wanted
        wanted |= called
        stack += called
    texts = (inspect.getsource(f).rstrip() for name, f in known.items() if name in wanted)
    return tuple(text.replace(": Any", "").replace(": Pair", "").replace(" -> Pair", "") for text in texts)
