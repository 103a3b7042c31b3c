"""The mock board under programs: streams against their single instructions, refusals, safe states, damage."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_board import GAIN_2, LDAC, RESET, RESTLESS, SYNC_ALL

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import BoardError, ProtocolError, TimingViolation
from firmware_bridge.isa import (
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
from firmware_bridge.mock.ads8324 import AdcParams
from firmware_bridge.mock.array_params import ArrayParams, TelegraphParams
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import PROGRAM_WORDS, RESULT_WORDS, MockBridge
from firmware_bridge.mock.opa4322 import TiaParams
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming
from firmware_bridge.wiring import Wiring

VCM, WL_ON = 0x8000, 64225  # 2.5 V and 4.9 V of 5 V

# 16 bit lines on DACs 0 and 1 (not in order), 8 rows on DAC 2, two ADCs with four rows each.
WIRING = Wiring(
    bl_dac=(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7),
    wl_dac=tuple(range(16, 24)),
    sl_adc=(0, 0, 0, 0, 1, 1, 1, 1),
    sl_mux=(0, 1, 2, 3, 3, 2, 1, 0),
    sr_devices=2,
    bl_select={"lsb": 0},
    reference_select={"lsb": 3, "inhibit": 6},
    adc_select={"lsb": 8, "inhibit": 11},
    vcm_v=2.5,
    vform_v=1.0,
)
REST = WIRING.mux_word()


def bridge(params=RESTLESS, seed=1, **config):
    mock = MockBridge(MockBoard(WIRING, params, seed=seed))
    mock.configure(SequencerConfig(safe_wait_cycles=25_000, safe_frames=(RESET,), **config))
    return mock


def to_all(frame):
    return SpiWrite(0b111, (frame,) * 3)


def ready(wl=WL_ON):
    """From power-up: bit lines at the common mode and connected, rows at code `wl`."""
    program = Program([Wait(25_000), to_all(GAIN_2), to_all(SYNC_ALL)])
    program.append(*(SpiWrite(0b111, tuple((8 + c) << 16 | v for v in (VCM, VCM, wl))) for c in range(8)))
    program.append(to_all(LDAC), Shift(16, REST), OutputEnable(True), Gate(True), Wait(2_000))
    return program


def set_rows(seed=0, wl_v=3.8):
    """Program every cell to something: SETs of one column after the other, with bit lines disconnected around them."""
    rng = np.random.default_rng(seed)
    codes = np.full((16, 3, 8), VCM, np.uint16)
    lines = codes.reshape(16, -1)
    lines[np.arange(16), WIRING.bl_dac] = 56360  # 4.3 V: 1.8 V across the cells
    lines[:, 16:] = rng.uniform(wl_v, wl_v + 0.4, (16, 8)) * 13107
    pulses = Pulses(codes, 0b111, LDAC, 800, np.full(16, 1000, np.uint32))
    return Program([Gate(False), pulses, *list(ready())[3:]])


def stream(codes, positions=(0, 1, 2, 3), adc_mask=0b11, settle=800, mux_settle=100, **fields):
    words = tuple(WIRING.mux_word(adc_input=p) for p in positions)
    return Mvm(codes, 0b11, LDAC, settle, words, 16, adc_mask, mux_settle, **fields)


def inputs(n, amplitude_v=0.1, seed=0):
    volts = np.random.default_rng(seed).uniform(-amplitude_v, amplitude_v, (n, 2, 8))
    return np.rint((volts + 2.5) * 13107.2).astype(np.uint16)


def chips(mock):
    """Everything that chips and array hold, as far as one can ask them."""
    board = mock.board
    return {
        "registers": [dac.registers for dac in board.dacs],
        "active": [dac.active_code.tolist() for dac in board.dacs],
        "volts": [dac.settled_v.tolist() for dac in board.dacs],
        "chain": board.chain.outputs(),
        "oe_n": board.chain.oe_n,
        "gate": board.gate,
        "array_s": board.array.conductance_s(1e3).tolist(),
    }


def run_both_ways(program, params=RESTLESS, seed=1, before=()):
    """Run `program` as it is and spelled out on two equal boards, assert that nobody can tell, and return the words."""
    whole, spelled = bridge(params, seed), bridge(params, seed)
    for mock in (whole, spelled):
        for earlier in (ready(), *before):
            mock.run(earlier)
    a, b = whole.run(program), spelled.run(program.expanded())
    assert a.cycles == b.cycles == program.cycles(SequencerTiming())
    assert a.words.dtype == b.words.dtype == np.uint32
    assert np.array_equal(a.words, b.words)
    assert len(a.words) == program.n_results
    assert chips(whole) == chips(spelled)
    # And what comes next is the same too: noise, transitions, what the outputs settle from.
    after = Program([Gate(False), Wait(77), Gate(True), Wait(500), Sample(0b11), Collect(), Gate(False)])
    assert np.array_equal(whole.run(after).words, spelled.run(after).words)
    assert np.array_equal(whole.run(set_rows()).words, spelled.run(set_rows()).words)
    assert chips(whole) == chips(spelled)
    return a.words


@pytest.fixture
def vectorised(monkeypatch):
    """Fails a stream that is spelled out."""

    def refuse(self):
        raise AssertionError("spelled out")

    monkeypatch.setattr(Mvm, "expand", refuse)
    monkeypatch.setattr(Pulses, "expand", refuse)


# -- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 64, 300])
def test_a_streamed_mvm_is_its_single_instructions(n):
    codes = run_both_ways(Program([stream(inputs(n))]), before=[set_rows()])
    assert np.ptp(codes.view(np.int16)) > 100  # it did read an array


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 12),
    positions=st.lists(st.sampled_from([0, 1, 2, 3, 5, None]), min_size=1, max_size=6),
    adc_mask=st.sampled_from([0b01, 0b10, 0b11]),
    settle=st.sampled_from([0, 300, 800, 5000]),
    mux_settle=st.sampled_from([0, 100, 3000]),
    amplitude_v=st.sampled_from([0.05, 0.1, 0.2, 0.28]),
    pause=st.integers(0, 100_000),
    seed=st.integers(0, 1000),
)
def test_a_streamed_mvm_is_its_single_instructions_whatever_its_operands(
    n, positions, adc_mask, settle, mux_settle, amplitude_v, pause, seed
):
    mvm = stream(inputs(n, amplitude_v, seed), positions, adc_mask, settle, mux_settle)
    run_both_ways(Program([Wait(pause), mvm, Nop(), mvm]), seed=seed, before=[set_rows(seed)])


def test_a_stream_across_refresh_instants_and_flips_is_its_single_instructions():
    # 60 vectors of 82 µs: from 0.3 ms after the last pulse to 5 ms, over nine refresh instants (1 ms, then 12 a
    # decade).
    whole, spelled = bridge(), bridge()
    program = Program([stream(inputs(60))])
    for mock in (whole, spelled):
        mock.run(ready())
        mock.run(set_rows())
    transitions = []
    flips = whole.board.array.flips
    whole.board.array.flips = lambda *times: transitions.append(flips(*times)) or transitions[-1]
    assert np.array_equal(whole.run(program).words, spelled.run(program.expanded()).words)
    assert len(transitions) >= 9  # a new response after each refresh
    assert sum(len(f.t_s) for f in transitions if f is not None) > 30


def test_streams_of_a_settled_board_are_vectorised(vectorised):
    mock = bridge()
    mock.run(ready())
    assert len(mock.run(Program([stream(inputs(300))])).words) == 300 * 4
    mock.run(set_rows())


@pytest.mark.parametrize(
    "before",
    [
        Program([Gate(False)]),
        Program([OutputEnable(False)]),
        Program([Shift(16, WIRING.mux_word(bl="vcm"))]),
        Program([Shift(16, WIRING.mux_word(bl="gnd", adc_input=1))]),
        Program([Shift(16, WIRING.mux_word(reference="form"))]),
        Program([SpiWrite(0b10, (0x02FF0F,))]),
        Program([SpiWrite(0b100, (0x08F000,)), SpiWrite(0b100, (LDAC,))]),
        Program([Gate(False), Gate(True)]),
    ],
    ids=["disconnected", "released", "vcm", "ground", "forming", "unbuffered", "row moving", "just connected"],
)
def test_a_stream_on_an_unusual_board_is_its_single_instructions(before):
    # A short settling time and no load to hide behind: some of these are not settled when the first window closes.
    run_both_ways(Program([stream(inputs(3), settle=0)]), before=[set_rows(), before])


def test_a_stream_in_crc_mode_is_its_single_instructions():
    crc_on, program = Program([to_all(0x030800)]), Program([stream(inputs(3), crc=True)])
    whole, spelled = bridge(), bridge()
    for mock in (whole, spelled):
        mock.run(ready())
        mock.run(crc_on)
    assert np.array_equal(whole.run(program).words, spelled.run(program.expanded()).words)
    assert chips(whole) == chips(spelled)
    assert chips(whole)["active"][:2] == inputs(3)[-1].tolist()


def test_frames_with_crc_are_others_to_a_chip_outside_crc_mode():
    mock = bridge()
    mock.run(ready())
    with pytest.raises(ProtocolError, match="reserved bits"):
        mock.run(Program([SpiWrite(0b1, (0x087FFF,), crc=True)]))


@pytest.mark.parametrize("fields", [{"adc_mask": 0}, {"codes": inputs(0)}])
def test_a_stream_of_unusual_operands_is_its_single_instructions(fields):
    run_both_ways(Program([stream(**({"codes": inputs(2)} | fields))]))


def test_a_stream_that_ends_in_another_frame_is_its_single_instructions():
    mvm = Mvm(inputs(2), 0b11, 0x000000, 800, (0x000,), 16, 0b11, 0)
    run_both_ways(Program([mvm]))


def test_a_stream_behind_slow_amplifiers_is_its_single_instructions():
    # 3 nF over 3.5 kΩ: lines that were just connected are still coming up when the first vector is sampled.
    slow = RESTLESS.model_copy(update={"tia": TiaParams(c_f_f=3e-9)})
    just_connected = Program([Gate(False), Gate(True)])
    program = Program([stream(np.full((3, 2, 8), VCM + 1311, np.uint16))])
    words = run_both_ways(program, slow, before=[set_rows(), just_connected])
    settled = run_both_ways(program, slow, before=[set_rows()])
    ratio = words.view(np.int16) / settled.view(np.int16)
    assert (ratio[:2] < 0.9).all()
    assert np.allclose(ratio[8:], 1.0, atol=0.005)


@pytest.mark.parametrize(
    ("amplitude_v", "jump"), [(0.18, None), (0.18, 0.1), (0.08, 4.0)], ids=["still", "flipping", "only when flipping"]
)
def test_an_amplifier_at_its_rail_gives_the_code_of_the_rail(amplitude_v, jump):
    # Rails at 0.02 V and 3.18 V around a reference of 2.5 V: +0.68 V lies within the converter's range.
    array = ArrayParams.ideal(8, 16)
    if jump is not None:
        flips = TelegraphParams(fraction=0.5, amplitude_rel=(jump, jump), rate_per_s=(300.0, 3000.0))
        array = array.model_copy(update={"telegraph": flips})
    rail = TiaParams(supply_v=3.2, v_os_sigma_v=0, dynamics=False)
    params = MockParams.ideal().model_copy(update={"array": array, "tia": rail})
    codes = np.full((60, 2, 8), VCM - round(amplitude_v * 13107.2), np.uint16)
    words = run_both_ways(Program([stream(codes)]), params, before=[set_rows(wl_v=3.6)])
    high = round(0.68 / (1.8 / 16384))
    assert words.view(np.int16).max() == high
    assert (words.view(np.int16) == high).mean() > (0.5 if amplitude_v > 0.1 else 0.01)


@pytest.mark.parametrize("amplitude_v", [0.6, 2.0])
def test_a_stream_that_programs_the_array_is_its_single_instructions(amplitude_v):
    whole, spelled = bridge(), bridge()
    program = Program([stream(inputs(4, amplitude_v))])
    for mock, form in ((whole, program), (spelled, program.expanded())):
        mock.run(ready())
        before = mock.board.array.conductance_s(1e3)
        words = mock.run(form).words
        assert not np.array_equal(mock.board.array.conductance_s(1e3), before) or amplitude_v == 0.6
        mock.result = words, chips(mock)
    assert np.array_equal(whole.result[0], spelled.result[0])
    assert whole.result[1] == spelled.result[1]


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 30),
    settle=st.sampled_from([0, 100, 800]),
    mask=st.sampled_from([0b111, 0b011, 0b101]),
    seed=st.integers(0, 1000),
)
def test_streamed_pulses_are_their_single_instructions(n, settle, mask, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << 16, (n, mask.bit_count(), 8), dtype=np.uint16)
    pulses = Pulses(codes, mask, LDAC, settle, rng.integers(1, 5000, n, dtype=np.uint32))
    run_both_ways(Program([Gate(False), pulses, *list(ready())[3:], stream(inputs(3))]), seed=seed)


def test_lines_connected_at_a_programming_voltage_before_a_stream_program_cells_either_way():
    strong = SpiWrite(0b111, (0x08DC28, 0x088000, 0x08FAE1))  # a bit line at 4.3 V, its neighbour at rest, a row on
    run_both_ways(Program([Gate(False), strong, to_all(LDAC), Wait(800), Gate(True), stream(inputs(3))]))


def test_noise_of_a_conversion_does_not_depend_on_how_a_block_is_cut():
    # Only the converter's noise: everything else may depend on time, and a cut takes time.
    params = MockParams.ideal().model_copy(update={"adc": AdcParams(), "array": ArrayParams.ideal(n_sl=8, n_bl=16)})
    codes = inputs(300)
    answers = []
    for cuts in ([0, 300], [0, 1, 2, 299, 300], [0, 256, 300], [0, 137, 300]):
        mock = bridge(params)
        mock.run(ready())
        parts = [Program([stream(codes[a:b])]) for a, b in pairwise(cuts)]
        answers.append(np.concatenate([mock.run(p).words for p in parts]))
    assert all(np.array_equal(answers[0], other) for other in answers[1:])
    still = bridge(params)
    still.run(ready())
    assert not np.array_equal(still.run(Program([stream(codes)])).words, still.run(Program([stream(codes)])).words)


def test_equal_seeds_give_equal_boards_and_others_do_not():
    program = Program([stream(inputs(20))])
    words = []
    for seed in (3, 3, 4):
        mock = bridge(seed=seed)
        mock.run(ready())
        words.append(mock.run(program).words)
    assert np.array_equal(words[0], words[1])
    assert not np.array_equal(words[0], words[2])


# -- single instructions ---------------------------------------------------------------------------------------------


def test_a_register_reads_back_in_the_next_frame():
    mock = bridge()
    mock.run(ready())
    words = mock.run(Program([SpiRead(0b101, (0x840000, 0x8F0000)), SpiRead(0b101, (0, 0))])).words
    assert words.tolist()[2:] == [0x840000 | 0x00FF, 0x8F0000 | WL_ON]


def test_codes_come_back_two_to_a_word_with_sign():
    mock = bridge(MockParams.ideal().model_copy(update={"array": ArrayParams.ideal(8, 16)}))
    mock.run(ready())
    one = inputs(1, 0.0)
    one[:] = VCM + 1311  # +0.1 V on every line: a current of 16 cells, hence a negative code
    pair = mock.run(Program([stream(one, positions=(0,))])).words
    alone = mock.run(Program([stream(one, positions=(0,), adc_mask=0b01)])).words
    low, high = pair.view(np.int16)
    assert len(pair) == 1
    assert low < 0
    assert high < 0
    assert alone.view(np.int16).tolist() == [low, 0]


# -- refusals and safe states ----------------------------------------------------------------------------------------


def assert_safe(mock):
    assert not mock.board.gate
    assert mock.board.chain.oe_n
    assert all(dac.registers["SYNC"] == 0xFF00 for dac in mock.board.dacs)
    assert all(not dac.active_code.any() for dac in mock.board.dacs)


FAULTY = {
    "an unknown DAC": Program([SpiWrite(0b1000, (0,))]),
    "an unknown ADC": Program([Sample(0b100), Collect()]),
    "an unknown ADC in a stream": Program([stream(inputs(1), adc_mask=0b111)]),
    "an unknown DAC in pulses": Program(
        [Gate(False), Pulses(np.zeros((1, 1, 8), np.uint16), 0b1000, LDAC, 0, np.array([1], np.uint32))]
    ),
    "a reserved register bit": Program([SpiWrite(0b1, (0x718000,))]),
    "a pulse while connected": Program([Pulse(100)]),
    "pulses while connected": Program([Pulses(np.zeros((1, 1, 8), np.uint16), 0b1, LDAC, 0, np.array([1], np.uint32))]),
    "a conversion left running": Program([Sample(0b1)]),
    "two conversions at once": Program([Sample(0b1), Sample(0b1), Collect()]),
    "a stream while converting": Program([Sample(0b1), stream(inputs(1)), Collect()]),
    "a code before a conversion": Program([Collect()]),
    "no wait after a reset": Program([to_all(RESET), to_all(GAIN_2)]),
    "a word that the memory cannot hold": Program([Nop()] * PROGRAM_WORDS),
    "more results than the memory holds": Program([stream(inputs(RESULT_WORDS // 15 + 1), positions=(0,) * 15)]),
}


@pytest.mark.parametrize("fault", FAULTY.values(), ids=FAULTY.keys())
def test_after_any_refusal_the_outputs_are_safe_and_the_board_goes_on(fault):
    mock = bridge()
    mock.run(ready())
    with pytest.raises(BoardError):
        mock.run(fault)
    assert_safe(mock)
    mock.run(ready())
    assert len(mock.run(Program([stream(inputs(2))])).words) == 8


def test_an_interrupt_leaves_the_outputs_safe(monkeypatch):
    mock = bridge()
    mock.run(ready())

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mock.board.array, "response", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mock.run(Program([stream(inputs(2))]))
    assert_safe(mock)


@pytest.mark.parametrize(
    ("size", "message"),
    [(PROGRAM_WORDS, f"the program has {PROGRAM_WORDS + 1} words, the memory holds {PROGRAM_WORDS}")],
)
def test_a_program_that_is_too_long_is_refused_before_it_begins(size, message):
    mock = bridge()
    with pytest.raises(ProtocolError, match=message):
        mock.run(Program([Nop()] * size))
    assert mock.run(Program([Wait(25_000)] + [Nop()] * (PROGRAM_WORDS - 3))).cycles == 25_002 + PROGRAM_WORDS - 3 + 1


def test_too_many_results_are_refused_before_anything_is_executed():
    mock = bridge()
    mock.run(ready())
    n = RESULT_WORDS // 15
    mock.run(Program([stream(inputs(n), positions=(0,) * 15)]))
    frames = []
    mock.board.spi = lambda *frame: frames.append(frame[1]) or 0
    with pytest.raises(ProtocolError, match=f"would return {(n + 1) * 15} words, the memory holds {RESULT_WORDS}"):
        mock.run(Program([to_all(LDAC), stream(inputs(n + 1), positions=(0,) * 15)]))
    assert frames == [RESET] * 3  # of the safe state alone


def test_safe_may_be_called_at_any_time_any_number_of_times():
    mock = bridge()
    mock.safe()
    mock.safe()
    mock.run(ready())
    mock.safe()
    assert_safe(mock)
    mock.safe()
    mock.close()
    assert_safe(mock)
    mock.run(ready())
    mock.reset()
    mock.safe()
    assert_safe(mock)


def test_reset_is_a_power_up_that_spares_the_array():
    mock = bridge()
    mock.run(ready())
    mock.run(set_rows())
    before = mock.board.array.conductance_s(1e3)
    mock.reset()
    assert_safe(mock)
    assert np.array_equal(mock.board.array.conductance_s(1e3), before)
    with pytest.raises(TimingViolation, match="power-on reset wait"):
        mock.run(Program([to_all(GAIN_2)]))
    mock.run(ready())
    mock.run(Program([stream(inputs(2))]))


def test_the_clock_of_a_running_board_cannot_change():
    mock = bridge()
    mock.run(ready())
    with pytest.raises(ProtocolError, match=r"clock_hz = 5e\+07 Hz"):
        mock.configure(SequencerConfig(timing=SequencerTiming(clock_hz=50e6)))


TOO_SHORT = [
    ({"clock_hz": 200e6, "spi_read_half_cycles": 6}, "tSCLKHIGH"),
    ({"spi_read_half_cycles": 2}, r"fSCLK \(read, FSDO = 0\)"),
    ({"spi_cs_setup_cycles": 1}, "tCSS"),
    ({"clock_hz": 105e6, "spi_write_half_cycles": 2, "sr_half_cycles": 6, "sr_latch_cycles": 6}, "tCSH"),
    ({"spi_cs_high_cycles": 1}, "tCSHIGH"),
    ({"sr_half_cycles": 4}, "tw SRCLK high"),
    ({"sr_latch_cycles": 4}, "tw RCLK high"),
    ({"adc_half_cycles": 41}, "fDCLOCK"),
    ({"adc_half_cycles": 2084}, "fDCLOCK"),
    ({"adc_clocks": 23}, "clocks per conversion"),
    ({"adc_low_clocks": 19}, "clocks with CS low"),
    ({"adc_low_clocks": 24}, "CS high"),
]


@pytest.mark.parametrize("spelled", [False, True], ids=["streamed", "spelled out"])
@pytest.mark.parametrize(("timing", "parameter"), TOO_SHORT, ids=[p for _, p in TOO_SHORT])
def test_a_timing_beyond_the_datasheet_is_a_violation_that_names_the_parameter(timing, parameter, spelled):
    mock = bridge(timing=SequencerTiming(**timing))
    program = ready()
    program.append(SpiRead(0b111, (0,) * 3), stream(inputs(2)))
    with pytest.raises(TimingViolation, match=parameter):
        mock.run(program.expanded() if spelled else program)
    assert not mock.board.gate
    assert mock.board.chain.oe_n


@pytest.mark.parametrize("spelled", [False, True], ids=["streamed", "spelled out"])
@pytest.mark.parametrize("kind", ["pulses", "products"])
def test_a_timing_that_has_become_too_fast_for_a_dac_is_refused_in_streams_too(kind, spelled):
    mock = bridge()
    mock.run(ready())
    mock.configure(SequencerConfig(timing=SequencerTiming(spi_cs_high_cycles=1)))
    codes = np.full((2, 3, 8), VCM, np.uint16)
    pulses = Pulses(codes, 0b111, LDAC, 100, np.array([100, 100], np.uint32))
    program = Program([Gate(False), pulses] if kind == "pulses" else [stream(inputs(2))])
    with pytest.raises(TimingViolation, match="tCSHIGH"):
        mock.run(program.expanded() if spelled else program)


def test_safe_disconnects_at_once_and_then_sends_its_frames_to_every_dac_one_after_the_other(mocker):
    mock = bridge()
    mock.configure(SequencerConfig(safe_wait_cycles=25_000, safe_frames=(GAIN_2, RESET)))
    cycles = mock.run(ready()).cycles
    gate, oe, spi = (mocker.spy(mock.board, name) for name in ("set_gate", "set_oe_n", "spi"))
    mock.safe()
    timing = SequencerTiming()
    gate.assert_called_once_with(False, pytest.approx(cycles * 1e-8))
    oe.assert_called_once_with(True, pytest.approx(cycles * 1e-8))
    frame = timing.spi_frame_cycles(24, read=False)
    # CS rises before the time that it stays high.
    rises = [cycles + 25_000 + k * frame - timing.spi_cs_high_cycles for k in (1, 2)]
    sent = [call.args[:4] for call in spi.call_args_list]
    assert [s[:3] for s in sent] == [(dac, f, 24) for f in (GAIN_2, RESET) for dac in range(3)]
    assert [s[3] for s in sent] == pytest.approx([t * 1e-8 for t in rises for _ in range(3)], rel=1e-12)


def test_the_default_timing_is_legal():
    mock = bridge()
    program = ready()
    program.append(SpiRead(0b111, (0,) * 3), stream(inputs(2)))
    mock.run(program)


# -- damage ----------------------------------------------------------------------------------------------------------


def test_bit_lines_connected_at_power_up_codes_program_the_array():
    mock = bridge(MockParams(array=ArrayParams(n_sl=8, n_bl=16)))
    mock.run(ready())
    mock.run(set_rows())
    before = mock.board.array.conductance_s(1.0)
    rows_on = [SpiWrite(0b100, ((8 + c) << 16 | WL_ON,)) for c in range(8)]
    # The bit lines' DACs are in reset, at 0 V: 2.5 V below the source lines, a RESET of the whole array.
    program = Program([Gate(False), SpiWrite(0b011, (RESET,) * 2), *rows_on, SpiWrite(0b100, (LDAC,)), Wait(25_000)])
    program.append(Gate(True), Wait(100_000), Gate(False))
    mock.run(program)
    after = mock.board.array.conductance_s(1.0)
    healthy = mock.board.array.faults == 0
    assert (after[healthy] < 0.7 * before[healthy]).mean() > 0.9


def test_disconnected_bit_lines_leave_the_array_alone():
    mock = bridge(MockParams(array=ArrayParams(n_sl=8, n_bl=16)))
    mock.run(ready())
    mock.run(set_rows())
    before = mock.board.array.conductance_s(1.0)
    mock.run(Program([Gate(False), SpiWrite(0b011, (RESET,) * 2), Wait(10_000_000)]))
    assert np.array_equal(mock.board.array.conductance_s(1.0), before)
