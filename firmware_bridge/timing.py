"""What the sequencer's timing registers hold, and the cycles that follow from them.

The mock computes durations from these, the gateware takes them; they must agree for every program.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from firmware_bridge.frozen import FrozenModel


class SequencerTiming(FrozenModel):
    """Clock dividers and fixed intervals, in cycles of `clock_hz` where the name says so.

    The defaults are the fastest that the chips allow at 100 MHz: DAC80508 writes at 50 MHz and reads at 16.7 MHz (≤
    18 MHz with FSDO = 0), SN74HC595 at 10 MHz (3.3 V supply), ADS8324 DCLOCK at 1.19 MHz (≤ 1.2 MHz).
    """

    model_config = ConfigDict(allow_inf_nan=False)

    clock_hz: float = Field(default=100e6, gt=0)
    spi_write_half_cycles: int = Field(default=1, ge=1, description="half a SCLK period while writing")
    spi_read_half_cycles: int = Field(default=3, ge=1, description="half a SCLK period while SDO is captured")
    spi_cs_setup_cycles: int = Field(default=2, ge=1, description="CS falling to the first SCLK edge (tCSS)")
    spi_cs_hold_cycles: int = Field(default=1, ge=1, description="last SCLK falling edge to CS rising (tCSH)")
    spi_cs_high_cycles: int = Field(default=2, ge=1, description="CS high between frames (tCSHIGH)")
    sr_half_cycles: int = Field(default=5, ge=1, description="half an SRCLK period")
    sr_latch_cycles: int = Field(default=5, ge=1, description="RCLK high, and the set-up before it")
    adc_half_cycles: int = Field(default=42, ge=1, description="half a DCLOCK period")
    adc_window_clocks: int = Field(default=5, ge=1, description="DCLOCKs from CS falling to the window's end")
    adc_low_clocks: int = Field(default=20, ge=1, description="DCLOCKs with CS low: sampling, null bit, 14 bits")
    adc_clocks: int = Field(default=24, ge=1, description="DCLOCKs from one conversion to the next, CS high included")

    @property
    def period_s(self) -> float:
        """Clock period, s."""
        return 1.0 / self.clock_hz

    def cycles(self, seconds: float) -> int:
        """Smallest number of cycles that lasts at least `seconds`."""
        exact = seconds * self.clock_hz
        nearest = round(exact)
        # 5 µs must be 500 cycles, not 501, although 5e-6 * 1e8 is not exactly 500 in floating point.
        return nearest if abs(exact - nearest) < 1e-6 else int(exact) + 1

    def spi_frame_cycles(self, bits: int, *, read: bool) -> int:
        """From CS falling to the next frame's CS falling."""
        half = self.spi_read_half_cycles if read else self.spi_write_half_cycles
        return self.spi_cs_setup_cycles + 2 * half * bits + self.spi_cs_hold_cycles + self.spi_cs_high_cycles

    def shift_cycles(self, bits: int) -> int:
        """From the first bit on SER to RCLK low again."""
        return 2 * self.sr_half_cycles * bits + 2 * self.sr_latch_cycles

    @property
    def adc_window_cycles(self) -> int:
        """From CS falling to the end of the sampling window."""
        return 2 * self.adc_half_cycles * self.adc_window_clocks

    @property
    def adc_conversion_cycles(self) -> int:
        """From CS falling to the earliest next CS falling."""
        return 2 * self.adc_half_cycles * self.adc_clocks
