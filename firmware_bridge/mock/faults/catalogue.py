"""The faults that the table in docs/faults.md is made of, each with parameters that are neither gross nor invisible."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from firmware_bridge.mock.faults.base import Fault
from firmware_bridge.mock.faults.lines import (
    BrokenLine,
    DriftJump,
    ShortedBitLines,
    ShortedCell,
    ShortedSourceLines,
    ShortedWordLines,
    Supply,
)
from firmware_bridge.mock.faults.pins import (
    DeafDac,
    FlippedBit,
    LostFrame,
    SaturatingAdc,
    StuckChainBit,
    StuckDout,
    StuckMiso,
    StuckMux,
)

CATALOGUE: dict[str, Callable[..., Fault]] = {
    "bit flip on SDI, data of a DAC": partial(FlippedBit, dac=1, bit=9),
    "bit flip on SDI, address": partial(FlippedBit, dac=1, bit=19),
    "frame missed by a DAC": partial(LostFrame, dac=6),
    "broken CS of a DAC": partial(DeafDac, dac=2),
    "MISO stuck low": partial(StuckMiso, dac=3, level=0),
    "MISO stuck high": partial(StuckMiso, dac=3, level=1),
    "REF-ALM: supply of a DAC at 2.6 V": partial(Supply, dac=5, vdd_v=2.6),
    "supply droop: all DACs at 4.0 V": partial(Supply, vdd_v=4.0),
    "reference of the DACs 0.4 % low": partial(Supply, vref_v=2.49),
    "595 bit stuck, reference mux on the forming level": partial(StuckChainBit, bit=3, level=1),
    "595 bit stuck, bit lines on the common mode": partial(StuckChainBit, bit=0, level=1),
    "595 bit stuck, ADC muxes": partial(StuckChainBit, bit=8, level=0),
    "595 bit stuck, ADC muxes inhibited": partial(StuckChainBit, bit=11, level=1),
    "mux before an ADC not switching": partial(StuckMux, adc=2, channel=0),
    "mux before an ADC open": partial(StuckMux, adc=2, channel=None),
    "ADC saturating at a tenth of its range": partial(SaturatingAdc, adc=4, low=-820, high=820),
    "ADC at its rail": partial(SaturatingAdc, adc=4, low=8191),
    "DOUT of an ADC stuck low": partial(StuckDout, adc=4, level=0),
    "DOUT of an ADC stuck high": partial(StuckDout, adc=4, level=1),
    "broken BL": partial(BrokenLine, line="bl", index=7),
    "broken SL": partial(BrokenLine, line="sl", index=7),
    "broken WL": partial(BrokenLine, line="wl", index=7),
    "short between two BLs": partial(ShortedBitLines, lines=(7, 8)),
    "short between two WLs": partial(ShortedWordLines, lines=(7, 8)),
    "short between two SLs": partial(ShortedSourceLines, lines=(7, 8)),
    "short between a BL and a SL": partial(ShortedCell, sl=7, bl=8),
    "drift jump of 10 % of each cell": partial(DriftJump, relative=0.1),
    "drift jump of 1 % of each cell": partial(DriftJump, relative=0.01),
}
"""By description; parameters of `Fault` are left to the caller."""
