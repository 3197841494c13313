"""What kernels keep for themselves: blocks that are not from the heap, maxima in vectors, functions compiled once."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

import symloss
from symloss.rendering import primitives
from symloss.rendering.primitives import source_of

HEAD = """import math
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
"""
LENGTHS = (1, 5, 64, 127, 128, 129, 200, 256, 257, 1000)


def _compiled(names: set[str], call: str, folder: Path) -> Any:
    """Return a function that calls what generated modules carry along, as they have it."""
    path = folder / "carried.py"
    text = "\n\n".join((HEAD, *source_of(names), f"@njit\ndef call(x, n):\n    return {call}\n"))
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("carried", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.call


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_a_row_and_its_first_place(dtype: Any, tmp_path: Path) -> None:
    """Ties, infinities, rows that are no whole number of blocks; NaN wherever one is; compiled as in plain Python."""
    compiled = _compiled({"_first_largest"}, "_first_largest(x, n)", tmp_path)
    rng = np.random.default_rng(3)
    for count in LENGTHS:
        ties = rng.integers(0, max(2, count // 3), count).astype(dtype)
        infinite = ties.copy()
        infinite[[0, -1]] = math.inf
        for row in (ties, -ties, rng.normal(size=count).astype(dtype), infinite, np.full(count, -math.inf, dtype)):
            for find in (compiled, primitives._first_largest):
                assert find(row, count) == (row.max(), row.argmax()), (count, row, find)
            row[rng.integers(count)] = math.nan
            for find in (compiled, primitives._first_largest):
                most, place = find(row, count)
                assert math.isnan(most)
                assert place == 0


def test_blocks_of_a_loop_over_elements_are_not_from_the_heap(tmp_path: Path) -> None:
    """They begin with a line of the cache, and not at the same place of a page each."""
    compiled = _compiled({"_scratch"}, "(_scratch(np.float64).ctypes.data, _scratch(np.float32).ctypes.data)", tmp_path)
    first, second = compiled(np.empty(0), 0)
    assert first % 64 == second % 64 == 0
    assert abs(first - second) % 4096 >= 128
    for name in ("focal", "squared_error"):
        kernel: Any = symloss.load(name).plan.narrow["value_and_gradient"]
        x = np.ones(8, np.float32)
        fresh = njit(nogil=True, error_model="numpy")(kernel.py_func)
        fresh(x, x, *symloss.load(name).plan.defaults, None, 1.0, None, x.copy())
        (code,) = fresh.inspect_llvm().values()
        assert "MemInfo_alloc" not in code, name


def test_maxima_beside_each_other_are_not_stored_under_a_mask() -> None:
    """A masked store takes some processors twenty steps: a choice between a number and what is there becomes one."""
    plan = symloss.load("softmax_cross_entropy", accuracy="fast").plan
    kernel: Any = plan.few[1]["value_and_gradient"]
    x, label, none = np.ones((70, 3), np.float32), np.zeros(70, np.int64), np.empty(0, np.float32)
    fresh = njit(nogil=True, error_model="numpy")(kernel.py_func)
    fresh(x, label, 0.0, np.ones(3, np.float32), -100, False, none, 1.0, none, x.copy())
    (code,) = fresh.inspect_asm().values()
    if "ymm" not in code:
        pytest.skip("not a processor with AVX")
    assert not re.findall(r"vmaskmovp[sd]\s+%[xyz]mm\d+, %[xyz]mm\d+, .*\(", code)


def test_flags_of_products_have_no_type_of_their_own() -> None:
    """True and False given as they are have types of their own, and a function is compiled for each."""
    folder = Path(symloss.__file__).parents[1] / "generated"
    texts = [path.read_text("utf-8") for path in (*folder.glob("*.py"), *folder.glob("fast/*.py"))]
    calls = [c for text in texts for c in re.findall(r"(?<!def )\b_multiply\(.*\)", text)]
    assert len(calls) > 100
    assert not [c for c in calls if re.search(r"(?<!np\.bool_\()(True|False)", c)]
