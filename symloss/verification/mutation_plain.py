"""A generated module as plain Python: not compiled, its loops counted, its functions exchangeable one by one.

Arithmetic is what compiled kernels do: a division by 0 is infinite or NaN, an overflow is infinite. Fresh arrays hold
NaN, so that an entry that is never written shows. Blocks have `BLOCK` rows, so that tiny arrays have several.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.verification.mutation_sites import STEP, Site, sites

BUDGET = 200_000
"""Rounds of loops that one call may take."""
BLOCK = 2


class Exhausted(Exception):
    """A kernel that loops for too long."""


@dataclass(frozen=True, eq=False)
class Plain:
    """A module run as plain Python.

    Parameters
    ----------
    module : module
        What the runtime calls; its kernels look up the functions in `namespace`.
    functions : mapping of str to ast.FunctionDef
        The functions that can be mutated.
    callers : mapping of str to set of str
        For each function, the kernels that may reach it.
    namespace : dict
        The globals of the functions.
    """

    module: ModuleType
    functions: dict[str, ast.FunctionDef]
    namespace: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)

    def sites(self) -> Iterator[Site]:
        """Yield every mutant."""
        for function in self.functions.values():
            yield from sites(function)

    @contextmanager
    def mutated(self, site: Site) -> Iterator[None]:
        """Run the mutant for as long as the context lasts."""
        old = self.namespace[site.function]
        with site.applied():
            code = _compiled([self.functions[site.function]])
        exec(code, self.namespace)
        try:
            yield
        finally:
            self.namespace[site.function] = old

    @contextmanager
    def traced(self) -> Iterator[set[tuple[str, int]]]:
        """Collect the lines that run, by function."""
        found: set[tuple[str, int]] = set()

        def local(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                found.add((frame.f_code.co_name, frame.f_lineno))
            return local

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            return local if frame.f_code.co_filename == FILE else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            yield found
        finally:
            sys.settrace(before)


FILE = "<plain>"


ELEMENTARY: dict[str, tuple[Callable[..., Any], Any]] = {
    "_exp": (math.exp, np.exp), "_raised_decay": (lambda x: math.exp(64 * math.log(2) - abs(x)), None),
    "_log": (math.log, np.log), "_log1p": (math.log1p, np.log1p),
    "_log1p_unit": (math.log1p, np.log1p), "_fma": (lambda a, b, c: a * b + c, None),
    "_add_in_lanes": (operator.add, None), "_larger": (np.maximum, None),
    "_choose": (lambda condition, a, b: a if condition else b, None), "_stay_apart": (lambda: None, None),
}  # fmt: skip
"""What stands in for functions made of polynomials and for what LLVM is asked for by name."""


def plain(source: str, name: str) -> Plain:
    """Return a generated module, given as its text, as plain Python."""
    tree = ast.parse(source)
    functions = {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef)}
    native = {n for n, f in functions.items() if any(_is_address(node) for node in ast.walk(f))}
    for function in functions.values():
        function.decorator_list = []
        _prepare(function)
    state = {"steps": 0}

    def step() -> None:
        state["steps"] += 1
        if state["steps"] > BUDGET:
            raise Exhausted

    namespace: dict[str, Any] = {"np": _Numpy(), "math": _Math(), STEP: step, "min": _least, "max": _greatest}
    constants = [s for s in tree.body if isinstance(s, ast.Assign) and _is_constant(s)]
    exec(_compiled([*constants, *functions.values()]), namespace)
    for replaced in native:  # addresses given to BLAS: NumPy's product in its place, and not mutated
        namespace[replaced] = _product
        del functions[replaced]
    for name in functions.keys() & ELEMENTARY.keys():  # certified on their own: the library's in their place
        namespace[name] = _total(*ELEMENTARY[name])
        del functions[name]
    module = ModuleType(name)
    module.__file__ = FILE
    for given in namespace:
        if given.isupper():
            setattr(module, given, namespace[given])
    for kernel in functions:
        if not kernel.startswith("_"):
            setattr(module, kernel, _entrance(kernel, namespace, state))
    return Plain(module, functions, namespace, state)


def _compiled(body: list[Any]) -> Any:
    return compile(ast.Module(body, []), FILE, "exec")


def _entrance(kernel: str, namespace: dict[str, Any], state: dict[str, int]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        state["steps"] = 0
        return namespace[kernel](*(np.float64(a) if type(a) is float else a for a in arguments))

    return call


def _is_address(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "ctypes"


def _is_constant(statement: ast.Assign) -> bool:
    """Tell whether a statement of the module is data, not a binding to a library."""
    return all(n.id in ("math", "np") or n.id.isupper() for n in ast.walk(statement) if isinstance(n, ast.Name))


def _prepare(function: ast.FunctionDef) -> None:
    """Count the rounds of loops, and make blocks small."""
    for node in ast.walk(function):
        if isinstance(node, ast.For | ast.While):
            node.body.insert(0, ast.Expr(ast.Call(ast.Name(STEP, ast.Load()), [], [])))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "block":
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, int) and part.value > 2:
                    part.value = BLOCK
    ast.fix_missing_locations(function)


def _least(*values: Any) -> Any:
    return min(*values)


def _greatest(*values: Any) -> Any:
    return max(*values)


def _product(left: Any, left_transposed: bool, right: Any, right_transposed: bool, out: Any, add: bool) -> None:
    """Write or add the product of two matrices."""
    found = (left.T if left_transposed else left) @ (right.T if right_transposed else right)
    out[:] = out + found if add else found


class _Numpy:
    """NumPy, whose empty arrays are full of NaN, or of the largest integer."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = np.float64) -> NDArray[Any]:
        """Return an array whose entries break what reads them."""
        wrong = math.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max // 2
        return np.full(shape, wrong, dtype).view(Strict)


class Strict(np.ndarray):
    """An array in which no index counts from the end: none does in a kernel."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_checked(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_checked(index), value)


def _checked(index: Any) -> Any:
    for slot in index if isinstance(index, tuple) else (index,):
        if isinstance(slot, int | np.integer) and slot < 0:
            message = f"index {slot}"
            raise IndexError(message)
    return index


_NAMES = {"pow": "power", "acos": "arccos", "asin": "arcsin", "atan": "arctan", "atan2": "arctan2"}


class _Math:
    """The standard functions, infinite or NaN where Python raises."""

    def __init__(self) -> None:
        for name in dir(math):
            function = getattr(math, name)
            if callable(function):
                setattr(self, name, _total(function, getattr(np, _NAMES.get(name, name), None)))
            elif not name.startswith("_"):
                setattr(self, name, function)


def _total(function: Callable[..., Any], instead: Any) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            found = function(*arguments)
        except (ValueError, OverflowError):
            found = instead(*arguments)
        return np.float64(found) if isinstance(found, float) else found

    return call
