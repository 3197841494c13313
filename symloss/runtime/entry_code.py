"""The code of an entry: what it looks at and in which order, as instructions for LLVM."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target

from symloss.runtime.entry_objects import DOUBLE, INT, LONG, NONE, NULL, POINTER, TRUE, Objects, address, symbol_of
from symloss.runtime.layout import DICT_SIZE, TUPLE_SIZE

TAKES = 6
"""Arguments of an entry: inputs, wrt, reduction, sample_weight, out, parameters."""
MEAN, SUM = sys.intern("mean"), sys.intern("sum")


@dataclass(frozen=True)
class Request:
    """What an entry is for.

    Parameters
    ----------
    kernel, outside : compile result
        Numba's, of the kernel and of the one that looks at domains, where there is one.
    dtype : dtype
        Of all arrays.
    count : int
        Inputs.
    wanted : int
        Arrays written.
    valued : bool
        Whether the kernel returns a total.
    most : int
        Elements up to which it takes calls.
    flags : tuple of int
        Those that arrays may have.
    defaults : tuple
        The parameters where none is given, as kernels take them.
    """

    kernel: Any
    outside: Any
    dtype: np.dtype[Any]
    count: int
    wanted: int
    valued: bool
    most: int
    flags: tuple[int, ...]
    defaults: tuple[Any, ...]

    @property
    def fixed(self) -> tuple[Any, ...]:
        """What kernels take between parameters and outputs: no weights, a scale, no values of samples."""
        return (types.none, *((types.float64,) if self.wanted else ()), *((types.none,) if self.valued else ()))

    @property
    def settings(self) -> int:
        """How many arguments are parameters."""
        return len(self.kernel.fndesc.argtypes) - self.count - self.wanted - len(self.fixed)


class Writer(Objects):
    """Writes one entry into a module.

    Parameters
    ----------
    request : Request
        What it is for.
    module : ir.Module
        Where it goes.
    name : str
        What it is called there.
    otherwise : str, optional
        The entry that calls go to which this one does not take.
    """

    def __init__(self, request: Request, module: Any, name: str, otherwise: str | None) -> None:
        super().__init__(module, name)
        self.request, self.otherwise = request, otherwise
        self.context = cpu_target.target_context
        self.real = ir.FloatType() if request.dtype.itemsize == 4 else DOUBLE
        self.dtype = address(id(request.dtype))

    def write(self) -> None:
        """Write it."""
        request, builder = self.request, self.builder
        own, arguments, count = self.function.args
        self.require(self.same(count, LONG(TAKES)))
        inputs, wrt, reduction, weight, out, parameters = (
            builder.load(builder.gep(arguments, [LONG(k)])) for k in range(TAKES)
        )  # fmt: skip
        self.require(self.same(wrt, NONE))
        self.require(self.same(weight, NONE))
        mean = self.same(reduction, address(id(MEAN)))
        self.require(builder.or_(mean, self.same(reduction, address(id(SUM)))))
        self.require(self.is_a(inputs, tuple))
        self.require(self.same(self.field(inputs, TUPLE_SIZE, LONG), LONG(request.count)))
        arrays = [self.item(inputs, k) for k in range(request.count)]
        self.taken(arrays[0])
        self.size = self.length(arrays[0])
        # one comparison: of what is not negative, a size of 0 less 1 is the largest
        self.require(builder.icmp_unsigned("<", builder.sub(self.size, LONG(1)), LONG(request.most)))
        for x in arrays[1:]:
            self.taken(x)
            self.require(self.same(self.length(x), self.size))
        settings = self.settings(parameters)
        outputs = self.outputs(out, arrays)
        self.compute(arrays, settings, mean, outputs)
        builder.position_at_end(self.leave)
        if self.otherwise is not None:
            following = ir.Function(self.function.module, self.function.function_type, self.otherwise)
            builder.ret(builder.call(following, [own, arguments, count]))
            return
        self.call("Py_IncRef", NONE)
        builder.ret(NONE)

    def taken(self, x: Any) -> None:
        """Leave where something is no array that kernels can read and write as it is."""
        self.array(x, self.dtype, self.request.flags)

    def settings(self, parameters: Any) -> list[Any]:
        """Return the parameters as numbers, those of a tuple, or where a dictionary is empty the usual ones.

        Leave where one is of another type than the kernel was compiled for.
        """
        request, builder = self.request, self.builder
        given = self.is_a(parameters, tuple)
        self.require(builder.or_(given, self.is_a(parameters, dict)))
        empty = self.same(self.field(parameters, DICT_SIZE, LONG), LONG(0))  # of a tuple, something else
        self.require(builder.or_(given, empty))
        parameters = builder.select(given, parameters, address(id(request.defaults)))
        self.require(self.same(self.field(parameters, TUPLE_SIZE, LONG), LONG(request.settings)))
        kinds = request.kernel.fndesc.argtypes[request.count :]
        found: list[Any] = []
        for k, kind in enumerate(kinds[: request.settings]):
            x = self.item(parameters, k)
            if kind == types.float64:
                self.require(self.is_a(x, float))
                found.append(self.call("PyFloat_AsDouble", x))
            else:
                self.require(self.is_a(x, bool))
                found.append(self.same(x, TRUE))
        return found

    def outputs(self, out: Any, arrays: Sequence[Any]) -> list[Any]:
        """Return the arrays to write, each held once more: those given, or new ones."""
        request, builder = self.request, self.builder
        absent = self.same(out, NONE)
        if not request.wanted:
            self.require(absent)
            return []
        fresh, given, ready = (self.function.append_basic_block(name) for name in ("fresh", "given", "ready"))
        builder.cbranch(absent, fresh, given)
        builder.position_at_end(fresh)
        made = self.fresh()
        fresh = builder.block
        builder.branch(ready)
        builder.position_at_end(given)
        if request.wanted == 1:
            found = [out]
        else:
            self.require(self.is_a(out, tuple))
            self.require(self.same(self.field(out, TUPLE_SIZE, LONG), LONG(request.wanted)))
            found = [self.item(out, k) for k in range(request.wanted)]
        width = builder.mul(self.size, LONG(request.dtype.itemsize))
        for k, x in enumerate(found):
            self.taken(x)
            self.require(self.same(self.length(x), self.size))
            for other in (*arrays, *found[:k]):
                self.apart(x, other, width)
        for x in found:
            self.call("Py_IncRef", x)
        given = builder.block
        builder.branch(ready)
        builder.position_at_end(ready)
        chosen = []
        for one, other in zip(made, found, strict=True):
            phi = builder.phi(POINTER)
            phi.add_incoming(one, fresh)
            phi.add_incoming(other, given)
            chosen.append(phi)
        return chosen

    def fresh(self) -> list[Any]:
        """Return new arrays; where there is no memory, the error of that comes back."""
        shape = self.builder.alloca(LONG)
        self.builder.store(self.size, shape)
        made: list[Any] = []
        for _ in range(self.request.wanted):
            self.call("Py_IncRef", self.dtype)  # which the function takes over
            x = self.call("PyArray_Empty", INT(1), shape, self.dtype, INT(0))
            self.proceed_with(x, made)
            made.append(x)
        return made

    def compute(self, arrays: Sequence[Any], settings: Sequence[Any], mean: Any, outputs: Sequence[Any]) -> None:
        """Run the kernels without the lock of the interpreter, and return what they give."""
        request, builder = self.request, self.builder
        undo = self.function.append_basic_block("undo")
        divisor = builder.select(mean, builder.sitofp(self.size, DOUBLE), DOUBLE(1.0))
        inputs, written = ([self.as_array(x) for x in some] for some in (arrays, outputs))
        absent = self.context.get_dummy_value()
        thread = self.call("PyEval_SaveThread")
        if request.outside is not None:
            wrong, strangers = self.run(request.outside, inputs)
            stop = builder.or_(wrong, builder.fcmp_unordered("!=", strangers, strangers.type(0.0)))
            after = self.function.append_basic_block()
            builder.cbranch(stop, undo, after)
            builder.position_at_end(after)
        scale = [builder.fdiv(DOUBLE(1.0), divisor)] if outputs else []
        value = [absent] if request.valued else []
        wrong, total = self.run(request.kernel, [*inputs, *settings, absent, *scale, *value, *written])
        done = self.function.append_basic_block("done")
        builder.cbranch(wrong, undo, done)
        builder.position_at_end(undo)  # such as for a second look, which is yet to be compiled
        self.call("PyEval_RestoreThread", thread)
        for x in outputs:
            self.call("Py_DecRef", x)
        builder.branch(self.leave)
        builder.position_at_end(done)
        self.call("PyEval_RestoreThread", thread)
        results = list(outputs)
        if request.valued:
            results.insert(0, self.scalar(builder.fdiv(total, divisor), outputs))
        builder.ret(results[0] if len(results) == 1 else self.tuple(results))

    def as_array(self, x: Any) -> Any:
        """Return an array as kernels take it."""
        request = self.request
        kind = request.kernel.fndesc.argtypes[0]
        width = LONG(request.dtype.itemsize)
        made = self.context.make_array(kind)(self.context, self.builder)
        made.data = self.builder.bitcast(self.data(x), made.data.type)
        made.shape = ir.Constant.literal_array([LONG(0)])
        made.shape = self.builder.insert_value(made.shape, self.size, 0)
        made.strides = ir.Constant.literal_array([width])
        made.itemsize, made.nitems = width, self.size
        made.meminfo, made.parent = NULL, NULL
        return made._getvalue()

    def run(self, kernel: Any, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return whether a kernel failed, and its result."""
        convention, about = self.context.call_conv, kernel.fndesc
        kind = convention.get_function_type(about.restype, about.argtypes)
        own = ir.Function(self.function.module, kind, symbol_of(f"{self.function.name}.{about.llvm_func_name}"))
        status, result = convention.call_function(self.builder, own, about.restype, about.argtypes, arguments)
        return status.is_error, result

    def scalar(self, value: Any, held: Sequence[Any]) -> Any:
        """Return a number as a NumPy scalar, rounded to the dtype of the arrays."""
        place = self.builder.alloca(self.real)
        self.builder.store(value if self.real is DOUBLE else self.builder.fptrunc(value, self.real), place)
        made = self.call("PyArray_Scalar", self.builder.bitcast(place, POINTER), self.dtype, NULL)
        self.proceed_with(made, held)
        return made

    def tuple(self, results: Sequence[Any]) -> Any:
        """Return a tuple that takes results over."""
        made = self.call("PyTuple_New", LONG(len(results)))
        self.proceed_with(made, results)
        for k, x in enumerate(results):
            self.call("PyTuple_SetItem", made, LONG(k), x)
        return made
