"""Why a cell could not be programmed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Failure(IntEnum):
    """What became of a cell."""

    NONE = 0
    """Programmed, or left alone."""
    STUCK_HIGH = 1
    """Conducts too much, and the strongest RESETs do not change it."""
    STUCK_LOW = 2
    """Conducts too little, and neither the strongest SETs nor forming change it."""
    UNFORMED = 3
    """Does not conduct, and forming does not change it. A broken cell or line looks the same."""
    NOISY = 4
    """Not within tolerance, and its reads differ by more than that with no pulse between them."""
    NOT_CONVERGED = 5
    """Responds to pulses, but was not within tolerance when the cycles ran out."""
    OUT_OF_REACH = 6
    """Responds to pulses, but the strongest that the ranges allow leave it short of its target."""


@dataclass(frozen=True)
class CellFailure:
    """One cell that failed: source line, bit line, why, and the reason in words with its numbers."""

    sl: int
    bl: int
    failure: Failure
    reason: str

    def __str__(self) -> str:
        return f"cell (SL {self.sl}, BL {self.bl}): {self.failure.name.lower()}: {self.reason}"
