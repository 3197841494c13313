"""Sums and matrix products of pairs that generated modules carry along.

Leading bits are multiplied without any rounding, by the same BLAS as elsewhere; what they leave is small, and its
products are rounded as usual. Source: Ozaki, Ogita, Oishi and Rump (2012), Error-free transformations of matrix
multiplication by using fast routines of matrix multiplication.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symloss.rendering.pair_arithmetic import (
    Pair,
    _finite,
    _pair_add,
    _pair_add_number,
    _pair_close,
    _pair_exp_difference,
    _pair_multiply,
    _pair_of_sum,
)
from symloss.rendering.primitives import _larger, _multiply


def _pair_block_sum(block: Any, count: int) -> Pair:
    """Return the sum of the first numbers of a block and of their rests, which are below them; it writes over both.

    The second half is added to the first until one number is left: many sums side by side, where one after the other
    each would wait for the one before.
    """
    size = np.uint64(count)
    while size > np.uint64(1):
        half = (size + np.uint64(1)) // np.uint64(2)
        for k in range(size - half):
            total, lost = _pair_of_sum(block[0, k], block[0, k + half])
            block[0, k] = total
            block[1, k] = block[1, k] + block[1, k + half] + _finite(lost)
        size = half
    return _pair_close(block[0, 0], block[1, 0]) if count > 0 else (0.0, 0.0)


def _pair_part(matrix: Any, bits: int, transposed: bool) -> tuple[Any, Any]:
    """Return the leading bits of every number, counted from the largest beside it, and what they leave of the pair.

    Beside it are those of its row, or of its column where the matrix is to be transposed. Adding and taking away what
    is 2**52 units of the last bit wanted rounds to it; of a row that is 0, huge or not finite nothing is taken.
    """
    rows, columns, layers = matrix.shape
    numbers = matrix.reshape((rows, columns * layers))
    lead, rest = np.empty((rows, columns)), np.empty((rows, columns))
    grid = np.zeros(columns if transposed else rows)
    for i in range(rows):
        largest = 0.0
        for j in range(columns):
            x = abs(numbers[i, j] if layers == 1 else numbers[i, 2 * j])
            if transposed:
                grid[j] = _larger(grid[j], x)
            else:
                largest = _larger(largest, x)
        if not transposed:
            grid[i] = largest
    for k in range(grid.size):
        most = grid[k]
        grid[k] = math.ldexp(1.5, math.frexp(most)[1] + 53 - bits) if 0.0 < most < 1e280 else 0.0
    for i in range(rows):
        for j in range(columns):
            unit = grid[j if transposed else i]
            x, low = (numbers[i, j], 0.0) if layers == 1 else (numbers[i, 2 * j], numbers[i, 2 * j + 1])
            part = (x + unit) - unit
            lead[i, j], rest[i, j] = part, _finite(x - part) + low
    return lead, rest


def _pair_matrices(
    left: Any, left_transposed: bool, right: Any, right_transposed: bool, out: Any, add: bool
) -> None:  # fmt: skip
    """Write the product of two matrices as pairs, or add it to what is there.

    The leading bits of a sum of so many products have room in a float. What they leave of the left is multiplied by
    the whole of the right, rounded to one number: beside the leading bits that is far below the last place.
    """
    inner = left.shape[0] if left_transposed else left.shape[1]
    bits = int((55 - math.ceil(math.log2(max(inner, 2)))) // 2)
    a, a_rest = _pair_part(left, bits, left_transposed)
    b, b_rest = _pair_part(right, bits, not right_transposed)
    exact, small = np.empty(out.shape[:2]), np.empty(out.shape[:2])
    _multiply(a, left_transposed, b, right_transposed, exact, False)
    _multiply(a, left_transposed, b_rest, right_transposed, small, False)
    for i in range(b.shape[0]):
        for j in range(b.shape[1]):
            b[i, j] += b_rest[i, j]
    _multiply(a_rest, left_transposed, b, right_transposed, small, True)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            found = _pair_close(exact[i, j], small[i, j])
            if add:
                found = _pair_add((out[i, j, 0], out[i, j, 1]), found)
            out[i, j, 0], out[i, j, 1] = found


def _pair_update_columns(block: Any, start: int, peak: Any, winner: Any, rest: Any) -> None:
    """Take rows into the largest entry of every column, its row, and the sum of the exponentials of the others."""
    rows, columns, _ = block.shape
    for k in range(columns):
        top, at = (block[0, k, 0], block[0, k, 1]), start
        for row in range(1, rows):
            if block[row, k, 0] > top[0] or block[row, k, 0] != block[row, k, 0]:
                top, at = (block[row, k, 0], block[row, k, 1]), start + row
        others = (0.0, 0.0)
        for row in range(rows):
            if start + row != at:
                e = _pair_exp_difference((block[row, k, 0], block[row, k, 1]), top)
                others = _pair_add(others, e)
        if start > 0:
            before, found = (peak[k, 0], peak[k, 1]), (rest[k, 0], rest[k, 1])
            if top[0] > before[0] or top[0] != top[0]:
                scaled = _pair_multiply(_pair_add_number(found, 1.0), _pair_exp_difference(before, top))
                others = _pair_add(others, scaled)
            else:
                scaled = _pair_multiply(_pair_add_number(others, 1.0), _pair_exp_difference(top, before))
                top, at, others = before, winner[k], _pair_add(found, scaled)
        peak[k, 0], peak[k, 1] = top
        winner[k] = at
        rest[k, 0], rest[k, 1] = others


ARRAYS = (_pair_block_sum, _pair_part, _pair_matrices, _pair_update_columns)
