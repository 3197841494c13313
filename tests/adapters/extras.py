"""Every extra alone: an environment of its own, the adapter imported, one call made. It downloads, so it is no test.

``make extras``, or ``python tests/adapters/extras.py torch jax`` for some of them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SCORES = "import numpy as np; z = np.array([-0.5, 0.0, 2.0, 1.0]); y = np.array([0.0, 1.0, 1.0, 0.0]); "
CALLS = {
    "scipy": "from symloss.adapters import scipy as sp; "
    "print(sp.fun_jac_hessp('binary_cross_entropy', sp.LinearModel(z[:, None], y)).fun(np.zeros(2)))",
    "sklearn": "from symloss.adapters import sklearn as sk; from sklearn.ensemble import HistGradientBoostingRegressor "
    "as H; print(H(loss=sk.loss('huber'), max_iter=2, min_samples_leaf=1).fit(z[:, None], y).predict([[0.0]]))",
    "xgboost": "import xgboost; from symloss.adapters import xgboost as sx; print(xgboost.train({}, "
    "xgboost.DMatrix(z[:, None], y), 2, obj=sx.objective('binary_cross_entropy')).num_boosted_rounds())",
    "lightgbm": "import lightgbm; from symloss.adapters import lightgbm as sl; print(lightgbm.train({'objective': "
    "sl.objective('huber'), 'verbosity': -1}, lightgbm.Dataset(np.tile(z, 30)[:, None], np.tile(y, 30)), 2)"
    ".num_trees())",
    "catboost": "from catboost import CatBoost; from symloss.adapters import catboost as sc; print(CatBoost({"
    "'iterations': 2, 'verbose': False, 'allow_writing_files': False, 'loss_function': "
    "sc.Objective('binary_cross_entropy'), 'eval_metric': sc.Metric('binary_cross_entropy')"
    "}).fit(z[:, None], y).tree_count_)",
    "jax": "import jax; from symloss.adapters import jax as sj; print(jax.grad(lambda x: sj.focal(x, y))(z))",
    "torch": "import torch; from symloss.adapters import torch as st; x = torch.tensor(z, requires_grad=True); "
    "st.focal(x, torch.tensor(y)).backward(); print(x.grad, torch.__version__)",
    "dask": "import dask.array as da; from symloss.adapters import dask as sd; "
    "print(float(sd.value('binary_cross_entropy', da.from_array(z, chunks=2), da.from_array(y, chunks=2))))",
}
"""For each extra, a call that needs nothing else."""


def wheel(folder: Path) -> Path:
    """Return symloss as a wheel, built from a copy so that nothing is left behind here."""
    copy = folder / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "_build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    subprocess.run(command, capture_output=True, check=True)
    (found,) = folder.glob("symloss-*.whl")
    return found


def check(extra: str, package: Path, folder: Path) -> dict[str, object]:
    """Install one extra into a new environment, call its adapter, and say what happened."""
    start = time.perf_counter()
    python = folder / extra / "bin" / "python"
    commands = [
        [sys.executable, "-m", "venv", str(folder / extra)],
        [str(python), "-m", "pip", "install", "--quiet", f"{package}[{extra}]"],
        [str(python), "-c", _SCORES + CALLS[extra]],
    ]
    output = ""
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            return {"extra": extra, "passed": False, "output": (done.stdout + done.stderr).strip()[-1500:]}
        output = done.stdout.strip()
    listing = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    found = {package["name"].lower(): package["version"] for package in json.loads(listing.stdout)}
    kept = {"sklearn": "scikit-learn"}.get(extra, extra)
    version = found.get(kept, "missing")
    return {"extra": extra, "passed": version != "missing", "version": version, "packages": len(found),
            "seconds": round(time.perf_counter() - start), "output": output}  # fmt: skip


def main(names: list[str]) -> int:
    """Check the extras called `names`, or all; return how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as built:
        package = wheel(Path(built))
        for extra in names or CALLS:
            with tempfile.TemporaryDirectory() as folder:  # one at a time: torch alone takes gigabytes
                found = check(extra, package, Path(folder))
            print(json.dumps(found), flush=True)
            failed += not found["passed"]
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
