"""What generated jax.numpy modules carry along: stable scalar functions, and the rules by which JAX differentiates.

Their source is copied in; here nothing runs.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

from symloss.rendering.array_rules import CARRIED, _sizes, _variant
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


def _still(tangent: Any) -> bool:
    return isinstance(tangent, SymbolicZero) or tangent.dtype == jax.dtypes.float0


def _moves(real: Any, tangents: Any) -> Any:
    """Return the direction of each input and parameter, 0 where it does not move."""
    return {
        f"direction_{name}": jnp.zeros_like(real[name]) if _still(t) else jnp.asarray(t) for name, t in tangents.items()
    }


def _differentiated(value: Any, slope: Any, gradient: Any, product: Any) -> Any:
    """Return the weighted total, and the values of the samples, as functions that JAX differentiates by the formulas.

    A total moves by the gradient, the gradient by the Hessian times the direction, a sample by its slope.
    """

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def gradients(flags: Any, real: Any, rest: Any, seed: Any) -> Any:
        found = gradient(**real, **rest, **dict(flags), seed=seed)
        return {name: jnp.asarray(part, real[name].dtype) for name, part in found.items()}

    @partial(gradients.defjvp, symbolic_zeros=True)
    def gradients_move(flags: Any, primals: Any, tangents: Any) -> Any:
        real, rest, seed = primals
        changes, _, change = tangents
        found = gradients(flags, real, rest, seed)
        moved = product(**real, **rest, **dict(flags), seed=seed, **_moves(real, changes))
        if not _still(change):
            more = gradients(flags, real, rest, change)
            moved = {name: part + more[name] for name, part in moved.items()}
        return found, {name: jnp.asarray(part, found[name].dtype) for name, part in moved.items()}

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def total(flags: Any, real: Any, rest: Any, seed: Any) -> Any:
        return jnp.sum(seed * value(**real, **rest, **dict(flags))).astype(seed.dtype)

    @partial(total.defjvp, symbolic_zeros=True)
    def total_moves(flags: Any, primals: Any, tangents: Any) -> Any:
        real, rest, seed = primals
        changes, _, change = tangents
        samples = value(**real, **rest, **dict(flags)).astype(seed.dtype)
        moved = jnp.zeros((), seed.dtype) if _still(change) else jnp.sum(samples * change)
        found = gradients(flags, real, rest, seed)
        for name, t in changes.items():
            if not _still(t):
                moved = moved + jnp.sum(found[name] * t)
        return jnp.sum(seed * samples), moved

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def samples(flags: Any, real: Any, rest: Any) -> Any:
        return value(**real, **rest, **dict(flags)).astype(jnp.result_type(*real.values()))

    @partial(samples.defjvp, symbolic_zeros=True)
    def samples_move(flags: Any, primals: Any, tangents: Any) -> Any:
        real, rest = primals
        found = samples(flags, real, rest)
        moved = slope(**real, **rest, **dict(flags), **_moves(real, tangents[0]))
        return found, moved.astype(found.dtype)

    return total, samples


def _float_type(types: Any) -> Any:
    """Return the type to compute in: that of the floats, at least float32; integers follow, or are JAX's own float."""
    floats = [t for t in types if jnp.issubdtype(t, jnp.floating)] or [jnp.result_type(float)]
    return reduce(jnp.promote_types, floats, jnp.dtype(jnp.float32))


def _call(values: Any, settings: Any, reduction: Any, sample_weight: Any) -> Any:
    """Return the loss: the mean, the sum, or one number for each sample."""
    if reduction not in ("none", "sum", "mean"):
        message = f"{SPEC['name']}: reduction must be 'none', 'sum' or 'mean', got {reduction!r}"
        raise ValueError(message)
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
    arguments, flags = dict(inputs), {}
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
        kind = dtype if argument["kind"] == "real" else None
        arguments[name] = jnp.asarray(0 if given is None else given, kind)
    counted, total, samples = VARIANTS[spec["suffix"]]
    fixed = tuple(sorted(flags.items()))
    extents = tuple(sizes[a] for a in spec["sample_axes"])
    weight = jnp.ones((), dtype) if sample_weight is None else jnp.asarray(sample_weight, dtype)
    weight = jnp.broadcast_to(weight, shape if spec["elementwise"] else extents).reshape(extents)
    if counted is not None:
        here = counted(**arguments, **flags)
        weight = jnp.where(here, weight, 0.0)
        for name, x in inputs.items():  # what does not count is not looked at: it may be anything
            arguments[name] = jnp.where(here.reshape(here.shape + (1,) * (x.ndim - here.ndim)), x, 0)
    real = {name: x for name, x in arguments.items() if name in moving}
    rest = {name: x for name, x in arguments.items() if name not in moving}
    if reduction == "none":
        found = weight * samples(fixed, real, rest)
        return found.reshape(shape) if spec["elementwise"] else found
    return total(fixed, real, rest, weight / jnp.sum(weight) if reduction == "mean" else weight)


JAX = Dialect(
    name="jax",
    header="""\
It needs jax only and may be copied into another project. Values, gradients and Hessian-vector products are the derived
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
    count="jnp.arange({axis})",
    product='jnp.einsum("{pattern}", {left}, {right}, precision="highest")',
    scatter="jnp.zeros({shape}, {parts}.dtype).at[{slots}].add({parts})",
    number="{body}",
    turn="jnp.transpose",
    root="jnp.sqrt",
    reductions={name: f"jnp.{name}" for name in ("sum", "max", "min", "argmax", "argmin", "any")},
    axis="axis",
    infinity="jnp.inf",
    nan="jnp.nan",
    scalars=(
        _positive_part, _step, _ratio, _raised_decay, _rest, _exp_difference, _decay_of_sum, _power, _sigmoid_power,
        _magnified,
    ),
    rules=(_still, _moves, _differentiated, _variant, _sizes, _float_type, _call),
)  # fmt: skip
