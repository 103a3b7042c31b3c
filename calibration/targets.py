"""Built-in target patterns: what a board can be programmed with when no file is at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import ProtocolError

BACKGROUND_S, STROKE_S = 30e-6, 90e-6
"""Conductances of a pattern, S; both within the states that the paper finds stable (30–95 µS)."""

# One letter per 16 × 16 quadrant, drawn in half-height cells: each character is 2 × 2 cells of the array.
_AI4S = """
........ ........
..####.. ..####..
.##..##. ...##...
.##..##. ...##...
.######. ...##...
.##..##. ...##...
.##..##. ..####..
........ ........
....##.. ........
...###.. ..#####.
..####.. .##.....
.##.##.. ..####..
.######. .....##.
....##.. .....##.
....##.. .#####..
........ ........
"""

PATTERNS = ("AI4S",)
"""Names of the built-in patterns."""


def pattern(name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Target conductances (n_sl, n_bl) S of a built-in pattern, stretched to `shape`; "AI4S" is drawn for 32 × 32.

    Raises `ProtocolError` for a name that is not in `PATTERNS`.
    """
    if name not in PATTERNS:
        raise ProtocolError(f"pattern {name!r} is unknown; there are: {', '.join(PATTERNS)}")
    bitmap = np.array([[c == "#" for c in line.replace(" ", "")] for line in _AI4S.split("\n") if line])
    row, column = (np.arange(n) * drawn // n for n, drawn in zip(shape, bitmap.shape, strict=True))
    return np.where(bitmap[np.ix_(row, column)], STROKE_S, BACKGROUND_S)
