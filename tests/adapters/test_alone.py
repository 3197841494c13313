"""Adapters of the libraries that come with the peers: each is imported where none of the others is."""

from __future__ import annotations

import pytest

from tests.test_adapters import LIBRARIES, REMAINS, blocking


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name not in REMAINS])
def test_each_adapter_needs_no_other_library(library: str) -> None:
    others = tuple(other for other in LIBRARIES if other != library)
    done = blocking(others, f"import symloss.adapters.{library}")
    assert done.returncode == 0, done.stderr
