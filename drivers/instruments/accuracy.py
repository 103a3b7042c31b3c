"""What a reading of an instrument is worth: its data sheet's accuracy table, as a standard uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.errors import LimitError


@dataclass(frozen=True)
class Reading:
    """A measured value.

    value: mean of the samples, in `unit`.
    standard_uncertainty: one σ, in `unit`: the instrument's accuracy and the scatter of the mean, in quadrature. A
        single sample knows no scatter: its uncertainty is the accuracy alone.
    standard_deviation: of one sample; NaN for a single one.
    """

    value: float
    standard_uncertainty: float
    unit: str
    samples: int = 1
    standard_deviation: float = math.nan

    def __str__(self) -> str:
        return f"({self.value:.9g} ± {self.standard_uncertainty:.2g}) {self.unit}"


@dataclass(frozen=True)
class Span:
    """One range of an accuracy table: the error stays within ± (of_reading · |reading| + offset)."""

    full_scale: float
    of_reading: float
    offset: float


@dataclass(frozen=True)
class Accuracy:
    """The table of one function: its ranges, ascending.

    source: data sheet and condition, or "to be verified: …" where nobody has compared the numbers with a data sheet.
    """

    quantity: str
    unit: str
    spans: tuple[Span, ...]
    source: str

    def span_for(self, value: float) -> Span:
        """The smallest range that holds ±`value`. Raises `LimitError` above the largest, and for NaN."""
        for span in self.spans:
            if abs(value) <= span.full_scale * (1 + 1e-9):
                return span
        top = self.spans[-1].full_scale
        raise LimitError(
            f"range of {self.quantity}", value, (-top, top), self.unit, source="largest range of the instrument"
        )

    def reading(self, samples: Sequence[float], span: Span, extra_offset: float = 0.0) -> Reading:
        """Samples taken on one range, as a reading.

        The table bounds the error without saying how it is distributed; taken as uniform, a bound `a` is a standard
        uncertainty a/√3 (GUM 4.3.7). `extra_offset` adds to the bound. Averaging does not lower it, as the error is the
        instrument's, the same in each sample.
        """
        n = len(samples)
        mean = math.fsum(samples) / n
        bound = span.of_reading * abs(mean) + span.offset + extra_offset
        deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in samples) / (n - 1)) if n > 1 else math.nan
        scatter = deviation / math.sqrt(n) if n > 1 else 0.0
        return Reading(mean, math.hypot(bound / math.sqrt(3), scatter), self.unit, n, deviation)
