"""A board of 64 × 64 lines on DACs of sixteen channels, behind the bridges: the same words, cycles, refusals, chips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from loopback import serving
from needs import MISSING
from small_board import cells

from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.cd4051b import Cd4051bMuxes
from drivers.crossbar import Crossbar
from drivers.dac import DacBank, volts_to_code, write_frame
from firmware_bridge.bridge import Bridge
from firmware_bridge.errors import LimitError
from firmware_bridge.isa import Gate, Mvm, OutputEnable, Pulses, Shift, SpiWrite, Wait
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.program import Program
from firmware_bridge.remote.client import RemoteBridge

BOARD = load_board(Path(__file__).parents[2] / "docs" / "how-to" / "board-64x64.toml")
DACS, MUXES = DacBank(BOARD.dac, 8), Cd4051bMuxes(BOARD.wiring)
SETTLE = BOARD.timing.cycles(BOARD.settle.dac_s)
LDAC = write_frame(*BOARD.dac.LDAC)
VCM = 0x8000


@contextmanager
def over(name: str) -> Iterator[tuple[Bridge, MockBoard]]:
    """A bridge to a board just powered up and configured, and its chips."""
    if name == "rtl" and MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}")
    inner = open_bridge("rtl" if name == "rtl" else "mock", board=BOARD, seed=3)
    chips = inner.board  # type: ignore[attr-defined]
    if name == "tcp":
        with serving(inner) as there:
            bridge = RemoteBridge.open(there.address)
            bridge.configure(BOARD.sequencer())
            yield bridge, chips
            bridge.close()
        return
    inner.configure(BOARD.sequencer())
    yield inner, chips
    inner.close()


def ready() -> Program:
    """From power-up: bit lines at the common mode, rows on, muxes driven."""
    codes = np.full((8, 16), VCM)
    codes[4:] = volts_to_code(BOARD.levels.wl_on_v, BOARD.dac.span_v)
    program = Program([Gate(False)])
    DACS.initialise(program, BOARD.timing, codes)
    program.append(Shift(16, MUXES.word()), OutputEnable(True), Wait(SETTLE))
    return program


def codes_for(n: int, chips: int, seed: int) -> np.ndarray:
    volts = np.random.default_rng(seed).uniform(-0.1, 0.1, (n, chips, 16)) + 2.5
    return volts_to_code(volts, BOARD.dac.span_v)


def mvm(n: int, dac_mask: int = 0x0F, seed: int = 0) -> Mvm:
    codes = codes_for(n, dac_mask.bit_count(), seed)
    return Mvm(codes, dac_mask, LDAC, SETTLE, MUXES.scan(), 16, 0xFFFF, 100)


def pulses(n: int) -> Pulses:
    codes = np.full((n, 8, 16), VCM, np.uint16)
    lines = codes.reshape(n, 128)
    lines[np.arange(n), 7 * np.arange(n)] = volts_to_code(4.0, 5.0)
    lines[:, 64:] = volts_to_code(3.7, 5.0)
    return Pulses(codes, 0xFF, LDAC, SETTLE, np.full(n, 1000, np.uint32))


def rest() -> Program:
    """Bit lines back to the common mode before anything connects them."""
    program = Program()
    codes = np.full((8, 16), VCM)
    codes[4:] = volts_to_code(BOARD.levels.wl_on_v, BOARD.dac.span_v)
    DACS.load(program, codes)
    DACS.ldac(program)
    program.append(Wait(SETTLE))
    return program


PROGRAMS = {
    "products": [Gate(True), mvm(3), Gate(False)],
    "products of some DACs": [Gate(True), mvm(2, 0b0101), Gate(False)],
    "pulses": [pulses(3)],
    "pulses, then products": [pulses(2), *rest(), Gate(True), mvm(2, seed=1), Gate(False)],
    "no vectors": [mvm(0), pulses(0)],
    "single channels": [SpiWrite(0x81, (0x1F1234, 0x10ABCD)), SpiWrite(0xFF, (LDAC,) * 8), Wait(SETTLE)],
}


def state(chips: MockBoard) -> list[object]:
    return [
        [(d.registers, d.active_code.tolist(), d.settled_v.tolist()) for d in chips.dacs],
        chips.gate, chips.chain.outputs(), cells(chips.array),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["rtl", "tcp"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_streams_of_sixteen_channels_give_the_words_cycles_and_chips_of_the_mock(name: str, what: str) -> None:
    program = Program(PROGRAMS[what])
    with over("mock") as (mock, of_mock), over(name) as (bridge, of_bridge):
        for each in (mock, bridge):
            each.run(ready())
        expected, got = mock.run(program), bridge.run(program)
        assert got.words.tolist() == expected.words.tolist()
        assert got.cycles == expected.cycles == program.cycles(BOARD.timing)
        assert state(of_bridge) == state(of_mock)


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_stream_of_sixteen_channels_is_what_its_single_instructions_are(what: str) -> None:
    program = Program(PROGRAMS[what])
    with over("mock") as (whole, of_whole), over("mock") as (spelled, of_spelled):
        for each in (whole, spelled):
            each.run(ready())
        a, b = whole.run(program), spelled.run(program.expanded())
        assert (a.words.tolist(), a.cycles) == (b.words.tolist(), b.cycles)
        assert state(of_whole) == state(of_spelled)


BEYOND = {
    "another range": (SpiWrite(1, (0x0D0004,)), "register 0xd of DAC 0"),
    "a broadcast": (SpiWrite(2, (0x0F8000,)), "register of DAC 1"),
    "toggling": (SpiWrite(4, (0x070001,)), "register of DAC 2"),
    "a register beyond the channels": (SpiWrite(8, (0x210000,)), "register of DAC 3"),
    "outputs off": (SpiWrite(1, (0x09FFFF,)), "register 0x9 of DAC 0"),
    "a code": (SpiWrite(1 << 3, (0x1FFFFF,)), "code of DAC 3, channel 15"),
    "a code in a stream": (
        Mvm(np.full((1, 1, 16), 0xFFFF, np.uint16), 1, LDAC, SETTLE, MUXES.scan(), 16, 1, 0),
        "code of DAC 0, channel 0",
    ),
}


@pytest.mark.parametrize("name", ["mock", "rtl", "tcp"])
def test_what_the_limits_forbid_is_refused_on_every_bridge_with_the_outputs_safe(name: str) -> None:
    # 4.5 V on bit lines: the last code of the last bit line is beyond, the same on a word line is not.
    data = BOARD.model_dump()
    data["limits"]["bl_v"] = (0.0, 4.5)
    tight = type(BOARD).model_validate(data).sequencer()
    if name == "rtl" and MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}")
    for instruction, parameter in BEYOND.values():
        inner = open_bridge("rtl" if name == "rtl" else "mock", board=BOARD, seed=3)
        if name == "tcp":
            with serving(inner) as there:
                refuse(RemoteBridge.open(there.address), inner.board, tight, instruction, parameter)
        else:
            refuse(inner, inner.board, tight, instruction, parameter)


def refuse(bridge, chips, config, instruction, parameter):
    bridge.configure(config)
    bridge.run(ready())
    bridge.run(Program([SpiWrite(1 << 7, (0x1FFFFF,))]))
    with pytest.raises(LimitError) as caught:
        bridge.run(Program([instruction]))
    assert caught.value.parameter == parameter
    assert chips.chain.outputs() is None
    assert not any(dac.settled_v.any() for dac in chips.dacs)
    bridge.close()


@pytest.mark.parametrize("name", ["mock", "rtl", "tcp"])
def test_the_same_crossbar_works_on_it(name: str) -> None:
    with over(name) as (bridge, _), Crossbar(bridge, BOARD) as crossbar:
        conductance = crossbar.read_conductance()
        assert conductance.shape == (64, 64)
        volts = np.linspace(-0.05, 0.05, 64)
        np.testing.assert_allclose(crossbar.mvm(volts), conductance @ volts, atol=1e-6)
