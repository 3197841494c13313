"""The four kinds of node a formula has beyond SymPy's own: access, reduction, named value, flag.

They are opaque to SymPy: it adds and multiplies them and never looks inside, because its own sums over indexed symbols
give wrong results. `symloss.program` takes them apart; `symloss.verification` walks them as they stand.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.symbol import Str

from symloss.language.axes import Index


class _Real(sympy.Expr):
    """A real scalar that SymPy does not open."""

    is_commutative = True

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_derivative(self, _symbol: sympy.Symbol) -> sympy.Expr:
        message = f"{self} must be differentiated statement by statement, not by SymPy"
        raise TypeError(message)


class Access(_Real):
    """One entry of a tensor: ``z[i, k]``, or a gather ``z[i, y[i]]``."""

    def __new__(cls, name: str | Str, *slots: Any) -> Access:
        """Return the entry of tensor `name` at `slots` (indices or label entries)."""
        head = name if isinstance(name, Str) else Str(name)
        node: Access = sympy.Expr.__new__(cls, head, *slots)
        return node

    @property
    def name(self) -> str:
        """The tensor's name."""
        return str(self.args[0].name)

    @property
    def slots(self) -> tuple[sympy.Expr, ...]:
        """What the tensor is indexed by."""
        return tuple(self.args[1:])

    def _sympystr(self, printer: Any) -> str:
        return f"{self.name}[{', '.join(printer._print(s) for s in self.slots)}]" if self.slots else self.name


class LabelAccess(Access):
    """One entry of a label tensor: an integer that points into an axis."""

    def _eval_is_integer(self) -> bool:
        return True


def _primed(index: Index, taken: set[sympy.Basic]) -> Index:
    """Return an index over the same axis whose name is not taken."""
    while index in taken:
        index = Index(f"{index.name}'", index.axis)
    return index


class Reduction(_Real):
    """A reduction of a body over indices, under a mask.

    ``args`` are the operation (``sum``, ``logsumexp``, ``max``, ``min``, ``norm``), the body, the bound indices, the
    mask and the value where the mask lets nothing through.
    """

    def __new__(
        cls, operation: str | Str, body: Any, bound: Any, where: Any = sympy.true, empty: Any = sympy.nan
    ) -> Reduction:
        """Return the reduction as a node."""
        head = operation if isinstance(operation, Str) else Str(operation)
        node: Reduction = sympy.Expr.__new__(
            cls, head, sympy.sympify(body), sympy.Tuple(*bound), sympy.sympify(where), sympy.sympify(empty)
        )
        return node

    @property
    def operation(self) -> str:
        """The name of the operation."""
        return str(self.args[0].name)

    @property
    def body(self) -> sympy.Expr:
        """The expression under the reduction."""
        return self.args[1]

    @property
    def bound(self) -> tuple[Index, ...]:
        """The indices reduced over."""
        return tuple(self.args[2])

    @property
    def where(self) -> sympy.Basic:
        """The mask."""
        return self.args[3]

    @property
    def empty(self) -> sympy.Expr:
        """The value where the mask lets nothing through."""
        return self.args[4]

    def _xreplace(self, rule: dict[sympy.Basic, sympy.Basic]) -> tuple[sympy.Basic, bool]:
        """Replace below, but never a bound index, and never so that an index is captured."""
        inner = {old: new for old, new in rule.items() if old not in self.bound}
        incoming = set().union(*(new.free_symbols for new in inner.values())) if inner else set()
        fresh = {k: _primed(k, incoming | self.body.free_symbols) for k in self.bound if k in incoming}
        body, where = self.body.xreplace(fresh).xreplace(inner), self.where.xreplace(fresh).xreplace(inner)
        empty = self.empty.xreplace(inner)
        result = Reduction(self.args[0], body, [fresh.get(k, k) for k in self.bound], where, empty)
        return rule.get(self, result), self in rule or result != self

    @property
    def free_symbols(self) -> set[sympy.Basic]:
        """The symbols of the body and mask that the reduction does not bind."""
        found: set[sympy.Basic] = (self.body.free_symbols | self.where.free_symbols) - set(self.bound)
        return found

    def _sympystr(self, printer: Any) -> str:
        over = ", ".join(printer._print(k) for k in self.bound)
        mask = "" if self.where is sympy.true else f", where={printer._print(self.where)}"
        return f"{self.operation}({printer._print(self.body)}, over={over}{mask})"


class Let(_Real):
    """A value with a name, as a paper would introduce it: ``args`` are name, formal indices, body, actual slots."""

    def __new__(cls, name: str | Str, formals: Any, body: Any, actuals: Any) -> Let:
        """Return the named value at the slots `actuals`."""
        head = name if isinstance(name, Str) else Str(name)
        node: Let = sympy.Expr.__new__(cls, head, sympy.Tuple(*formals), sympy.sympify(body), sympy.Tuple(*actuals))
        return node

    @property
    def name(self) -> str:
        """The name the author gave."""
        return str(self.args[0].name)

    @property
    def formals(self) -> tuple[Index, ...]:
        """The indices the body is written in."""
        return tuple(self.args[1])

    @property
    def body(self) -> sympy.Expr:
        """The expression the name stands for."""
        return self.args[2]

    @property
    def actuals(self) -> tuple[sympy.Expr, ...]:
        """The slots at which the named value is read."""
        return tuple(self.args[3])

    @property
    def inlined(self) -> sympy.Expr:
        """The body at the actual slots."""
        return self.body.xreplace(dict(zip(self.formals, self.actuals, strict=True)))

    def _xreplace(self, rule: dict[sympy.Basic, sympy.Basic]) -> tuple[sympy.Basic, bool]:
        """Replace in the slots; the body is closed under its formal indices."""
        body = self.body.xreplace({old: new for old, new in rule.items() if not isinstance(old, Index)})
        result = Let(self.args[0], self.formals, body, tuple(a.xreplace(rule) for a in self.actuals))
        return rule.get(self, result), self in rule or result != self

    @property
    def free_symbols(self) -> set[sympy.Basic]:
        """The symbols of the body that are not formal indices, and those of the slots."""
        rest = set().union(*(a.free_symbols for a in self.actuals)) if self.actuals else set()
        found: set[sympy.Basic] = (self.body.free_symbols - set(self.formals)) | rest
        return found

    def _sympystr(self, _printer: Any) -> str:
        return self.name


class Flag(sympy.Symbol):
    """A condition fixed for a whole call: an option, or whether an optional parameter was given."""

    def __new__(cls, name: str) -> Flag:
        """Return the flag called `name`."""
        symbol: Flag = sympy.Symbol.__xnew__(cls, name)
        return symbol


def given_flag(parameter: str) -> Flag:
    """Return the flag that says whether the optional parameter was given."""
    return Flag(f"{parameter}_given")
