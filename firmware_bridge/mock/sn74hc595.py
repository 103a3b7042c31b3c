"""TI SN74HC595: a chain of 8-bit shift registers with storage stage and three-state outputs (SCLS041).

Bit numbering: bit 0 of a word is QA of the first device (the one nearest SER), bit 8 k + 7 is QH of device k. A word
shifted in most significant bit first therefore puts its bit i on output i: the first bit in ends at the last device's
QH.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.limits import Limit, advance

CHIP = "SN74HC595"


class ShiftParams(BaseModel):
    """Timing limits at the supply in use; the datasheet has 2 V, 4.5 V (25 MHz, 20 ns) and 6 V only: all recalled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    f_srclk_max_hz: float = Field(default=10e6, gt=0)
    """At 3.3 V, between the 2 V and the 4.5 V columns."""
    width_min_s: float = Field(default=50e-9, ge=0)
    """SRCLK and RCLK, high or low, at 3.3 V."""
    setup_min_s: float = Field(default=50e-9, ge=0)
    """SER before SRCLK rise, and SRCLK rise before RCLK rise, at 3.3 V."""
    hold_min_s: float = Field(default=0.0, ge=0)
    """SER after SRCLK rise, at any supply."""

    def limits(self) -> dict[str, Limit]:
        """The limits by datasheet symbol."""

        def limit(symbol: str, unit: str, minimum: float | None = None, maximum: float | None = None) -> Limit:
            source = "SCLS041, timing requirements, chosen for 3.3 V"
            return Limit(CHIP, symbol, unit, source, minimum, maximum, certainty="recalled")

        table = (
            limit("fclock SRCLK", "Hz", maximum=self.f_srclk_max_hz),
            limit("tw SRCLK high", "s", self.width_min_s),
            limit("tw SRCLK low", "s", self.width_min_s),
            limit("tw RCLK high", "s", self.width_min_s),
            limit("tsu SER before SRCLK", "s", self.setup_min_s),
            limit("tsu SRCLK before RCLK", "s", self.setup_min_s),
            limit("th SER after SRCLK", "s", self.hold_min_s),
        )
        return {entry.symbol: entry for entry in table}


LIMITS = tuple(ShiftParams().limits().values())


@dataclass(frozen=True)
class ShiftTiming:
    """What the pins see, in seconds. `latch_setup_s`: last SRCLK rise to RCLK rise."""

    srclk_high_s: float
    srclk_low_s: float
    ser_setup_s: float
    ser_hold_s: float
    rclk_high_s: float
    latch_setup_s: float


class Sn74hc595Chain:
    """`n_devices` chips, QH′ of each on SER of the next, with common SRCLK, RCLK, SRCLR̅ and OE̅.

    With SRCLK tied to RCLK the storage stage would lag one clock behind; that wiring shows as ``latch_setup_s = 0``
    and is refused.
    """

    def __init__(self, n_devices: int, rng: np.random.Generator, params: ShiftParams | None = None) -> None:
        """Power the chain up: both stages hold random bits, OE̅ is held high from outside."""
        self.n_bits = 8 * n_devices
        self._mask = (1 << self.n_bits) - 1
        self._limits = (params or ShiftParams()).limits()
        self._rng = rng
        # Timings that have been found legal, so that each is checked once.
        self._shift_passed: ShiftTiming | None = None
        self._latch_passed: ShiftTiming | None = None
        self.power_up()

    def power_up(self) -> None:
        """Lose all contents: both stages undefined (random), outputs off."""
        self._stage = _random_word(self._rng, self.n_bits)
        self._storage = _random_word(self._rng, self.n_bits)
        self._stage_known_bits = 0  # counted from bit 0; what was shifted in so far
        self._storage_known = False
        self.oe_n = True
        self._now_s = 0.0

    def shift(self, word: int, bits: int, timing: ShiftTiming) -> int:
        """Shift `word` in, `bits` bits, most significant first; return the `bits` bits that left the last QH′.

        The first bit to leave is the most significant of the result; bits that were never shifted in are the random
        power-up contents. Raises `TimingViolation`, and `ProtocolError` if `word` needs more than `bits` bits.
        """
        if timing is not self._shift_passed:
            self._check("tw SRCLK high", timing.srclk_high_s)
            self._check("tw SRCLK low", timing.srclk_low_s)
            self._check("fclock SRCLK", 1.0 / (timing.srclk_high_s + timing.srclk_low_s))
            self._check("tsu SER before SRCLK", timing.ser_setup_s)
            self._check("th SER after SRCLK", timing.ser_hold_s)
            self._shift_passed = timing
        if not 0 <= word < 1 << bits:
            raise ProtocolError(f"{CHIP}: word {word:#x} does not fit into {bits} bits")
        through = self._stage << bits | word
        self._stage = through & self._mask
        self._stage_known_bits = min(self._stage_known_bits + bits, self.n_bits)
        return through >> self.n_bits

    def latch(self, timing: ShiftTiming) -> None:
        """RCLK rise: copy the shift stage to the storage stage. Raises `TimingViolation`."""
        if timing is not self._latch_passed:
            self._check("tw RCLK high", timing.rclk_high_s)
            self._check("tsu SRCLK before RCLK", timing.latch_setup_s)
            self._latch_passed = timing
        self._storage = self._stage
        self._storage_known = self._stage_known_bits == self.n_bits

    def clear(self) -> None:
        """SRCLR̅ low: zeros in the shift stage; storage and outputs stay."""
        self._stage, self._stage_known_bits = 0, self.n_bits

    def set_oe_n(self, level: bool, t_s: float) -> None:
        """Set OE̅ (False drives the outputs).

        Raises `ProtocolError` if outputs would be driven before every storage bit was latched from shifted (or
        cleared) bits.
        """
        self._now_s = advance(CHIP, self._now_s, t_s)
        if not level and not self._storage_known:
            raise ProtocolError(
                f"{CHIP}: OE̅ low at {t_s:g} s, but the outputs are undefined: only {self._stage_known_bits} of "
                f"{self.n_bits} bits were shifted in, or nothing was latched; shift and latch a full word first"
            )
        self.oe_n = level

    def outputs(self) -> int | None:
        """The word on the output pins; None while OE̅ is high (Hi-Z)."""
        return None if self.oe_n else self._storage

    def _check(self, symbol: str, value: float) -> None:
        self._limits[symbol].check(value)


def _random_word(rng: np.random.Generator, bits: int) -> int:
    return int.from_bytes(rng.bytes(bits // 8), "big")
