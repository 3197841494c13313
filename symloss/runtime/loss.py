"""The `Loss`: what users load and call. Arguments as they come go in, checked results as NumPy arrays go out."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from symloss.runtime.evaluation import differentiate, evaluate, multiply
from symloss.runtime.loader import has_module, load_module
from symloss.runtime.plan import Plan, make_plan
from symloss.runtime.spec import Spec

_LOCK = threading.RLock()


@dataclass(frozen=True, eq=False, repr=False)
class Loss:
    """A loss function with its exact derivatives.

    Inputs are positional, in the order of `inputs`; parameters are keywords, with the defaults of `parameters`.
    Every method takes these keywords too:

    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum of `sample_weight`, or by the number of samples. With ``"none"`` the value has one
        entry for each sample, and derivatives are those of the sum.
    sample_weight : array_like, optional
        Non-negative, one for each sample; for elementwise losses it broadcasts with the inputs.
    out : array or tuple of arrays, optional
        Where array results go: the shapes and dtype of the results, writeable.

    and those that differentiate:

    wrt : str or tuple of str, optional
        Differentiable inputs or parameters. One name gives one array, a tuple a named tuple in its order; without it,
        the derivatives in all differentiable inputs: one array where there is one, else a named tuple.

    float32 in, float32 out; float64 in, float64 out; integers and bools count as float64, unless there is a float32
    array beside them. Inputs are never written to.

    Parameters
    ----------
    plan : Plan
        What calls share; made by `load_loss`.
    package : str, optional
        The folder that the loss was loaded from, where it is not one of symloss's own.
    accuracy : str
        ``"exact"``, or ``"fast"`` where float32 is computed in float32.

    Raises
    ------
    ValueError
        By every method, before anything is written, for shapes, labels, values or names that are out of place.
    TypeError
        Likewise for a wrong kind or a wrong number of arguments.
    """

    plan: Plan
    package: str | None = None
    accuracy: str = "exact"

    def __repr__(self) -> str:
        return f"<symloss loss {self.name}({', '.join(self.inputs)}; {', '.join(self.parameters) or '-'})>"

    def __reduce__(self) -> tuple[Any, ...]:
        return load_loss, (self.name, self.package, self.accuracy)

    @property
    def name(self) -> str:
        """Its name."""
        return self.plan.spec.name

    @property
    def spec(self) -> Spec:
        """Its arguments, typed."""
        return self.plan.spec

    @property
    def module(self) -> Any:
        """The generated module with its kernels."""
        return self.plan.module

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs, in order, optional ones last."""
        plans = (self.plan, *self.plan.variants)
        return tuple(a.name for a in max((p.spec.inputs for p in plans), key=len))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters with their defaults."""
        return {a.name: a.default for a in self.plan.spec.parameters}

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The inputs that derivatives are taken in, in order."""
        return self.plan.everything.names

    @property
    def formula(self) -> str:
        """The loss of one sample, as one line of text."""
        return self.plan.spec.formula

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """Everything derived from the definition, as the documentation prints it; read when first asked for."""
        path = Path(str(self.module.__file__)).parent / "records" / f"{self.name}.json"
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def value(
        self, *inputs: Any, reduction: str = "mean", sample_weight: Any = None, out: Any = None, **parameters: Any
    ) -> Any:
        """Return the loss.

        Returns
        -------
        scalar or array
            A NumPy scalar; with ``reduction="none"`` one entry for each sample, weight times loss. An empty mean is
            NaN, an empty sum 0.
        """
        found = self.plan.entries["value"](inputs, None, reduction, sample_weight, out, parameters)
        if found is not None:
            return found
        return evaluate(self.plan, inputs, reduction, sample_weight, out, parameters)

    def gradient(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                 out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return the derivative of the reduced loss.

        Returns
        -------
        array or named tuple of arrays
            Shaped like the input, which where it was broadcast means summed; 0-d for a parameter.
        """
        found = self.plan.entries["gradient"](inputs, wrt, reduction, sample_weight, out, parameters)
        if found is not None:
            return found
        return differentiate(self.plan, "gradient", inputs, wrt, reduction, sample_weight, out, parameters)

    def hessian_diagonal(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                         out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return the exact diagonal of the Hessian of the reduced loss.

        Where an elementwise input was broadcast, the second derivatives of its copies are summed.

        Returns
        -------
        array or named tuple of arrays
            Shaped like the input; 0-d for a parameter.
        """
        found = self.plan.entries["hessian_diagonal"](inputs, wrt, reduction, sample_weight, out, parameters)
        if found is not None:
            return found
        return differentiate(self.plan, "hessian_diagonal", inputs, wrt, reduction, sample_weight, out, parameters)

    def value_and_gradient(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                           out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return value and gradient, computed in one pass.

        Returns
        -------
        (value, gradient)
            As `value` and `gradient` return them. `out` holds the gradient; with ``reduction="none"``, the value first.
        """
        found = self.plan.entries["value_and_gradient"](inputs, wrt, reduction, sample_weight, out, parameters)
        if found is not None:
            return found
        return differentiate(self.plan, "value_and_gradient", inputs, wrt, reduction, sample_weight, out, parameters)

    def gradient_and_hessian(self, *inputs: Any, wrt: Any = None, reduction: str = "mean", sample_weight: Any = None,
                             out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return gradient and Hessian diagonal, computed in one pass.

        Returns
        -------
        (gradient, hessian)
            As `gradient` and `hessian_diagonal` return them.
        """
        found = self.plan.entries["gradient_and_hessian"](inputs, wrt, reduction, sample_weight, out, parameters)
        if found is not None:
            return found
        return differentiate(self.plan, "gradient_and_hessian", inputs, wrt, reduction, sample_weight, out, parameters)

    def hessian_product(self, *inputs: Any, direction: Any, wrt: Any = None, reduction: str = "mean",
                        sample_weight: Any = None, out: Any = None, **parameters: Any) -> Any:  # fmt: skip
        """Return the exact product of the Hessian of the reduced loss with a direction.

        Parameters
        ----------
        direction : array or tuple of arrays
            One for each name in `wrt`, shaped like it: a bare array where `wrt` is one name or there is one
            differentiable input.

        Returns
        -------
        array or named tuple of arrays
            With the diagonal block where `wrt` is one name; else with the Hessian over all the names, cross terms
            included.
        """
        return multiply(self.plan, inputs, direction, wrt, reduction, sample_weight, out, parameters)


def load_loss(name: str, package: str | None = None, accuracy: str = "exact") -> Loss:
    """Return a loss by name: the same object for the same name, folder and accuracy, from any thread.

    Parameters
    ----------
    name : str
        Such as ``"focal"``.
    package : str, optional
        An absolute folder of generated modules; else symloss's own.
    accuracy : {"exact", "fast"}
        The arithmetic: of float32 arrays float64, rounded once, or float32; of float64 arrays float64, with more
        digits where a loss needs them, or float64 alone.

    Raises
    ------
    ValueError
        Where there is none.
    """
    with _LOCK:
        return _load(name, package, accuracy)


@cache
def _load(name: str, package: str | None, accuracy: str) -> Loss:
    module = load_module(name, package)
    fast = load_module(name, package, accuracy) if accuracy == "fast" else None
    pairs = load_module(name, package, "pairs") if accuracy == "exact" and has_module(name, package, "pairs") else None
    return Loss(make_plan(module, fast, pairs), package, accuracy)
