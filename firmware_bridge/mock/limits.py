"""One datasheet limit as an object that the chip models check, the tests violate and the documentation lists.

A chip module keeps its limits in a module-level tuple ``LIMITS``; `firmware_bridge.mock.datasheet_table` renders all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from firmware_bridge.errors import BoardError, LimitError, ProtocolError, TimingViolation

RELATIVE_TOLERANCE = 1e-9
"""A value at its limit must pass although rounding moved it (1 / (2 × 416.67 ns) is not exactly 1.2 MHz)."""

Certainty = Literal["D", "recalled"]
Bound = Literal["minimum", "maximum"]


@dataclass(frozen=True)
class Limit:
    """A minimum, a maximum or both, of one datasheet parameter.

    Parameters
    ----------
    chip, symbol: as in the datasheet; `symbol` is unique within a chip.
    minimum, maximum: in `unit`; None where the datasheet sets no bound.
    source: document and table.
    certainty: ``"D"`` = the datasheet's own text; ``"recalled"`` = not checked, or chosen where it is silent.
    error: what `check` raises, a `LimitError` (with all fields) or another `BoardError` (with the same text).
    """

    chip: str
    symbol: str
    unit: str
    source: str
    minimum: float | None = None
    maximum: float | None = None
    certainty: Certainty = "D"
    error: type[BoardError] = TimingViolation

    def check(self, value: float, advice: str = "") -> None:
        """Raise `error` if `value` (in `unit`) is outside the limit, or is not a number."""
        # Negated comparisons, so that NaN is refused too.
        if self.minimum is not None and not value >= self.minimum - RELATIVE_TOLERANCE * abs(self.minimum):
            self._refuse(value, self.minimum, advice)
        if self.maximum is not None and not value <= self.maximum + RELATIVE_TOLERANCE * abs(self.maximum):
            self._refuse(value, self.maximum, advice)

    def bounds(self) -> Iterator[tuple[Bound, float]]:
        """The bounds that exist, as ``("minimum" | "maximum", value)``."""
        if self.minimum is not None:
            yield "minimum", self.minimum
        if self.maximum is not None:
            yield "maximum", self.maximum

    def _refuse(self, value: float, bound: float, advice: str) -> None:
        kind = self.error if issubclass(self.error, LimitError) else LimitError
        refusal = kind(f"{self.chip} {self.symbol}", value, bound, self.unit, source=self.source, advice=advice)
        if kind is self.error:
            raise refusal
        raise self.error(str(refusal))


def advance(chip: str, last_s: float, t_s: float) -> float:
    """The board time `t_s` of a call to `chip`; raises `ProtocolError` if it lies before its last call, `last_s`."""
    # The end of a pulse, begin + width, may be rounded up where the same instant counted in cycles is not.
    if not t_s >= last_s - 4 * math.ulp(last_s):
        raise ProtocolError(f"{chip}: board time went back from {last_s!r} s to {t_s!r} s; events must come in order")
    return max(last_s, t_s)
