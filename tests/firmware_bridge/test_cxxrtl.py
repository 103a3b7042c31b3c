"""Two elaborators, which share no code, make the same machine of the sources: same words, same cycles, same pins."""

import importlib.util

import numpy as np
import pytest
from needs import needs_verilator
from small_board import CRC_EN, GAIN_2, LDAC, LOOK, READY, RESET, SYNC_ALL, WIRING, chips, config, outcome, small_board

from firmware_bridge import cxxrtl_build, rtl_build
from firmware_bridge.bridge import SequencerLimits
from firmware_bridge.isa import (
    INSTRUCTIONS,
    Collect,
    End,
    Gate,
    Mvm,
    Nop,
    OutputEnable,
    Pulse,
    Pulses,
    Sample,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
)
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge

pytestmark = [
    needs_verilator,
    pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="needs pyosys (pip install 'xbar[rtl]')"),
]
RNG = np.random.default_rng(2)


def codes(n, chips):
    return RNG.integers(30_000, 36_000, (n, chips, 8)).astype(np.uint16)


def mvm(n, positions, crc=False):
    words = tuple(WIRING.mux_word(adc_input=p) for p in range(positions))
    return Mvm(codes(n, 2), 3, LDAC, 700, words, WIRING.sr_bits, 7, 90, crc)


POWER_UP = Program(
    [Wait(READY), SpiWrite(7, (SYNC_ALL,) * 3), SpiWrite(7, (GAIN_2,) * 3), Shift(WIRING.sr_bits, WIRING.mux_word())]
)
SMOKE = [
    POWER_UP,
    Program([OutputEnable(True), Nop(), Gate(True), Wait(0), Wait(1), Wait(2000)]),
    Program([Sample(7), Nop(), Collect(), Sample(5), Wait(2500), Collect(), Sample(0), Collect()]),
    Program(
        [SpiWrite(2, (0x880000,)), SpiRead(2, (0,)), SpiWrite(0, ()), SpiRead(5, (0x810000,) * 2), SpiRead(5, (0,) * 2)]
    ),
    Program([mvm(3, 3), mvm(1, 1), mvm(0, 2)]),
    Program(
        [
            Gate(False),
            Pulse(1),
            Wait(100),
            Pulse(300),
            Pulses(codes(3, 3), 7, LDAC, 400, np.array([1, 70, 500], np.uint32)),
        ]
    ),
    Program([Shift(1, 1), Shift(33, (1 << 33) - 1), Shift(255, 1 << 254), Shift(WIRING.sr_bits, WIRING.mux_word())]),
    Program([SpiWrite(7, (0x030000 | CRC_EN,) * 3), SpiWrite(1, (0x088888,), crc=True), mvm(1, 2, crc=True)]),
    Program([SpiWrite(7, (RESET,) * 3, crc=True), Wait(READY), OutputEnable(False)]),
    Program([Gate(True), Pulse(5)]),  # refused
    Program([Shift(WIRING.sr_bits, WIRING.mux_word()), Pulse(9), Pulse(9)]),  # too soon for the limits
    LOOK,
]


def test_each_instruction_is_in_the_smoke_programs():
    assert {type(i) for program in SMOKE for i in program} | {End} == set(INSTRUCTIONS)


def test_yosys_and_verilator_give_the_same_words_cycles_chips_and_pins(tmp_path):
    seen = []
    for name, build in (("verilator", rtl_build.build), ("cxxrtl", cxxrtl_build.build)):
        bridge = RtlBridge(small_board(3), vcd=tmp_path / f"{name}.vcd", library=build())
        bridge.model.skip_waits(False)
        bridge.configure(config(limits=SequencerLimits(pulse_interval=60)))
        outcomes = [outcome(bridge, program) for program in SMOKE]
        bridge.close()
        seen.append((outcomes, chips(bridge.board), bridge.model.ticks, (tmp_path / f"{name}.vcd").read_text()))
    assert [isinstance(words, list) for words, _ in seen[0][0]] == [True] * 9 + [False] * 2 + [True]
    for verilator, cxxrtl in zip(*seen, strict=True):
        assert verilator == cxxrtl
    assert seen[0][3].count("\n") > 10_000
