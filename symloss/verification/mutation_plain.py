"""A generated module as plain Python: not compiled, its loops counted, its functions exchangeable one by one.

Arithmetic is what compiled kernels do: a division by 0 is infinite or NaN, an overflow is infinite. Fresh arrays hold
NaN, so that an entry that is never written shows. Blocks have `BLOCK` rows and strips `STRIP` numbers, so that tiny
arrays have several, and a last one that is not full.
"""

from __future__ import annotations

import ast
import copy
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.verification.mutation_sites import STEP, Site, sites

BUDGET = 200_000
"""Rounds of loops that one call may take."""
BLOCK = 3
STRIP = 2
WIDTH = 4
"""About the extent of the other axes of what is tried."""
PLACELESS = "_mutation_placeless"
"""What -1 is where it is the place of the largest of no numbers."""
SEEN = "_mutation_seen"
"""The marks of the statements that ran."""
LONG = 64
"""Whole numbers above this are the length of a strip; up to it they count the strips."""


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
    namespace : dict
        The globals of the functions.
    state : dict
        The rounds of loops so far, and the functions whose results are not to be remembered now.
    remembering : mapping of str to _Remembered
        Functions of numbers alone that take long: what they gave once is known.
    """

    module: ModuleType
    functions: dict[str, ast.FunctionDef]
    namespace: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)
    remembering: dict[str, _Remembered] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    marking: list[_Marking] = field(default_factory=list)

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
        stale = [r for name, r in self.remembering.items() if r.trusted and site.function in self.called(name)]
        for remembered in stale:
            remembered.trusted = False
        try:
            yield
        finally:
            self.namespace[site.function] = old
            for remembered in stale:
                remembered.trusted = True

    def called(self, name: str) -> set[str]:
        """Return the functions that a function calls, directly or not."""
        if name not in self.calls:
            self.calls[name] = set()
            read = {n.id for n in ast.walk(self.functions[name]) if isinstance(n, ast.Name)} & self.functions.keys()
            self.calls[name] |= read.union(*(self.called(other) for other in read - {name}))
        return self.calls[name]

    @contextmanager
    def traced(self) -> Iterator[set[tuple[str, int]]]:
        """Collect the lines that run, by function."""
        found: set[tuple[str, int]] = set()
        if not self.marking:
            self.marking.append(_Marking(self))
        marking = self.marking[0]
        usual = {name: self.namespace[name] for name in self.functions}
        marking.seen[:] = bytes(len(marking.seen))
        self.namespace.update(marking.functions)
        try:
            yield found
        finally:
            self.namespace.update(usual)
            found |= {line for line, seen in zip(marking.lines, marking.seen, strict=True) if seen}

    @contextmanager
    def afresh(self) -> Iterator[None]:
        """Remember nothing for as long as the context lasts."""
        known = [r for r in self.remembering.values() if r.trusted]
        for remembered in known:
            remembered.trusted = False
        try:
            yield
        finally:
            for remembered in known:
                remembered.trusted = True


class _Marking:
    """The functions of a module, which leave a mark before each statement, and remember nothing."""

    def __init__(self, module: Plain) -> None:
        self.lines: list[tuple[str, int]] = []
        functions = []
        for name, function in module.functions.items():
            functions.append(copy.deepcopy(function))
            self._mark(name, functions[-1])
        self.seen = bytearray(len(self.lines))
        module.namespace[SEEN] = self.seen
        usual = {name: module.namespace[name] for name in module.functions}
        exec(_compiled(functions), module.namespace)
        self.functions = {name: module.namespace[name] for name in module.functions}
        module.namespace.update(usual)

    def _mark(self, name: str, owner: ast.AST) -> None:
        for block in ("body", "orelse"):
            statements = getattr(owner, block, None)
            if not isinstance(statements, list) or not statements:
                continue
            marked: list[ast.stmt] = []
            for statement in statements:
                mark = ast.parse(f"{SEEN}[{len(self.lines)}] = 1").body[0]
                for part in ast.walk(mark):
                    ast.copy_location(part, statement)
                self.lines.append((name, statement.lineno))
                self._mark(name, statement)
                marked += [mark, statement]
            setattr(owner, block, marked)


@dataclass(eq=False)
class _Remembered:
    """A function of numbers, and what it gave: most mutants change nothing that it is called with."""

    function: Callable[..., Any]
    trusted: bool = True
    known: dict[Any, Any] = field(default_factory=dict)

    def __call__(self, *arguments: Any) -> Any:
        if not self.trusted:
            return self.function(*arguments)
        key = tuple(id(a) if isinstance(a, np.ndarray) and a.ndim > 1 else np.asarray(a).tobytes() for a in arguments)
        if key not in self.known:
            self.known[key] = self.function(*arguments)
        return self.known[key]


FILE = "<plain>"


def _halved(numbers: Any) -> Any:
    """Return a sum by adding halves of what there is, as vectors are added."""
    while len(numbers) > 1:
        numbers = numbers[: len(numbers) // 2] + numbers[len(numbers) // 2 :]
    return numbers[0]


def _exact_fma(a: float, b: float, c: float) -> float:
    """Return a b + c, rounded once."""
    if not all(map(math.isfinite, (a, b, c))):
        return a * b + c
    return float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


def _power(base: float, by: float, _wide: Any = None) -> float:
    """Return a power; 0 to a negative one is 0, and none is infinite."""
    if base == 0.0:
        return float(by == 0.0)
    found = float(np.float64(base) ** by)
    return min(found, float(np.finfo(np.float64).max)) if by < 0.0 else found


def _turned(source: Any, row: int, column: int, target: Any, place: int, other: int) -> None:
    for k in range(4):
        for j in range(4):
            target[place + k, other + j] = source[row + j, column + k]


ELEMENTARY: dict[str, tuple[Callable[..., Any], Any]] = {
    "_exp": (lambda x, *_: math.exp(x), lambda x, *_: np.exp(x)),
    "_exp_down": (lambda x, *_: math.exp(x), lambda x, *_: np.exp(x)),
    "_raised_decay": (lambda x, *_: math.exp(64 * math.log(2) - abs(x)), None),
    "_power": (_power, None), "_log": (math.log, np.log), "_log1p": (math.log1p, np.log1p),
    "_log1p_unit": (lambda x, *_: math.log1p(x), lambda x, *_: np.log1p(x)),
    "_wide": (lambda array: None if array.itemsize == 4 else 0, None), "_fetch": (lambda array, row, place: None, None),
    "_fma": (lambda a, b, c: a * b + c, None),
    "_exact_fma": (_exact_fma, lambda a, b, c: a * b + c),
    "_interleave": (lambda count: None, None), "_lanes": (lambda width, count: None, None),
    "_from_zero_to": (lambda x, most: 0.0 <= x <= most and math.copysign(1.0, x) > 0.0, None),
    "_larger_by_bits": (lambda a, b: max(a, b, key=lambda x: np.float64(x).view(np.uint64)), None),
    "_add_in_lanes": (operator.add, None), "_larger": (np.maximum, None),
    "_larger_beside": (np.maximum, None),
    "_choose": (lambda condition, a, b: a if condition else b, None),
    "_sum_of_128": (lambda block, k: _halved(block[int(k) : int(k) + 128]), None),
    "_largest_of_128": (lambda row, k: np.max(row[int(k) : int(k) + 128]), None),
    "_scratch": (lambda dtype: _Numpy.empty(BLOCK, dtype), None),
    "_strips": (lambda rows, dtype: _Numpy.empty((rows, STRIP), dtype), None),
    "_bits_of": (lambda x: x, None), "_of_bits": (lambda bits: bits, None),
    "_turn_4": (_turned, None),
    "_sum_of_16": (lambda block, k: _halved(block[int(k) : int(k) + 16]), None),
}  # fmt: skip
"""What stands in for functions made of polynomials and for what LLVM is asked for by name."""


TRACED = "_traced"
"""A function that only modules in pair arithmetic have."""


class _StandIn:
    """What stands for a number while a kernel is compiled: nothing here is."""


def plain(source: str, name: str) -> Plain:
    """Return a generated module, given as its text, as plain Python."""
    tree = ast.parse(source)
    functions = {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name != "_sum_of"}
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
    namespace[PLACELESS] = _Nowhere(-1)
    carried = {n for n in functions if n.startswith("_")} if TRACED in functions else set()
    if carried:
        namespace |= {"Fraction": Fraction, "_Noted": _StandIn}
    constants = [s for s in tree.body if isinstance(s, ast.Assign) and _is_constant(s)]
    exec(_compiled([*constants, *functions.values()]), namespace)
    for replaced in native:  # addresses given to BLAS: NumPy's product in its place, and not mutated
        namespace[replaced] = _product
        del functions[replaced]
    for name in functions.keys() & ELEMENTARY.keys():  # certified on their own: the library's in their place
        namespace[name] = _total(*ELEMENTARY[name])
        del functions[name]
    for name_of in carried:  # pair arithmetic, which has tests of its own
        functions.pop(name_of, None)
    module = ModuleType(name)
    module.__file__ = FILE
    for given in namespace:
        if given.isupper():
            setattr(module, given, namespace[given])
    for kernel in functions:
        if not kernel.startswith("_"):
            setattr(module, kernel, _entrance(kernel, namespace, state))
    slow = [n for n in functions if n == "_closely" or n.startswith(("_careful_", "_closer_"))]
    remembering = {n: _Remembered(namespace[n]) for n in slow}
    namespace.update(remembering)
    return Plain(module, functions, namespace, state, remembering)


def _is_no_place(node: ast.Assign) -> bool:
    """Tell whether a statement says that a place is -1."""
    return isinstance(node.value, ast.UnaryOp) and ast.unparse(node.value) == "-1"


def _compiled(body: list[Any]) -> Any:
    """Return code in which -1 as a place is one that can be told from other numbers."""
    places = [(s, s.value) for part in body for s in ast.walk(part) if isinstance(s, ast.Assign) and _is_no_place(s)]
    for statement, value in places:
        statement.value = ast.copy_location(ast.Name(PLACELESS, ast.Load()), value)
    try:
        return compile(ast.Module(body, []), FILE, "exec")
    finally:
        for statement, value in places:
            statement.value = value


def _entrance(kernel: str, namespace: dict[str, Any], state: dict[str, int]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        state["steps"] = 0
        found = namespace[kernel](*map(_argument, arguments))
        return float(found) if isinstance(found, np.floating) else found  # as compiled kernels return totals

    return call


def _argument(value: Any) -> Any:
    """Return an argument whose arithmetic and indices are those of compiled code."""
    if type(value) is float:
        return np.float64(value)
    return value.view(Strict) if isinstance(value, np.ndarray) and value.ndim else value


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
            entries = any(isinstance(part, ast.FloorDiv) for part in ast.walk(node.value))
            _shorten(node.value, BLOCK * WIDTH if entries else BLOCK)
        if isinstance(node, ast.For) and ast.unparse(node.target) == "strip":
            _shorten(node.iter, STRIP)
        elif isinstance(node, ast.For) and ast.unparse(node.target) == "start":  # rows side by side
            _shorten(node.iter, BLOCK)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("length", "strips"):
            if _reads(node.value, "start"):
                _shorten(node.value, BLOCK)
            else:
                _shorten(node.value, STRIP, LONG)
    _shorten_buffers(function)
    ast.fix_missing_locations(function)


def _shorten_buffers(function: ast.FunctionDef) -> None:
    """Give buffers the lengths of what is put into them, so that what lies beyond is an error."""
    loops = {ast.unparse(n.target) for n in ast.walk(function) if isinstance(n, ast.For)}
    beside = any(
        isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "length" and _reads(n.value, "start")
        for n in ast.walk(function)
    )
    lengths = ({512: STRIP} if "strip" in loops else {}) | ({LONG: BLOCK} if beside else {})
    for node in ast.walk(function):
        match node:
            case ast.Assign(value=ast.Call(func=ast.Attribute(attr="empty"), args=[ast.Tuple(elts=[*_, last]), *_])):
                if isinstance(last, ast.Constant) and isinstance(last.value, int) and last.value in lengths:
                    last.value = lengths[last.value]


def _reads(tree: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(tree))


def _shorten(tree: ast.AST, size: int, above: int = 2) -> None:
    """Put a size in the place of every larger whole number."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Constant) and isinstance(part.value, int) and part.value > above:
            part.value = size


def _least(*values: Any) -> Any:
    return min(*values)


def _greatest(*values: Any) -> Any:
    return max(*values)


def _product(left: Any, left_transposed: bool, right: Any, right_transposed: bool, out: Any, add: bool) -> None:
    """Write or add the product of two matrices."""
    found = np.asarray(left.T if left_transposed else left) @ np.asarray(right.T if right_transposed else right)
    if found.shape != out.shape:
        message = f"a product of shape {found.shape} for {out.shape}"
        raise ValueError(message)
    out[:] = out + found if add else found


class _Numpy:
    """NumPy, whose empty arrays are full of NaN, or of the largest integer."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = np.float64) -> NDArray[Any]:
        """Return an array whose entries break what reads them."""
        return np.full(shape, _wrong(dtype), dtype).view(Strict if np.dtype(dtype).kind == "f" else _Places)


class _Nowhere(int):
    """The place of the largest of no numbers."""


class _Unplaced(IndexError):
    """An index that is the place of the largest of no numbers."""


class Strict(np.ndarray):
    """An array in which no index counts from the end: none does in a kernel.

    But the place of the largest of no numbers may be read at, where what is read is not used or is multiplied by 0, as
    compiled code does with what it finds: it is a number that nothing else would give.
    """

    def __getitem__(self, index: Any) -> Any:
        try:
            return super().__getitem__(_checked(index))
        except _Unplaced:
            slots = index if type(index) is tuple else (index,)
            there = super().__getitem__(tuple(s if type(s) is slice else max(s, 0) for s in slots))
            wrong = np.full_like(there, NOWHERE if self.dtype.kind == "f" else _wrong(self.dtype))
            return wrong if wrong.ndim else wrong[()]

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_checked(index), value)


class _Places(Strict):
    """An array of whole numbers, of which -1 is the place of the largest of no numbers."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Nowhere(-1) if type(found) is not _Places and found == -1 else found


def _checked(index: Any) -> Any:
    slots = index if type(index) is tuple else (index,)
    for slot in slots:
        if type(slot) is not slice and slot < 0:
            below = [s for s in slots if type(s) is not slice and s < 0]
            raise (_Unplaced if all(type(s) is _Nowhere for s in below) else IndexError)(f"index {below}")
    return index


NOWHERE = 12345.678
"""What is read where nothing is."""


def _wrong(dtype: Any) -> Any:
    """Return what breaks all that reads it."""
    return math.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max // 2


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
