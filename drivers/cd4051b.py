"""CD4051B (TI SCHS047): 8:1 analog multiplexers, whose select pins hang on the shift-register chain.

The bit-line group's INH is the sequencer's pulse gate, so a pulse is as long as the gate is open.
"""

from __future__ import annotations

from typing import Literal

from firmware_bridge.isa import Gate
from firmware_bridge.timing import SequencerTiming
from firmware_bridge.wiring import Wiring

SWITCHING_S = 720e-9
"""Address to output, slowest supply (5 V), maximum: what a driver must wait after a new word or an opened gate."""

CONNECT, DISCONNECT = Gate(True), Gate(False)
"""All bit lines to what their muxes select, or to nothing."""


class Cd4051bMuxes:
    """The three mux groups: bit lines (DAC, common mode or ground), the amplifiers' reference, and the ADC inputs."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def word(
        self,
        *,
        bl: Literal["dac", "vcm", "gnd"] = "dac",
        reference: Literal["vcm", "form"] = "vcm",
        adc_input: int | None = None,
    ) -> int:
        """Chain word that selects the given inputs; `adc_input` None inhibits the ADC muxes."""
        return self._wiring.mux_word(bl=bl, reference=reference, adc_input=adc_input)

    def scan(self) -> tuple[int, ...]:
        """Chain words that bring every source line before its ADC in turn, bit lines on their DACs."""
        return tuple(self.word(adc_input=p) for p in self._wiring.positions)

    @staticmethod
    def settle_cycles(timing: SequencerTiming) -> int:
        """Cycles until a newly selected input is through."""
        return timing.cycles(SWITCHING_S)
