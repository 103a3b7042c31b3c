"""Programs in the middle of which a host dies, one for each kind of instruction, and what is safe afterwards."""

import numpy as np

from drivers.board import load_board
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.isa import (
    Collect,
    Gate,
    Mvm,
    OutputEnable,
    Pulse,
    Pulses,
    Sample,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
)

BOARD = load_board()
RESET, LDAC, SYNC_ALL = 0x05000A, 0x050010, 0xFFFF
SAFE_WAIT, PATIENCE = 25_000, 40_000
CONFIG = SequencerConfig(safe_wait_cycles=SAFE_WAIT, safe_frames=(RESET,), watchdog_cycles=PATIENCE)
FRAME = CONFIG.timing.spi_frame_cycles(24, read=False)
SAFE_WITHIN = PATIENCE + SAFE_WAIT + CONFIG.timing.spi_cs_high_cycles + FRAME + 10
"""Cycles from the host's last access to the last edge of the last safe frame."""
SETUP = [
    Wait(26_000), SpiWrite(0xFF, (0x020000 | SYNC_ALL,) * 8), Shift(16, BOARD.wiring.mux_word()), OutputEnable(True),
]  # fmt: skip
MVM = Mvm(np.full((90, 8, 8), 32768, np.uint16), 0xFF, LDAC, 800, (0, 1, 2, 3), 16, 0xFF, 100)
PULSES = Pulses(np.full((90, 8, 8), 32768, np.uint16), 0xFF, LDAC, 800, np.full(90, 900, np.uint32))
WORKING = {
    "WAIT": [Gate(True), Wait(10**9)],
    "PULSE": [Pulse(10_000_000)],
    "SPI_WRITE": [Gate(True), *[SpiWrite(0xFF, (0,) * 8)] * 1000],
    "SPI_READ": [Gate(True), *[SpiRead(0xFF, (0x810000,) * 8)] * 1000],
    "SHIFT": [Gate(True), *[Shift(16, 0)] * 1000],
    "SAMPLE and COLLECT": [Gate(True), *[Sample(0xFF), Collect()] * 100],
    "GATE and OUTPUT_ENABLE": [*[Gate(True), OutputEnable(True)] * 12_000],
    "MVM": [Gate(True), MVM],
    "PULSES": [PULSES],
}


def is_safe(board):
    """Bit lines disconnected, muxes released, every DAC at its reset value."""
    return not board.gate and board.chain.outputs() is None and all(d.registers["SYNC"] == 0xFF00 for d in board.dacs)
