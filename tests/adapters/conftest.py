"""One thread for everything: small data, and results that do not depend on the machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep OpenMP's threads from waiting for each other."""
    with threadpool_limits(1):
        yield
