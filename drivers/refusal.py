"""Values against bounds: what an interlock says when it refuses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.limits import Range
from firmware_bridge.errors import LimitError

Volts = NDArray[np.floating]
ROUNDING = 1e-9
"""Relative slack for numbers that were computed."""


def refuse(
    name: str,
    values: Volts,
    limit: Range,
    unit: str,
    source: str,
    *,
    slack: float | None = None,
    of: NDArray[np.bool_] | None = None,
) -> None:
    """Raise `LimitError` for the first of `values` (…, lines), among `of`, outside `limit` by more than `slack`.

    slack: in `unit`; by default a rounding.
    """
    if slack is None:
        bound = (limit[0] * (1 - ROUNDING), limit[1] * (1 + ROUNDING))
    else:
        bound = (limit[0] - slack * (1 + ROUNDING), limit[1] + slack * (1 + ROUNDING))
    if values.min(initial=bound[0]) >= bound[0] and values.max(initial=bound[1]) <= bound[1]:
        return
    bad = ~((values >= bound[0]) & (values <= bound[1]))  # NaN is bad
    if of is not None:
        bad &= of
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        raise LimitError(
            f"{name} {where[-1]}",
            float(values[where]),
            limit,
            unit,
            source=source,
            advice="nothing was sent to the board",
        )
