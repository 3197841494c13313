"""Scalar functions that generated modules carry along: their source is copied in, only what a module uses.

They are written once, for any loss, and run as plain Python too, which is how they are tested. Those that call
exponentials take `wide` too, which is None where results are rounded to float32.
"""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from symloss.elementary.formats import FLOAT32, FLOAT64, Format
from symloss.elementary.functions import SHORTER
from symloss.elementary.power import FUNCTIONS
from symloss.rendering.double_double import OPERATIONS, Pair, _dd_product
from symloss.rendering.intrinsics import INSIDE, INTRINSICS
from symloss.rendering.loose_pairs import LOOSE
from symloss.rendering.triple_double import _CONSTANTS, _closely


def _stand_in(function: Callable[[float], float], *, above: float) -> Callable[[float, Any], float]:
    """Return a function of the library that gives `above` where it would raise."""

    def call(x: float, _wide: Any) -> float:
        try:
            return function(x)
        except OverflowError:
            return above

    return call


# What kernels have from `symloss.elementary`, for running the functions below as plain Python.
_exp = _exp_down = _stand_in(math.exp, above=math.inf)
_add_in_lanes, _larger, _larger_beside = operator.add, np.maximum, np.maximum
_scratch: Any = None


def _sum_of_128(block: Any, start: int) -> Any:
    """Return the sum of 128 numbers of a block, sixteen side by side."""
    return _halved([block[start + k] for k in range(128)])


def _sum_of_16(block: Any, start: int) -> Any:
    """Return the sum of 16 numbers of a block."""
    return _halved([block[start + k] for k in range(16)])


def _largest_of_128(row: Any, start: Any) -> Any:
    """Return the largest of 128 numbers of a row, NaN where one is NaN."""
    return np.max(row[start : start + 128])


def _halved(numbers: list[Any]) -> Any:
    while len(numbers) > 1:
        half = len(numbers) // 2
        numbers = [a + b for a, b in zip(numbers[:half], numbers[half:], strict=True)]
    return numbers[0]


def _block_sum(block: Any, count: int) -> float:
    """Return the sum of the first numbers of a block: 128 at a time, then 16, then one, with what these lose."""
    total, lost, stop = 0.0, 0.0, np.uint64(count)
    most, many = stop // np.uint64(128) * np.uint64(128), stop // np.uint64(16) * np.uint64(16)
    for k in range(np.uint64(0), most, np.uint64(128)):
        total, lost = _plus(total, lost, _sum_of_128(block, k))
    for k in range(most, many, np.uint64(16)):
        total, lost = _plus(total, lost, _sum_of_16(block, k))
    for k in range(many, stop):
        total, lost = _plus(total, lost, block[k])
    return _completed(total, lost)


def _largest(row: Any, count: int) -> float:
    """Return the largest of the first numbers of a row, NaN where there is one."""
    most: float = row.dtype.type(-math.inf)
    for k in range(count):
        most = _larger(most, row[k])
    return most


def _place_of(x: float, row: Any, count: int) -> int:
    """Return the first place of a number in a row, or 0."""
    for k in range(count):
        if row[k] == x:
            return k
    return 0


def _first_largest(row: Any, count: int) -> Any:
    """Return the largest of the first numbers of a row and the first place of it; NaN and 0 where one is NaN."""
    whole = count - 128
    if whole < 0:
        most = _largest(row, count)
        return most, _place_of(most, row, count)
    most, place = row.dtype.type(-math.inf), np.uint64(0)
    for start in range(0, count, 128):
        from_here = np.uint64(start if start < whole else whole)  # of the last 128 some are known: a tie comes too late
        here = _largest_of_128(row, from_here)
        if here > most or here != here:
            most, place = here, from_here
    after = np.int32(128)
    for k in range(np.uint64(128)):
        after = min(after, np.int32(k) if row[place + k] == most else np.int32(128))
    return most, np.int64(place) + after if after < 128 else 0


def _turn_4(source: Any, row: Any, column: Any, target: Any, place: Any, other: Any) -> None:
    """Write 4 x 4 entries of a matrix, turned, to another."""
    target[place : place + 4, other : other + 4] = source[row : row + 4, column : column + 4].T


def _turn(source: Any, first: Any, count: int, extent: int, target: Any, begin: Any) -> None:
    """Write rows of a matrix, turned, to another: 4 x 4 entries at a time, the last of which may come twice."""
    rows, columns = np.uint64(count), np.uint64(extent)
    if columns < np.uint64(4):
        for b in range(columns):
            for a in range(rows):
                target[begin + b, a] = source[first + a, b]
        return
    if rows < np.uint64(4):
        for a in range(rows):
            for b in range(columns):
                target[begin + b, a] = source[first + a, b]
        return
    for a in range(np.uint64(0), rows, np.uint64(4)):
        at = a if a + np.uint64(4) < rows else rows - np.uint64(4)
        for b in range(np.uint64(0), columns, np.uint64(4)):
            to = b if b + np.uint64(4) < columns else columns - np.uint64(4)
            _turn_4(source, first + at, to, target, begin + to, at)


def _positive_part(x: float) -> float:
    """max(0, x); NaN stays NaN."""
    return x if not x <= 0.0 else 0.0


def _step(x: float) -> float:
    """1 where x > 0, else 0; NaN stays NaN."""
    return 1.0 if x > 0.0 else 0.0 if x <= 0.0 else math.nan


def _signum(x: float) -> float:
    """Return the sign: -1, 0 or 1; NaN stays NaN."""
    return math.copysign(1.0, x) if abs(x) > 0.0 else x


def _clipped(x: float, bound: float) -> float:
    """Return the nearest number to x between -bound and bound; NaN stays NaN."""
    below = bound if x > bound else x
    return -bound if below < -bound else below


def _unless_zero(x: float) -> float:
    """Return x, and the smallest normal number of float32 where that is 0."""
    return x if x != 0.0 else 1.1754943508222875e-38


def _exp_difference(a: float, b: float, wide: Any) -> float:
    """exp(a - b) for a up to b, multiplied by what rounding took from the difference."""
    d = a - b
    back = d - a
    lost = (a - (d - back)) - (b + back)
    e = _exp_down(d, wide)
    return e + e * lost if not d < -746.0 else 0.0


def _plain_exp_difference(a: float, b: float, wide: Any) -> float:
    """exp(a - b) for a up to b: what rounding takes from the difference is no more than an error in the inputs."""
    return _exp_down(a - b, wide)


def _plus(total: float, lost: float, x: float) -> Pair:
    """Add a number to a sum, and what rounding took to what it has taken so far: Knuth's two-sum."""
    s = total + x
    back = s - total
    return s, lost + ((total - (s - back)) + (x - back))


def _completed(total: float, lost: float) -> float:
    """Return a sum with what rounding took; an infinite sum has lost nothing."""
    return total + lost if lost == lost else total


def _decay_of_sum(terms: Any, wide: Any) -> float:
    """exp(-|x|) of a sum, multiplied by what rounding took from the sum."""
    total, lost = 0.0, 0.0
    for x in terms:
        total, lost = _plus(total, lost, x)
    e = _exp_down(-abs(total), wide)
    return e + e * (lost if total < 0.0 else -lost) if e > 0.0 else e


def _sigmoid_power(x: float, lost: float, exponent: float, wide: Any) -> float:
    """Return sigmoid(x) to a power as an exponential; `lost` is log(1 + exp(-|x|)), the product x exponent is exact."""
    if wide is None:  # float32 does not see what rounding takes
        e = _exp(((x if x < 0.0 else 0.0) - lost) * exponent, wide)
        return 1.7976931348623157e308 if (exponent < 0.0) & (e > 1.7976931348623157e308) else e
    p, rest = _dd_product(x if x < 0.0 else 0.0, exponent)
    q = exponent * lost
    total = p - q
    back = total - p
    rest += (p - (total - back)) - (q + back)
    e = _exp(total, wide)
    e = e + e * rest if (e > 0.0) & (e <= 1.7976931348623157e308) else e
    return 1.7976931348623157e308 if (exponent < 0.0) & (e > 1.7976931348623157e308) else e


def _magnified(p: float, x: float, raised: float, wide: Any) -> float:
    """Return 2**64 p, which is `raised` where p is too small to have all its bits: p tends to exp(x)."""
    if wide is None:  # float32 has no number that small
        return p * 18446744073709551616.0
    return raised if x < -690.0 else p * 18446744073709551616.0


def _is_small(value: float, size: float, near: float) -> bool:
    """Tell whether a sum is small beside the size of its terms."""
    return abs(value) < near * size


def _cancels(value: float, size: float, near: float) -> bool:
    """Tell whether a sum is small beside the size of its terms, which pairs of numbers can hold."""
    return (abs(value) < near * size) & (size <= 1e290)


def _ratio(a: float, b: float) -> float:
    """Return a / b, and 0 where b is 0."""
    return 0.0 if b == 0.0 else a / b


def _inverse(b: float) -> Pair:
    """Return what to multiply by in order to divide by b: a power of two, and 1 over what b times it is."""
    size = abs(b)
    unit = 1.3407807929942597e154 if size < 1e-150 else 7.458340731200207e-155 if size > 1e150 else 1.0
    return unit, 1.0 / (b * unit)


def _divisor(b: float) -> Pair:
    """Return what to multiply by in order to divide by b, or to have 0 where b is 0."""
    unit, inverse = _inverse(b)
    return unit, 0.0 if b == 0.0 else inverse


def _quotient(x: float, unit: float, inverse: float) -> float:
    """Return x divided by what the two numbers were made from."""
    return x * unit * inverse


def _over(x: float, b: float, unit: float, inverse: float, wide: Any) -> float:
    """Return x / b, or x divided by what the two numbers were made from b for where that is near enough."""
    if wide is None:
        return x * unit * inverse
    return x / b


WIDTHS = (
    *SHORTER, "_power", "_over", "_magnified", "_exp_difference", "_decay_of_sum", "_sigmoid_power", "_update_columns",
)  # fmt: skip
"""Functions that compute less where results are rounded to float32."""
INTERLEAVED = ("_exp_difference", "_decay_of_sum", "_sigmoid_power", *FUNCTIONS)
"""Functions that are long chains of operations."""
ABREAST, SHORT = 4, 2
"""How many vectors take turns in such a function; lines of a loop that is too short to wait for anything."""


def interleaving(lines: list[str], pad: str, used: set[str], least: int = 1) -> list[str]:
    """Return what comes after a loop, given as its lines.

    Parameters
    ----------
    lines : list of str
        The loop's body.
    pad : str
        What the loop starts with.
    used : set of str
        Primitives that are called; this one is noted.
    least : int
        The vectors that take turns where no function is called.
    """
    long = re.search(rf"\b(?:{'|'.join(INTERLEAVED)})\(", "\n".join(lines))
    count = ABREAST if long else least
    if count == 1 or len(lines) < SHORT:
        return []
    used.add("_interleave")
    return [f"{pad}_interleave({count})"]


ADDED_UP = {FLOAT64: "4, 2", FLOAT32: "16, 1"}
"""Numbers of a vector, and vectors that take turns, where a loop adds up, or turns float32 numbers into float64."""


def lanes_after(pad: str, real: Format, used: set[str]) -> list[str]:
    """Return what comes after a loop that adds up in lanes: as many on every processor and in every kernel.

    There are few of them, since what is left over after the last round of all is added one by one, and rows may be
    short. Four float32 numbers at a time are made float64 in one step.
    """
    used.add("_lanes")
    return [f"{pad}_lanes({ADDED_UP[real]})"]


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
    kind, as_it_is, turned = 100 if out.itemsize == 8 else 115, 110, 116  # the letters d and s, n, t
    factors = _scratch(out.dtype)
    factors[0], factors[1] = 1.0, 1.0 if add else 0.0
    _gemm(
        kind, turned if right_transposed else as_it_is, turned if left_transposed else as_it_is, n, m, k,
        factors.ctypes, right.ctypes, right.shape[1], left.ctypes, left.shape[1], factors[1:].ctypes, out.ctypes,
        out.shape[1],
    )  # fmt: skip


def _update_columns(block: Any, start: int, peak: Any, winner: Any, rest: Any, wide: Any) -> None:
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
                others[k] += _exp_difference(block[row, k], top[k], wide)
    for k in range(columns):
        if start == 0:
            peak[k], winner[k], rest[k] = top[k], at[k], others[k]
        elif top[k] > peak[k] or top[k] != top[k]:
            rest[k] = others[k] + (1.0 + rest[k]) * _exp_difference(peak[k], top[k], wide)
            peak[k], winner[k] = top[k], at[k]
        else:
            rest[k] += (1.0 + others[k]) * _exp_difference(top[k], peak[k], wide)


PRIMITIVES = (
    _plus, _completed, _block_sum, _largest, _place_of, _first_largest, _decay_of_sum, _positive_part, _step, _signum,
    _clipped, _unless_zero, _exp_difference, _plain_exp_difference, _sigmoid_power, _magnified, _is_small, _cancels,
    _ratio, _inverse, _divisor, _quotient, _over, _multiply, _update_columns, _turn,
)  # fmt: skip


NARROW = (
    ("1.7976931348623157e308", "3.4028234663852886e38"), ("1.3407807929942597e154", "1.8446744073709552e19"),
    ("7.458340731200207e-155", "5.421010862427522e-20"),
    ("1e-150", "1e-19"), ("1e150", "1e19"),
)  # fmt: skip
"""Numbers that depend on the format, in float64 and float32: the largest, powers of two."""
WIDE = ("_plus", "_completed", "_block_sum")
"""What totals are added with, in float64 whatever the numbers are."""


def source_of(names: set[str], real: Format = FLOAT64, *, close: bool = True) -> tuple[str, ...]:
    """Return the source of primitives and of those that they call, in a fixed order.

    Parameters
    ----------
    names : set of str
        What they are called.
    real : Format
        The arithmetic.
    close : bool
        Whether results are as near as this arithmetic can have them, so that differences need what rounding takes.
    """
    known = {name: text(real) for name, text in FUNCTIONS.items()}
    for function in (*LOOSE, *OPERATIONS, _closely, *PRIMITIVES):
        text = inspect.getsource(function).rstrip()
        known[function.__name__] = text if real is FLOAT64 or function.__name__ in WIDE else _narrowed(text)
    if not close:
        known["_exp_difference"] = known.pop("_plain_exp_difference").replace("_plain", "")
    wanted = with_called(names, known)
    constants = ",\n    ".join(str(tuple(row)) for row in _CONSTANTS.tolist())
    texts = (text for name, text in known.items() if name in wanted)
    return (
        *(text for name, text in INTRINSICS.items() if name in wanted),
        *([f"_CONSTANTS = np.array((\n    {constants},\n))"] if "_closely" in wanted else []),
        *(f"{decorator(text)}\n{untyped(text)}" for text in texts),
    )


def with_called(names: set[str], known: Mapping[str, str]) -> set[str]:
    """Return names of functions, and those that they call, given the text of each."""
    called = {name: set(re.findall(r"\b_\w+(?=\()", text)) - {name} for name, text in known.items()}
    wanted, stack = set(names), list(names)
    while stack:
        found = called.get(stack.pop(), set()) - wanted
        wanted |= found
        stack += found
    return wanted


def _narrowed(text: str) -> str:
    for wide, narrow in NARROW:
        text = text.replace(wide, narrow)
    text = re.sub(r"    if wide is None:.*\n(?:        .*\n)+|, wide(?:: Any)?", "", text)
    head, docstring, body = text.split('"""', 2)
    return f'{head}"""{docstring}"""{narrowed(body)}'


def narrowed(text: str) -> str:
    """Return source in which every number is float32: a bare one would make float64 of what it meets."""
    text = text.replace("np.float64(", "f32(")
    return re.sub(r"(?<![\w.])(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|(?:np|math)\.(?:inf|nan)\b)", r"f32(\g<0>)", text)


def decorator(text: str) -> str:
    """Return how a primitive is compiled: one that a loop is to turn into vector instructions, into that loop."""
    inlined = "" if re.search(r"\n +(?:for|while) ", text) else ", forceinline=True"
    return f"@njit({INSIDE}{inlined})"


def untyped(text: str) -> str:
    """Return source without the annotations that only type checkers read."""
    kinds = r"Any|Pair|_Noted|Callable\[\.\.\., Any\]|tuple\[(?:Any|Pair), (?:Any|Pair)\]"
    return re.sub(rf"(: | -> )(?:{kinds})(?=[,):]|$)", "", text, flags=re.MULTILINE)
