"""The kernels of a loss: which outputs each computes, with which arguments, lowered to loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import sympy
from sympy.functions.elementary.piecewise import ExprCondPair

from symloss.language.atoms import sigmoid, softplus
from symloss.language.axes import Axis, Index
from symloss.language.declarations import Argument
from symloss.language.definition import Definition, positive_parameters
from symloss.language.domains import is_bounded
from symloss.language.naming import RESERVED
from symloss.language.nodes import Access, Flag, given_flag
from symloss.lowering.across import across
from symloss.lowering.ahead import fetched_ahead
from symloss.lowering.bounds import inside, is_float32
from symloss.lowering.chunks import by_chunks, in_lanes
from symloss.lowering.conditions import written_out
from symloss.lowering.contraction import contract
from symloss.lowering.items import Item
from symloss.lowering.kinks import with_clipping, without_steps
from symloss.lowering.lanes import by_lanes
from symloss.lowering.leave_one_out import leave_one_out
from symloss.lowering.logarithms import with_finite_logs
from symloss.lowering.mirrors import are_mirrors, with_mirrors
from symloss.lowering.nodes import Kernel
from symloss.lowering.orientation import orient
from symloss.lowering.phases import in_phases
from symloss.lowering.places import inline_gathers, needed, reads_at_labels, reads_at_places, with_tables, without_cases
from symloss.lowering.reductions import lower_reductions
from symloss.lowering.rows import by_rows
from symloss.lowering.scalars import name_scalars
from symloss.lowering.schedule import schedule
from symloss.lowering.squares import USUAL
from symloss.lowering.unordered import without_nan_cases
from symloss.program.statement import Program, accesses

WEIGHTED = Flag("weighted")


@dataclass(frozen=True)
class Plan:
    """What one kernel is for.

    Parameters
    ----------
    name, summary : str
        Its name and what it computes.
    outputs : tuple of str
        Program outputs, and where each is written.
    value, derivative : bool
        Whether it returns the total, and whether it takes a scale.
    directions : bool
        Whether it takes directions; `parameters` tells whether for parameters too.
    parameters : bool
        Whether derivatives in parameters are among the outputs.
    """

    name: str
    summary: str
    outputs: tuple[str, ...]
    value: bool = False
    derivative: bool = True
    directions: bool = False
    parameters: bool = False


def plans(definition: Definition) -> tuple[Plan, ...]:
    """Return the kernels a definition gets."""
    inputs = [a.name for a in definition.differentiable]
    parameters = [a.name for a in definition.continuous]

    def named(kind: str, names: list[str]) -> tuple[str, ...]:
        return tuple(f"{kind}_{name}" for name in names)

    gradients, hessians, products = (named(k, inputs) for k in ("gradient", "hessian", "product"))
    found = [
        Plan("value", "the weighted total, and the value of each sample", ("value",), value=True, derivative=False),
        Plan("gradient", "the gradient", gradients),
        Plan("value_and_gradient", "value and gradient in one pass", ("value", *gradients), value=True),
        Plan("hessian_diagonal", "the exact diagonal of the Hessian", hessians),
        Plan("gradient_and_hessian", "gradient and Hessian diagonal in one pass", gradients + hessians),
        Plan("hessian_product", "the Hessian times a direction", products, directions=True),
    ]
    if parameters:
        both = named("gradient", parameters) + named("hessian", parameters)
        summary = "gradient and Hessian diagonal in the parameters, added to what is there"
        found.append(Plan("parameter_gradient_and_hessian", summary, both, parameters=True))
        summary = "the Hessian in inputs and parameters times a direction; parameter entries are added to"
        everything = products + named("product", parameters)
        found.append(Plan("full_hessian_product", summary, everything, directions=True, parameters=True))
    return tuple(plan for plan in found if plan.name not in _spared(definition))


def _spared(definition: Definition) -> frozenset[str]:
    """Return the kernels a loss goes without: the larger a kernel, the more its compilation costs beside its calls.

    Gradient and Hessian of a row come with what the kernel for both computes anyway; where rows interact, so does the
    product in the inputs with the one in inputs and parameters.
    """
    if definition.elementwise:
        return frozenset()
    merged = {"gradient", "hessian_diagonal"}
    if definition.continuous and not definition.separable:
        merged.add("hessian_product")
    return frozenset(merged)


def lower(definition: Definition, program: Program, *, wide: bool = False, narrow: bool = False) -> tuple[Kernel, ...]:
    """Return the kernels of a definition.

    Parameters
    ----------
    definition : Definition
        For names, axes and parameters.
    program : Program
        With the outputs value, gradient, hessian and product, stabilised.
    wide : bool
        Matrices are float64, whatever the inputs are: a product of rounded numbers is one of rounded numbers only.
    narrow : bool
        The arithmetic is float32: a function and its mirror image are put together where that takes fewer operations.
        Norms of rows take squares in float64, but for short rows.
    """
    usual = orient(lower_reductions(program), definition.per, definition.arguments)
    stable = usual
    if narrow and definition.separable:
        stable = orient(lower_reductions(program, narrow=True), definition.per, definition.arguments)
    every = {f"{kind}_{a.name}" for kind in ("gradient", "hessian") for a in definition.differentiable} | {"value"}
    bodies = [o.expression for o in stable.outputs if o.name in every]
    mirrored = narrow and definition.elementwise and are_mirrors(bodies)
    found = [_kernel(definition, stable, plan, wide=wide, mirrored=mirrored) for plan in plans(definition)]
    kernels = [k for k in found if k is not None]
    kernels += [part for k in kernels if k.name in FORMED for part in in_phases(k, definition)]
    kernels += _few(definition, usual, wide=wide)
    if definition.where is not sympy.true:
        kernels.append(_count(definition))
    bounded = [a for a in definition.inputs if a.kind == "real" and is_bounded(a.domain)]
    if definition.elementwise and bounded:
        kernels.append(_outside(definition, bounded))
    return tuple(kernels)


def _few(definition: Definition, program: Program, *, wide: bool) -> list[Kernel]:
    """Return the kernels for short rows: all that give a value or a gradient, so that they round alike, or none."""
    if definition.elementwise or not definition.separable or len(definition.per) != 1:
        return []
    chosen = [p for p in plans(definition) if p.name in FORMED]
    found = [_kernel(definition, program, plan, few=True, wide=wide) for plan in chosen]
    return [k for k in found if k is not None] if all(found) else []


def _kernel(
    definition: Definition, program: Program, plan: Plan, *, few: bool = False, wide: bool, mirrored: bool = False
) -> Kernel | None:
    """Return a kernel, or its form for short rows, where there is one."""
    part = program.keep(*plan.outputs)
    (per, *_) = definition.per
    without = {sympy.Symbol(f"direction_{a.name}", real=True): sympy.S.Zero for a in definition.continuous}
    simplify = {} if plan.parameters else without
    slots = {a.name: number for number, a in enumerate(definition.continuous)}
    vector = {
        sympy.Symbol(f"direction_{n}", real=True): Access("direction_parameters", sympy.Integer(k))
        for n, k in slots.items()
    }
    items = _seeds(definition, plan)
    positive = positive_parameters(definition) if definition.elementwise else frozenset()

    def written(body: sympy.Expr) -> sympy.Expr:
        body = body.xreplace(simplify).xreplace(vector)
        expanded = written_out(with_mirrors(body) if mirrored else body)
        return with_clipping(without_steps(with_finite_logs(expanded)), positive)

    for statement in part.statements:
        items.append(
            Item(statement.name, statement.op, statement.free, statement.bound, written(statement.body),
                 written_out(statement.where), comment=plain(statement.body), scales=statement.scales)
        )  # fmt: skip
    for output in part.outputs:
        body = written(output.expression)
        kind, _, target = output.name.partition("_")
        if output.name == "value":
            items.append(Item("loss", "let", output.free, (), body))
            weighed = Access("loss", *output.free) * Access("sample_weight", *output.free)
            items.append(Item("total", "sum", (), output.free, weighed))
            items.append(Item("value_out", "store", output.free, (), weighed, guard="wanted"))
        elif target in slots:
            array = f"parameter_{kind}"
            items.append(Item(array, "store", (), (), body, guard="add", entry=slots[target]))
        else:
            items.append(Item(output.name, "store", output.free, (), body))
    items = with_tables(inline_gathers(without_cases(needed(items))))
    items = contract(_with_outer_parts(items, definition.per), _big(definition, items), wide=wide)
    nodes = schedule(tuple(items), definition.where, per, wide=wide)
    naming = _naming(definition, program, plan, items)
    named = name_scalars(nodes, *naming, apart=definition.elementwise)
    if few:
        beside = by_lanes(named, naming[3], naming[-1])
        if beside is None:
            return None
        kernel = Kernel(plan.name + SHORT, (), by_rows(beside, naming[-1]), "", f"{plan.summary}, for short rows")
    else:
        if definition.elementwise:
            squared = frozenset(a.name for a in definition.parameters if a.default == USUAL)
            named = without_nan_cases(by_chunks(named, naming[-1], squared))
        else:
            named = by_rows(across(leave_one_out(named, naming[-1]), naming[-1]), naming[-1])
            if per is not None:
                named = fetched_ahead(named, frozenset(a.name for a in definition.inputs if a.kind == "real"), per)
        kernel = Kernel(plan.name, (), named, "", plan.summary)
    return replace(kernel, arguments=arguments(definition, plan), returns="total" if plan.value else "")


FORMED = ("value", "value_and_gradient", "gradient_and_hessian")
"""The kernels that may have further forms: for short rows, or in two phases."""
SHORT = "_few"
"""How the names of the forms for short rows end."""


def _seeds(definition: Definition, plan: Plan) -> list[Item]:
    per = definition.per
    weight = sympy.Piecewise((Access("sample_weights", *per), WEIGHTED), (sympy.S.One, True))
    items = [Item("sample_weight", "let", per, (), weight)]
    if plan.derivative:
        body = sympy.Symbol("loss_scale", real=True) * Access("sample_weight", *per)
        items.append(Item("seed", "let", per, (), body))
    return items


def _big(definition: Definition, items: list[Item]) -> frozenset[str]:
    """Return the tensors that are larger than any argument: they are never stored whole."""
    shapes = [Counter(a.axes or definition_axes(definition)) for a in definition.arguments]
    shapes.append(Counter(k.axis for k in definition.per))
    own = {item.name: Counter(k.axis for k in item.free) for item in items if item.op != "store"}
    return frozenset(name for name, axes in own.items() if not any(axes <= shape for shape in shapes))


def definition_axes(definition: Definition) -> tuple[Axis, ...]:
    """Return the axes of an input that has one number per element."""
    return tuple(k.axis for k in definition.per) if definition.elementwise else ()


OUTER_PART = 8
"""Operations from which a part that a middle loop does not change is computed before that loop."""


def _with_outer_parts(items: list[Item], per: tuple[Index, ...]) -> list[Item]:
    """Compute a part of an expression once for all values of an index it lacks, where further loops are inside."""
    found: list[Item] = []
    for item in items:
        parts: dict[sympy.Expr, Access] = {}
        body = item.body
        if item.op in ("let", "store"):
            body = _outer_parts(item.body, item, parts)
        elif item.op == "sum" and (slots := _slots_of_terms(item)):
            body = parts[item.body] = Access(f"{item.name}_term", *slots)
        elif item.op == "sum" and reads_at_places(item, per):
            first, *inner = item.free  # what is added up is in the middle loop
            body = _outer_parts(item.body, replace(item, free=(first, *item.bound, *inner)), parts)
        found += [Item(access.name, "let", access.slots, (), part) for part, access in parts.items()]
        found.append(replace(item, body=body))
    return found


def _slots_of_terms(item: Item) -> tuple[Index, ...]:
    """Return the indices of what a sum adds up, where all its entries add up the same numbers but for a few left out.

    In the place of an index that the terms lack is the one that runs over them, so that they are stored like the sums.
    """
    lacking = [k for k in item.free if k not in item.body.free_symbols]
    if not lacking or sympy.count_ops(item.body) < OUTER_PART:
        return ()
    over = {k: b for k in lacking for b in item.bound if b.axis == k.axis}
    slots = tuple(over.get(k, k) for k in item.free)
    plain = over.keys() == set(lacking) and len(set(slots)) == len(slots) and set(item.bound) <= set(slots)
    return slots if plain else ()


def _outer_parts(node: sympy.Basic, item: Item, parts: dict[sympy.Expr, Access]) -> sympy.Basic:
    """Return a node with such parts read from items of their own, which are added to `parts`."""

    def is_outer(part: sympy.Expr) -> bool:
        free = tuple(k for k in item.free if k in part.free_symbols)
        inside = bool(free) and item.free[: len(free)] != free
        return inside and (sympy.count_ops(part) >= OUTER_PART or (bool(part.args) and reads_at_labels(part)))

    def named(part: sympy.Expr) -> Access:
        free = (k for k in item.free if k in part.free_symbols)
        return parts.setdefault(part, Access(f"{item.name}_part_{len(parts) + 1}", *free))

    if isinstance(node, Access) or not node.args or not isinstance(node, sympy.Expr | ExprCondPair):
        return node
    if isinstance(node, sympy.Expr) and is_outer(node):
        return named(node)
    if isinstance(node, sympy.Mul):
        for index in item.free:
            without = sympy.Mul(*(f for f in node.args if index not in f.free_symbols))
            if without != node and is_outer(without):
                rest = sympy.Mul(*(f for f in node.args if index in f.free_symbols))
                return named(without) * _outer_parts(rest, item, parts)
    return node.func(*(_outer_parts(a, item, parts) for a in node.args))


def _naming(
    definition: Definition, program: Program, plan: Plan, items: list[Item]
) -> tuple[Mapping[sympy.Basic, str], Mapping[sympy.Basic, str], Mapping[str, str], frozenset[str], set[str]]:
    hints: dict[sympy.Basic, str] = {}
    comments: dict[sympy.Basic, str] = {}
    for expression, name in program.names:
        expanded = written_out(expression)
        if not expanded.is_Atom:
            hints.setdefault(expanded, name)
            comments.setdefault(expanded, plain(expression))
    for atom in _atoms(program):
        expanded = written_out(atom)
        if expanded not in hints and not expanded.is_Atom:
            mirrored = atom.args[0].could_extract_minus_sign()
            hints[expanded] = f"{type(atom).__name__}_{'minus' if mirrored else 'plus'}"
            comments[expanded] = plain(atom)
    symbols = {a.name: _identifier(a.symbol) or a.name for a in definition.arguments}
    symbols |= {f"direction_{a.name}": f"v_{_identifier(a.symbol) or a.name}" for a in definition.differentiable}
    arrays = frozenset(
        [a.name for a in definition.arguments if a.axes or a.role == "input"]
        + [f"direction_{a.name}" for a in definition.differentiable]
    )
    taken = {item.name for item in items} | set(arguments(definition, plan)) | RESERVED
    taken |= {k.name for item in items for k in item.free + item.bound if isinstance(k, Index)}
    taken |= {axis.name for a in definition.arguments for axis in (*a.axes, *definition_axes(definition))}
    return hints, comments, symbols, arrays, taken


def _atoms(program: Program) -> list[sympy.Basic]:
    """Return the atoms in a program, in a fixed order."""
    parts = [s.body for s in program.statements] + [o.expression for o in program.outputs]
    return sorted(set().union(*(p.atoms(sigmoid, softplus) for p in parts)), key=sympy.default_sort_key)


def _identifier(symbol: str) -> str:
    return symbol if symbol.isidentifier() and symbol.isascii() else ""


def plain(expression: sympy.Basic) -> str:
    """Return an expression as one line of text for a comment, without the slots a reader takes for granted."""
    short = {a: sympy.Symbol(a.name) for a in accesses(expression)}
    return str(expression.xreplace(short))


def arguments(definition: Definition, plan: Plan) -> tuple[str, ...]:
    """Return the arguments of a kernel, in order."""
    names = [a.name for a in definition.inputs]
    for a in definition.parameters:
        if a.kind == "switch":
            continue
        names.append(a.name)
        if a.optional and not a.axes:
            names.append(given_flag(a.name).name)
    names.append("sample_weights")
    if plan.derivative:
        names.append("loss_scale")
    inputs = [a.name for a in definition.differentiable]
    if plan.directions:
        names += [f"direction_{name}" for name in inputs]
        if plan.parameters:
            names.append("direction_parameters")
    if plan.value:
        names.append("value_out")
    kinds = dict.fromkeys(o.partition("_")[0] for o in plan.outputs if o != "value")
    for kind in kinds:
        names += [f"{kind}_{name}" for name in inputs if f"{kind}_{name}" in plan.outputs]
        if plan.parameters:
            names.append(f"parameter_{kind}")
    return tuple(names)


def _count(definition: Definition) -> Kernel:
    """Return the kernel that adds the weights of the samples that count."""
    plan = Plan("count", "the sum of the weights of the samples that count", (), derivative=False)
    per = definition.per
    items = _seeds(definition, plan)
    items.append(Item("total", "sum", (), per, Access("sample_weight", *per)))
    nodes = schedule(tuple(items), definition.where, per[0])
    program = Program((), ())
    named = name_scalars(nodes, *_naming(definition, program, plan, items))
    return Kernel("count", arguments(definition, plan), named, "total", plan.summary)


def _outside(definition: Definition, bounded: list[Argument]) -> Kernel:
    """Return the kernel that counts the elements of which an input is outside its domain, or NaN."""
    per = definition.per
    within = sympy.And(*(inside(Access(a.name, *per), a.domain) for a in bounded))
    items = [Item("total", "sum", (), per, sympy.Piecewise((sympy.S.Zero, within), (sympy.S.One, True)))]
    plan = Plan("outside", "how many elements have an input outside its domain, or NaN", (), derivative=False)
    naming = _naming(definition, Program((), ()), plan, items)
    nodes = in_lanes(name_scalars(schedule(tuple(items), sympy.true, per[0]), *naming))
    comparing = all(is_float32(float(end)) for end in within.atoms(sympy.Number))
    return Kernel(plan.name, tuple(a.name for a in definition.inputs), nodes, "total", plan.summary, comparing)
