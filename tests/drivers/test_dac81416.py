"""DAC81416 driver: the exact bytes on the wire, and the interlock and limits of a board that has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers import dac81416
from drivers.board import BoardFileError, load_board
from drivers.connect import mock_board, open_crossbar
from drivers.crossbar import Crossbar
from drivers.dac import DacBank, read_frame, write_frame
from drivers.dac81416 import Dac81416
from drivers.self_test import SelfTestError, check_registers, self_test
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import Gate, Mvm, Pulses, SpiWrite, Wait
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program

FILE = Path(__file__).parents[2] / "docs" / "how-to" / "board-64x64.toml"
BOARD = load_board(FILE)
LSB_V = 5.0 / 65536
LDAC = 0x0E0010


def to_all(frame):
    return SpiWrite(0xFF, (frame,) * 8)


def frames(program):
    return [i.cycles if isinstance(i, Wait) else (i.dac_mask, [f"{f:06x}" for f in i.frames]) for i in program]


def test_frames_carry_the_address_in_their_first_byte():
    assert write_frame(dac81416.DAC0 + 15, 0x1234).to_bytes(3, "big") == bytes.fromhex("1f1234")
    assert write_frame(*Dac81416.RESET).to_bytes(3, "big") == bytes.fromhex("0e000a")
    assert write_frame(*Dac81416.LDAC).to_bytes(3, "big") == bytes.fromhex("0e0010")
    assert read_frame(dac81416.DEVICEID).to_bytes(3, "big") == bytes.fromhex("810000")


def test_initialising_sends_exactly_these_frames():
    program = Program()
    DacBank(Dac81416(part="DAC81416"), 2).initialise(program, BOARD.timing, np.full((2, 16), 0x8001, np.uint16))
    assert frames(program) == [
        100_000,  # 1 ms since power-up or a reset that somebody else began
        (0b11, ["0e000a"] * 2),
        100_000,
        (0b11, ["030a84"] * 2),  # device on
        (0b11, ["043f00"] * 2),  # reference on
        *[(0b11, [f"{register:02x}0000"] * 2) for register in (0x0A, 0x0B, 0x0C, 0x0D)],  # 0 V … 5 V
        (0b11, ["090000"] * 2),  # outputs on
        (0b11, ["06ffff"] * 2),  # all of them wait for LDAC
        100_000,
        *[(0b11, [f"{16 + channel:02x}8001"] * 2) for channel in range(16)],
        (0b11, ["0e0010"] * 2),
    ]


def test_the_sequencer_is_told_what_may_be_written():
    config = BOARD.sequencer()
    assert (config.safe_wait_cycles, config.safe_frames) == (100_000, (0x0E000A,))
    limits = config.limits
    assert limits.dac_channels == 16
    assert limits.code == ((0, 65535),) * 128
    assert dict(limits.fixed) == {3: 0x0A84, 4: 0x3F00, 0xA: 0, 0xB: 0, 0xC: 0, 0xD: 0, 9: 0}
    # NOP, SPICONFIG, GENCONFIG, SYNCCONFIG, DACPWDWN, the ranges, TRIGGER and the channels; never BRDCAST or toggling.
    assert limits.register_mask == 0xFFFF_0000 | 0b0111_1110_0101_1001


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("dac_channels = 16\n", ""), r"wl_dac has DAC channel 127; 8 DACs of 8 channels \(dac_channels\) have 0 … 63"),
        (('part = "DAC81416"', ""), "wiring.dac_channels = 16, but a DAC80508 .* has 8 channels"),
        (('part = "DAC81416"', 'part = "DAC8"'), "dac: Input tag 'DAC8' .* does not match .*'DAC80508', 'DAC81416'"),
        (("vref_v = 2.5", "gain = 2"), "dac.DAC81416.gain: Extra inputs are not permitted"),
        (("dac_channels = 16", "dac_channels = 12"), "wiring.dac_channels: Input should be 8 or 16"),
        (("126, 127", "126, 128"), "wl_dac has DAC channel 128; 8 DACs of 16 channels"),
    ],
)
def test_a_board_file_that_does_not_fit_the_part_is_refused(tmp_path, change, message):
    (tmp_path / "b.toml").write_text(FILE.read_text().replace(*change))
    with pytest.raises(BoardFileError, match=message):
        load_board(tmp_path / "b.toml")


def test_a_mock_of_another_part_is_refused():
    with pytest.raises(ProtocolError, match="the mock's DACs are DAC80508, the board file says DAC81416"):
        open_crossbar("mock", board=BOARD, mock=MockParams.ideal())
    with pytest.raises(ProtocolError, match="a DAC80508 has 8 channels, the wiring is for DACs of 16"):
        MockBoard(BOARD.wiring, MockParams(), seed=0)


def test_a_board_with_other_dacs_than_the_board_file_says_is_refused_before_anything_is_sent():
    bridge = MockBridge(MockBoard(BOARD.wiring, mock_params(), seed=0))
    paper = load_board()
    with pytest.raises(ProtocolError, match="has 16 channels to a DAC, the board file says 8"):
        Crossbar(bridge, paper.model_copy(update={"wiring": paper.wiring.model_copy(update={"sl_adc": (15,) * 32})}))
    assert all(dac.registers["SPICONFIG"] == 0x0AA4 for dac in bridge.board.dacs)


# -- the interlock ----------------------------------------------------------------------------------------------------
@pytest.fixture
def crossbar():
    with open_crossbar("mock", board=BOARD, mock=MockParams.ideal("DAC81416"), seed=2) as opened:
        yield opened


def refused(crossbar, error, *instructions):
    with pytest.raises(error) as caught:
        crossbar._lines.interlock.run(Program(instructions))
    return caught.value


def line(codes, chips, channel, code):
    """Bit lines and rows at `codes` but for one flat channel."""
    vector = np.full((1, chips, 16), codes, np.uint16)
    vector.reshape(-1)[channel] = code
    return vector


@pytest.mark.parametrize("channel", [0, 9, 63])
def test_a_read_beyond_its_limit_is_refused_on_every_channel(crossbar, channel):
    beyond = round((2.5 + 0.26) / LSB_V)
    word = crossbar._lines._muxes.word(adc_input=0)
    stream = Mvm(line(0x8000, 4, channel, beyond), 0x0F, LDAC, 2400, (word,), 16, 0xFFFF, 100)
    error = refused(crossbar, LimitError, Gate(True), stream)
    assert error.parameter == f"bias of connected BL {channel}"
    assert error.value == pytest.approx(0.26, abs=LSB_V)


@pytest.mark.parametrize("channel", [3, 40])
def test_a_frame_beyond_the_limit_of_reads_is_refused_under_connected_lines(crossbar, channel):
    chip, at = divmod(channel, 16)
    crossbar._lines.interlock.run(Program([Gate(True)]))
    beyond = write_frame(16 + at, round((2.5 - 0.26) / LSB_V))
    error = refused(crossbar, LimitError, SpiWrite(1 << chip, (beyond,)), to_all(LDAC))
    assert error.parameter == f"bias of connected BL {channel}"


def test_a_pulse_beyond_its_limit_is_refused(crossbar):
    codes = line(0x8000, 8, 17, round((2.5 + 2.1) / LSB_V))
    codes.reshape(-1)[64:] = 0
    codes.reshape(-1)[64 + 5] = round((2.5 + 1.5) / LSB_V)
    error = refused(crossbar, LimitError, Pulses(codes, 0xFF, LDAC, 2400, np.array([1000], np.uint32)))
    assert "BL 17" in str(error)
    assert error.value == pytest.approx(2.1, abs=1e-3)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (0x0A0004, "0x0004 in register 0xa sets it up in another way than the board file"),  # 0 V … 40 V on a channel
        (0x0D1111, "0x1111 in register 0xd sets it up in another way"),
        (0x047F00, "0x7f00 in register 0x4 sets it up in another way"),
        (0x030A94, "0x0a94 in register 0x3 sets it up in another way"),  # CRC
        (0x0F8000, "cannot follow a write to register 0xf"),  # BRDCAST
        (0x070001, "cannot follow a write to register 0x7"),  # toggling
        (0x0E0020, "cannot follow a write to register 0xe"),
    ],
)
def test_what_would_change_the_span_or_cannot_be_followed_is_not_sent(crossbar, frame, message):
    assert message in str(refused(crossbar, ProtocolError, to_all(frame)))


def test_a_code_counts_only_once_every_register_of_the_span_is_written(crossbar):
    setup = [write_frame(*setting) for setting in BOARD.dac.setup()]
    reset = [to_all(0x0E000A), Wait(100_000)]
    code = to_all(0x108000)
    for left_out in setup:
        frames = [to_all(frame) for frame in setup if frame != left_out]
        assert "a code before it was set up" in str(refused(crossbar, ProtocolError, *reset, *frames, code))
    crossbar._lines.interlock.run(Program([*reset, *map(to_all, setup), code]))


def test_a_stream_for_eight_channels_is_refused(crossbar):
    stream = Mvm(np.full((1, 4, 8), 0x8000, np.uint16), 0x0F, LDAC, 2400, (0,), 16, 0xFFFF, 100)
    assert "codes for 8 channels of each DAC; this board's have 16" in str(refused(crossbar, ProtocolError, stream))


@pytest.mark.parametrize(
    ("frame", "parameter"),
    [
        (0x0D0004, "register 0xd of DAC 0"),
        (0x0F8000, "register of DAC 0"),
        (0x200000, "register of DAC 0"),
        (0x090001, "register 0x9 of DAC 0"),
    ],
)
def test_the_sequencer_too_refuses_what_would_change_the_span(frame, parameter):
    bridge = MockBridge(MockBoard(BOARD.wiring, mock_params(), seed=0))
    bridge.configure(BOARD.sequencer())
    with pytest.raises(LimitError) as caught:
        bridge.run(Program([Wait(100_000), to_all(frame)]))
    assert caught.value.parameter == parameter


def mock_params():
    params = MockParams.ideal("DAC81416")
    return params.model_copy(update={"array": params.array.model_copy(update={"n_sl": 64, "n_bl": 64})})


# -- the board ---------------------------------------------------------------------------------------------------------
def test_a_timing_without_the_wait_between_channels_is_refused_by_the_part():
    fast = BOARD.model_copy(update={"timing": BOARD.timing.model_copy(update={"spi_cs_high_cycles": 3})})
    with pytest.raises(LimitError, match=r"DAC81416 tDACWAIT = 120 ns .*raise spi_cs_high_cycles"):
        open_crossbar("mock", board=fast)


def test_what_was_initialised_reads_back_and_a_difference_is_named(crossbar):
    check_registers(crossbar)
    mock_board(crossbar).dacs[5]._register[dac81416.DACPWDWN] = 0x0004
    with pytest.raises(SelfTestError, match="DAC 5 register DACPWDWN: 0x0004, expected 0x0000"):
        check_registers(crossbar)


def test_the_self_test_passes_with_it():
    with open_crossbar("mock", board=BOARD, seed=4) as opened:
        assert self_test(opened).cycles > 0


def test_outputs_are_at_ground_once_the_board_is_safe(crossbar):
    crossbar.safe()
    chips = mock_board(crossbar)
    assert not any(dac.settled_v.any() for dac in chips.dacs)
    assert crossbar.mvm(np.zeros(64)).shape == (64,)
