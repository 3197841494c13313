"""The committed output is what the definitions give, whatever the hash seed; generated modules stand alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_generating_again_changes_no_byte() -> None:
    names = "'softmax_cross_entropy', 'contrastive', 'huber'"  # `make check` does all, by another order of hashes
    command = [sys.executable, "-c", f"from symloss.cli import main; main(['generate', {names}, '--check', '--quiet'])"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout[:2000]


def test_a_generated_module_works_when_copied_alone(tmp_path: Path) -> None:
    (tmp_path / "focal.py").write_text((ROOT / "generated" / "focal.py").read_text())
    code = (
        "import sys, numpy as np, focal; z, y = np.array([0.5, -2.0]), np.array([1.0, 0.0]);"
        "g = np.full(2, np.nan);"
        "focal.value_and_gradient(z, y, 2.0, 0.25, True, None, 1.0, None, g);"
        "assert not {'symloss', 'sympy'} & set(sys.modules); assert g[0] < 0 < g[1]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
