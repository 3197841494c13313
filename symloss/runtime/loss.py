"""The `Loss`: what users call."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symloss.runtime import arrays as layout
from symloss.runtime.execution import run
from symloss.runtime.loader import heal
from symloss.runtime.preparation import Prepared, prepare
from symloss.runtime.results import check_out, deliver, pack, resolve_wrt
from symloss.runtime.spec import Spec
from symloss.runtime.validation import check_reduction


@dataclass(frozen=True)
class Loss:
    """A loss function with its exact derivatives.

    Inputs are positional, parameters keywords; `reduction` is ``"none"``, ``"sum"`` or ``"mean"``, and `sample_weight`
    has one entry for each sample. float32 in, float32 out; else float64. Every method raises ``ValueError`` for values
    that are out of place and ``TypeError`` for a wrong kind, before any kernel runs.

    Parameters
    ----------
    spec : Spec
        Its arguments.
    module : module
        Its kernels.
    """

    spec: Spec
    module: ModuleType

    def __repr__(self) -> str:
        """Return the name and the signature."""
        return f"<symloss loss {self.spec.name}({', '.join(self.inputs)}; {', '.join(self.parameters) or '-'})>"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs, in order."""
        return tuple(a.name for a in self.spec.inputs)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters with their defaults."""
        return {a.name: a.default for a in self.spec.parameters}

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The inputs that derivatives are taken in, in order."""
        return self.spec.differentiable

    @property
    def formula(self) -> str:
        """The loss of one sample, as one line of text."""
        return self.spec.formula

    @property
    def record(self) -> Mapping[str, Any]:
        """Everything derived from the definition, as the documentation prints it."""
        path = Path(str(self.module.__file__)).parent / "records" / f"{self.spec.name}.json"
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def value(
        self, *inputs: Any, reduction: str = "mean", sample_weight: Any = None, out: Any = None, **parameters: Any
    ) -> Any:
        """Return the loss: a scalar, or with ``reduction="none"`` one entry for each sample."""
        check_reduction(self.spec, reduction)
        ready = prepare(self.spec, inputs, sample_weight, parameters)
        shapes = [ready.sample_shape] if reduction == "none" else []
        check_out(self.spec, out, shapes, ready.dtype)
        values = self._value_array(ready, reduction)
        total, _ = self._run("value", ready, value_out=values)
        return deliver(self.spec, self._reduced(ready, reduction, total, values), out)

    def gradient(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                 out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return the derivative of the reduced loss, shaped like the input."""
        _, (result,) = self._derive(("gradient",), inputs, wrt, reduction, sample_weight, out, parameters)
        return result

    def hessian_diagonal(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                         out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return the exact diagonal of the Hessian of the reduced loss, shaped like the input."""
        _, (result,) = self._derive(("hessian",), inputs, wrt, reduction, sample_weight, out, parameters)
        return result

    def gradient_and_hessian(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                             out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return gradient and Hessian diagonal, computed in one pass."""
        _, results = self._derive(("gradient", "hessian"), inputs, wrt, reduction, sample_weight, out, parameters)
        return results

    def value_and_gradient(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                           out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return value and gradient, computed in one pass; `out` holds the gradient, with "none" the value first."""
        value, (gradient,) = self._derive(
            ("gradient",), inputs, wrt, reduction, sample_weight, out, parameters, with_value=True
        )
        return value, gradient

    def hessian_product(self, *inputs: Any, direction: Any, wrt: Any = None, reduction: str = "mean",
                        sample_weight: Any = None, out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return the Hessian of the reduced loss times a direction shaped like the inputs."""
        check_reduction(self.spec, reduction)
        ready = prepare(self.spec, inputs, sample_weight, parameters)
        names, bare = resolve_wrt(self.spec, wrt, dict(ready.parameters))
        shapes = [ready.shapes.get(name, ()) for name in names]
        check_out(self.spec, out, shapes, ready.dtype)
        along = self._directions(ready, names, [direction] if bare else direction)
        spec = self.spec
        directions = [self._flat_direction(ready, name, along.get(name)) for name in spec.differentiable]
        outputs = self._outputs(ready)
        scale = self._scale(ready, reduction)
        sums: list[NDArray[np.float64]] = []
        if any(name in spec.continuous for name in names):
            vector = np.array([float(along.get(name, 0.0)) for name in spec.continuous])
            _, sums = self._run("full_hessian_product", ready, scale=scale, directions=directions, fixed=(vector,),
                                outputs=outputs, sums=(len(vector),))  # fmt: skip
        else:
            self._run("hessian_product", ready, scale=scale, directions=directions, outputs=outputs)
        results = self._named(ready, outputs, sums[0] if sums else None)
        return deliver(spec, pack(names, results, bare), out)

    def _derive(
        self, kinds: tuple[str, ...], inputs: tuple[Any, ...], wrt: Any, reduction: str, sample_weight: Any,
        out: Any, parameters: dict[str, Any], *, with_value: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Run the kernels that the derivatives asked for need."""
        spec = self.spec
        check_reduction(spec, reduction)
        ready = prepare(spec, inputs, sample_weight, parameters)
        names, bare = resolve_wrt(spec, wrt, dict(ready.parameters))
        shapes = [ready.shapes.get(name, ()) for _ in kinds for name in names]
        listed = [ready.sample_shape, *shapes] if with_value and reduction == "none" else shapes
        check_out(spec, out, listed, ready.dtype)
        scale = self._scale(ready, reduction)
        values = self._value_array(ready, reduction) if with_value else None
        total, wanted_inputs = 0.0, any(name in spec.differentiable for name in names)
        outputs = {kind: self._outputs(ready) for kind in kinds}
        if wanted_inputs:
            kernel = {"gradient": "gradient", "hessian": "hessian_diagonal"}.get(
                "_".join(kinds), "gradient_and_hessian"
            )
            kernel = "value_and_gradient" if with_value else kernel
            arrays = [a for kind in kinds for a in outputs[kind]]
            total, _ = self._run(kernel, ready, scale=scale, outputs=arrays, value_out=values)
        elif with_value:
            total, _ = self._run("value", ready, value_out=values)
        sums: dict[str, NDArray[np.float64] | None] = dict.fromkeys(kinds)
        if any(name in spec.continuous for name in names):
            count = len(spec.continuous)
            _, both = self._run("parameter_gradient_and_hessian", ready, scale=scale, sums=(count, count))
            sums = {"gradient": both[0], "hessian": both[1]}
        packed = tuple(pack(names, self._named(ready, outputs[kind], sums[kind]), bare) for kind in kinds)
        value = self._reduced(ready, reduction, total, values) if with_value and values is not None else None
        if out is None:
            return value, packed
        if with_value and reduction == "none":
            result = deliver(spec, (value, *packed), out)
            return result[0], (result[1],)
        result = deliver(spec, packed if len(kinds) > 1 else packed[0], out)
        return value, result if len(kinds) > 1 else (result,)

    def _run(self, kernel: str, ready: Prepared, **options: Any) -> tuple[float, list[NDArray[np.float64]]]:
        """Run a kernel; where Numba's cache on disk is broken, remove it and run again."""
        function: Callable[..., Any] = getattr(self.module, kernel)
        try:
            return run(function, ready.call, **options)
        except (EOFError, pickle.UnpicklingError, ImportError):
            # truncated, or written when the same file was imported under another name
            heal(self.module)
            return run(getattr(self.module, kernel), ready.call, **options)

    def _scale(self, ready: Prepared, reduction: str) -> float:
        if reduction != "mean":
            return 1.0
        count = self._count(ready)
        return 1.0 / count if count else float("nan")

    def _count(self, ready: Prepared) -> float:
        """Return the sum of the weights of the samples that count."""
        if self.spec.masked:
            return self._run("count", ready)[0]
        weight = ready.call.weight
        if weight.size:
            return float(weight.sum())
        return float(np.prod(ready.sample_shape))

    def _value_array(self, ready: Prepared, reduction: str) -> NDArray[Any]:
        return np.empty(int(np.prod(ready.sample_shape)) if reduction == "none" else 0, ready.dtype)

    def _reduced(self, ready: Prepared, reduction: str, total: float, values: NDArray[Any]) -> Any:
        if reduction == "none":
            return values.reshape(ready.sample_shape)
        if reduction == "mean":
            count = self._count(ready)
            total = total / count if count else float("nan")
        with np.errstate(over="ignore"):
            return ready.dtype.type(total)

    def _outputs(self, ready: Prepared) -> list[NDArray[Any]]:
        """Return fresh arrays for a derivative in every differentiable input, as the kernels see them."""
        shapes = [ready.full[name] for name in self.spec.differentiable]
        arrays = [np.empty(shape, ready.dtype) for shape in shapes]
        return [a.reshape(-1) for a in arrays] if self.spec.elementwise else arrays

    def _named(
        self, ready: Prepared, outputs: list[NDArray[Any]], sums: NDArray[np.float64] | None
    ) -> dict[str, NDArray[Any]]:
        """Return derivatives by name, each in the shape of its input."""
        found = {
            name: layout.unbroadcast(array.reshape(ready.full[name]), ready.shapes[name])
            for name, array in zip(self.spec.differentiable, outputs, strict=True)
        }
        if sums is not None:
            with np.errstate(over="ignore"):
                found |= {n: np.asarray(s, ready.dtype) for n, s in zip(self.spec.continuous, sums, strict=True)}
        return found

    def _directions(self, ready: Prepared, names: tuple[str, ...], direction: Any) -> dict[str, Any]:
        """Return the direction in each name, checked."""
        if not isinstance(direction, tuple | list) or len(direction) != len(names):
            came = f"{len(direction)} entries" if isinstance(direction, tuple | list) else type(direction).__name__
            message = (
                f"{self.spec.name}: direction must be a tuple of {len(names)} arrays ({', '.join(names)}), got {came}"
            )
            raise ValueError(message)
        found = {}
        for name, entry in zip(names, direction, strict=True):
            array = np.asarray(entry)
            if array.dtype.kind not in "iubf":
                message = f"{self.spec.name}: direction in {name} must be real numbers, got an array of {array.dtype}"
                raise TypeError(message)
            expected = ready.shapes.get(name, ())
            if array.shape != expected:
                message = f"{self.spec.name}: direction in {name} must have shape {expected}, got {array.shape}"
                raise ValueError(message)
            found[name] = array
        return found

    def _flat_direction(self, ready: Prepared, name: str, direction: Any) -> NDArray[Any]:
        full = ready.full[name]
        if direction is None:
            direction = np.zeros((), ready.dtype)
        array = np.ascontiguousarray(np.broadcast_to(direction, full), dtype=ready.dtype)
        return array.reshape(-1) if self.spec.elementwise else array
