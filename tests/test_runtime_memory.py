"""Memory of kernels over pairs: what one call takes, the next one finds again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
import symloss

loss = symloss.load("info_nce")
query, key = np.random.default_rng(0).normal(size=(2, 1024, 256)).astype(np.float32)
_, out = loss.value_and_gradient(query, key)
for _ in range(2):
    loss.value_and_gradient(query, key, out=out)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
loss.value_and_gradient(query, key, out=out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is kept is glibc's to keep")
def test_a_call_asks_the_system_for_no_page_that_the_one_before_had() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200  # some 4,000 where the heap is cut after every call
