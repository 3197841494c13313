"""The decorator that turns a function into a definition, and the checks a definition must pass."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy

from symloss.language.axes import ELEMENT, Axis, Index
from symloss.language.claims import Claim, Convention
from symloss.language.declarations import GENERAL, Argument, symbolic
from symloss.language.domains import Interval
from symloss.language.errors import DefinitionError, display_path
from symloss.language.naming import unusable
from symloss.language.nodes import Access, Flag, Let, given_flag
from symloss.language.references import Reference


@dataclass(frozen=True)
class Samples:
    """A per-sample formula together with the condition under which a sample counts."""

    formula: sympy.Expr
    where: sympy.Basic


def counted(formula: Any, where: Any) -> Any:
    """Return the formula with the condition under which a sample counts: others are left out of value and mean."""
    return Samples(sympy.sympify(formula), sympy.sympify(where))


@dataclass(frozen=True)
class Definition:
    """A loss, written once.

    Parameters
    ----------
    name, title, family : str
        What it is called and where it belongs.
    summary, description : str
        The first line of the docstring, and the rest.
    per : tuple of Index
        The indices of one sample.
    inputs, parameters : tuple of Argument
        The arguments, in order.
    formula : sympy.Expr
        The loss of one sample, as the author wrote it.
    where : sympy boolean
        The condition under which a sample counts.
    references, claims, conventions, aliases : tuple
        What the documentation prints and the ladder checks.
    file, line, source : str, int, str
        Where it stands.
    choice : tuple of (str, object) pairs
        The alternative of each switch, optional input and parameter with special values that `formula` is written for.
    variants : tuple of Definition
        The same loss written for every other combination of alternatives.
    """

    name: str
    title: str
    family: str
    summary: str
    description: str
    per: tuple[Index, ...]
    inputs: tuple[Argument, ...]
    parameters: tuple[Argument, ...]
    formula: sympy.Expr
    where: sympy.Basic
    references: tuple[Reference, ...]
    claims: tuple[Claim, ...]
    conventions: tuple[Convention, ...]
    aliases: tuple[str, ...]
    file: str
    line: int
    source: str
    choice: tuple[tuple[str, Any], ...] = ()
    variants: tuple[Definition, ...] = ()

    @property
    def elementwise(self) -> bool:
        """Whether every input has one number per element."""
        return self.per == (ELEMENT,)

    @property
    def separable(self) -> bool:
        """Whether rows do not interact: every input starts with the sample's axis and is read at the sample alone."""
        if self.elementwise:
            return True
        own = self.per[0]
        starts = all(a.axes[:1] == (own.axis,) and own.axis not in a.axes[1:] for a in self.inputs)
        inputs = {a.name for a in self.inputs}
        return starts and all(a.slots[0] == own for a in _reads(self.formula) if a.name in inputs)

    @property
    def suffix(self) -> str:
        """What tells the kernels of this variant from those of the default one."""
        usual = {a.name: a.alternatives[0] for a in self.parameters if a.alternatives}
        parts = (f"_{name}_{value}".lower() for name, value in self.choice if value != usual.get(name, False))
        return re.sub(r"\W", "_", "".join(parts))

    def chosen(self, settings: Mapping[str, Any], inputs: Collection[str] = ()) -> Definition:
        """Return the variant for a call.

        Parameters
        ----------
        settings : mapping of str to object
            Parameters as a caller passes them.
        inputs : collection of str
            The optional inputs that are there.
        """
        wanted = {name: _alternative(name, self, settings, inputs) for name, _ in self.choice}
        return next((v for v in self.variants if dict(v.choice) == wanted), self)

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """Inputs, then parameters."""
        return self.inputs + self.parameters

    @property
    def differentiable(self) -> tuple[Argument, ...]:
        """The inputs that have derivatives."""
        return tuple(a for a in self.inputs if a.differentiable)

    @property
    def continuous(self) -> tuple[Argument, ...]:
        """The parameters that have derivatives."""
        return tuple(a for a in self.parameters if a.differentiable)


def positive_parameters(definition: Definition) -> frozenset[str]:
    """Return the parameters that are above 0."""
    domains = {a.name: a.domain for a in definition.parameters if a.kind == "real" and not a.axes}
    return frozenset(n for n, d in domains.items() if isinstance(d, Interval) and (d.low, d.low_open) >= (0, True))


def _reads(node: sympy.Basic) -> Iterator[Access]:
    """Yield every read in a formula, named values written out."""
    if isinstance(node, Let):
        yield from _reads(node.inlined)
        return
    if isinstance(node, Access):
        yield node
    for argument in node.args:
        yield from _reads(argument)


def loss(
    *,
    title: str,
    family: str,
    references: tuple[Reference, ...],
    per: Index | tuple[Index, ...] = ELEMENT,
    claims: tuple[Claim, ...] = (),
    conventions: tuple[Convention, ...] = (),
    aliases: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Definition]:
    """Make a definition of a function whose arguments' defaults are declarations and whose result is the formula.

    Parameters
    ----------
    title : str
        The name in headings.
    family : str
        Such as ``"classification"`` or ``"regression"``.
    references : tuple of Reference
        At least one source.
    per : Index or tuple of Index
        What one sample is; an element where every input is a scalar.
    claims, conventions, aliases : tuple
        What is said about the loss, where libraries differ, and other names it goes by.

    Raises
    ------
    DefinitionError
        With the file, the line and the cause, where the definition does not make sense.
    """
    indices = per if isinstance(per, tuple) else (per,)

    def define(function: Callable[..., Any]) -> Definition:
        file, line = display_path(function.__code__.co_filename), function.__code__.co_firstlineno
        name = function.__name__
        if not references:
            raise DefinitionError(file, line, f"{name}: a definition must cite its source (references=...)")
        if not (function.__doc__ or "").strip():
            raise DefinitionError(file, line, f"{name}: a definition needs a docstring; its first line is the summary")
        arguments = _arguments(function, file, line)
        summary, _, description = inspect.cleandoc(function.__doc__ or "").partition("\n\n")

        def written(choice: dict[str, Any]) -> Definition:
            result = _call(function, arguments, indices, file, line, choice)
            samples = result if isinstance(result, Samples) else Samples(sympy.sympify(result), sympy.true)
            if not isinstance(samples.formula, sympy.Expr):
                raise DefinitionError(file, line, f"{name}: expected a formula to be returned, got {samples.formula}")
            samples = Samples(_exact(samples.formula), _exact(samples.where))
            _check(name, samples, arguments, indices, file, line)
            inputs = tuple(a for a in arguments if a.role == "input" and choice.get(a.name, True))
            return Definition(
                name, title, family, " ".join(summary.split()), description.strip(), indices,
                inputs, tuple(a for a in arguments if a.role == "parameter"),
                samples.formula, samples.where, references, claims, conventions, aliases,
                file, line, inspect.getsource(function), tuple(choice.items()),
            )  # fmt: skip

        open_names = [a.name for a in arguments if a.alternatives]
        usual, *others = itertools.product(*(a.alternatives for a in arguments if a.alternatives))
        variants = tuple(written(dict(zip(open_names, values, strict=True))) for values in others)
        return replace(written(dict(zip(open_names, usual, strict=True))), variants=variants)

    return define


def _alternative(name: str, definition: Definition, settings: Mapping[str, Any], inputs: Collection[str]) -> Any:
    """Return the alternative of one argument that a call asks for."""
    parameter = next((a for a in definition.parameters if a.name == name), None)
    if parameter is None:
        return name in inputs
    value = settings.get(name, parameter.default)
    if parameter.kind == "switch":
        return value
    return value if value in parameter.choices else GENERAL


def _arguments(function: Callable[..., Any], file: str, line: int) -> tuple[Argument, ...]:
    """Read the declarations off the function's signature."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        declared = parameter.default
        if not isinstance(declared, Argument):
            cause = f"{function.__name__}: the argument {parameter.name} needs a declaration such as prediction(...)"
            raise DefinitionError(file, line, cause)
        keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if keyword != (declared.role == "parameter"):
            cause = f"{function.__name__}: inputs are positional and parameters keywords, {parameter.name} is neither"
            raise DefinitionError(file, line, cause)
        found.append(replace(declared, name=parameter.name))
    return tuple(found)


def _call(
    function: Callable[..., Any], arguments: tuple[Argument, ...], per: tuple[Index, ...], file: str, line: int,
    choice: Mapping[str, Any],
) -> Any:  # fmt: skip
    """Evaluate the function on symbols; an unknown name is the author's error and is reported as such."""
    values = {a.name: symbolic(a, per, choice.get(a.name, GENERAL)) for a in arguments}
    positional = [values.pop(a.name) for a in arguments if a.role == "input"]
    try:
        return function(*positional, **values)
    except NameError as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = trace.tb_lineno if trace is not None else line
        raise DefinitionError(file, at, f"{function.__name__}: unknown symbol: {error}") from error


def _exact(node: sympy.Basic) -> Any:
    """Return an expression with decimals as the fractions that they say, to 17 digits: 0.1 in a formula is a tenth."""
    return node.xreplace({x: sympy.Rational(repr(float(x))) for x in node.atoms(sympy.Float)})


def _check(
    name: str, samples: Samples, arguments: tuple[Argument, ...], per: tuple[Index, ...], file: str, line: int
) -> None:
    """Fail on names that are taken, free indices and unknown symbols."""
    for cause in unusable(arguments, per, samples.formula, samples.where):
        raise DefinitionError(file, line, f"{name}: {cause}")
    free = samples.formula.free_symbols | samples.where.free_symbols
    for index in sorted((s for s in free if isinstance(s, Index)), key=str):
        if index not in per:
            expected = ", ".join(map(str, per))
            raise DefinitionError(file, line, f"{name}: the index {index} is free; a sample has only {expected}")
    known: set[sympy.Basic] = {given_flag(a.name) for a in arguments if a.optional}
    known |= {sympy.Symbol(a.name, real=True) for a in arguments if a.role == "parameter"}
    known |= {sympy.Symbol(a.name, integer=True) for a in arguments if a.kind == "integer"}
    known |= {Flag(a.name) for a in arguments if a.kind == "flag"}
    known |= {axis.size for axis in axes_of(arguments)}
    for symbol in sorted((s for s in free if not isinstance(s, Index)), key=str):
        if symbol not in known:
            raise DefinitionError(file, line, f"{name}: unknown symbol {symbol}; declare it as an argument")


def axes_of(arguments: tuple[Argument, ...]) -> tuple[Axis, ...]:
    """Return the axes of the arguments in order of appearance."""
    found: dict[str, Axis] = {}
    for argument in arguments:
        for axis in argument.axes:
            found.setdefault(axis.name, axis)
    return tuple(found.values())


def lets_of(definition: Definition) -> tuple[Let, ...]:
    """Return the named values of a definition at their formal slots, each once, those that others use first."""
    found: dict[str, Let] = {}

    def walk(node: sympy.Basic) -> Iterator[None]:
        for argument in node.args:
            if isinstance(argument, sympy.Basic):
                yield from walk(argument)
        if isinstance(node, Let):
            found.setdefault(node.name, Let(node.name, node.formals, node.body, node.formals))

    list(walk(definition.formula))
    return tuple(found.values())
