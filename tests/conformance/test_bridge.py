"""What every bridge to a board does, whatever is behind it: words, cycles, refusals, safe states.

Absolute statements come from the instruction set and the datasheets; `reference` is a local mock of the same seed.
"""

from __future__ import annotations

import numpy as np
import pytest

from drivers import dac80508 as dac
from drivers.board import load_board
from drivers.cd4051b import Cd4051bMuxes
from drivers.crossbar import Crossbar
from drivers.dac import NOP, DacBank, read_frame, volts_to_code, write_frame
from drivers.sn74hc595 import Sn74hc595Chain
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import BoardError, LimitError, ProtocolError, TimingViolation
from firmware_bridge.isa import (
    ISA_HASH,
    ISA_VERSION,
    Collect,
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

BOARD = load_board()
TIMING = BOARD.timing
WIRING = BOARD.wiring
DACS = DacBank(BOARD.dac, WIRING.n_dacs)
MUXES = Cd4051bMuxes(WIRING)
LDAC = write_frame(dac.TRIGGER, dac.TRIGGER_LDAC)
VCM = int(volts_to_code(WIRING.vcm_v, BOARD.dac.span_v))
POWER_UP = Wait(TIMING.cycles(BOARD.dac.RESET_WAIT_S))
ALL = 0xFF


def same(frame, mask=ALL):
    return (frame,) * mask.bit_count()


def ready(wl_v=4.9):
    """From power-up: bit lines at the common mode, rows on, muxes driven."""
    codes = np.full((WIRING.n_dacs, 8), VCM)
    codes[4:] = volts_to_code(wl_v, BOARD.dac.span_v)
    program = Program([Gate(False)])
    DACS.initialise(program, TIMING, codes)
    chain = Sn74hc595Chain(WIRING.sr_devices)
    chain.write(program, MUXES.word())
    chain.enable(program, True)
    program.append(Wait(TIMING.cycles(BOARD.settle.dac_s)))
    return program


def codes_for(n, chips, seed=0, amplitude_v=0.1):
    volts = np.random.default_rng(seed).uniform(-amplitude_v, amplitude_v, (n, chips, 8)) + WIRING.vcm_v
    return volts_to_code(volts, BOARD.dac.span_v)


def mvm(n=3, positions=None, **fields):
    options = {"settle": 800, "adc_mask": ALL, "mux_settle": 100, "seed": 0} | fields
    return Mvm(
        codes_for(n, 4, options.pop("seed")), 0x0F, LDAC, options["settle"],
        MUXES.scan() if positions is None else positions, WIRING.sr_bits, options["adc_mask"], options["mux_settle"],
    )  # fmt: skip


def pulses(n=3, width=200):
    codes = np.full((n, 8, 8), VCM, np.uint16)
    codes[np.arange(n), 0, np.arange(n) % 8] = volts_to_code(4.0, BOARD.dac.span_v)
    codes[:, 4:] = volts_to_code(3.7, BOARD.dac.span_v)
    return Pulses(codes, ALL, LDAC, 800, np.full(n, width, np.uint32))


def read_register(bridge, register):
    program = Program()
    DACS.read(program, register)
    return DACS.parse_read(bridge.run(program).words, register).tolist()


# -- identity ----------------------------------------------------------------------------------------------------------
def test_a_board_says_which_instruction_set_it_speaks(bridge):
    identity = bridge.identify()
    assert (identity.isa_version, identity.isa_hash) == (ISA_VERSION, ISA_HASH)


def test_a_board_says_what_is_on_it(bridge):
    identity = bridge.identify()
    assert (identity.n_dacs, identity.n_adcs, identity.sr_bits) == (WIRING.n_dacs, WIRING.n_adcs, WIRING.sr_bits)


def test_a_board_has_memory_for_a_block_of_a_thousand_vectors(bridge):
    identity = bridge.identify()
    assert identity.program_words >= 1024 * 16 + 64
    assert identity.result_words >= 1024 * 16


def test_a_board_has_a_name(bridge):
    assert bridge.identify().kind
    assert bridge.identify() == bridge.identify()


# -- words and cycles --------------------------------------------------------------------------------------------------
PROGRAMS = {
    "nothing": [],
    "a NOP": [Nop()],
    "many NOPs": [Nop()] * 1000,
    "no wait": [Wait(0)],
    "a wait of one cycle": [Wait(1)],
    "a wait of a millisecond": [Wait(100_000)],
    "a frame to one DAC": [POWER_UP, SpiWrite(0x01, (write_frame(NOP, 0),))],
    "a frame to the last DAC": [POWER_UP, SpiWrite(0x80, (write_frame(NOP, 0),))],
    "a frame to every DAC": [POWER_UP, SpiWrite(ALL, same(write_frame(NOP, 0)))],
    "a read of one DAC": [POWER_UP, *[SpiRead(0x04, (read_frame(dac.DEVICE_ID),))] * 2],
    "a read of some DACs": [POWER_UP, *[SpiRead(0x5A, same(read_frame(dac.GAIN), 0x5A))] * 2],
    "a read of every DAC": [POWER_UP, *[SpiRead(ALL, same(read_frame(dac.SYNC)))] * 2],
    "one bit shifted": [Shift(1, 1)],
    "eight bits shifted": [Shift(8, 0xA5)],
    "the whole chain shifted": [Shift(16, MUXES.word())],
    "more bits than the chain has": [Shift(40, 0xFF_0000_0000 | MUXES.word())],
    "outputs enabled and disabled": [Shift(16, MUXES.word()), OutputEnable(True), OutputEnable(False)],
    "bit lines connected": [*ready(), Gate(True), Wait(10), Gate(False)],
    "the shortest pulse": [*ready(), Pulse(1)],
    "a pulse of a microsecond": [*ready(), Pulse(100)],
    "one ADC": [*ready(), Gate(True), Wait(900), Sample(0x01), Collect()],
    "an odd number of ADCs": [*ready(), Gate(True), Wait(900), Sample(0x13), Collect()],
    "all ADCs": [*ready(), Gate(True), Wait(900), Sample(ALL), Collect()],
    "work beside a conversion": [*ready(), Sample(ALL), Wait(100), Shift(16, MUXES.word()), Collect()],
    "work longer than a conversion": [*ready(), Sample(ALL), Wait(5000), Collect()],
    "conversions back to back": [*ready(), *[Sample(ALL), Collect()] * 5],
    "no vector": [*ready(), Gate(True), mvm(0), Gate(False)],
    "one vector": [*ready(), Gate(True), mvm(1), Gate(False)],
    "vectors": [*ready(), Gate(True), mvm(17), Gate(False)],
    "vectors at one mux position": [*ready(), Gate(True), mvm(5, positions=MUXES.scan()[:1])],
    "vectors of which few ADCs convert": [*ready(), Gate(True), mvm(5, adc_mask=0x07)],
    "vectors that settle longer than they load": [*ready(), Gate(True), mvm(4, settle=3000)],
    "vectors with slow muxes": [*ready(), Gate(True), mvm(4, mux_settle=3000)],
    "vectors spelled out": list(Program([*ready(), Gate(True), mvm(3), Gate(False)]).expanded()),
    "two blocks": [*ready(), Gate(True), mvm(3), mvm(4, seed=1), Gate(False)],
    "no pulses": [*ready(), pulses(0)],
    "pulses": [*ready(), pulses(9)],
    "pulses spelled out": list(Program([*ready(), pulses(3)]).expanded()),
    "pulses, then what they did": [*ready(), pulses(8), *list(ready())[1:], Gate(True), mvm(4)],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_takes_its_cycles_and_returns_the_words_of_the_reference(bridge, reference, name):
    program = Program(PROGRAMS[name])
    result, expected = bridge.run(program), reference.run(program)
    assert result.cycles == expected.cycles == program.cycles(TIMING)
    assert result.words.dtype == np.uint32
    assert len(result.words) == program.n_results
    assert np.array_equal(result.words, expected.words)


@pytest.mark.parametrize("seed", range(6))
def test_a_night_of_random_programs_gives_the_words_of_the_reference(bridge, reference, seed):
    rng = np.random.default_rng(seed)
    menu = [
        lambda: [Gate(True), mvm(int(rng.integers(1, 6)), seed=int(rng.integers(99))), Gate(False)],
        lambda: [pulses(int(rng.integers(1, 6)), int(rng.integers(100, 900))), *list(ready())[1:]],
        lambda: [Gate(True), Wait(int(rng.integers(900, 2000))), Sample(int(rng.integers(1, 256))), Collect()],
        lambda: [SpiRead(mask := int(rng.integers(1, 256)), same(read_frame(dac.DAC0), mask))],
        lambda: [Gate(False), Wait(int(rng.integers(10**5)))],
    ]
    bridge.run(ready()), reference.run(ready())
    for _ in range(8):
        program = Program([Gate(False), *menu[rng.integers(len(menu))]()])
        result, expected = bridge.run(program), reference.run(program)
        assert (result.cycles, result.words.tolist()) == (expected.cycles, expected.words.tolist())


def test_a_program_in_two_parts_gives_the_words_of_the_whole(bridge, reference):
    first, second = [*ready(), Gate(True), mvm(3)], [mvm(4, seed=1), Gate(False)]
    parts = [bridge.run(Program(part)) for part in (first, second)]
    # The END between the two takes a cycle, during which nothing happens.
    whole = reference.run(Program([*first, Nop(), *second]))
    assert np.concatenate([p.words for p in parts]).tolist() == whole.words.tolist()
    assert sum(p.cycles for p in parts) == whole.cycles


def test_results_are_the_callers_to_change(bridge):
    words = bridge.run(Program([POWER_UP, SpiRead(ALL, same(read_frame(dac.DEVICE_ID)))])).words
    words[:] = 0


def test_a_full_memory_of_results_comes_back(bridge, reference):
    program = Program([*ready(), Gate(True), mvm(1024), Gate(False)])
    result, expected = bridge.run(program), reference.run(program)
    assert len(result.words) == 1024 * 16
    assert np.array_equal(result.words, expected.words)


# -- chips -------------------------------------------------------------------------------------------------------------
def test_every_dac_says_that_it_is_a_16_bit_dac_with_8_channels(bridge):
    bridge.run(Program([POWER_UP]))
    for device_id in read_register(bridge, dac.DEVICE_ID):
        assert (device_id >> 12 & 7, device_id >> 11 & 1) == (0, 1)  # DAC80508, SLASEL1 DEVICE ID


@pytest.mark.parametrize("channel", range(8))
def test_what_is_written_to_a_channel_is_read_back_from_its_chip(bridge, channel):
    frames = tuple(write_frame(dac.DAC0 + channel, 1000 * chip + channel) for chip in range(8))
    bridge.run(Program([POWER_UP, SpiWrite(ALL, frames)]))
    assert read_register(bridge, dac.DAC0 + channel) == [1000 * chip + channel for chip in range(8)]


def test_frames_go_to_the_chips_of_the_mask_in_ascending_order(bridge):
    frames = tuple(write_frame(dac.DAC0, value) for value in (11, 33, 77))
    bridge.run(Program([POWER_UP, SpiWrite(0b10001010, frames)]))
    assert read_register(bridge, dac.DAC0) == [0, 11, 0, 33, 0, 0, 0, 77]


def test_inputs_at_the_common_mode_give_no_current_beyond_the_offsets(bridge):
    result = bridge.run(Program([*ready(), Gate(True), Wait(900), Sample(ALL), Collect()]))
    codes = result.words.view(np.int16)
    # Amplifiers of 2 mV (OPA4322, 6.5) times 1 + Rf ΣG with 32 cells of 10 µS, in LSB of 110 µV: below 60; twice that.
    assert np.abs(codes).max() < 120


def test_the_sign_of_the_input_is_that_of_the_current(bridge):
    codes = np.full((2, 4, 8), VCM, np.uint16)
    codes[0] += 1000
    codes[1] -= 1000
    stream = Mvm(codes, 0x0F, LDAC, 800, MUXES.scan(), WIRING.sr_bits, ALL, 100)
    result = bridge.run(Program([*ready(), Gate(True), stream]))
    up, down = result.words.view(np.int16).astype(int).reshape(2, -1)
    # An inverting amplifier: more voltage on the bit lines, less at its output.
    assert (up < down).all()


# -- safe states -------------------------------------------------------------------------------------------------------
def test_safe_sends_the_safe_frames(bridge):
    bridge.run(ready())
    assert read_register(bridge, dac.SYNC) == [dac.SYNC_ALL_WAIT] * 8
    bridge.safe()
    bridge.run(Program([POWER_UP]))
    assert read_register(bridge, dac.SYNC) == [0xFF00] * 8  # the reset value of SLASEL1


def test_safe_disconnects_the_bit_lines(bridge):
    bridge.run(Program([*ready(), Gate(True)]))
    bridge.safe()
    bridge.run(Program([*ready(), Pulse(100)]))  # refused while bit lines are connected


def test_safe_may_be_called_any_number_of_times(bridge):
    for _ in range(3):
        bridge.safe()
    bridge.run(ready())


def test_reset_is_a_power_cycle_of_the_chips(bridge):
    bridge.run(ready())
    bridge.reset()
    bridge.run(Program([POWER_UP]))
    assert read_register(bridge, dac.SYNC) == [0xFF00] * 8
    assert read_register(bridge, dac.DAC0) == [0] * 8


def test_the_array_keeps_what_it_holds_over_a_reset(bridge, reference):
    programmed = Program([*ready(), pulses(8), *list(ready())[1:], Gate(True), mvm(2), Gate(False)])
    again = Program([*ready(), Gate(True), mvm(2), Gate(False)])
    words = []
    for board in (bridge, reference):
        board.run(programmed)
        board.reset()
        words.append(board.run(again).words.tolist())
    assert words[0] == words[1]


def test_closing_leaves_the_board_safe_and_may_be_repeated(bridge):
    bridge.run(ready())
    bridge.close()
    bridge.close()
    bridge.safe()


# -- refusals ----------------------------------------------------------------------------------------------------------
REFUSED = {
    "a pulse while bit lines are connected": ([*ready(), Gate(True), Pulse(100)], ProtocolError, "GATE 0 first"),
    "COLLECT without SAMPLE": ([Collect()], ProtocolError, "COLLECT without a SAMPLE"),
    "two SAMPLEs": ([*ready(), Sample(1), Sample(1)], ProtocolError, "COLLECT first"),
    "a stream during a conversion": ([*ready(), Sample(1), mvm(1)], ProtocolError, "COLLECT first"),
    "an end during a conversion": ([*ready(), Sample(1)], ProtocolError, "(END|not) while a conversion is running"),
    "an ADC that is not there": ([*ready(), Sample(256), Collect()], ProtocolError, "board (has 8|does not have)"),
    "frames during a DAC's reset": (
        [POWER_UP, *[SpiWrite(1, (write_frame(dac.TRIGGER, dac.TRIGGER_SOFT_RESET),))] * 2],
        BoardError, "SOFT-RESET wait",
    ),
    "more words than the memory": ([Nop()] * 30_000, ProtocolError, "30001 words, the memory holds 24576"),
    "more results than the memory": (
        [*ready(), *[Sample(ALL), Collect()] * 6200], ProtocolError, "would return 24800 words, the memory holds 24576"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_the_references_leaves_the_board_safe_and_usable(bridge, reference, name):
    instructions, kind, text = REFUSED[name]
    program = Program(instructions)
    raised = []
    for board in (bridge, reference):
        with pytest.raises(kind, match=text) as refusal:
            board.run(program)
        # The gateware knows a code and an address where the mock knows the whole instruction.
        words = "" if bridge.identify().kind in ("rtl", "zc706") else str(refusal.value)
        raised.append((type(refusal.value), words))
        board.run(Program([POWER_UP]))
        assert read_register(board, dac.SYNC) == [0xFF00] * 8
    assert raised[0] == raised[1]
    after = Program([*ready(), Gate(True), mvm(2), Gate(False)])
    assert np.array_equal(bridge.run(after).words, reference.run(after).words)


TOO_FAST = {
    "DAC writes": ({"spi_cs_setup_cycles": 1}, "tCSS"),
    "DAC reads": ({"spi_read_half_cycles": 1}, "fSCLK"),
    "ADC": ({"adc_half_cycles": 10}, "DCLOCK high"),
    "shift register": ({"sr_half_cycles": 1}, "SRCLK high"),
}


@pytest.mark.parametrize("name", TOO_FAST)
def test_a_clock_beyond_a_datasheet_is_a_timing_violation_with_its_symbol_and_numbers(bridge, reference, name):
    fields, symbol = TOO_FAST[name]
    config = SequencerConfig(timing=TIMING.model_copy(update=fields))
    program = Program([
        POWER_UP, SpiRead(1, (read_frame(dac.DEVICE_ID),)), Shift(16, 0), *[Sample(1), Collect()] * 2,
        SpiWrite(1, (write_frame(NOP, 0),)),
    ])  # fmt: skip
    raised = []
    for board in (bridge, reference):
        board.configure(config)
        with pytest.raises(TimingViolation, match=symbol) as refusal:
            board.run(program)
        error = refusal.value
        assert isinstance(error, LimitError)
        raised.append((str(error), error.parameter, error.value, error.limit, error.unit, error.source, error.advice))
    assert raised[0] == raised[1]


def test_another_clock_while_the_board_runs_is_refused(bridge):
    bridge.run(Program([Nop()]))
    with pytest.raises(ProtocolError, match="open it anew"):
        bridge.configure(SequencerConfig(timing=TIMING.model_copy(update={"clock_hz": 50e6})))


@pytest.mark.parametrize(
    "fields", [{"spi_write_half_cycles": 3}, {"sr_latch_cycles": 50}, {"adc_half_cycles": 100}], ids=str
)
def test_slower_clocks_take_their_cycles(bridge, fields):
    timing = TIMING.model_copy(update=fields)
    bridge.configure(SequencerConfig(timing=timing))
    program = Program([*ready(), Gate(True), mvm(2), Gate(False)])
    result = bridge.run(program)
    assert result.cycles == program.cycles(timing)
    assert result.cycles > program.cycles(TIMING)


# -- under the drivers -------------------------------------------------------------------------------------------------
def test_a_crossbar_does_the_same_on_every_bridge(limited, unused_mock):
    volts = np.random.default_rng(2).uniform(-0.1, 0.1, (20, 32))
    outcomes = []
    for board in (limited, unused_mock):
        crossbar = Crossbar(board, BOARD)
        before = crossbar.read_conductance()
        crossbar.apply_pulses(np.where(np.eye(32) > 0, 1.5, np.nan), 1.3, 2e-6)
        after = crossbar.read_conductance(repeats=2)
        outcomes.append((before, after, crossbar.measure(volts).adc_code, crossbar.cycles))
    for ours, expected in zip(*outcomes, strict=True):
        assert np.array_equal(ours, expected)


def test_a_crossbar_refuses_at_the_host_what_its_limits_forbid(limited):
    crossbar = Crossbar(limited, BOARD)
    cycles = crossbar.cycles
    with pytest.raises(LimitError, match="SET amplitude on BL"):
        crossbar.apply_pulses(2.3, 1.0, 1e-6)
    assert crossbar.mvm(np.zeros(32)).shape == (32,)
    assert crossbar.cycles > cycles


LIMITED = {
    "a pulse shorter than any kind's": (Pulse(99), "width of a PULSE, cycles = 99 is outside 100"),
    "a chain of another length": (Shift(8, 0), "bits of a SHIFT = 8 is outside 16"),
    "CONFIG": (SpiWrite(1, (0x030000,)), "register of DAC 0 = 3"),
    "BRDCAST": (SpiWrite(2, (0x060000,)), "register of DAC 1 = 6"),
    "another span": (SpiWrite(128, (0x040000,)), "register 0x4 of DAC 7 = 0 is outside 255"),
}


@pytest.mark.parametrize("what", LIMITED)
def test_what_the_board_file_forbids_is_refused_whatever_the_driver_says(limited, what):
    instruction, message = LIMITED[what]
    limited.run(ready())
    with pytest.raises(LimitError, match=message):
        limited.run(Program([instruction]))
    # The session goes on, from safe outputs.
    limited.run(ready())


def test_what_the_drivers_do_is_within_the_limits(limited):
    with Crossbar(limited, BOARD) as crossbar:
        crossbar.read_conductance()
        for kind, sign, forming in (("set", 1, False), ("reset", -1, False), ("form", 1, True)):
            for window in getattr(BOARD.limits, kind).linked:
                # As high as limits and DACs go.
                highest_v = BOARD.dac.span_v * (1 - 2**-16) - (WIRING.vform_v if forming else WIRING.vcm_v)
                amplitude = np.full(BOARD.shape, np.nan)
                amplitude[0, 0] = sign * min(window.amplitude_v[1], highest_v)
                for width_s in window.width_s:
                    crossbar.apply_pulses(amplitude, min(window.gate_v[1], highest_v), width_s, forming=forming)


def test_other_limits_are_refused_until_power_up(limited):
    with pytest.raises(
        ProtocolError, match=r"limits.fixed = \(\) differs from what the board holds .*, \(\(4, 255\),\)"
    ):
        limited.configure(SequencerConfig(timing=TIMING))
    limited.configure(BOARD.sequencer())
