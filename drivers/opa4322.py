"""OPA4322-Q1 (TI SLOS856) as transimpedance amplifier: holds a source line at its reference, measures its current."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def output_to_current(output_v: ArrayLike, rf_ohm: ArrayLike) -> NDArray[np.float64]:
    """Current into the source line, A, from the output relative to the reference, V: ``I = −V / Rf``."""
    return -np.asarray(output_v, float) / np.asarray(rf_ohm, float)


def full_scale_a(rf_ohm: float, swing_v: float) -> float:
    """Largest current whose output stays within ±`swing_v` of the reference, A."""
    return swing_v / rf_ohm
