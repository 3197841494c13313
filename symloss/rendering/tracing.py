"""Functions of floats as instructions: what generated modules carry along so that small functions compile fast.

A function that Numba compiles and then inlines leaves behind a place in memory for each of its locals, and a kernel
with a thousand calls takes LLVM a minute. So a function of straight arithmetic is run once for each call instead, with
stand-ins for its arguments, which note the instructions. It remains a plain function for Python, which is how it is
tested.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

PAIR = types.UniTuple(types.float64, 2)  # type: ignore[no-untyped-call]
NUMBERS = ("_finite", "_pair_rounded")
"""Traced functions that return one number; the others return a pair."""


class _Noted:
    """A number while a kernel is compiled: arithmetic on it becomes instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __neg__(self) -> _Noted:
        return _Noted(self.builder, self.builder.fneg(self.value))

    def __add__(self, other: Any) -> Any:
        return _noted(self.builder.fadd, self, other)

    def __radd__(self, other: Any) -> Any:
        return _noted(self.builder.fadd, other, self)

    def __sub__(self, other: Any) -> Any:
        return _noted(self.builder.fsub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _noted(self.builder.fsub, other, self)

    def __mul__(self, other: Any) -> Any:
        return _noted(self.builder.fmul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _noted(self.builder.fmul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _noted(self.builder.fdiv, self, other)

    def __lt__(self, other: Any) -> Any:
        return _noted(partial(self.builder.fcmp_ordered, "<"), self, other)

    def __gt__(self, other: Any) -> Any:
        return _noted(partial(self.builder.fcmp_ordered, ">"), self, other)

    def __and__(self, other: _Noted) -> _Noted:
        return _Noted(self.builder, self.builder.and_(self.value, other.value))

    def __or__(self, other: _Noted) -> _Noted:
        return _Noted(self.builder, self.builder.or_(self.value, other.value))


def _noted(instruction: Callable[..., Any], *numbers: Any) -> Any:
    """Return the result of an instruction; a number that is none of the stand-ins becomes a constant."""
    (builder, *_) = (x.builder for x in numbers if isinstance(x, _Noted))
    return _Noted(builder, instruction(*map(_value_of, numbers)))


def _value_of(x: Any) -> Any:
    """Return what a stand-in stands for, or a constant."""
    return x.value if isinstance(x, _Noted) else ir.DoubleType()(float(x))


def _are_noted(*numbers: Any) -> Any:
    """Return what notes instructions, where any of the numbers is a stand-in."""
    return next((x.builder for x in numbers if isinstance(x, _Noted)), None)


def _fused(a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once on every machine."""
    builder = _are_noted(a, b, c)
    if builder is not None:
        return _noted(builder.fma, a, b, c)
    plain = a * b + c
    exact = plain - plain == 0.0 and Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return float(exact) if plain - plain == 0.0 and abs(exact) < Fraction(2) ** 1024 else plain


def _equal(a: Any, b: Any) -> Any:
    """Tell whether two numbers are the same; NaN is none."""
    builder = _are_noted(a, b)
    return a == b if builder is None else _noted(partial(builder.fcmp_ordered, "=="), a, b)


def _select(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition holds, else b: numbers, or pairs of them."""
    if isinstance(a, tuple):
        return tuple(_select(condition, x, y) for x, y in zip(a, b, strict=True))
    builder = _are_noted(condition)
    if builder is None:
        return a if condition else b
    return _Noted(builder, builder.select(condition.value, _value_of(a), _value_of(b)))


def _root(x: Any) -> Any:
    """Return the square root."""
    builder = _are_noted(x)
    if builder is None:
        return math.sqrt(x) if x >= 0.0 else math.nan
    return _Noted(builder, builder.call(builder.module.declare_intrinsic("llvm.sqrt", [x.value.type]), [x.value]))


def _powers(shifted: Any) -> Any:
    """Return two powers of 2 whose product is 2**k, which may be subnormal; of 1.5 2**52 + k."""
    builder = _are_noted(shifted)
    if builder is None:
        k = int(shifted - 6755399441055744.0) if shifted == shifted else 0
        return math.ldexp(1.0, k >> 1), math.ldexp(1.0, k - (k >> 1))
    whole = ir.IntType(64)
    bits = builder.sub(builder.bitcast(shifted.value, whole), whole(4843621399236968448))
    half = builder.ashr(bits, whole(1))
    parts = (builder.shl(builder.add(k, whole(1023)), whole(52)) for k in (half, builder.sub(bits, half)))
    return tuple(_Noted(builder, builder.bitcast(k, ir.DoubleType())) for k in parts)


def _traced(function: Any) -> Any:
    """Have Numba note the instructions of a function of numbers and pairs, once for each call."""

    @type_callable(function)
    def _typed(_context: Any) -> Any:
        def kinds(*arguments: Any) -> Any:
            known = [PAIR if isinstance(x, types.BaseTuple) else types.float64 for x in arguments]
            return (types.float64 if function.__name__ in NUMBERS else PAIR)(*known)

        kinds.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return kinds

    @lower_builtin(function, types.VarArg(types.Any))  # type: ignore[no-untyped-call]
    def _instructions(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stand_ins = [
            tuple(_Noted(builder, builder.extract_value(x, k)) for k in (0, 1)) if kind == PAIR else _Noted(builder, x)
            for kind, x in zip(signature.args, arguments, strict=True)
        ]
        found = function(*stand_ins)
        if signature.return_type != PAIR:
            return found.value
        return context.make_tuple(builder, PAIR, list(map(_value_of, found)))

    return function


def _pair_at(array: Any, slots: Any) -> Any:
    """Return a pair that an array holds, at places of loops, which are never counted from the end."""
    return array[(*slots, 0)], array[(*slots, 1)]


def _pair_put(array: Any, slots: Any, value: Any) -> None:
    """Write a pair to such a place."""
    array[(*slots, 0)], array[(*slots, 1)] = value


@type_callable(_pair_at)
def _typed_at(_context: Any) -> Any:
    return lambda array, slots: PAIR(array, slots)


@type_callable(_pair_put)
def _typed_put(_context: Any) -> Any:
    return lambda array, slots, value: types.void(array, slots, PAIR)


def _places(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
    """Return where the two numbers of a pair are: from the fields of the array alone, without a copy of it."""
    model = context.data_model_manager[kinds[0]]
    data, shape = (builder.extract_value(arguments[0], model.get_field_position(name)) for name in ("data", "shape"))
    place = context.get_constant(types.intp, 0)
    for k, kind in enumerate(kinds[1].types):
        slot = context.cast(builder, builder.extract_value(arguments[1], k), kind, types.intp)
        place = builder.add(builder.mul(place, builder.extract_value(shape, k)), slot) if k else slot
    first = builder.gep(data, [builder.shl(place, place.type(1))])
    return first, builder.gep(first, [place.type(1)])


@lower_builtin(_pair_at, types.Array, types.BaseTuple)  # type: ignore[no-untyped-call]
def _instructions_at(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    places = _places(context, builder, signature.args, arguments)
    return context.make_tuple(builder, PAIR, [builder.load(place) for place in places])


@lower_builtin(_pair_put, types.Array, types.BaseTuple, types.Any)  # type: ignore[no-untyped-call]
def _instructions_put(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    for k, place in enumerate(_places(context, builder, signature.args, arguments)):
        builder.store(builder.extract_value(arguments[2], k), place)
    return context.get_dummy_value()
