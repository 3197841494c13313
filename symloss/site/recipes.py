"""Recipes: how a loss is called, as lines of code, from its record alone."""

from __future__ import annotations

from typing import Any

EXAMPLES = {"label": "np.array([0, 2])", "binary": "np.array([1.0, 0.0])", "real": "np.array([0.3, -2.0])"}
SIZES = {"n": 2, "c": 3, "k": 3, "m": 4, "d": 4, "s": 3, "u": 4}
SIGNS = r"\{-1, 1\}"


def recipes_of(record: dict[str, Any]) -> list[dict[str, str]]:
    """Return titles and code: NumPy for every loss, then the libraries that can take it."""
    name, inputs = record["name"], record["inputs"]
    names = ", ".join(a["name"] for a in inputs if not a.get("optional"))
    given = [a for a in inputs if not a.get("optional")]
    setup = "\n".join(f"{a['name']} = {_example(a)}" for a in given)
    own = f"import numpy as np\nimport symloss\n\n{setup}\n\nloss = symloss.{name}\n"
    first = next(a["name"] for a in given if a["differentiable"])
    calls = f'loss.value({names})\nloss.gradient({names}, wrt="{first}")\n'
    calls += f'loss.gradient_and_hessian({names}, wrt="{first}")'
    title = "".join(part.capitalize() for part in name.split("_"))
    moved = f"torch.tensor({first}, requires_grad=True)"
    tensors = ", ".join(a["name"] if a["name"] == first else f"torch.as_tensor({a['name']})" for a in given)
    torch = f"import numpy as np\nimport torch\nfrom symloss.adapters import torch as st\n\n{setup}\n\n"
    torch += f"{first} = {moved}\nst.{title}()({tensors}).backward()\n{first}.grad"
    jax = f"import jax\nimport numpy as np\nfrom symloss.adapters import jax as sj\n\n{setup}\n\n"
    jax += f"slope = jax.jit(jax.grad(sj.{name}))\nslope({names})"
    fits = _fits(record) or [
        ("SciPy", own.replace("symloss\n", "symloss\nfrom scipy.optimize import minimize\n", 1) + _descent(given))
    ]
    found = [("NumPy", own + calls), *fits, ("torch", torch), ("JAX", jax)]
    return [{"title": t, "code": code} for t, code in found]


def _descent(given: list[dict[str, Any]]) -> str:
    """Return lines in which SciPy moves the first input to where the loss is least, within its domain."""
    first = next(a for a in given if a["differentiable"])
    name = first["name"]
    inputs = ", ".join(f"flat.reshape({name}.shape)" if a["name"] == name else a["name"] for a in given)
    within = f", bounds=[(0, 1)] * {name}.size" if first["domain"] == "[0, 1]" else ""
    return (
        f'\n\ndef fun(flat):\n    value, slope = loss.value_and_gradient({inputs}, wrt="{name}")\n'
        f"    return value, slope.ravel()\n\n\n"
        f'fit = minimize(fun, {name}.ravel(), jac=True, method="L-BFGS-B"{within}, options={{"maxiter": 20}})'
    )


def _fits(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what fits a model: for one prediction and one target, or for scores and a label."""
    name, inputs = record["name"], record["inputs"]
    if len(inputs) != 2:
        return []
    rows, (_, second) = [a["axes"] for a in inputs], inputs
    if rows == [[], []]:
        high, low = ("1.0", "-1.0") if second["domain"] == SIGNS else ("1.0", "0.0")
        binary = second["domain"].startswith(("[0, 1]", r"\{"))
        real = "features @ np.array([1.0, -2.0, 0.5, 0.0])"
        target = f"np.where(features[:, 0] > 0, {high}, {low})" if binary else real
        classes, many = "", ""
    elif rows == [["n", "c"], ["n"]] and second["kind"] == "label":
        target, classes, many = "np.digitize(features[:, 0], [-0.5, 0.5])", "3", "num_class"
    else:
        return []
    data = "rng = np.random.default_rng(0)\nfeatures = rng.normal(size=(200, 4)) + rng.normal(size=(200, 1))\n"
    data += f"target = {target}\n"
    numpy = "import numpy as np\n"
    settings = f'"{many}": {classes}, ' if many else ""
    objective = f'objective("{name}", hessian="clipped")'
    wanted = f", classes={classes}" if classes else ""
    counted = f", n_classes={classes}" if classes else ""
    scipy = (
        f"{numpy}from scipy.optimize import minimize\nfrom symloss.adapters import scipy as sp\n\n{data}"
        f'problem = sp.fun_jac_hessp("{name}", sp.LinearModel(features, target, l2=1e-3{wanted}))\n'
        "start = np.zeros(problem.size)\n"
        'fit = minimize(problem.fun, start, jac=problem.jac, hessp=problem.hessp, method="trust-ncg")'
    )
    xgboost = (
        f"{numpy}import xgboost\nfrom symloss.adapters import xgboost as sx\n\n{data}"
        f"data = xgboost.DMatrix(features, target)\nbooster = xgboost.train(\n"
        f'    {{{settings}"max_depth": 3}}, data, num_boost_round=5, obj=sx.{objective}\n)'
    )
    lightgbm = (
        f"{numpy}import lightgbm\nfrom symloss.adapters import lightgbm as sl\n\n{data}"
        f"data = lightgbm.Dataset(features, target)\nbooster = lightgbm.train(\n"
        f'    {{{settings}"verbosity": -1, "objective": sl.{objective}}}, data, num_boost_round=5\n)'
    )
    kind = "Classifier" if classes else "Regressor"
    sklearn = (
        f"{numpy}from sklearn.ensemble import HistGradientBoosting{kind}\n"
        f"from symloss.adapters import sklearn as sk\n\n{data}"
        f'model = HistGradientBoosting{kind}(loss=sk.loss("{name}"{counted}), max_iter=5)\n'
        "model.fit(features, target)"
    )
    return [("SciPy", scipy), ("XGBoost", xgboost), ("LightGBM", lightgbm), ("scikit-learn", sklearn)]


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
