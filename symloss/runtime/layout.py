"""Layout: where CPython and NumPy keep what an entry reads, and the addresses of what it calls.

Nothing here is taken on trust: what is read at the offsets below is compared with what Python says of real objects, and
an interpreter in which that differs has no entries.
"""

from __future__ import annotations

import ctypes
import math
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache

import numpy as np

TYPE = 8
"""Bytes from the start of an object to its type."""
TUPLE_SIZE, TUPLE_ITEMS = 16, 24
DICT_SIZE = 16
ARRAY_DATA, ARRAY_AXES, ARRAY_SHAPE, ARRAY_DTYPE, ARRAY_FLAGS = 16, 24, 32, 56, 64

_EMPTY, _SCALAR = 184, 60
"""Places of ``PyArray_Empty`` and ``PyArray_Scalar`` in NumPy's table of functions, part of its binary interface."""

_PYTHON = (
    "Py_IncRef", "Py_DecRef", "PyTuple_New", "PyTuple_SetItem", "PyFloat_AsDouble", "PyEval_SaveThread",
    "PyEval_RestoreThread",
)  # fmt: skip


@cache
def addresses() -> Mapping[str, int] | None:
    """Return what entries call, or None where objects are not laid out as entries read them."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED") or sys.maxsize < 2**62:
        return None
    if not _as_expected():
        return None
    found = {name: _address(getattr(ctypes.pythonapi, name)) for name in _PYTHON}
    capsule = getattr(sys.modules.get("numpy._core._multiarray_umath"), "_ARRAY_API", None)
    if capsule is None:
        return None
    take = ctypes.pythonapi["PyCapsule_GetPointer"]
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(take(capsule, None), ctypes.POINTER(ctypes.c_void_p))
    functions = {"PyArray_Empty": table[_EMPTY], "PyArray_Scalar": table[_SCALAR]}
    if not all(functions.values()):
        return None
    return found | {name: int(at) for name, at in functions.items() if at}


def _address(function: ctypes._NamedFuncPointer) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def _as_expected() -> bool:
    """Tell whether arrays, tuples and dictionaries hold what they should where entries look for it."""
    if np.ndarray.__basicsize__ <= ARRAY_FLAGS or tuple.__basicsize__ != TUPLE_ITEMS:
        return False
    for x in (np.empty(5, np.float32), np.empty(7), np.empty(9)[2:], np.empty((3, 4)), np.arange(6.0)[::2]):
        pair = (x, None, math.pi)
        looked = (
            (_pointer(x, TYPE), id(type(x))),
            (_pointer(x, ARRAY_DATA), x.ctypes.data),
            (_number(x, ARRAY_AXES), x.ndim),
            (ctypes.c_int64.from_address(_pointer(x, ARRAY_SHAPE)).value, x.shape[0]),
            (_pointer(x, ARRAY_DTYPE), id(x.dtype)),
            (_number(x, ARRAY_FLAGS), x.flags.num),
            (_pointer(pair, TYPE), id(tuple)),
            (_pointer(pair, TUPLE_SIZE), len(pair)),
            (_pointer({}, DICT_SIZE), 0),
            (_pointer({"x": x, "y": None}, DICT_SIZE), 2),
            *((_pointer(pair, TUPLE_ITEMS + 8 * k), id(item)) for k, item in enumerate(pair)),
        )
        if any(found != expected for found, expected in looked):
            return False
    return True


def _pointer(x: object, offset: int) -> int:
    return int(ctypes.c_uint64.from_address(id(x) + offset).value)


def _number(x: object, offset: int) -> int:
    return int(ctypes.c_int32.from_address(id(x) + offset).value)
