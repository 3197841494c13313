"""Loading: names, lazy attributes, a user's own folder, what gets imported, and a Numba cache that heals."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symloss
from symloss.runtime import cache

FIXTURES = Path(__file__).parent / "fixtures"
GENERATED = Path(__file__).parent.parent / "generated"
TOY = symloss.load("toy_elementwise", package=FIXTURES)
PAIR = symloss.load("toy_pair", package=FIXTURES)
X = np.linspace(-2, 2, 7)
Y = (X > 0) * 1.0


def run(code: str, *arguments: str) -> str:
    root = str(Path(symloss.__file__).parent.parent)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | {"PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env=environment, timeout=300, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_brings_in_neither_numba_nor_sympy() -> None:
    assert (
        run("import sys, symloss; print({'numba', 'sympy'} & set(sys.modules), len(symloss.losses()) > 0)")
        == "set() True"
    )


def test_calling_never_brings_in_sympy() -> None:
    call = "symloss.load('toy_pair', package=sys.argv[1]).value(1.0, 2.0); symloss.focal"
    assert run(f"import sys, symloss; {call}; print('sympy' in sys.modules)", str(FIXTURES)) == "False"


def test_names_and_lazy_attributes() -> None:
    names = symloss.losses()
    assert names == tuple(sorted(names))
    assert "focal" in names
    assert symloss.focal is symloss.load("focal") is symloss.load("focal", accuracy="exact")
    assert {"focal", "load", "losses"} <= set(dir(symloss))
    with pytest.raises(AttributeError, match="module 'symloss' has no attribute 'fokal'"):
        symloss.fokal  # noqa: B018
    assert not hasattr(symloss, "__wrapped__")


@pytest.mark.parametrize("name", symloss.losses())
def test_every_generated_loss_loads(name: str) -> None:
    loss = symloss.load(name)
    assert loss.inputs
    assert set(loss.differentiable) <= set(loss.inputs)
    assert loss.record["name"] == name
    assert loss.record is loss.record


def test_what_a_loss_says_of_itself() -> None:
    assert TOY.inputs == ("logit", "target")
    assert TOY.parameters == {"pos_weight": 1.0, "alpha": None, "flipped": False}
    assert TOY.differentiable == ("logit",)
    assert TOY.formula.startswith("pos_weight*y")
    assert repr(TOY) == "<symloss loss toy_elementwise(logit, target; pos_weight, alpha, flipped)>"
    with pytest.raises(AttributeError):
        TOY.package = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["fokal", "../focal", "__init__", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ValueError, match=r"no loss .*; there are .*focal"):
        symloss.load(name)


def test_wrong_arguments_of_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="focal: accuracy must be 'exact' or 'fast', got 'sloppy'"):
        symloss.load("focal", accuracy="sloppy")
    with pytest.raises(ValueError, match=r"no loss 'focal' in .*; there are none"):
        symloss.load("focal", package=tmp_path)
    with pytest.raises(TypeError, match="the name of a loss must be a string, got 3"):
        symloss.load(3)  # type: ignore[arg-type]
    (tmp_path / "plain.py").write_text("")
    with pytest.raises(ValueError, match="expected a module generated for abi 3, got no SPEC"):
        symloss.load("plain", package=tmp_path)
    (tmp_path / "later.py").write_text("SPEC = {'abi': 4}")
    with pytest.raises(ValueError, match="expected a module generated for abi 3, got abi 4"):
        symloss.load("later", package=tmp_path)


def test_folders_do_not_mix(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "toy_pair.py", tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "toy_pair.json").write_text(json.dumps({"name": "toy_pair"}))
    other = symloss.load("toy_pair", package=tmp_path)
    assert other is not PAIR
    assert other is symloss.load("toy_pair", package=str(tmp_path / "records" / ".."))
    assert other.module.__name__ in sys.modules
    assert other.module.__name__ != PAIR.module.__name__
    assert other.record == {"name": "toy_pair"}
    assert other.value(2.0, 3.0) == PAIR.value(2.0, 3.0)


def test_pickles_and_copies() -> None:
    assert pickle.loads(pickle.dumps(TOY)) is TOY
    assert pickle.loads(pickle.dumps(symloss.focal)) is symloss.focal
    assert copy.deepcopy(TOY) is TOY
    assert len({TOY, PAIR, TOY}) == 2
    gradient = PAIR.gradient(X, Y)
    again = pickle.loads(pickle.dumps(gradient))
    assert type(again) is type(gradient)
    np.testing.assert_array_equal(again, gradient)


def test_a_parameter_without_default_must_be_given(tmp_path: Path) -> None:
    source = (FIXTURES / "toy_pair.py").read_text().replace('"default": 0.0', '"default": None')
    (tmp_path / "toy_pair.py").write_text(source)
    loss = symloss.load("toy_pair", package=tmp_path)
    with pytest.raises(TypeError, match="toy_pair: shift has no default and must be given"):
        loss.value(X, Y)
    assert loss.value(X, Y, shift=0.0) == PAIR.value(X, Y)


DAMAGES: list[Any] = [
    lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-1], lambda data: b"garbage\n" * 20,
    lambda data: b"\x80\x05cno_such_module\nthing\n.", lambda data: b"\x80\x05K\x01.",
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_broken_cache_heals(tmp_path: Path, suffix: str) -> None:
    """Every damage in a process of its own would take minutes, so each gets a copy of the module."""
    code = """
import sys
from pathlib import Path
import numpy as np
import symloss
x = np.linspace(-2, 2, 40_000)
for folder in sorted(Path(sys.argv[1]).iterdir()):
    print(symloss.load("toy_elementwise", package=folder).gradient(x, (x > 0) * 1.0).sum())
"""
    for k in range(len(DAMAGES)):
        (tmp_path / str(k)).mkdir()
        shutil.copy(FIXTURES / "toy_elementwise.py", tmp_path / str(k))
    healthy = run(code, str(tmp_path))
    assert len(set(healthy.split())) == 1
    for k, damage in enumerate(DAMAGES):
        files = list((tmp_path / str(k)).rglob(f"*.{suffix}"))
        assert files
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
    assert run(code, str(tmp_path)) == healthy
    assert run(code, str(tmp_path)) == healthy


def test_a_broken_cache_heals_on_a_quick_call_too(tmp_path: Path) -> None:
    """Kernels and the check of domains alike, of a module as it is generated."""
    code = """
import sys
import numpy as np
import symloss
x = np.linspace(-2, 2, 500)
print(symloss.load("hinge", package=sys.argv[1]).gradient(x, np.where(x > 0, 1.0, -1.0)).sum())
"""
    shutil.copy(GENERATED / "hinge.py", tmp_path)
    healthy = run(code, str(tmp_path))
    files = [f for kernel in ("gradient", "outside") for f in tmp_path.rglob(f"*hinge.{kernel}-*.nbi")]
    assert len(files) == 2
    for file in files:
        file.write_bytes(b"garbage")
    assert run(code, str(tmp_path)) == healthy


def test_code_of_an_older_module_is_not_taken_for_new(tmp_path: Path) -> None:
    """A process that ends between index and code, as Numba writes them, leaves an index of what is not there."""
    code = """
import os, sys
import numpy as np
import symloss
from numba.core.caching import IndexDataCacheFile
if len(sys.argv) > 2:
    IndexDataCacheFile._save_data = lambda *arguments: os._exit(0)
x = np.linspace(-2, 2, 500)
print(symloss.load("absolute_error", package=sys.argv[1]).value(x, 0 * x))
"""
    module = tmp_path / "absolute_error.py"
    shutil.copy(GENERATED / module.name, tmp_path)
    before = float(run(code, str(tmp_path)))
    text = module.read_text()
    changed = text.replace("loss = abs(r)", "loss = 2*abs(r)")
    assert changed != text
    module.write_text(changed)
    assert run(code, str(tmp_path), "ends early") == ""
    assert float(run(code, str(tmp_path))) == 2 * before


@pytest.mark.parametrize("hours, kept", [(-1, True), (0, False), (1, True)])
def test_what_is_cached_stays_unless_the_module_was_written_after_it(tmp_path: Path, hours: int, kept: bool) -> None:
    """A module from the future says nothing: what is compiled of it is older until then."""
    module = Path(shutil.copy(GENERATED / "absolute_error.py", tmp_path))
    symloss.load("absolute_error", package=tmp_path).value(X, Y)
    kernel = symloss.load("absolute_error", package=tmp_path).plan.module.value
    files = list(tmp_path.rglob("*.nbc"))
    assert files
    later = time.time() + 3600 * hours
    os.utime(module, (later, later))
    cache.forget_older(kernel)
    assert all(file.exists() is kept for file in files)


def test_only_errors_of_the_cache_are_taken_for_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(*arguments: Any) -> float:
        raise EOFError

    monkeypatch.setattr(cache, "forget_cache", lambda kernel: pytest.fail("healed what was not broken"))
    monkeypatch.setitem(TOY.plan.kernels, "value", kernel)
    with pytest.raises(EOFError):
        TOY.value(X, Y)
