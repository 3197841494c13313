"""The objects of an entry: how machine code looks at arrays, tuples and numbers, and calls Python and NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from symloss.runtime.layout import ARRAY_AXES, ARRAY_DATA, ARRAY_DTYPE, ARRAY_FLAGS, ARRAY_SHAPE, TUPLE_ITEMS, TYPE

BYTE, INT, LONG, DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
POINTER = BYTE.as_pointer()
NOTHING = ir.VoidType()

_SIGNATURES = {
    "Py_IncRef": (NOTHING, POINTER),
    "Py_DecRef": (NOTHING, POINTER),
    "PyTuple_New": (POINTER, LONG),
    "PyTuple_SetItem": (INT, POINTER, LONG, POINTER),
    "PyFloat_AsDouble": (DOUBLE, POINTER),
    "PyEval_SaveThread": (POINTER,),
    "PyEval_RestoreThread": (NOTHING, POINTER),
    "PyArray_Empty": (POINTER, INT, LONG.as_pointer(), POINTER, INT),
    "PyArray_Scalar": (POINTER, POINTER, POINTER, POINTER),
}


def address(at: int) -> Any:
    """Return a place in memory."""
    return ir.Constant(LONG, at).inttoptr(POINTER)


NONE, TRUE, NULL = address(id(None)), address(id(True)), address(0)
"""None and True are never freed, nor are the types and dtypes that entries compare with."""


def symbol_of(function: str) -> str:
    """Return the name that entries know a function by, which is taken for nothing else in the process."""
    return f"symloss_entry.{function}"


class Objects:
    """A function under construction that takes and returns objects.

    Parameters
    ----------
    module : ir.Module
        Where it goes.
    name : str
        What it is called there.
    """

    def __init__(self, module: Any, name: str) -> None:
        signature = ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), LONG])
        self.function = ir.Function(module, signature, name)
        self.builder = ir.IRBuilder(self.function.append_basic_block("start"))
        self.leave = self.function.append_basic_block("leave")
        """Where it goes with nothing done."""

    def require(self, condition: Any) -> None:
        """Leave where a condition does not hold."""
        after = self.function.append_basic_block()
        self.builder.cbranch(condition, after, self.leave)
        self.builder.position_at_end(after)

    def same(self, x: Any, y: Any) -> Any:
        """Return whether two integers or addresses are equal."""
        return self.builder.icmp_unsigned("==", x, y)

    def field(self, thing: Any, offset: int, kind: Any) -> Any:
        """Return what is so many bytes into an object."""
        place = self.builder.gep(thing, [LONG(offset)])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()))

    def item(self, several: Any, k: int) -> Any:
        """Return an entry of a tuple."""
        return self.field(several, TUPLE_ITEMS + 8 * k, POINTER)

    def length(self, x: Any) -> Any:
        """Return how long an array of one axis is."""
        return self.builder.load(self.field(x, ARRAY_SHAPE, LONG.as_pointer()))

    def data(self, x: Any) -> Any:
        """Return where the elements of an array are."""
        return self.field(x, ARRAY_DATA, POINTER)

    def is_a(self, thing: Any, kind: type) -> Any:
        """Return whether an object is of a type, not of one derived from it."""
        return self.same(self.field(thing, TYPE, POINTER), address(id(kind)))

    def array(self, x: Any, dtype: Any, flags: Sequence[int]) -> None:
        """Leave where something is no array of one axis, of a dtype and with one of some flags."""
        self.require(self.is_a(x, np.ndarray))
        self.require(self.same(self.field(x, ARRAY_AXES, INT), INT(1)))
        self.require(self.same(self.field(x, ARRAY_DTYPE, POINTER), dtype))
        own = self.field(x, ARRAY_FLAGS, INT)
        self.require(self.any([self.same(own, INT(each)) for each in flags]))

    def any(self, conditions: Sequence[Any]) -> Any:
        """Return whether one of several conditions holds."""
        found, *others = conditions
        for condition in others:
            found = self.builder.or_(found, condition)
        return found

    def apart(self, x: Any, y: Any, width: Any) -> None:
        """Leave where two arrays of so many bytes share memory."""
        one, other = (self.builder.ptrtoint(self.data(z), LONG) for z in (x, y))
        before = self.builder.icmp_unsigned("<=", self.builder.add(one, width), other)
        after = self.builder.icmp_unsigned("<=", self.builder.add(other, width), one)
        self.require(self.any((before, after)))

    def call(self, name: str, *arguments: Any) -> Any:
        """Return what a function of Python or NumPy returns."""
        known = self.function.module.globals.get(symbol_of(name))
        if known is None:
            result, *takes = _SIGNATURES[name]
            known = ir.Function(self.function.module, ir.FunctionType(result, takes), symbol_of(name))
        return self.builder.call(known, arguments)

    def proceed_with(self, x: Any, held: Sequence[Any]) -> None:
        """Let what is held go and return the error that is set, where a function gave no object."""
        with self.builder.if_then(self.same(x, NULL), likely=False):
            for other in held:
                self.call("Py_DecRef", other)
            self.builder.ret(NULL)
