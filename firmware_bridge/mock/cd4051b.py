"""TI CD4051B: 8-to-1 analog multiplexers that share their select pins (SCHS047).

Tables at 25 °C for VDD = 5, 10 and 15 V with VEE = VSS = 0. Between a change of the select pins and the end of the
datasheet's maximum delay no channel counts as connected: the part breaks before it makes, and when exactly it makes
is not promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.limits import Limit, advance

CHIP = "CD4051B"


@dataclass(frozen=True)
class SupplyColumn:
    """One VDD column of the datasheet: resistances in Ω, maximum delays in s."""

    r_on_typ_ohm: float
    r_on_max_ohm: float
    address_s: float  # address to signal out
    inhibit_on_s: float  # INH falling to signal out
    inhibit_off_s: float  # INH rising to signal off
    vih: Limit


def _vih(supply_v: int, minimum_v: float) -> Limit:
    source = "SCHS047, electrical characteristics"
    return Limit(CHIP, f"VIH (VDD = {supply_v} V)", "V", source, minimum=minimum_v, error=ProtocolError)


SUPPLY = {
    5: SupplyColumn(470.0, 1050.0, 720e-9, 720e-9, 450e-9, _vih(5, 3.5)),
    10: SupplyColumn(180.0, 400.0, 320e-9, 320e-9, 210e-9, _vih(10, 7.0)),
    15: SupplyColumn(125.0, 240.0, 240e-9, 240e-9, 160e-9, _vih(15, 11.0)),
}
LIMITS = tuple(column.vih for column in SUPPLY.values())


class MuxParams(BaseModel):
    """A group of CD4051Bs: supply, what drives the select pins, on-resistance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    supply_v: Literal[5, 10, 15] = 5
    """VDD; picks the datasheet's column."""
    logic_high_v: float = 3.3
    """High level of the logic that drives A, B, C and INH."""
    level_shifter: bool = True
    """Whether a level shifter lifts that logic to VDD (assumed: the board works); without one, 3.3 V misses VIH."""
    r_on_ohm: float | None = Field(default=None, ge=0)
    """Mean on-resistance; None = the typical value at this supply."""
    r_on_spread: float = Field(default=0.1, ge=0)
    """Relative σ from mux to mux (assumed), clipped to the datasheet's maximum."""
    delay_scale: float = Field(default=1.0, ge=0)
    """Of the datasheet's maximum switching delays; 0 switches at once."""

    @classmethod
    def ideal(cls, supply_v: Literal[5, 10, 15] = 5) -> MuxParams:
        """Zero resistance, switches at once, select pins at VDD."""
        return cls(supply_v=supply_v, r_on_ohm=0.0, r_on_spread=0.0, delay_scale=0.0)


class Cd4051b:
    """`n` muxes with common C, B, A and INH.

    Attributes
    ----------
    r_on_ohm: (n,) on-resistance of each mux (the ΔR_on between channels of one part, 5 … 15 Ω typical, is left out).
    settled_at_s: board time from which the selected channel is connected, or the inhibited part is off.
    """

    def __init__(self, params: MuxParams, n: int, rng: np.random.Generator) -> None:
        """Draw the resistances; INH is pulled up, so nothing is connected. Raises `ProtocolError` below VIH."""
        self.params = params
        self._column = SUPPLY[params.supply_v]
        high_v = float(params.supply_v) if params.level_shifter else params.logic_high_v
        self._column.vih.check(high_v, "drive the select pins through a level shifter, and declare it (level_shifter)")
        mean_ohm = self._column.r_on_typ_ohm if params.r_on_ohm is None else params.r_on_ohm
        drawn = mean_ohm * (1.0 + params.r_on_spread * rng.standard_normal(n))
        self.r_on_ohm: NDArray[np.float64] = np.clip(drawn, 0.2 * mean_ohm, max(self._column.r_on_max_ohm, mean_ohm))
        self.power_up(0.0)

    @property
    def switching_s(self) -> float:
        """Longest time from a new code to its channel being connected."""
        return self.params.delay_scale * max(self._column.address_s, self._column.inhibit_on_s)

    def power_up(self, t_s: float) -> None:
        """Select pins undriven, INH pulled up."""
        self._now_s = self.settled_at_s = t_s
        self._code: int | None = None
        self._inh = True

    def select(self, code: int | None, inh: bool, t_s: float) -> None:
        """Drive C, B, A with the 3-bit `code` (None: not driven) and INH with `inh` at `t_s`.

        Raises `ProtocolError` for a code outside 0 … 7, for INH low over undriven (floating) select pins, and if time
        goes back.
        """
        if code is not None and not 0 <= code <= 7:
            raise ProtocolError(f"{CHIP}: select code {code} is outside 0 … 7")
        if code is None and not inh:
            raise ProtocolError(
                f"{CHIP}: INH low while C, B, A are not driven connects an undefined channel; hold INH high"
            )
        self._now_s = advance(CHIP, self._now_s, t_s)
        delays = []
        if inh and not self._inh:
            delays.append(self._column.inhibit_off_s)
        if not inh and self._inh:
            delays.append(self._column.inhibit_on_s)
        if not inh and code != self._code:
            delays.append(self._column.address_s)
        if delays:
            self.settled_at_s = max(self.settled_at_s, t_s + self.params.delay_scale * max(delays))
        self._code, self._inh = code, inh

    def channel(self, t_s: float) -> int | None:
        """The connected channel at `t_s`; None when inhibited or still switching. `ProtocolError` if time goes back."""
        advance(CHIP, self._now_s, t_s)
        return None if self._inh or t_s < self.settled_at_s else self._code
