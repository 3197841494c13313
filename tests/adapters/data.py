"""Data that the adapters are judged on: made here, small, with weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROWS, COLUMNS, CLASSES = 2000, 8, 4

_rng = np.random.default_rng(11)
FEATURES: Array = _rng.normal(size=(ROWS, COLUMNS))
SIGNAL: Array = FEATURES @ _rng.normal(size=COLUMNS) + _rng.standard_t(3, ROWS)
BINARY: Array = (SIGNAL > 0.5).astype(float)
LABELS: Array = np.digitize(SIGNAL, [-2.0, 0.0, 2.0])
WEIGHTS: Array = _rng.uniform(0.2, 3.0, ROWS)
