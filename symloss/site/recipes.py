"""Recipes: how a loss is called, as lines of code, from its record alone."""

from __future__ import annotations

from typing import Any

EXAMPLES = {"label": "np.array([0, 2])", "binary": "np.array([1.0, 0.0])", "real": "np.array([0.3, -2.0])"}
SIZES = {"n": 2, "c": 3, "k": 3, "m": 4, "d": 4, "s": 3, "u": 4}
SIGNS = r"\{-1, 1\}"


def recipes_of(record: dict[str, Any]) -> list[dict[str, str]]:
    """Return titles and code: NumPy for every loss, then the libraries that can take it."""
    name, inputs = record["name"], record["inputs"]
    names = ", ".join(a["name"] for a in inputs)
    setup = "\n".join(f"{a['name']} = {_example(a)}" for a in inputs)
    own = f"import numpy as np\nimport symloss\n\n{setup}\n\nloss = symloss.{name}\n"
    first = next(a["name"] for a in inputs if a["differentiable"])
    calls = (
        f'loss.value({names})\nloss.value_and_gradient({names})\nloss.gradient_and_hessian({names}, wrt="{first}")\n'
    )
    found = [{"title": "NumPy", "code": own + calls}]
    title = "".join(part.capitalize() for part in name.split("_"))
    found.append({"title": "torch", "code": f"from symloss.adapters import torch as st\n\nloss = st.{title}()\n"
                                            f"loss({names}).backward()  # tensors\n"})  # fmt: skip
    found.append({"title": "JAX", "code": f"import jax\nfrom symloss.adapters import jax as sj\n\n"
                                          f"slope = jax.jit(jax.grad(sj.{name}))\nslope({names})\n"})  # fmt: skip
    if _boosts(record):
        found += _boosting(name)
    return found


def _example(argument: dict[str, Any]) -> str:
    shape = tuple(SIZES[axis] for axis in argument["axes"])
    if argument["kind"] == "label":
        return f"np.arange({shape[0]})" if len(shape) == 1 else f"np.zeros({shape}, int)"
    if not argument["differentiable"] and argument["domain"].startswith(("[0, 1]", r"\{")):
        values = "[1.0, -1.0]" if argument["domain"] == SIGNS else "[1.0, 0.0]"
        return f"np.array({values})" if len(shape) < 2 else f"np.tile({values}, ({shape[0]}, {shape[1] // 2}))"
    if argument["domain"] == "[0, 1]":
        return f"np.full({shape}, 0.5)"
    if not shape:
        return {"w": "10.0", "b": "-5.0"}.get(argument["name"], EXAMPLES["real"])
    return f"np.random.default_rng(0).normal(size={shape})"


def _boosts(record: dict[str, Any]) -> bool:
    """Tell whether boosting libraries can take it: one prediction and one target, or scores and a label."""
    inputs = record["inputs"]
    if len(inputs) != 2:
        return False
    rows = [a["axes"] for a in inputs]
    return rows == [[], []] or (rows == [["n", "c"], ["n"]] and inputs[1]["kind"] == "label")


def _boosting(name: str) -> list[dict[str, str]]:
    return [
        {"title": "XGBoost", "code": f"from symloss.adapters import xgboost as sx\n\n"
         f"start = sx.base_score(\"{name}\", target)\n"
         f"booster = xgboost.train({{\"base_score\": start}}, data, obj=sx.objective(\"{name}\"), "
         f"custom_metric=sx.metric(\"{name}\"))\n"},
        {"title": "LightGBM", "code": f"from symloss.adapters import lightgbm as sl\n\n"
         f"booster = lightgbm.train({{\"objective\": sl.objective(\"{name}\")}}, data)\n"},
        {"title": "scikit-learn", "code": f"from symloss.adapters import sklearn as sk\n\n"
         f"model = HistGradientBoostingRegressor(loss=sk.loss(\"{name}\"))\n"},
        {"title": "SciPy", "code": f"from symloss.adapters import scipy as sp\n\n"
         f"problem = sp.fun_jac_hessp(\"{name}\", sp.LinearModel(design, target))\n"},
    ]  # fmt: skip
