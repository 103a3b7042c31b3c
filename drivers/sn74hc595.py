"""SN74HC595 (TI SCLS041): 8-bit shift registers in a chain, which hold the select pins of all muxes."""

from __future__ import annotations

from firmware_bridge.isa import OutputEnable, Shift
from firmware_bridge.program import Program


class Sn74hc595Chain:
    """`n_devices` registers, QH′ to SER: bit i of a word is QA + i % 8 of device i // 8, counted from the sequencer."""

    def __init__(self, n_devices: int) -> None:
        self.bits = 8 * n_devices

    def write(self, program: Program, word: int) -> None:
        """Shift a word in and latch it."""
        program.append(Shift(self.bits, word))

    def enable(self, program: Program, on: bool) -> None:
        """Drive the outputs (OE̅ low) or release them. They are undefined after power-up: write first, enable after."""
        program.append(OutputEnable(on))
