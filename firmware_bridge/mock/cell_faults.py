"""What can be wrong with a cell, and the faults that a chip arrives with."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from firmware_bridge.mock.array_params import FaultParams


class CellFault(IntEnum):
    """State of health of a cell (ground truth of the mock)."""

    HEALTHY = 0
    UNFORMED = 1
    STUCK_HIGH = 2
    STUCK_LOW = 3
    OPEN = 4
    BROKEN_BL = 5
    BROKEN_SL = 6
    BROKEN_WL = 7


BROKEN_LINE = (CellFault.BROKEN_BL, CellFault.BROKEN_SL, CellFault.BROKEN_WL)
"""Faults of cells that nothing can reach."""


def draw_faults(params: FaultParams | None, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """`CellFault` values of shape `shape` (n_sl, n_bl); lists override random shares, lines override cells."""
    u = rng.random(shape)
    faults = np.full(shape, int(CellFault.HEALTHY))
    if params is None:
        return faults
    kinds = (
        (CellFault.STUCK_HIGH, params.stuck_high_fraction, params.stuck_high_cells),
        (CellFault.STUCK_LOW, params.stuck_low_fraction, params.stuck_low_cells),
        (CellFault.OPEN, params.open_fraction, params.open_cells),
    )
    start = 0.0
    for fault, share, _ in kinds:
        faults[(u >= start) & (u < start + share)] = fault
        start += share
    for fault, _, cells in kinds:
        for cell in cells:
            faults[cell] = fault
    faults[:, list(params.broken_bl)] = CellFault.BROKEN_BL
    faults[list(params.broken_sl)] = CellFault.BROKEN_SL
    faults[list(params.broken_wl)] = CellFault.BROKEN_WL
    return faults
