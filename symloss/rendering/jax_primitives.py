"""What generated jax.numpy modules carry along: stable scalar functions, and the rules by which JAX differentiates.

Their source is copied in; here nothing runs.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

from symloss.rendering.array_rules import CARRIED, _check, _sizes, _variant
from symloss.rendering.dialect import Dialect

jax: Any = None
jnp: Any = None
SymbolicZero: Any = None
# Names of the generated module.
SPEC: Any = None
VARIANTS: Any = None


def _positive_part(x: Any) -> Any:
    """max(0, x), of slope 0 at 0; NaN stays NaN."""
    return jnp.where(x <= 0.0, 0.0, x)


def _step(x: Any) -> Any:
    """1 where x > 0, else 0; NaN stays NaN."""
    return jnp.where(x > 0.0, 1.0, jnp.where(x <= 0.0, 0.0, jnp.nan))


def _unless_zero(x: Any) -> Any:
    """Return x, and the smallest normal number of float32 where that is 0."""
    return jnp.where(x == 0.0, 1.1754943508222875e-38, x)


def _ratio(a: Any, b: Any) -> Any:
    """Return a / b, and 0 where b is 0."""
    return jnp.where(b == 0.0, 0.0, a / jnp.where(b == 0.0, 1.0, b))


def _raised_decay(x: Any) -> Any:
    """2**64 exp(-|x|): never subnormal, whatever x is."""
    size = jnp.abs(x)
    shift = 44.3614195558365  # 64 log(2)
    return jnp.where(size < shift, 18446744073709551616.0 * jnp.exp(-size), jnp.exp(shift - size))


def _rest(total: Any, a: Any, b: Any) -> Any:
    """Return what rounding took from total = a + b: Knuth's two-sum."""
    back = total - a
    return jax.lax.stop_gradient((a - (total - back)) + (b - back))


def _exp_difference(a: Any, b: Any) -> Any:
    """exp(a - b), multiplied by what rounding took from the difference."""
    d = a - b
    e = jnp.exp(d)
    return jnp.where(e > 0.0, e + e * _rest(d, a, -b), e)


def _decay_of_sum(terms: Any) -> Any:
    """exp(-|x|) of a sum, multiplied by what rounding took from the sum."""
    total, lost = terms[0], 0.0
    for x in terms[1:]:
        whole = total + x
        lost = lost + _rest(whole, total, x)
        total = whole
    e = jnp.exp(-jnp.abs(total))
    return jnp.where(e > 0.0, e + e * jnp.where(total < 0.0, lost, -lost), e)


def _power(x: Any, exponent: Any) -> Any:
    """X to a power; 0 to a negative power is 0, and none is infinite."""
    safe = jnp.where(x == 0.0, 1.0, x)
    most = jnp.finfo(jnp.result_type(float, x)).max
    at_zero = jnp.where(jnp.asarray(exponent) == 0.0, 1.0, 0.0)
    return jnp.where(x == 0.0, at_zero, jnp.minimum(jnp.power(safe, exponent), most))


def _sigmoid_power(x: Any, lost: Any, exponent: Any) -> Any:
    """Return sigmoid(x) to a power as an exponential; `lost` is log(1 + exp(-|x|))."""
    most = jnp.finfo(jnp.result_type(float, x)).max
    return jnp.minimum(jnp.exp(exponent * (jnp.where(x < 0.0, x, 0.0) - lost)), most)


def _magnified(p: Any, x: Any, raised: Any) -> Any:
    """Return 2**64 p, which is `raised` where p is too small to have all its bits: p tends to exp(x)."""
    low = 0.9 * jnp.log(jnp.finfo(jnp.result_type(float, x)).tiny)
    return jnp.where(x < low, raised, p * 18446744073709551616.0)


def _argmax(x: Any, axis: Any) -> Any:
    """Return where the first of the largest entries is; jnp.argmax of float64 cannot be compiled outside x64 mode."""
    places = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return jnp.min(jnp.where(x == jnp.max(x, axis, keepdims=True), places, x.shape[axis] - 1), axis)


def _argmin(x: Any, axis: Any) -> Any:
    """Return where the first of the smallest entries is."""
    return _argmax(-x, axis)


def _still(tangent: Any) -> bool:
    return isinstance(tangent, SymbolicZero) or tangent.dtype == jax.dtypes.float0


def _moves(how: Any, real: Any, tangents: Any) -> Any:
    """Return the direction of each input and parameter, 0 where it does not move."""
    found = {name: jnp.zeros_like(real[name]) if _still(t) else jnp.asarray(t) for name, t in tangents.items()}
    found.update({name: jnp.zeros(()) for name, _ in how[2]})
    return {f"direction_{name}": t for name, t in found.items()}


def _wider(x: Any) -> Any:
    """Return floats as float64, and all else as it is."""
    return x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _computed(function: Any, how: Any, real: Any, rest: Any, **others: Any) -> Any:
    """Call a formula, in float64 where it is to be exact: JAX then has that type here, whatever its setting is."""
    exact, flags, numbers = how
    with jax.enable_x64(exact or jax.config.jax_enable_x64):
        dtype = jnp.result_type(*real.values())
        given = {**real, **rest, **others}
        if exact:
            given = {name: _wider(x) for name, x in given.items()}
        known = {name: jnp.asarray(x, jnp.float64 if exact else dtype) for name, x in numbers}
        found = function(**given, **known, **dict(flags))
        return jax.tree.map(lambda part: jnp.asarray(part, dtype), found)


def _linearly(function: Any, how: Any, real: Any, rest: Any, **others: Any) -> Any:
    """Call a formula that JAX may transpose, which it can do in float64 only where that is its setting."""
    exact, flags, numbers = how
    return _computed(function, (exact and jax.config.jax_enable_x64, flags, numbers), real, rest, **others)


def _shares(weight: Any, exact: Any) -> Any:
    """Return weights as parts of their sum."""
    return _computed(lambda weight: weight / jnp.sum(weight), (exact, (), ()), {"weight": weight}, {})


def _differentiated(value: Any, slope: Any, gradient: Any, product: Any) -> Any:
    """Return the weighted total, and the values of the samples, as functions that JAX differentiates by the formulas.

    A total moves by the gradient, the gradient by the Hessian times the direction, a sample by its slope. `how` says
    whether to compute in float64, which flags are on, and what the parameters are that are plain numbers.
    """

    def weighted(seed: Any, **given: Any) -> Any:
        return jnp.sum(seed * value(**given))

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def gradients(how: Any, real: Any, rest: Any, seed: Any) -> Any:
        return _computed(gradient, how, real, rest, seed=seed)

    @partial(gradients.defjvp, symbolic_zeros=True)
    def gradients_move(how: Any, primals: Any, tangents: Any) -> Any:
        real, rest, seed = primals
        changes, _, change = tangents
        moved = _linearly(product, how, real, rest, seed=seed, **_moves(how, real, changes))
        if not _still(change):
            more = _linearly(gradient, how, real, rest, seed=change)
            moved = {name: part + more[name] for name, part in moved.items()}
        return gradients(how, real, rest, seed), moved

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def total(how: Any, real: Any, rest: Any, seed: Any) -> Any:
        return _computed(weighted, how, real, rest, seed=seed)

    @partial(total.defjvp, symbolic_zeros=True)
    def total_moves(how: Any, primals: Any, tangents: Any) -> Any:
        real, rest, seed = primals
        changes, _, change = tangents
        moved = jnp.zeros((), seed.dtype) if _still(change) else _linearly(weighted, how, real, rest, seed=change)
        found = gradients(how, real, rest, seed)
        for name, t in changes.items():
            if not _still(t):
                moved = moved + jnp.sum(found[name] * t)
        return total(how, real, rest, seed), moved

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def samples(how: Any, real: Any, rest: Any) -> Any:
        return _computed(value, how, real, rest)

    @partial(samples.defjvp, symbolic_zeros=True)
    def samples_move(how: Any, primals: Any, tangents: Any) -> Any:
        real, rest = primals
        return samples(how, real, rest), _linearly(slope, how, real, rest, **_moves(how, real, tangents[0]))

    return total, samples


def _float_type(types: Any) -> Any:
    """Return the type to compute in: that of the floats, at least float32; integers follow, or are JAX's own float."""
    floats = [t for t in types if jnp.issubdtype(t, jnp.floating)] or [jnp.result_type(float)]
    return reduce(jnp.promote_types, floats, jnp.dtype(jnp.float32))


def _call(values: Any, settings: Any, reduction: Any, sample_weight: Any, accuracy: Any) -> Any:
    """Return the loss: the mean, the sum, or one number for each sample."""
    _check(reduction, accuracy)
    spec = _variant(settings, {name for name, value in values.items() if value is not None})
    labels = {a["name"] for a in spec["inputs"] if a["kind"] == "label"}
    inputs = {a["name"]: jnp.asarray(values[a["name"]]) for a in spec["inputs"]}
    dtype = _float_type([x.dtype for name, x in inputs.items() if name not in labels])
    inputs = {name: x if name in labels else x.astype(dtype) for name, x in inputs.items()}
    shape = ()
    if spec["elementwise"]:
        shape = jnp.broadcast_shapes(*(x.shape for x in inputs.values()))
        inputs = {name: jnp.broadcast_to(x, shape).reshape(-1) for name, x in inputs.items()}
    sizes = _sizes(spec, inputs)
    moving = {a["name"] for a in (*spec["inputs"], *spec["parameters"]) if a["differentiable"]}
    arguments, flags, numbers = dict(inputs), {}, {}
    for argument in spec["parameters"]:
        name, given = argument["name"], settings[argument["name"]]
        if argument["kind"] == "switch":
            continue
        if argument["kind"] == "flag":
            flags[name] = bool(given)
            continue
        if argument["axes"]:
            extents = tuple(sizes[a] for a in argument["axes"])
            full = argument["fill"] if given is None else given
            arguments[name] = jnp.broadcast_to(jnp.asarray(full, dtype), extents)
            continue
        if argument["optional"]:
            flags[f"{name}_given"] = given is not None
        real = argument["kind"] == "real"
        if real and (given is None or isinstance(given, (int, float))):
            numbers[name] = float(given or 0)
        arguments[name] = jnp.asarray(0 if given is None else given, dtype if real else None)
    counted, total, samples = VARIANTS[spec["suffix"]]
    how = (accuracy == "exact", tuple(sorted(flags.items())), tuple(sorted(numbers.items())))
    extents = tuple(sizes[a] for a in spec["sample_axes"])
    weight = jnp.ones((), dtype) if sample_weight is None else jnp.asarray(sample_weight, dtype)
    weight = jnp.broadcast_to(weight, shape if spec["elementwise"] else extents).reshape(extents)
    if counted is not None:
        here = counted(**arguments, **flags)
        weight = jnp.where(here, weight, 0.0)
        for name, x in inputs.items():  # what does not count is not looked at: it may be anything
            arguments[name] = jnp.where(here.reshape(here.shape + (1,) * (x.ndim - here.ndim)), x, 0)
    arrays = {name: x for name, x in arguments.items() if name not in numbers}
    real = {name: x for name, x in arrays.items() if name in moving}
    rest = {name: x for name, x in arrays.items() if name not in moving}
    if reduction == "none":
        found = weight * samples(how, real, rest)
        return found.reshape(shape) if spec["elementwise"] else found
    return total(how, real, rest, _shares(weight, how[0]) if reduction == "mean" else weight)


JAX = Dialect(
    name="jax",
    header="""\
It needs jax only (0.8 or newer) and may be copied into another project. Values, gradients and products are the derived
formulas, each stable by the same rules as the compiled kernels; JAX is told to use them, so that jit, grad, hessian,
jvp and vmap work and none of them differentiates through an exponential. Targets and labels are constants.""",
    imports="""from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero""",
    calls={
        "exp": "jnp.exp", "log": "jnp.log", "log1p": "jnp.log1p", "log1p_unit": "jnp.log1p", "cos": "jnp.cos",
        "sin": "jnp.sin", "acos": "jnp.arccos", "atan2": "jnp.arctan2", "arctangent": "jnp.arctan2",
        "tanh": "jnp.tanh", "magnitude": "jnp.abs", "signum": "jnp.sign", **CARRIED,
    },
    choice="jnp.where({condition}, {value}, {rest})",
    spread="jnp.broadcast_to({body}, {shape})",
    count="jnp.arange({axis}, dtype=jnp.int32)",
    product='jnp.einsum("{pattern}", {left}, {right}, precision="highest")',
    scatter="jnp.zeros({shape}, {parts}.dtype).at[{slots}].add({parts})",
    number="{body}",
    turn="jnp.transpose",
    root="jnp.sqrt",
    reductions={
        **{name: f"jnp.{name}" for name in ("sum", "max", "min", "any")}, "argmax": "_argmax", "argmin": "_argmin",
    },
    axis="axis",
    infinity="jnp.inf",
    nan="jnp.nan",
    scalars=(
        _positive_part, _step, _unless_zero, _ratio, _raised_decay, _rest, _exp_difference, _decay_of_sum, _power,
        _sigmoid_power, _magnified, _argmax, _argmin,
    ),
    rules=(
        _still, _moves, _wider, _computed, _linearly, _shares, _differentiated, _check, _variant, _sizes, _float_type,
        _call,
    ),
)  # fmt: skip
