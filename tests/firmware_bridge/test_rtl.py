"""The Verilated gateware against the mock: the same words, cycles and chips after every program."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import needs_verilator
from random_programs import any_frames, legal_frames, programs, timings, wide_programs
from small_board import LDAC, LOOK, READY, RESET, RESTLESS, WIDE_TIMING, WIRING, cells, chips, outcome, pair

from calibration import write_verify
from calibration.write_verify_config import WriteVerifyConfig
from drivers.connect import mock_board, open_crossbar
from firmware_bridge.bridge import ANY_REGISTER, SequencerConfig, SequencerLimits
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.gateware import ADDRESS, FAULT_TEXT, REGISTERS, RESULT_WORDS, Control, Fault, package
from firmware_bridge.isa import (
    Gate,
    Mvm,
    Nop,
    OutputEnable,
    Pulse,
    Pulses,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
)
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge
from firmware_bridge.rtl_build import SOURCES, lint
from firmware_bridge.timing import SequencerTiming


def agree(program, timing=None, seed=0, limits=None, *, wide=False):
    """Run on both bridges and compare; returns the outcome."""
    mock, rtl = pair(timing, seed, limits, wide=wide)
    expected, got = outcome(mock, program), outcome(rtl, program)
    if isinstance(expected[0], list):
        assert got == expected
        # One more conversion of everything: noise, fluctuators and what still settles show in it.
        assert outcome(rtl, LOOK) == outcome(mock, LOOK)
        assert chips(rtl.board) == chips(mock.board)
        assert expected[1] == program.cycles(timing or SequencerTiming())
    else:
        # A chip refuses at the edge that it cannot take, the mock at the end of the instruction: times differ then.
        assert got[0] is expected[0]
        assert rtl.board.gate is False
        assert rtl.board.chain.outputs() is None
    return expected


def test_the_package_is_what_the_instruction_set_and_the_register_map_print():
    found = (SOURCES / "xbar_pkg.sv").read_text()
    assert found == package(), "run: python -m firmware_bridge.gateware > firmware_bridge/rtl/xbar_pkg.sv"


@needs_verilator
def test_verilator_has_nothing_to_say_of_the_gateware():
    assert lint() == ""


@needs_verilator
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs(), timing=timings, seed=st.integers(0, 2**31))
def test_random_programs_give_the_same_words_cycles_and_chips(program, timing, seed):
    agree(program, timing, seed)


@pytest.mark.slow  # a quarter of an hour
@needs_verilator
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs(), timing=timings, seed=st.integers(0, 2**31))
def test_ten_thousand_random_programs_give_the_same_words_cycles_and_chips(program, timing, seed):
    agree(program, timing, seed)


# Wide enough that most programs pass, narrow enough that many do not.
codes_allowed = st.one_of(st.just((0, 0xFFFF)), st.tuples(st.integers(0, 33_000), st.integers(33_000, 0xFFFF)))
limits = st.builds(
    SequencerLimits,
    code=st.lists(codes_allowed, max_size=24).map(tuple),
    fixed=st.sampled_from([(), ((4, 0xFF),), ((4, 0x1FF), (2, 0xFFFF))]),
    registers=st.one_of(st.just(ANY_REGISTER), st.integers(0, 0xFFFF).map(lambda bits: bits | 0xFF3F)),
    pulse_width=st.tuples(st.integers(1, 500), st.integers(3000, 5000)),
    pulse_interval=st.integers(0, 3000),
    sr_bits=st.sampled_from([0, 0, 0, WIRING.sr_bits]),
)


@needs_verilator
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs(), limits=limits, seed=st.integers(0, 2**31))
def test_limits_refuse_the_same_programs_with_the_same_words_and_let_the_others_pass(program, limits, seed):
    agree(program, None, seed, limits)


wide_limits = st.builds(
    SequencerLimits,
    dac_channels=st.sampled_from([16, 16, 16, 8]),
    code=st.lists(codes_allowed, max_size=32).map(tuple),
    fixed=st.sampled_from([(), ((0xA, 0), (0xB, 0)), ((3, 0x0A84), (4, 0x3F00), (9, 0), (0xD, 0))]),
    registers=st.sampled_from([ANY_REGISTER, 0xFFFF_7E59, 0x7FFF_7E59]),
    pulse_width=st.tuples(st.integers(1, 500), st.integers(3000, 5000)),
)


@needs_verilator
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=wide_programs(), limits=st.one_of(st.none(), wide_limits, wide_limits), seed=st.integers(0, 2**31))
def test_dacs_of_sixteen_channels_get_the_same_from_both_and_are_limited_alike(program, limits, seed):
    agree(program, WIDE_TIMING, seed, limits, wide=True)


PULSE = Pulse(100)
BEYOND = {
    "a code": ({"code": ((0, 0xFFFF),) * 3 + ((10, 20),)}, SpiWrite(1, (0x0B0015,)), "code of DAC 0, channel 3 = 21"),
    "a register": ({"registers": 0xFFFFFFF7}, SpiWrite(2, (0x030000,)), "register of DAC 1 = 3"),
    "BRDCAST past a limited channel": ({"code": ((10, 20),)}, SpiWrite(1, (0x06000F,)), "register of DAC 0 = 6"),
    "a register beyond the channels": ({"registers": 0xFFFF}, SpiWrite(2, (0x100000,)), "register of DAC 1 = 16"),
    "a gain": ({"fixed": ((4, 0xFF),)}, SpiWrite(4, (0x0400FE,)), "register 0x4 of DAC 2 = 254"),
    "a width": ({"pulse_width": (50, 99)}, PULSE, "width of a PULSE, cycles = 100 is outside 50 … 99"),
    "a chain": ({"sr_bits": 40}, Shift(41, 0), "bits of a SHIFT = 41"),
}


@needs_verilator
@pytest.mark.parametrize("what", BEYOND)
@pytest.mark.parametrize("bridge", [0, 1], ids=["mock", "rtl"])
def test_beyond_a_limit_nothing_is_sent_and_the_outputs_are_safe(what, bridge):
    values, instruction, message = BEYOND[what]
    board = pair(limits=SequencerLimits(**values))[bridge]
    board.run(Program([Wait(READY), Shift(WIRING.sr_bits, WIRING.mux_word()), OutputEnable(True)]))
    before = [d.registers for d in board.board.dacs]
    with pytest.raises(LimitError, match=message):
        board.run(Program([instruction]))
    assert board.board.chain.outputs() is None
    board.run(Program([Wait(READY)]))
    assert [d.registers for d in board.board.dacs] == before


@needs_verilator
@pytest.mark.parametrize("bridge", [0, 1], ids=["mock", "rtl"])
def test_pulses_of_two_programs_keep_their_interval(bridge):
    board = pair(limits=SequencerLimits(pulse_interval=1000))[bridge]
    board.run(Program([Wait(READY), PULSE]))
    # The first pulse began 100 cycles before its program's END, the second begins one after its own first word.
    with pytest.raises(LimitError, match="between the starts of two pulses = 902 is below the minimum of 1000"):
        board.run(Program([Wait(798), PULSE]))
    board.run(Program([Wait(READY), PULSE, Wait(900), PULSE]))


@needs_verilator
@pytest.mark.parametrize("bridge", [0, 1], ids=["mock", "rtl"])
def test_limits_hold_until_power_up(bridge):
    limits = SequencerLimits(sr_bits=40)
    board = pair(limits=limits)[bridge]
    with pytest.raises(
        ProtocolError, match=r"limits.sr_bits = 0 differs from what the board holds .*, 40; .*power-cycle"
    ):
        board.configure(SequencerConfig())
    board.configure(SequencerConfig(limits=limits, safe_frames=(RESET,)))
    board.reset()
    with pytest.raises(LimitError, match="bits of a SHIFT"):
        board.run(Program([Wait(READY), Shift(8, 0)]))


@needs_verilator
def test_no_register_access_opens_latched_limits():
    rtl = pair(limits=SequencerLimits(sr_bits=40))[1]
    for register in REGISTERS:
        if register.name.startswith("LIMIT_"):
            for address in range(register.address, register.address + register.repeat):
                rtl.model.write(4 * address, 0)
    for command in (0, Control.RESET, Control.LATCH):
        rtl.model.write(4 * ADDRESS["CONTROL"], command)
    with pytest.raises(LimitError, match="bits of a SHIFT"):
        rtl.run(Program([Shift(8, 0)]))


@needs_verilator
def test_nothing_runs_before_limits_are_latched():
    for bridge in (MockBridge, RtlBridge):
        with pytest.raises(ProtocolError, match=r"has not been configured.*configure\(\) first"):
            bridge(MockBoard(WIRING, RESTLESS, seed=0)).run(Program([Nop()]))
    model = RtlBridge(MockBoard(WIRING, RESTLESS, seed=0)).model
    model.write(4 * ADDRESS["CONTROL"], Control.START)
    model.let_pass(100)
    assert model.read(4 * ADDRESS["CYCLES_LOW"]) == 0
    assert model.read(4 * ADDRESS["STATUS"]) == Fault.LOCKED << 8


@needs_verilator
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs(frames=st.one_of(legal_frames, any_frames)))
def test_frames_that_no_chip_takes_are_refused_alike(program):
    agree(program)


@needs_verilator
def test_a_board_read_and_multiplied_through_the_drivers_is_the_same():
    def results(address):
        with open_crossbar(address, seed=11) as crossbar:
            conductance = crossbar.read_conductance()
            volts = np.random.default_rng(2).uniform(-0.1, 0.1, (5, 32))
            return conductance, crossbar.mvm(volts)

    for mock, rtl in zip(results("mock"), results("rtl"), strict=True):
        np.testing.assert_array_equal(rtl, mock)


@needs_verilator
def test_write_verify_takes_the_same_pulses_and_leaves_the_same_cells():
    def programmed(address):
        with open_crossbar(address, seed=4) as crossbar:
            target = np.full(crossbar.shape, np.nan)
            target[3, 7:9] = 40e-6, 60e-6
            result = write_verify.program(crossbar, target, config=WriteVerifyConfig(relax_waits_s=(1e-3,)))
            return result.g_read_s, result.cycles, cells(mock_board(crossbar).array)

    mock, rtl = programmed("mock"), programmed("rtl")
    np.testing.assert_array_equal(rtl[0], mock[0])
    np.testing.assert_array_equal(rtl[1], mock[1])
    assert rtl[2] == mock[2]


@pytest.fixture(scope="module")
def rtl():
    return pair()[1]


def corrupt(words, at, value):
    words = words.copy()
    words[at] = value
    return words


MVM_WORDS = Program([Mvm(np.zeros((1, 1, 8), np.uint16), 1, LDAC, 10, (0,), 40, 1, 10), Nop()]).words()
PULSES_WORDS = Program([Pulses(np.zeros((1, 0, 8), np.uint16), 0, LDAC, 0, np.array([9], np.uint32))]).words()
REFUSED = {
    "unknown opcode": ([0xAB000000, 0x01000000], 0, Fault.OPCODE),
    "reserved bits": ([0, 0x00000001, 0x01000000], 1, Fault.RESERVED),
    "reserved bits of a later header word": (corrupt(MVM_WORDS, 1, 0x10001), 1, Fault.RESERVED),
    "a frame of 25 bits": ([0x10000001, 0x01000000, 0x01000000], 1, Fault.FRAME),
    "a shift of nothing": ([0x20000000, 0x01000000], 0, Fault.CHAIN),
    "a chain word that is too long": ([0x20000021, 0, 2, 0x01000000], 2, Fault.CHAIN),
    "a pulse of no width": ([0x31000000, 0x01000000], 0, Fault.WIDTH),
    "a pulse of no width in a table": (corrupt(PULSES_WORDS, 4, 0), 0, Fault.WIDTH),
    "a pulse of 25 bits in a table": (corrupt(PULSES_WORDS, 4, 1 << 24), 0, Fault.WIDTH),
    "COLLECT alone": ([0x41000000, 0x01000000], 0, Fault.NO_SAMPLE),
    "SAMPLE twice": ([0x40000000, 0, 0x40000000, 0, 0x01000000], 2, Fault.SAMPLING),
    "END in a conversion": ([0x40000000, 0, 0x01000000], 2, Fault.SAMPLING),
    "a stream in a conversion": ([0x40000000, 0, *PULSES_WORDS], 2, Fault.SAMPLING),
    "a DAC that is not there": ([0x10000008, 0, 0x01000000], 0, Fault.NO_CHIP),
    "an ADC that is not there": ([0x40000000, 8, 0x01000000], 1, Fault.NO_CHIP),
    "an MVM of no position": (corrupt(MVM_WORDS, 0, MVM_WORDS[0] & ~np.uint32(0xF << 9)), 0, Fault.POSITIONS),
    "an MVM without chain bits": (corrupt(MVM_WORDS, 0, MVM_WORDS[0] & ~np.uint32(0xFF << 16)), 0, Fault.CHAIN),
    "an MVM with a mux word that is too long": (corrupt(MVM_WORDS, 7, 0x100), 0, Fault.CHAIN),
    "a payload that is cut short": (MVM_WORDS[:8], 5, Fault.CUT_SHORT),
    "a header that is cut short": (MVM_WORDS[:3], 3, Fault.CUT_SHORT),
    "no END": ([0, 0], 2, Fault.CUT_SHORT),
    "words after END": ([0x01000000, 0], 0, Fault.AFTER_END),
    "nothing": ([], 0, Fault.CUT_SHORT),
}  # fmt: skip


@needs_verilator
@pytest.mark.parametrize("name", REFUSED)
def test_the_gateware_refuses(rtl, name):
    words, address, fault = REFUSED[name]
    rtl.run(Program([Wait(READY)]))
    with pytest.raises(ProtocolError) as refusal:
        rtl.run_words(np.array(words, np.uint32))
    assert str(refusal.value) == f"word {address}: {FAULT_TEXT[fault]}"
    assert rtl.run(Program([Wait(5)])).cycles == 8


@needs_verilator
def test_a_refused_word_leaves_the_outputs_safe(rtl):
    rtl.run(Program([Wait(READY), Shift(WIRING.sr_bits, WIRING.mux_word()), OutputEnable(True), Gate(True)]))
    assert rtl.board.gate
    with pytest.raises(ProtocolError, match="word 0: unknown opcode"):
        rtl.run_words(np.array([0xFF000000], np.uint32))
    assert not rtl.board.gate
    assert rtl.board.chain.outputs() is None


@needs_verilator
def test_results_beyond_the_memory_are_refused(rtl):
    before = rtl.model.read(4 * ADDRESS["CYCLES_LOW"])
    with pytest.raises(ProtocolError, match=f"the memory holds {RESULT_WORDS}"):
        rtl.run(Program([SpiRead(7, (0,) * 3)] * (RESULT_WORDS // 3 + 1)))
    assert rtl.model.read(4 * ADDRESS["CYCLES_LOW"]) - before < READY


@needs_verilator
def test_a_timing_register_that_cannot_hold_its_value_is_refused(rtl):
    with pytest.raises(LimitError, match=r"adc_half_cycles = 65536 is above the maximum of 65535"):
        rtl.configure(SequencerConfig(timing=SequencerTiming(adc_half_cycles=65536)))
