"""Every loss: against the oracle, the interpreter and itself. A new definition joins by existing."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from symloss.calculus.adjoint import gradient
from symloss.calculus.sensitivity import hessian_diagonal
from symloss.calculus.tangent import tangent
from symloss.language.definition import Definition
from symloss.lowering.kernels import definition_axes
from symloss.program.hoisting import hoist
from symloss.program.interpreter import interpret
from symloss.program.statement import Program
from symloss.runtime import threads
from symloss.runtime.loss import Loss
from symloss.stability.stabilise import lift
from symloss.verification.evidence import SEED
from symloss.verification.ladder import accuracy, full_settings, smooth_inputs, taylor, variants
from symloss.verification.sampling import geometric, settings_of


def test_agrees_with_the_oracle(definition: Definition, loss: Loss) -> None:
    rows = accuracy(definition, loss, SEED + 100, 45)
    for row in rows:
        assert row.points > 0
        assert row.nans == 0, row
        assert row.wrong == 0, row
    for row in rows:
        if row.quantity == "value" and not geometric(definition):
            assert row.max_ulp < (0.51 if row.dtype == "float32" else 16), row


def test_taylor_remainder_has_the_right_order(definition: Definition, loss: Loss) -> None:
    check = taylor(definition, loss, SEED)
    assert check.status == "passed", check


def test_variants_agree_bit_for_bit(definition: Definition, loss: Loss) -> None:
    check = variants(definition, loss, SEED, threads.share_always)
    assert check.status == "passed", check


def _derived(definition: Definition) -> Program:
    """Return the derived program before it is stabilised."""
    targets = {a.name: a.axes or definition_axes(definition) for a in definition.differentiable}
    targets |= {a.name: () for a in definition.continuous}
    return tangent(hessian_diagonal(gradient(lift(definition, hoist(definition)).program, targets)), targets)


@pytest.mark.parametrize("number", range(2))
def test_agrees_with_the_interpreted_program(definition: Definition, loss: Loss, number: int) -> None:
    """The derived program before it is stabilised and scheduled, in 40 digits."""
    settings = settings_of(definition)[number % len(settings_of(definition))]
    general = definition.chosen({**settings, **{a.name: None for a in definition.continuous if a.choices}})
    definition = definition.chosen(settings)
    program, in_parameters = _derived(definition), _derived(general)
    rng = np.random.default_rng(3)
    inputs = smooth_inputs(definition, rng) if definition.separable else smooth_inputs(definition, rng, 3, 2)
    scalars = full_settings(definition, settings)
    flags = {f"{a.name}_given": scalars[a.name] is not None for a in definition.parameters if a.optional and not a.axes}
    switches = {a.name for a in definition.parameters if a.kind == "switch"}
    numbers = {n: 0 if v is None else v for n, v in scalars.items() if n not in switches} | flags
    sizes = {
        x.name: extent
        for a in definition.inputs
        for x, extent in zip(a.axes or definition_axes(definition), inputs[a.name].shape, strict=True)
    }
    tensors: dict[str, Any] = {**inputs, "seed": np.ones(tuple(sizes[k.axis.name] for k in definition.per))}
    tensors |= {a.name: np.ones(5) for a in definition.parameters if a.axes}
    directions = {a.name: rng.integers(-8, 9, inputs[a.name].shape) / 4 for a in definition.differentiable}
    tensors |= {f"direction_{n}": d for n, d in directions.items()}
    numbers |= {f"direction_{a.name}": 0 for a in definition.continuous}
    truth = interpret(program.keep(*(o.name for o in program.outputs)), tensors, numbers, sizes)
    if general is not definition:  # derivatives in a parameter with special values are those of the general formula
        continuous = {a.name for a in general.continuous}
        own = [o.name for o in in_parameters.outputs if o.name.partition("_")[2] in continuous]
        truth |= interpret(in_parameters.keep(*own), tensors, numbers, sizes)

    names = tuple(directions)
    options = {"reduction": "none", **settings}
    gradients, hessians = loss.gradient_and_hessian(*inputs.values(), wrt=names, **options)
    products = loss.hessian_product(*inputs.values(), wrt=names, direction=tuple(directions.values()), **options)
    got = {"value": loss.value(*inputs.values(), **options)}
    for position, name in enumerate(names):
        got |= {f"gradient_{name}": gradients[position], f"hessian_{name}": hessians[position]}
        got[f"product_{name}"] = products[position]
    given = [a.name for a in definition.continuous if scalars[a.name] is not None]
    if given:
        slopes = loss.gradient(*inputs.values(), wrt=tuple(given), **options)
        bends = loss.hessian_diagonal(*inputs.values(), wrt=tuple(given), **options)
        got |= {f"gradient_{n}": s for n, s in zip(given, slopes, strict=True)}
        got |= {f"hessian_{n}": s for n, s in zip(given, bends, strict=True)}
    for name, array in got.items():
        expected = np.vectorize(lambda x: float(mpmath.mpf(x)), otypes=[float])(truth[name])
        np.testing.assert_allclose(array, expected, rtol=1e-12, atol=1e-13, err_msg=name)


def test_nan_comes_out_where_it_went_in(definition: Definition, loss: Loss) -> None:
    inputs = smooth_inputs(definition, np.random.default_rng(1))
    for argument in definition.inputs:
        if argument.kind != "real":
            continue
        spoiled = {n: np.array(x) for n, x in inputs.items()}
        spoiled[argument.name].reshape(-1)[0] = np.nan
        values = loss.value(*spoiled.values(), reduction="none")
        assert np.isnan(values[0]).any()
        if definition.separable:
            assert not np.isnan(values[1:]).any()


def test_parameters_move_the_value_as_their_derivative_says(definition: Definition, loss: Loss) -> None:
    inputs = smooth_inputs(definition, np.random.default_rng(2))
    for argument in definition.continuous:
        base = argument.default if argument.default else 0.25
        if not argument.domain.contains(base + 1e-3):
            base = 0.5
        step = 1e-5
        at: list[dict[str, Any]] = [{argument.name: base + s} for s in (0.0, step, -step)]
        slope = float(loss.gradient(*inputs.values(), wrt=argument.name, **at[0]))
        ahead, behind = (float(loss.value(*inputs.values(), **settings)) for settings in at[1:])
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-6, abs=1e-9), argument.name


def test_full_hessian_product_is_symmetric(definition: Definition, loss: Loss) -> None:
    """u H v = v H u over inputs and parameters, cross terms included, for each formula that the loss is written in."""
    cases = {definition.chosen(settings).choice: settings for settings in reversed(settings_of(definition))}
    for settings in cases.values():
        rng = np.random.default_rng(6)
        written = definition.chosen(settings)
        inputs = smooth_inputs(written, rng)
        given = full_settings(definition, settings)
        names = tuple(
            a.name for a in (*written.differentiable, *written.continuous) if given.get(a.name, 0) is not None
        )
        shapes = [np.shape(inputs.get(n, 0.0)) for n in names]
        u, v = (tuple(rng.normal(0, 1, s) for s in shapes) for _ in range(2))
        hu, hv = (loss.hessian_product(*inputs.values(), wrt=names, direction=d, **settings) for d in (u, v))
        left = sum(float(np.sum(a * b)) for a, b in zip(v, hu, strict=True))
        right = sum(float(np.sum(a * b)) for a, b in zip(u, hv, strict=True))
        assert left == pytest.approx(right, rel=1e-10, abs=1e-12), settings


def test_cost_of_derivatives_is_bounded(definition: Definition, loss: Loss) -> None:
    """A gradient costs at most 4 values, a Hessian product at most 4 gradients."""
    operations = loss.record["cost"]
    sizes = {"n": 1000, "c": 100, "d": 100, "m": 1000, "k": 100, "s": 64, "u": 10}
    found = {kernel: _operations(cost, sizes) for kernel, cost in operations.items()}
    value, slope = found["value"], found.get("gradient", found["value_and_gradient"])
    product = found.get("hessian_product", found.get("full_hessian_product", 0.0))
    assert product <= 4 * slope, (product, slope)
    assert slope <= 4 * value, (slope, value)


def _operations(polynomial: str, sizes: dict[str, int]) -> float:
    total = 0.0
    for term in polynomial.replace("- ", "+ -").split(" + "):
        product = 1.0
        for factor in term.replace("**", "^").split("*"):
            base, _, power = factor.partition("^")
            product *= (sizes[base] if base in sizes else float(base or 1)) ** int(power or 1)
        total += product
    return total
