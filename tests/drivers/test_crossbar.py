"""`Crossbar` over the mock: products, reads, pulses, refusals, and outputs that are safe on every way out."""

import numpy as np
import pytest

from drivers.board import Board, load_board
from drivers.connect import mock_board, open_crossbar
from drivers.crossbar import ZERO_CONVERSIONS, Crossbar
from drivers.read_patterns import ReadPatterns
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import Gate, Mvm, OutputEnable, Pulses, Shift, SpiWrite, Wait
from firmware_bridge.mock.ads8324 import AdcParams
from firmware_bridge.mock.array_params import ArrayParams, InitialParams
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.mock.opa4322 import TiaParams
from firmware_bridge.program import Program

IDEAL = MockParams.ideal()
CODE_V = 5.0 / 65536
CODE_A = 2 * 0.9 / 16384 / 3500.0
"""Current of one ADC code on the default board, A."""
READ_V = 0.1
WORST_ROUNDING_S = CODE_A / 2 / READ_V * np.abs(ReadPatterns.of(32).solution).sum(axis=1).max()
"""Error of a read if every conversion is off by half a code, at its worst, S."""


def conductance(crossbar):
    return mock_board(crossbar).array.conductance_s(crossbar.board_time_s)


def with_random_array(mock=IDEAL, seed=0, board=None):
    """An open board whose cells, 20–80 µS, differ from each other."""
    crossbar = open_crossbar("mock", seed=seed, mock=mock, **({} if board is None else {"board": board}))
    gate_v = np.random.default_rng(seed).uniform(0.84, 1.23, crossbar.shape)
    crossbar.apply_pulses(1.8, gate_v, 1e-5)
    return crossbar


def quantised(volts):
    return np.rint((volts + 2.5) / CODE_V) * CODE_V - 2.5


class Watch:
    """Keeps the programs that reach the bridge."""

    def __init__(self, crossbar):
        self.programs = []
        bridge = crossbar._lines.interlock.bridge
        run = bridge.run
        bridge.run = lambda program: self.programs.append(program) or run(program)

    def all(self, kind):
        return [i for p in self.programs for i in p if isinstance(i, kind)]


# -- products --------------------------------------------------------------------------------------------------------


def test_a_product_is_exact_to_half_a_code():
    crossbar = with_random_array()
    g = conductance(crossbar)
    assert (g.min(), g.max()) > (15e-6, 75e-6)
    volts = np.random.default_rng(1).uniform(-0.1, 0.1, (300, 32))
    current = crossbar.mvm(volts)
    assert np.abs(current - quantised(volts) @ g.T).max() <= CODE_A / 2 * (1 + 1e-6)
    # And so to the input itself: half a DAC code on every line.
    assert (np.abs(current - volts @ g.T) <= CODE_A / 2 + g.sum(axis=1) * CODE_V / 2 + 1e-12).all()


@pytest.mark.parametrize("shape", [(32,), (1, 32), (7, 32), (2, 3, 32), (0, 32), (2, 0, 32)])
def test_a_product_keeps_leading_dimensions(shape):
    crossbar = with_random_array()
    volts = np.random.default_rng(2).uniform(-0.1, 0.1, shape)
    current = crossbar.mvm(volts)
    assert current.shape == (*shape[:-1], 32)
    one_by_one = [crossbar.mvm(v) for v in volts.reshape(-1, 32)]
    assert np.array_equal(current.reshape(-1, 32), np.reshape(one_by_one, (-1, 32)))


def test_a_product_takes_lists_and_other_number_types():
    crossbar = with_random_array()
    volts = [0.1, -0.1] * 16
    assert np.array_equal(crossbar.mvm(volts), crossbar.mvm(np.array(volts, np.float32)))
    assert np.array_equal(crossbar.mvm(np.zeros(32, int)), np.zeros(32))


def test_a_batch_beyond_the_boards_memory_is_cut_into_programs():
    crossbar = with_random_array()
    volts = np.random.default_rng(3).uniform(-0.1, 0.1, (4000, 32))
    crossbar.mvm(volts[0])
    watch = Watch(crossbar)
    current = crossbar.mvm(volts)
    assert len(watch.programs) == 3
    assert all(p.n_words <= crossbar.identity.program_words for p in watch.programs)
    assert all(p.n_results <= crossbar.identity.result_words for p in watch.programs)
    assert np.array_equal(current, np.concatenate([crossbar.mvm(part) for part in np.split(volts, 5)]))


def test_offsets_of_amplifiers_and_converters_are_removed():
    offsets = IDEAL.model_copy(
        update={
            "tia": TiaParams.ideal().model_copy(update={"v_os_sigma_v": 1e-3, "v_os_max_v": 2e-3}),
            "adc": AdcParams.ideal().model_copy(update={"offset_sigma_lsb": 5.0}),
        }
    )
    crossbar = with_random_array(offsets)
    volts = np.random.default_rng(4).uniform(-0.1, 0.1, (100, 32))
    readout = crossbar.measure(volts)
    g = conductance(crossbar)
    # Of the order of V_OS · Σ G · Rf = 1 mV · 1.6 mS · 3.5 kΩ: fifty codes.
    assert np.abs(readout.adc_code * -CODE_A - quantised(volts) @ g.T).max() > 20 * CODE_A
    # Half a code for the conversion, half a code for the offset.
    assert np.abs(readout.current_a - quantised(volts) @ g.T).max() <= CODE_A * (1 + 1e-6)


def test_the_zero_input_offset_is_an_average_that_lasts_until_the_array_changes():
    crossbar = with_random_array(MockParams())
    watch = Watch(crossbar)
    crossbar.mvm(np.zeros(32))
    crossbar.mvm(np.zeros(32))
    assert [m.count for m in watch.all(Mvm)] == [ZERO_CONVERSIONS, 1, 1]
    crossbar.apply_pulses(1.8, 1.0, 1e-5)
    watch.programs.clear()
    crossbar.mvm(np.zeros(32))
    assert [m.count for m in watch.all(Mvm)] == [ZERO_CONVERSIONS, 1]


def test_a_readout_tells_codes_and_cost():
    crossbar = with_random_array()
    crossbar.mvm(np.zeros(32))
    before = crossbar.cycles
    watch = Watch(crossbar)
    readout = crossbar.measure(np.full((5, 32), 0.05))
    assert readout.adc_code.shape == (5, 32)
    assert readout.adc_code.dtype == np.int16
    assert np.allclose(readout.current_a, readout.adc_code * -CODE_A, rtol=1e-12)
    assert readout.cycles == crossbar.cycles - before == watch.programs[0].cycles(crossbar.board.timing)
    assert readout.board_time_s == pytest.approx(readout.cycles * 1e-8)


def test_a_current_beyond_the_converters_range_is_refused_with_its_lines():
    crossbar = open_crossbar("mock", mock=IDEAL)
    gate_v = np.full((32, 32), 1.0)
    gate_v[[3, 20]] = 1.33  # 94 µS: 32 cells at 0.1 V carry 302 µA, the range ends at 257 µA
    crossbar.apply_pulses(1.8, gate_v, 1e-5)
    with pytest.raises(LimitError, match=r"source lines 3, 20 = -8192 .* ±257 µA over Rf; 2 conversions clipped"):
        crossbar.mvm(np.full(32, 0.1))
    assert crossbar.mvm(np.full(32, 0.08)).min() > 0


def test_lines_in_any_order_with_spare_channels_find_each_other():
    data = load_board().model_dump()
    data["wiring"] |= {
        "bl_dac": (14, 3, 9, 1, 0),
        "wl_dac": (22, 16, 19, 23, 17, 18, 20),
        "sl_adc": (2, 0, 1, 0, 2, 1, 0),
        "sl_mux": (1, 5, 1, 0, 5, 0, 1),
    }
    crossbar = with_random_array(board=Board.model_validate(data))
    assert crossbar.shape == (7, 5)
    g = conductance(crossbar)
    volts = np.random.default_rng(5).uniform(-0.1, 0.1, (50, 5))
    assert np.abs(crossbar.mvm(volts) - quantised(volts) @ g.T).max() <= CODE_A / 2 * (1 + 1e-6)
    assert np.abs(crossbar.read_conductance() - g).max() < 0.3e-6


def test_everything_a_crossbar_does_is_the_same_spelled_out_in_single_instructions():
    """The whole board, all non-idealities on, one seed: one bridge streams, the other expands every program."""

    def work(crossbar):
        yield crossbar.measure(np.random.default_rng(6).uniform(-0.1, 0.1, (40, 32))).adc_code
        gate_v = np.random.default_rng(7).uniform(0.9, 1.3, (32, 32))
        crossbar.apply_pulses(np.where(gate_v > 1.2, -1.6, 1.8), gate_v, 1e-5)
        yield crossbar.read_conductance()
        yield crossbar.mvm(np.full((3, 32), 0.02))
        yield crossbar.cycles
        yield [dac.registers for dac in mock_board(crossbar).dacs]
        yield conductance(crossbar)

    streamed, spelled = open_crossbar("mock", seed=11), open_crossbar("mock", seed=11)
    run = spelled._lines.interlock.bridge.run
    spelled._lines.interlock.bridge.run = lambda program: run(program.expanded())
    for a, b in zip(work(streamed), work(spelled), strict=True):
        assert np.array_equal(a, b)


# -- refusals --------------------------------------------------------------------------------------------------------

GOOD = np.full((2, 32), 0.05)


def spoilt(value):
    volts = GOOD.copy()
    volts[1, 3] = value
    return volts


def test_an_input_may_be_beyond_its_limit_by_the_rounding_to_a_code():
    crossbar = with_random_array()
    for bound in (0.1 + CODE_V / 2, -0.1 - CODE_V / 2):
        crossbar.mvm(spoilt(bound))


BAD_INPUTS = {
    "NaN": (spoilt(np.nan), LimitError, "input voltage = nan V"),
    "infinity": (spoilt(np.inf), LimitError, "input voltage = inf V"),
    "too large": (
        spoilt(0.1 + 0.6 * CODE_V),
        LimitError,
        r"input voltage = 100\.046 mV is outside -100 mV … 100 mV \(levels\.input_v",
    ),
    "too negative": (spoilt(-0.2), LimitError, "input voltage = -200 mV"),
    "too few lines": (np.zeros((2, 31)), ProtocolError, r"shape \(2, 31\); expected \(…, 32\)"),
    "a scalar": (0.1, ProtocolError, r"shape \(\)"),
    "text": ("0.1", ProtocolError, "inputs"),
    "a ragged list": ([[0.1] * 32, [0.1]], ProtocolError, "not an array of real numbers"),
    "complex": (spoilt(0.0) * 1j, ProtocolError, "not an array of real numbers"),
}


@pytest.mark.parametrize(("volts", "error", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_a_bad_input_is_refused_before_anything_reaches_the_board(volts, error, message):
    crossbar = open_crossbar("mock", mock=IDEAL)
    watch = Watch(crossbar)
    with pytest.raises(error, match=message):
        crossbar.mvm(volts)
    assert watch.programs == []
    assert crossbar.mvm(GOOD).shape == (2, 32)


def test_an_input_at_the_limit_passes():
    crossbar = open_crossbar("mock", mock=IDEAL)
    crossbar.mvm([0.1, -0.1] * 16)
    crossbar.mvm(np.full(32, 0.1, np.float32))  # a little more than 0.1
    crossbar.mvm([0.1 + 0.49 * CODE_V] * 32)


def test_a_block_must_have_two_dimensions():
    with pytest.raises(ProtocolError, match=r"measure: inputs have shape \(32,\); expected \(n, 32\)"):
        open_crossbar("mock", mock=IDEAL).measure(np.zeros(32))


CELLS = np.full((32, 32), np.nan)
CELLS[4, 5] = 1.8


def at_cell(value):
    array = np.full((32, 32), 1.0)
    array[4, 5] = value
    return array


BAD_PULSES = {
    "shape": ((np.ones((32, 31)), 1.0, 1e-5), ProtocolError, r"amplitude_v has shape \(32, 31\); expected \(32, 32\)"),
    "gate shape": ((CELLS, np.ones(32), 1e-5), ProtocolError, r"gate_v has shape \(32,\)"),
    "text": ((CELLS, "high", 1e-5), ProtocolError, "gate_v are not an array of real numbers"),
    "infinite amplitude": ((np.where(CELLS == 1.8, np.inf, np.nan), 1.0, 1e-5), LimitError, r"\(SL 4, BL 5\) = inf V"),
    "gate missing": ((CELLS, at_cell(np.nan), 1e-5), LimitError, r"gate_v of cell \(SL 4, BL 5\) = nan V"),
    "width missing": ((CELLS, 1.0, at_cell(np.nan)), LimitError, r"width_s of cell \(SL 4, BL 5\) = nan s"),
    "negative width": ((CELLS, 1.0, -1e-5), LimitError, "width_s = -10 µs is outside 10 ns"),
    "no width": ((CELLS, 1.0, 0.0), LimitError, "width_s = 0 s"),
    "endless width": ((CELLS, 1.0, 1.0), LimitError, "width_s = 1 s is outside"),
    "long width": ((CELLS, 1.0, 2e-3), LimitError, "SET width of pulse 0 = 2 ms"),
    "amplitude": ((CELLS + 0.21, 1.0, 1e-5), LimitError, "SET amplitude on BL 5"),
    "beyond the DAC": ((CELLS + 2.0, 1.0, 1e-5), LimitError, "DAC output = 6.3 V"),
    "gate": ((CELLS, 2.4, 1e-5), LimitError, "gate voltage during SET on WL 4"),
    "reset gate": ((-CELLS, 2.6, 1e-5), LimitError, "DAC output = 5.1 V"),
}


@pytest.mark.parametrize(("pulse", "error", "message"), BAD_PULSES.values(), ids=BAD_PULSES.keys())
def test_a_bad_pulse_is_refused_before_anything_reaches_the_board(pulse, error, message):
    crossbar = open_crossbar("mock", mock=IDEAL)
    watch = Watch(crossbar)
    with pytest.raises(error, match=message):
        crossbar.apply_pulses(*pulse)
    assert watch.programs == []
    assert not crossbar.pulse_count.any()
    assert crossbar.apply_pulses(CELLS, 1.0, 1e-5) == 1


def test_the_board_must_speak_this_instruction_set_and_have_these_chips():
    board = load_board()
    bridge = MockBridge(MockBoard(board.wiring, IDEAL, seed=0))
    identity = bridge.identify()
    for change, message in (
        ({"isa_hash": 1}, "speaks instruction set 0x00000001"),
        ({"n_dacs": 7}, "has 7 DACs, the board file says 8"),
        ({"n_adcs": 9}, "has 9 ADCs, the board file says 8"),
        ({"sr_bits": 8}, "has 8 shift-register bits, the board file says 16"),
    ):
        bridge.identify = lambda change=change: type(identity)(**(vars(identity) | change))
        with pytest.raises(ProtocolError, match=message):
            Crossbar(bridge, board)


def test_a_bridge_that_returns_too_few_words_is_caught_and_the_board_made_safe():
    crossbar = open_crossbar("mock", mock=IDEAL)
    bridge = crossbar._lines.interlock.bridge
    run = bridge.run

    def losing(program):
        result = run(program)
        return type(result)(result.words[:-1], result.cycles)

    bridge.run = losing
    with pytest.raises(ProtocolError, match=r"returned \d+ words, the program asks for"):
        crossbar.mvm(GOOD)
    assert mock_board(crossbar).chain.oe_n
    bridge.run = run
    assert crossbar.mvm(GOOD).shape == (2, 32)


# -- pulses ----------------------------------------------------------------------------------------------------------


def test_cells_of_a_column_with_equal_pulses_share_one_and_nothing_else_is_biased():
    crossbar = open_crossbar("mock", mock=IDEAL)
    amplitude, gate, width = np.full((32, 32), np.nan), np.zeros((32, 32)), np.full((32, 32), 1e-5)
    amplitude[3, 7], gate[3, 7] = 1.8, 1.1
    amplitude[9, 7], gate[9, 7] = 1.8, 1.2  # the same pulse at its own gate
    amplitude[10, 7], gate[10, 7], width[10, 7] = 1.8, 1.2, 2e-5  # another width
    amplitude[11, 7], gate[11, 7] = -1.6, 2.0  # a RESET
    amplitude[3, 30], gate[3, 30] = 1.8, 1.1  # another column
    watch = Watch(crossbar)
    assert crossbar.apply_pulses(amplitude, gate, width) == 4
    (table,) = watch.all(Pulses)
    volts = table.codes.reshape(4, 64) * CODE_V
    bl, wl = volts[:, :32] - 2.5, volts[:, 32:] - 2.5
    pulsed = [7, 7, 7, 30]
    assert np.abs(bl[range(4), pulsed] - [-1.6, 1.8, 1.8, 1.8]).max() <= CODE_V / 2
    assert table.widths.tolist() == [1000, 1000, 2000, 1000]
    rest = np.ones((4, 32), bool)
    rest[range(4), pulsed] = False
    assert not bl[rest].any()
    expected = np.full((4, 32), -2.5)  # rows off: word lines at 0 V
    expected[0, 11], expected[1, [3, 9]], expected[2, 10], expected[3, 3] = 2.0, [1.1, 1.2], 1.2, 1.1
    assert np.abs(wl - expected).max() <= CODE_V / 2
    assert table.settle == 800
    counts = np.zeros((32, 32), int)
    counts[[3, 9, 10, 11, 3], [7, 7, 7, 7, 30]] = 1
    assert np.array_equal(crossbar.pulse_count, counts)


def test_a_pulse_sets_its_cell_and_spares_the_others():
    crossbar = open_crossbar("mock", mock=IDEAL)
    before = conductance(crossbar)
    crossbar.apply_pulses(CELLS, 1.1, 1e-5)
    change = conductance(crossbar) - before
    assert change[4, 5] == pytest.approx(150e-6 * (1.1 - 0.7) - 10e-6, rel=1e-3)
    change[4, 5] = 0
    assert not change.any()


def test_forming_lowers_the_reference_for_the_pulses_alone():
    crossbar = open_crossbar("mock", mock=IDEAL)
    watch = Watch(crossbar)
    crossbar.apply_pulses(CELLS + 1.7, 1.2, 1e-4, forming=True)
    (table,) = watch.all(Pulses)
    volts = table.codes.reshape(64) * CODE_V
    expected = np.r_[np.full(32, 1.0), np.zeros(32)]
    expected[[5, 32 + 4]] = 4.5, 2.2
    assert np.abs(volts - expected).max() <= CODE_V / 2
    assert [s.word for s in watch.all(Shift)] == [1 << 11 | 1 << 3, 1 << 11]
    assert mock_board(crossbar).reference_v(crossbar.board_time_s + 1) == 2.5


def test_many_pulses_are_cut_into_programs_and_leave_the_lines_at_rest():
    crossbar = open_crossbar("mock", mock=IDEAL)
    watch = Watch(crossbar)
    amplitude = 1.2 + 0.5 * np.random.default_rng(0).random((32, 32))  # all different: one pulse for each cell
    assert crossbar.apply_pulses(amplitude, 1.0, 1e-5) == 1024
    assert sum(t.count for t in watch.all(Pulses)) == 1024
    assert len(watch.programs) == 2
    board = mock_board(crossbar)
    lines = np.concatenate([dac.active_code for dac in board.dacs])
    assert (lines[:32] == 0x8000).all()
    assert not lines[32:].any()
    assert not board.gate


def test_of_many_pulses_none_is_sent_if_the_last_is_refused():
    crossbar = open_crossbar("mock", mock=IDEAL)
    watch = Watch(crossbar)
    amplitude = 1.2 + 0.5 * np.random.default_rng(0).random((32, 32))
    amplitude[31, 31] = 2.01
    with pytest.raises(LimitError, match=r"SET amplitude on BL 31 = 2\.00996 V"):
        crossbar.apply_pulses(amplitude, 1.0, 1e-5)
    assert watch.programs == []
    assert not crossbar.pulse_count.any()
    assert_safe(crossbar)


def test_no_cell_no_pulse():
    crossbar = open_crossbar("mock", mock=IDEAL)
    watch = Watch(crossbar)
    assert crossbar.apply_pulses(np.full((32, 32), np.nan), np.nan, np.nan) == 0
    assert watch.programs == []


# -- reads -----------------------------------------------------------------------------------------------------------


def test_a_noiseless_read_is_exact_to_the_quantisation():
    crossbar = with_random_array()
    g = conductance(crossbar)
    # Half a code in every conversion at worst, and a test voltage that is rounded to a DAC code.
    bound = WORST_ROUNDING_S + g * (CODE_V / 2 / READ_V)
    assert (np.abs(crossbar.read_conductance() - g) <= bound).all()


@pytest.mark.parametrize("repeats", [1, 4])
def test_the_error_of_a_read_is_that_of_the_converter_over_its_conversions(repeats):
    noisy = IDEAL.model_copy(update={"adc": AdcParams.ideal().model_copy(update={"noise_lsb_rms": 0.8})})
    crossbar = with_random_array(noisy)
    g = conductance(crossbar)
    true_v = quantised(np.array(READ_V))
    error = crossbar.read_conductance(repeats=repeats) - g * (true_v / READ_V)
    # Noise and rounding of 33 conversions for each pass; the RMS of 1024 errors is known to 2.2 %.
    share = np.mean(np.sum(ReadPatterns.of(32).solution ** 2, axis=1))
    sigma = np.sqrt(0.8**2 + 1 / 12) * CODE_A / READ_V * np.sqrt(share / repeats)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(sigma, rel=0.1)
    assert abs(error.mean()) < 4 * sigma / 32


def test_offsets_cancel_in_a_read():
    offsets = IDEAL.model_copy(
        update={"tia": TiaParams.ideal().model_copy(update={"v_os_sigma_v": 1e-3, "v_os_max_v": 2e-3})}
    )
    crossbar = with_random_array(offsets)
    watch = Watch(crossbar)
    g = conductance(crossbar)
    assert (np.abs(crossbar.read_conductance() - g) <= WORST_ROUNDING_S + g * (CODE_V / 2 / READ_V)).all()
    assert [m.count for m in watch.all(Mvm)] == [33]


def test_all_1024_cells_are_read_in_2700_us_of_board_time():
    crossbar = open_crossbar("mock", mock=IDEAL)
    crossbar.read_conductance()
    before_s = crossbar.board_time_s
    crossbar.read_conductance()
    assert crossbar.board_time_s - before_s <= 2.7e-3


def test_lines_full_of_strongly_conducting_cells_do_not_leave_the_range_of_a_read():
    """32 cells of 105 µS at 0.1 V are 336 µA, the range ends at 257 µA: the patterns never add them all."""
    crossbar = open_crossbar("mock", mock=IDEAL)
    crossbar.apply_pulses(1.8, 1.4, 1e-5)
    g = conductance(crossbar)
    assert g.min() > 100e-6
    with pytest.raises(LimitError, match="clipped"):
        crossbar.mvm(np.full(32, READ_V))
    assert (np.abs(crossbar.read_conductance() - g) <= WORST_ROUNDING_S + g * (CODE_V / 2 / READ_V)).all()


def test_who_looks_on_gets_each_read_as_it_is_returned():
    with with_random_array() as crossbar:
        crossbar.read_conductance()
        seen = []
        crossbar.on_read = seen.append
        returned = [crossbar.read_conductance(), crossbar.read_conductance(repeats=2)]
        crossbar.mvm(np.zeros(32))
    assert len(seen) == 2
    for a, b in zip(seen, returned, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_read_needs_at_least_one_pass():
    with pytest.raises(LimitError, match="repeats = 0 is below the minimum of 1"):
        open_crossbar("mock", mock=IDEAL).read_conductance(repeats=0)


# -- life ------------------------------------------------------------------------------------------------------------


def assert_safe(crossbar):
    board = mock_board(crossbar)
    assert not board.gate
    assert board.chain.oe_n
    assert not any(dac.active_code.any() for dac in board.dacs)


@pytest.mark.parametrize("error", [None, RuntimeError("in the middle"), KeyboardInterrupt(), SystemExit(1)])
def test_outputs_are_safe_on_every_way_out(error):
    def work():
        with crossbar:
            crossbar.mvm(GOOD)
            if error is not None:
                raise error

    crossbar = open_crossbar("mock", mock=IDEAL)
    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    assert_safe(crossbar)


@pytest.mark.parametrize("error", [RuntimeError("in a program"), KeyboardInterrupt()])
@pytest.mark.parametrize("operation", ["mvm", "read", "pulse"])
def test_an_error_inside_a_program_makes_the_outputs_safe_and_the_next_operation_starts_anew(
    error, operation, monkeypatch
):
    crossbar = with_random_array()
    call = {
        "mvm": lambda: crossbar.mvm(GOOD),
        "read": crossbar.read_conductance,
        "pulse": lambda: crossbar.apply_pulses(CELLS, 1.1, 1e-5),
    }[operation]
    expected = crossbar.mvm(GOOD)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(mock_board(crossbar), "convert_stream", fail)
        patch.setattr(mock_board(crossbar), "pulse", fail)
        with pytest.raises(type(error)):
            call()
    assert_safe(crossbar)
    watch = Watch(crossbar)
    assert np.array_equal(crossbar.mvm(GOOD), expected)
    assert watch.all(OutputEnable) == [OutputEnable(True)]  # initialised again


def test_initialising_disconnects_first_and_enables_defined_muxes_last():
    crossbar = open_crossbar("mock", mock=IDEAL)
    crossbar.safe()
    watch = Watch(crossbar)
    crossbar.mvm(GOOD)
    kinds = [type(i) for i in watch.programs[0]]
    assert next(iter(watch.programs[0])) == Gate(False)
    assert kinds.index(Shift) < kinds.index(OutputEnable)
    assert Gate(True) not in watch.programs[0].instructions


def test_safe_can_be_called_twice_and_closing_after_it():
    crossbar = open_crossbar("mock", mock=IDEAL)
    crossbar.safe()
    crossbar.safe()
    crossbar.close()
    crossbar.close()
    assert_safe(crossbar)


def test_waiting_takes_board_time_with_lines_disconnected():
    crossbar = open_crossbar("mock", mock=IDEAL)
    crossbar.mvm(GOOD)
    before = crossbar.board_time_s
    crossbar.wait(3600.0)
    assert crossbar.board_time_s - before == pytest.approx(3600.0, abs=1e-6)
    assert not mock_board(crossbar).gate


@pytest.mark.parametrize("seconds", [-1.0, np.nan, np.inf, 1e9])
def test_an_impossible_wait_is_refused(seconds):
    with pytest.raises(LimitError, match="wait = "):
        open_crossbar("mock", mock=IDEAL).wait(seconds)


def test_the_interlock_stands_between_the_dacs_in_reset_and_a_gate():
    """The program that the interlock refuses does damage where there is none."""
    params = MockParams(array=ArrayParams(initial=InitialParams(g_median_s=60e-6)))
    crossbar = open_crossbar("mock", mock=params)
    rows = [SpiWrite(0xF0, ((8 + c) << 16 | 64225,) * 4) for c in range(8)]
    program = Program(
        [SpiWrite(0x0F, (0x05000A,) * 4), *rows, SpiWrite(0xF0, (0x050010,) * 4), Wait(25_000), Gate(True)]
    )
    program.append(Wait(100_000), Gate(False))
    before = conductance(crossbar)
    with pytest.raises(ProtocolError, match="BL 0 would be connected to a DAC whose output is unknown"):
        crossbar._lines.interlock.run(program)
    assert np.array_equal(conductance(crossbar), before)
    crossbar._lines.interlock.bridge.run(program)
    assert (conductance(crossbar) < 0.7 * before).mean() > 0.9
