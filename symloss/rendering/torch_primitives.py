"""What generated torch modules carry along: stable scalar functions, and the rules by which autograd differentiates.

Their source is copied in; here nothing runs. Every function is made of operators that `vmap`, `jvp` and the compiler
can look into, and of numbers and tensors mixed: a condition on sizes is a plain bool, and a value may be a number.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

from symloss.rendering.array_rules import CARRIED, _check, _sizes, _variant
from symloss.rendering.dialect import Dialect

torch: Any = None
# Names of the generated module.
SPEC: Any = None
VARIANTS: Any = None


def _number(x: Any, like: Any) -> Any:
    """Return a number as a tensor of the type of another."""
    return x if isinstance(x, torch.Tensor) else torch.full((), x, dtype=like.dtype, device=like.device)


def _chosen(condition: Any, value: Any, rest: Any, like: Any) -> Any:
    """Return the value where the condition holds, else the rest; numbers take the type of `like`."""
    if not isinstance(condition, torch.Tensor):
        return value if condition else rest
    if isinstance(value, torch.Tensor) or isinstance(rest, torch.Tensor):
        return torch.where(condition, value, rest)
    return torch.where(condition, _number(value, like), rest)


def _widened(x: Any, shape: Any, like: Any) -> Any:
    """Return a value of a shape."""
    return _number(x, like).expand(shape)


def _scattered(shape: Any, places: Any, parts: Any) -> Any:
    """Return 0 of a shape with parts added up at places."""
    return torch.zeros(shape, dtype=parts.dtype, device=parts.device).index_put(places, parts, accumulate=True)


def _positive_part(x: Any) -> Any:
    """max(0, x), of slope 0 at 0; NaN stays NaN."""
    return torch.where(x <= 0.0, 0.0, x)


def _step(x: Any) -> Any:
    """1 where x > 0, else 0; NaN stays NaN."""
    return torch.where(x > 0.0, 1.0, torch.where(x <= 0.0, 0.0, x))


def _signum(x: Any) -> Any:
    """-1, 0 or 1; NaN stays NaN."""
    return torch.where(torch.isnan(x), x, torch.sign(x))


def _unless_zero(x: Any) -> Any:
    """Return x, and the smallest normal number of float32 where that is 0."""
    return torch.where(x == 0.0, 1.1754943508222875e-38, x)


def _ratio(a: Any, b: Any) -> Any:
    """Return a / b, and 0 where b is 0."""
    return torch.where(b == 0.0, 0.0, a / torch.where(b == 0.0, 1.0, b))


def _raised_decay(x: Any) -> Any:
    """2**64 exp(-|x|): never subnormal, whatever x is."""
    size = torch.abs(x)
    shift = 44.3614195558365  # 64 log(2)
    return torch.where(size < shift, 18446744073709551616.0 * torch.exp(-size), torch.exp(shift - size))


def _rest(total: Any, a: Any, b: Any) -> Any:
    """Return what rounding took from total = a + b: Knuth's two-sum."""
    back = total - a
    return ((a - (total - back)) + (b - back)).detach()


def _exp_difference(a: Any, b: Any) -> Any:
    """exp(a - b), multiplied by what rounding took from the difference."""
    d = a - b
    e = torch.exp(d)
    return torch.where(e > 0.0, e + e * _rest(d, a, -b), e)


def _decay_of_sum(terms: Any) -> Any:
    """exp(-|x|) of a sum, multiplied by what rounding took from the sum."""
    total, lost = terms[0], 0.0
    for x in terms[1:]:
        whole = total + x
        lost = lost + _rest(whole, total, x)
        total = whole
    e = torch.exp(-torch.abs(total))
    return torch.where(e > 0.0, e + e * torch.where(total < 0.0, lost, -lost), e)


def _power(x: Any, exponent: Any) -> Any:
    """X to a power; 0 to a negative power is 0, and none is infinite."""
    safe = torch.where(x == 0.0, 1.0, x)
    found = torch.clamp(torch.pow(safe, exponent), max=torch.finfo(x.dtype).max)
    still = exponent == 0.0
    return torch.where(x == 0.0, still.to(x.dtype) if isinstance(still, torch.Tensor) else float(still), found)


def _sigmoid_power(x: Any, lost: Any, exponent: Any) -> Any:
    """Return sigmoid(x) to a power as an exponential; `lost` is log(1 + exp(-|x|))."""
    found = torch.exp(exponent * (torch.where(x < 0.0, x, 0.0) - lost))
    return torch.clamp(found, max=torch.finfo(x.dtype).max)


def _magnified(p: Any, x: Any, raised: Any) -> Any:
    """Return 2**64 p, which is `raised` where p is too small to have all its bits: p tends to exp(x)."""
    low = 0.9 * math.log(torch.finfo(x.dtype).tiny)
    return torch.where(x < low, raised, p * 18446744073709551616.0)


def _wider(x: Any) -> Any:
    """Return floats as float64, where the device has that type, and all else as it is."""
    return x.double() if x.is_floating_point() and x.device.type != "mps" else x


def _plainly(function: Any, case: Any, tensors: Any, **others: Any) -> Any:
    """Call a formula, in float64 where it is to be exact, and outside autocast, which would halve its products."""
    accuracy, real, rest, on, off = map(str.split, case.split("|"))
    given = {**dict(zip((*real, *rest), tensors, strict=True)), **others}
    if accuracy == ["exact"]:
        given = {name: _wider(x) for name, x in given.items()}
    given.update(dict.fromkeys(on, True), **dict.fromkeys(off, False))
    place = tensors[0].device.type
    if not torch.amp.is_autocast_available(place):
        return function(**given)
    with torch.autocast(place, enabled=False):
        return function(**given)


def _fitted(case: Any, found: Any, tensors: Any, seed: Any) -> Any:
    """Return derivatives as a tuple of tensors, typed as what they are derivatives in; none is the seed itself."""
    names = case.split("|")[1].split()
    parts = [_number(found[name], x).to(x.dtype) for name, x in zip(names, tensors, strict=False)]
    return tuple(part.clone() if part is seed else part for part in parts)


def _directed(case: Any, tensors: Any, moves: Any) -> Any:
    """Return the direction of each input and parameter, 0 where it does not move."""
    pairs = zip(case.split("|")[1].split(), tensors, moves, strict=False)
    return {f"direction_{name}": torch.zeros_like(x) if v is None else v for name, x, v in pairs}


def _differentiated(value: Any, slope: Any, gradient: Any, product: Any) -> Any:
    """Return the values of the samples as a function that autograd differentiates by the formulas.

    Backward is the gradient, backward of that the Hessian times a direction; forward mode is the slope, and the
    product. What is no tensor goes along as one text: the accuracy, names of tensors that move, of the others, of
    flags on and off.
    """

    def moved(case: Any, seed: Any, tensors: Any, moves: Any) -> Any:
        found = _plainly(product, case, tensors, seed=seed, **_directed(case, tensors, moves))
        return _fitted(case, found, tensors, seed)

    def sloped(case: Any, tensors: Any, moves: Any) -> Any:
        found = _plainly(slope, case, tensors, **_directed(case, tensors, moves))
        return found.to(tensors[0].dtype)

    class Gradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(case: Any, seed: Any, *tensors: Any) -> Any:
            return _fitted(case, _plainly(gradient, case, tensors, seed=seed), tensors, seed)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
            ctx.case = inputs[0]
            ctx.save_for_backward(*inputs[1:])
            ctx.save_for_forward(*inputs[1:])

        @staticmethod
        def backward(ctx: Any, *directions: Any) -> Any:
            seed, *tensors = ctx.saved_tensors
            change = sloped(ctx.case, tensors, directions) if ctx.needs_input_grad[1] else None
            found = (None,) * len(directions)
            if any(ctx.needs_input_grad[2:]):
                found = moved(ctx.case, seed, tensors, directions)
            return (None, change, *found, *(None for _ in tensors[len(found) :]))

        @staticmethod
        def jvp(ctx: Any, _case: Any, change: Any, *moves: Any) -> Any:
            seed, *tensors = ctx.saved_tensors
            found = moved(ctx.case, seed, tensors, moves)
            if change is None:
                return found
            more = Gradient.apply(ctx.case, change, *tensors)
            return tuple(a + b for a, b in zip(found, more, strict=True))

    class Samples(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(case: Any, *tensors: Any) -> Any:
            return _plainly(value, case, tensors).to(tensors[0].dtype)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
            ctx.case = inputs[0]
            ctx.save_for_backward(*inputs[1:])
            ctx.save_for_forward(*inputs[1:])

        @staticmethod
        def backward(ctx: Any, seed: Any) -> Any:
            tensors = ctx.saved_tensors
            if torch.compiler.is_compiling():  # one derivative is all that the compiler takes
                found = _fitted(ctx.case, _plainly(gradient, ctx.case, tensors, seed=seed), tensors, seed)
            else:
                found = Gradient.apply(ctx.case, seed, *tensors)
            return (None, *found, *(None for _ in tensors[len(found) :]))

    class SamplesForward(Samples):
        @staticmethod
        def jvp(ctx: Any, _case: Any, *moves: Any) -> Any:
            return sloped(ctx.case, ctx.saved_tensors, moves)

    def samples(accuracy: Any, flags: Any, real: Any, rest: Any) -> Any:
        rule = Samples if torch.compiler.is_compiling() else SamplesForward  # the compiler takes no jvp
        chosen = ([name for name, on in flags.items() if on], [name for name, on in flags.items() if not on])
        case = "|".join((accuracy, *(" ".join(names) for names in (real, rest, *chosen))))
        return rule.apply(case, *real.values(), *rest.values())

    return (samples,)


def _float_type(types: Any) -> Any:
    """Return the type to compute in: that of the floats, at least float32; integers follow, or are torch's default."""
    floats = [t for t in types if t.is_floating_point] or [torch.get_default_dtype()]
    return reduce(torch.promote_types, floats, torch.float32)


def _call(values: Any, settings: Any, reduction: Any, sample_weight: Any, accuracy: Any) -> Any:
    """Return the loss: the mean, the sum, or one number for each sample."""
    _check(reduction, accuracy)
    spec = _variant(settings, {name for name, value in values.items() if value is not None})
    labels = {a["name"] for a in spec["inputs"] if a["kind"] == "label"}
    inputs = {a["name"]: torch.as_tensor(values[a["name"]]) for a in spec["inputs"]}
    place = next(iter(inputs.values())).device
    dtype = _float_type([x.dtype for name, x in inputs.items() if name not in labels])
    inputs = {name: x.to(torch.int64 if name in labels else dtype) for name, x in inputs.items()}
    shape = ()
    if spec["elementwise"]:
        shape = torch.broadcast_shapes(*(x.shape for x in inputs.values()))
        inputs = {name: x.expand(shape).reshape(-1) for name, x in inputs.items()}
    sizes = _sizes(spec, inputs)
    wide = torch.float64 if accuracy == "exact" and place.type != "mps" else dtype

    def tensor(x: Any, kind: Any) -> Any:
        if isinstance(x, (int, float)) and kind is not None:  # a number is what it is: 0.07 is no float32
            return torch.full((), x, dtype=wide, device=place)
        return torch.as_tensor(x, dtype=kind, device=place)

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
            arguments[name] = tensor(argument["fill"] if given is None else given, dtype).expand(extents)
            continue
        if argument["optional"]:
            flags[f"{name}_given"] = given is not None
        arguments[name] = tensor(0 if given is None else given, dtype if argument["kind"] == "real" else None)
    counted, samples = VARIANTS[spec["suffix"]]
    extents = tuple(sizes[a] for a in spec["sample_axes"])
    weight = tensor(1.0 if sample_weight is None else sample_weight, dtype).to(dtype)
    weight = weight.expand(shape if spec["elementwise"] else extents).reshape(extents)
    if counted is not None:
        here = counted(**arguments, **flags)
        weight = torch.where(here, weight, 0.0)
        for name, x in inputs.items():  # what does not count is not looked at: it may be anything
            arguments[name] = torch.where(here.reshape(here.shape + (1,) * (x.ndim - here.ndim)), x, 0)
    real = {name: x for name, x in arguments.items() if name in moving}
    rest = {name: x for name, x in arguments.items() if name not in moving}
    found = weight * samples(accuracy, flags, real, rest)
    if reduction == "none":
        return found.reshape(shape) if spec["elementwise"] else found
    return torch.sum(found) / torch.sum(weight) if reduction == "mean" else torch.sum(found)


TORCH = Dialect(
    name="torch",
    header="""\
It needs torch only and may be copied into another project; tensors may be on any device. Values, gradients
and Hessian-vector products are the derived formulas, each stable by the same rules as the compiled kernels; autograd is
told to use them, in both modes and twice, under torch.func and torch.compile too. Targets and labels are constants.""",
    imports="""from functools import reduce

import torch""",
    calls={
        "exp": "torch.exp", "log": "torch.log", "log1p": "torch.log1p", "log1p_unit": "torch.log1p",
        "cos": "torch.cos", "sin": "torch.sin", "acos": "torch.arccos", "atan2": "torch.arctan2",
        "arctangent": "torch.arctan2", "tanh": "torch.tanh", "magnitude": "torch.abs", "signum": "_signum", **CARRIED,
    },
    choice="_chosen({condition}, {value}, {rest}, {like})",
    spread="_widened({body}, {shape}, {like})",
    count="torch.arange({axis}, device={like}.device)",
    product='torch.einsum("{pattern}", {left}, {right})',
    scatter="_scattered({shape}, ({slots},), {parts})",
    number="_number({body}, {like})",
    turn="torch.permute",
    root="torch.sqrt",
    reductions={
        "sum": "torch.sum", "max": "torch.amax", "min": "torch.amin", "argmax": "torch.argmax",
        "argmin": "torch.argmin", "any": "torch.any",
    },
    axis="dim",
    infinity="math.inf",
    nan="math.nan",
    scalars=(
        _number, _chosen, _widened, _scattered, _positive_part, _step, _signum, _unless_zero, _ratio, _raised_decay,
        _rest, _exp_difference, _decay_of_sum, _power, _sigmoid_power, _magnified,
    ),
    rules=(_wider, _plainly, _fitted, _directed, _differentiated, _check, _variant, _sizes, _float_type, _call),
)  # fmt: skip
