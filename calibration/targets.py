"""Built-in target patterns: what a board can be programmed with when no file is at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import ProtocolError

# One letter per 16 × 16 quadrant, drawn in half-height cells: each character is 2 × 2 cells of the array. Letters are
# drawn with the character of their level, so that one pattern spans the range that arrays are programmed to (paper,
# Fig. 2h).
_LEVELS_S = {".": 20e-6, ",": 35e-6, "A": 100e-6, "I": 85e-6, "4": 70e-6, "S": 55e-6}
_AI4S = """
........ ,,,,,,,,
..AAAA.. ,,IIII,,
.AA..AA. ,,,II,,,
.AA..AA. ,,,II,,,
.AAAAAA. ,,,II,,,
.AA..AA. ,,,II,,,
.AA..AA. ,,IIII,,
........ ,,,,,,,,
,,,,44,, ........
,,,444,, ..SSSSS.
,,4444,, .SS.....
,44,44,, ..SSSS..
,444444, .....SS.
,,,,44,, .....SS.
,,,,44,, .SSSSS..
,,,,,,,, ........
"""

PATTERNS = ("AI4S",)
"""Names of the built-in patterns."""


def pattern(name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Target conductances (n_sl, n_bl) S of a built-in pattern, stretched to `shape`; "AI4S" is drawn for 32 × 32.

    "AI4S" has six levels: backgrounds of 20 and 35 µS, letters of 100, 85, 70 and 55 µS.

    Raises `ProtocolError` for a name that is not in `PATTERNS`.
    """
    if name not in PATTERNS:
        raise ProtocolError(f"pattern {name!r} is unknown; there are: {', '.join(PATTERNS)}")
    drawn = np.array([[_LEVELS_S[c] for c in line.replace(" ", "")] for line in _AI4S.split("\n") if line])
    row, column = (np.arange(n) * cells // n for n, cells in zip(shape, drawn.shape, strict=True))
    return drawn[np.ix_(row, column)]
