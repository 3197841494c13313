"""Entries: machine code that looks at the arguments of a quick call, runs its kernel and makes its results.

At a thousand elements a cheap kernel takes less time than Python takes to look at three arrays. An entry is a built-in
function made when the program runs, with Numba's compiler and calling convention: it takes the commonest arrays, and
returns None, having done nothing, for everything else, which Python then looks at. It computes no number of its own.
"""

from __future__ import annotations

import ctypes
from itertools import count
from types import BuiltinFunctionType

import llvmlite.binding as llvm
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from symloss.runtime.entry_code import Request, Writer
from symloss.runtime.entry_objects import symbol_of
from symloss.runtime.layout import addresses
from symloss.runtime.quick import Entry

_FAST_CALL = 0x80
_NUMBERS = count()


class _Method(ctypes.Structure):
    """A ``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p),
    )  # fmt: skip


def make_entry(request: Request, otherwise: Entry) -> Entry | None:
    """Return an entry, or None where it cannot be made: for another interpreter, or for other arguments.

    Parameters
    ----------
    request : Request
        What it is for.
    otherwise : callable
        An entry made before, for arrays of another dtype, which gets the calls that this one does not take.
    """
    known = addresses()
    if known is None or not _fits(request):
        return None
    with global_compiler_lock:
        name = f"symloss_entry_{next(_NUMBERS)}"
        library = cpu_target.target_context.codegen().create_library(name)
        module = library.create_ir_module(name)
        for function, address in known.items():
            llvm.add_symbol(symbol_of(function), address)
        for kernel in filter(None, (request.kernel, request.outside)):
            own = kernel.fndesc.llvm_func_name
            llvm.add_symbol(symbol_of(f"{name}.{own}"), kernel.library.get_pointer_to_function(own))
        Writer(request, module, name, _name_of(otherwise)).write()
        library.add_ir_module(module)
        library.finalize()
        code = library.get_pointer_to_function(name)
        llvm.add_symbol(name, code)
    method = _Method(name.encode(), code, _FAST_CALL, None)
    new = ctypes.pythonapi["PyCFunction_NewEx"]  # an object of its own: its types are nobody else's
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    # what it needs as long as it lives hangs on its own object
    keep = (method, library, request, otherwise)
    made: Entry = new(ctypes.addressof(method), keep, None)
    return made


def _name_of(entry: Entry) -> str | None:
    """Return what machine code knows an entry by."""
    return entry.__name__ if isinstance(entry, BuiltinFunctionType) else None


def _fits(request: Request) -> bool:
    """Tell whether kernels have the arguments that entries pass them."""
    given = request.kernel.fndesc.argtypes
    n, between = request.count, request.count + request.settings
    arrays = (*given[:n], *given[between + len(request.fixed) :])
    kind = types.float32 if request.dtype.itemsize == 4 else types.float64
    return (
        all(isinstance(a, types.Array) and (a.dtype, a.ndim, a.layout) == (kind, 1, "C") for a in arrays)
        and len(arrays) == n + request.wanted
        and given[between : between + len(request.fixed)] == request.fixed
        and all(p in (types.float64, types.boolean) for p in given[n:between])
        and request.kernel.fndesc.restype == (types.float64 if request.valued else types.none)
        and (request.outside is None or request.outside.fndesc.argtypes == given[:n])
    )
