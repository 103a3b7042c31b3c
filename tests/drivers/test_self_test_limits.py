"""The limits of the self-test and of the watch, each at its value: a board that answers as a test says."""

import numpy as np
import pytest
from scipy.linalg import hadamard

from drivers.board import load_board
from drivers.line_control import ReadState
from drivers.read_patterns import ReadPatterns
from drivers.self_test import SelfTestError, Watch, _refuse_joined, check_registers, self_test
from firmware_bridge.errors import LimitError, ProtocolError

N = 32
REST = 32768
STEP = 1310.72  # codes of 0.1 V in a span of 5 V


class Scripted:
    """A crossbar whose codes are worked out here: `cells_code` (n_sl, n_bl) is what a cell adds at the read voltage."""

    def __init__(self):
        self.board, self.shape, self.patterns = load_board(), (N, N), ReadPatterns.of(N)
        self.cells_code = np.random.default_rng(0).uniform(10, 100, (N, N))
        self.zero_code, self.leak_code, self.half_gain = np.zeros(N), np.zeros(N), np.ones(N)
        self.noise_code = lambda n: np.zeros((n, N))
        self.conducts = lambda on: on.astype(float)
        self.registers, self.asked, self.made_safe, self.cycles = [], [], 0, 1000

    def convert(self, bl_code, state=ReadState()):  # noqa: B008
        self.cycles += 7
        self.asked.append((bl_code, state))
        if state.adc_inputs == "open" or state.gate_v is not None:
            assert (bl_code == REST).all()
            # As often above as below, but for the mean.
            swing = 500 * (-1.0) ** np.arange(len(bl_code))
            return swing[:, None] + (self.zero_code if state.adc_inputs == "open" else self.leak_code)
        volts = (bl_code.astype(float) - REST) / STEP
        on = np.ones(N, bool) if state.rows is None else np.isin(np.arange(N), state.rows)
        gain = np.where(np.abs(volts).max() < 0.6, self.half_gain, 1.0) * self.conducts(on)
        return 20 + volts @ self.cells_code.T * gain + self.noise_code(len(volts))

    def wrong_registers(self):
        if isinstance(self.registers, Exception):
            raise self.registers
        return self.registers

    def safe(self):
        self.made_safe += 1


def told(board):
    with pytest.raises(SelfTestError) as error:
        self_test(board)
    assert board.made_safe == 1
    return error.value


def test_a_board_that_does_all_it_should_passes_and_says_what_it_cost():
    board = Scripted()
    found = self_test(board)
    assert board.made_safe == 0
    assert found.cycles == 7 * len(board.asked)
    assert found.board_time_s == pytest.approx(7e-8 * len(board.asked))
    assert found.tested["ADC zero"] == "within ±64 codes"
    assert found.tested["ADC span"] == "linear to 5%"
    assert found.tested["word lines"] == "each alone"
    assert set(found.untested) == {"muxes", "bit lines"}  # without noise


def test_nothing_is_driven_beyond_a_verify_read_and_cells_are_off_for_the_leak():
    board = Scripted()
    self_test(board)
    for codes, _ in board.asked:
        assert np.abs(codes.astype(int) - REST).max() <= round(STEP)
    (probe,) = (state for _, state in board.asked if state.gate_v is not None)
    assert probe.gate_v == pytest.approx(1.95)
    assert len(board.asked[2][0]) == 4 * len(board.patterns.signs)


@pytest.mark.parametrize(("name", "part"), [("zero_code", "ADC zero"), ("leak_code", "reference mux")])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_mean_code_of_64_with_nothing_at_the_input_passes_and_above_it_is_refused(name, part, sign):
    board = Scripted()
    getattr(board, name)[13] = 64 * sign
    self_test(board)
    getattr(board, name)[13] = 64.6 * sign
    error = told(board)
    assert (error.part, error.measured, error.limit) == (f"{part}, SL 13 on ADC 3", f"code {65 * sign}", "±64")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("cell_code", [120.0, 3000.0])
def test_half_the_input_must_give_half_the_code_within_a_twentieth_of_it_and_8_codes_of_noise(sign, cell_code):
    board = Scripted()
    board.cells_code[9] = 0
    board.cells_code[9, 3] = cell_code
    signs = board.patterns.signs[:, 3]
    moved = cell_code * np.abs(signs - signs.mean()).max()
    allowed = 0.025 + 8 / moved
    for beyond in (-0.002, 0.002):
        board.half_gain[9] = (0.5 + sign * (allowed + beyond)) / (655 / 1311)
        if beyond < 0:
            self_test(board)
    error = told(board)
    assert error.part == "ADC 2, SL 9"
    assert error.measured == f"{0.5 + sign * (allowed + 0.002):.3f} of it"


def test_a_line_that_moves_by_100_codes_or_less_is_not_judged_and_that_is_said():
    board = Scripted()
    signs = board.patterns.signs[:, 3]
    per_code = np.abs(signs - signs.mean()).max() * 1311 / STEP
    board.half_gain[9] = 2.0
    board.cells_code[9] = 0
    board.cells_code[9, 3] = 99.9 / per_code
    assert self_test(board).tested["ADC span"] == "linear to 5%; not tested: 1 of 32 SLs, which conduct too little"
    board.cells_code[9, 3] = 100.1 / per_code
    assert told(board).part == "ADC 2, SL 9"
    board.cells_code[:] = 0
    board.made_safe = 0
    assert self_test(board).tested["ADC span"] == "not tested: all SLs conduct too little"


def test_a_converter_that_gives_the_same_code_each_time_while_others_have_noise_is_stuck():
    board = Scripted()
    rng = np.random.default_rng(1)
    quiet = np.ones(N)
    board.noise_code = lambda n: rng.normal(0, 1, (n, N)) * quiet
    self_test(board)
    quiet[17] = 0
    board.cells_code[17] = 0
    error = told(board)
    assert (error.part, error.measured) == ("ADC 4, SL 17", "code 20 each time")
    quiet[:17] = 0  # most have none: then none is missing
    board.cells_code[:17] = 0
    self_test(board)


def test_a_noise_of_one_code_is_enough_to_miss_it_on_one_line():
    board = Scripted()
    board.noise_code = lambda n: np.outer(np.arange(n) % 2, np.arange(N) != 17)
    board.cells_code[:] = 0
    assert told(board).part == "ADC 4, SL 17"


def test_the_self_test_begins_with_the_registers():
    board = Scripted()
    board.registers = [(2, "STATUS", 0, 1)]
    assert told(board).part == "DAC 2 register STATUS"
    assert board.asked == []


def test_lines_of_which_cells_differ_by_fifty_times_the_variance_of_their_mean_can_be_told_apart():
    board = Scripted()
    signs = hadamard(N)[np.r_[1:N, 1]].astype(float)  # mean 0 over a line; the last is alike to one of another ADC
    delta = 3.0
    judged = np.arange(N) % 3 > 0
    amplitude = np.sqrt(np.where(judged, 50.5, 49.5) * delta**2 / 3)
    board.cells_code = signs * amplitude[:, None]
    one_pass = board.patterns.signs @ np.full((N, N), delta)

    def noise_code(n):
        # ±delta on each cell, from pass to pass: variance of the mean delta² · 4/3 / 4.
        return np.concatenate([one_pass * sign for sign in (1, -1, 1, -1)]) if n == 4 * len(one_pass) else 0.0

    board.noise_code = noise_code
    board.cells_code *= STEP / 1311  # what is driven is a whole code
    n_not = int((~judged).sum())
    expected = f"all different; not tested: {n_not} of 32 SLs, which are too much like others of one ADC"
    assert self_test(board).tested["muxes"] == expected


def test_source_lines_are_compared_within_one_adc_and_bit_lines_all():
    board = Scripted()
    rng = np.random.default_rng(1)
    board.noise_code = lambda n: rng.normal(0, 1, (n, N))
    board.cells_code[8] = board.cells_code[7]
    assert self_test(board).untested == {}
    board.cells_code[6] = board.cells_code[7]
    assert told(board).part == "SL 6 and SL 7"
    board = Scripted()
    board.noise_code = lambda n: rng.normal(0, 1, (n, N))
    board.cells_code[:, 31] = board.cells_code[:, 2]
    assert told(board).part == "BL 2 and BL 31"


def lines(*offsets, variance=400.0):
    """Lines of 8 cells, mean square `variance`, `offsets` apart in every cell."""
    return np.sqrt(variance) * np.tile([1.0, -1.0], 4) + np.array(offsets)[:, None]


ALL = np.ones((3, 3), bool)


@pytest.mark.parametrize("noise", [(1.0, 1.0, 1.0), (1.0, 3.0, 1.0)])
def test_two_lines_are_one_when_they_differ_by_less_than_twice_what_noise_makes(noise):
    variance = np.broadcast_to(np.array(noise)[:, None], (3, 8))
    apart = np.sqrt(2.0 * (noise[0] + noise[1]))
    assert _refuse_joined(lines(0, apart * 1.001, 40), variance, "SL", ALL, "look").all()
    with pytest.raises(SelfTestError) as told:
        _refuse_joined(lines(0, apart * 0.999, 40), variance, "SL", ALL, "look")
    error = told.value
    assert (error.part, error.measured, error.advice) == ("SL 0 and SL 1", f"{apart:.2g} codes apart", "look")
    assert error.limit == f"noise alone makes {apart / np.sqrt(2):.2g}, cells of a line differ by 20"
    pairs = ALL.copy()
    pairs[0, 1] = pairs[1, 0] = False
    assert _refuse_joined(lines(0, apart * 0.999, 40), variance, "SL", pairs, "look").all()


@pytest.mark.parametrize(("variance", "noise", "judged"), [(49.5, 1, False), (50.5, 1, True), (50, 0, False)])
def test_a_line_whose_cells_are_alike_to_the_noise_cannot_be_judged(variance, noise, judged):
    cells = np.vstack([lines(0, variance=variance), lines(0), lines(60)])
    cells[1, 0] += 200
    noises = np.array([[noise], [1.0], [1.0]]) * np.ones((3, 8))
    np.testing.assert_array_equal(_refuse_joined(cells, noises, "BL", ALL, ""), [judged, True, True])
    cells[1], noises[1] = cells[0], noises[0]
    if judged:
        with pytest.raises(SelfTestError, match="BL 0 and BL 1"):
            _refuse_joined(cells, noises, "BL", ALL, "")
    else:
        np.testing.assert_array_equal(_refuse_joined(cells, noises, "BL", ALL, ""), [False, False, True])


@pytest.mark.parametrize("pair", [(0, 1), (0, 31), (5, 13), (12, 14), (15, 31), (30, 31)])
def test_any_two_word_lines_that_are_joined_are_told_of(pair):
    board = Scripted()

    def conducts(on):
        on = on.copy()
        on[list(pair)] = on[list(pair)].any()
        return on.astype(float)

    board.conducts = conducts
    error = told(board)
    assert error.part in {f"WL {i}" for i in pair}
    assert error.expected == "off"


@pytest.mark.parametrize(("stuck", "expected"), [(1.0, "off"), (0.0, "as with all rows on")])
def test_a_word_line_may_be_64_codes_and_a_twentieth_of_the_largest_away(stuck, expected):
    board = Scripted()
    drive = np.rint(STEP * board.patterns.signs[:4]) / STEP
    peak = np.abs(drive @ board.cells_code.T).max()
    limit = 64 + 0.05 * peak
    line = 11
    own = np.abs(drive @ board.cells_code[line]).max()

    def passes(away):
        def conducts(on):
            gain = on.astype(float)
            if not on.all() and on[line] == (stuck == 0.0):
                gain[line] += (1 if stuck else -1) * away / own
            return gain

        board.conducts = conducts
        return self_test(board)

    assert passes(limit - 0.4).tested["word lines"].startswith("each alone")
    with pytest.raises(SelfTestError) as error:
        passes(limit + 0.4)
    assert (error.value.part, error.value.expected, error.value.limit) == (f"WL {line}", expected, f"±{limit:.0f}")
    assert error.value.measured == f"{limit + 0.4:.0f} codes away"


@pytest.mark.parametrize("beyond", [False, True])
def test_a_word_line_that_conducts_less_than_could_be_seen_is_said_to_be_untested(beyond):
    board = Scripted()
    drive = np.rint(STEP * board.patterns.signs[:4]) / STEP
    limit = 64 + 0.05 * np.abs(drive @ np.delete(board.cells_code, 20, axis=0).T).max()
    board.cells_code[20] *= (limit + (0.4 if beyond else -0.4)) / np.abs(drive @ board.cells_code[20]).max()
    assert self_test(board).tested["word lines"] == (
        "each alone" if beyond else "each alone; not tested: 1 of 32 WLs, which conduct too little"
    )


def test_a_clipped_code_is_told_of_with_the_outputs_safe(mocker):
    board = Scripted()
    mocker.patch.object(board, "convert", side_effect=LimitError("current of SL 3", 9.0, 8.0, "µA"))
    error = told(board)
    assert error.part == "amplifiers and converters"
    assert "current of SL 3" in error.measured


@pytest.mark.parametrize(
    ("registers", "part", "measured", "advice"),
    [
        (ProtocolError("DAC 3 did not echo"), "DAC SDO", "DAC 3 did not echo", "check its wiring"),
        ([(2, "STATUS", 0, 1)], "DAC 2 register STATUS", "0x0001", "it raises an alarm"),
        ([(4, "CONFIG", 0x10, 0), (5, "CONFIG", 0, 1)], "DAC 4 register CONFIG", "0x0000", "check its CS"),
    ],
)
def test_registers_that_cannot_be_read_or_are_wrong_leave_the_outputs_safe(registers, part, measured, advice):
    board = Scripted()
    board.registers = registers
    with pytest.raises(SelfTestError) as error:
        check_registers(board)
    assert board.made_safe == 1
    assert (error.value.part, error.value.measured) == (part, measured)
    assert error.value.advice.startswith(advice)


# -- the watch ---------------------------------------------------------------------------------------------------------

WATCHED = (4, 16)
SCATTER_S = 0.2e-6


class Watched:
    """A crossbar that gives what a test says: products at zero input `zero_a` (n_sl,), conductances `change_s` from
    those at first, which scatter by `SCATTER_S` rms."""

    def __init__(self):
        self.shape, self.registers, self.made_safe, self.cycles = WATCHED, [], 0, 0
        self.zero_a, self.change_s, self.error, self.products = np.zeros(WATCHED[0]), None, None, []

    def wrong_registers(self):
        return self.registers

    def mvm(self, volts):
        self.cycles += 1
        self.products.append(len(volts))
        assert not volts.any()
        swing = 1e-6 * (-1.0) ** np.arange(len(volts))
        return swing[:, None] + self.zero_a

    def read_conductance(self, repeats=1):
        self.cycles += 100 * repeats
        if self.error:
            raise self.error
        if repeats > 1:
            return np.full(WATCHED, 50e-6)
        if self.change_s is None:
            return 50e-6 + SCATTER_S * (-1.0) ** np.indices(WATCHED).sum(axis=0)
        return 50e-6 + self.change_s

    def safe(self):
        self.made_safe += 1


@pytest.fixture
def watched():
    board = Watched()
    watch = Watch(board)
    board.change_s = np.zeros(WATCHED)
    board.cycles = 10_000
    return watch, board


def refused(watch, board):
    before = watch.cycles, watch.looks
    with pytest.raises(SelfTestError) as error:
        watch.look()
    assert board.made_safe == 1
    assert (watch.cycles, watch.looks) == before
    return error.value


def test_looks_and_what_they_cost_are_counted(watched):
    watch, board = watched
    assert (watch.cycles, watch.looks) == (0, 0)
    watch.look()
    watch.look()
    assert (watch.cycles, watch.looks) == (202, 2)
    assert board.products == [1, 64, 64]
    assert board.made_safe == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_an_offset_of_more_than_four_tenths_of_a_microampere_is_told_of(watched, sign):
    watch, board = watched
    board.zero_a[2] = sign * 0.39e-6
    watch.look()
    board.zero_a[2] = sign * 0.41e-6
    error = refused(watch, board)
    assert (error.part, error.measured, error.limit) == ("offset of SL 2", f"{sign * 0.41:.2f} µA", "±0.4 µA")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("line", "kind", "n"), [(np.s_[3], "SL 3", 16), (np.s_[:, 11], "BL 11", 4)])
def test_the_mean_of_a_line_may_move_by_eight_times_its_scatter_and_half_a_microsiemens(watched, sign, line, kind, n):
    watch, board = watched
    limit_s = 0.5e-6 + 8 * SCATTER_S / np.sqrt(n)
    board.change_s[line] = sign * 0.999 * limit_s
    watch.look()
    board.change_s[line] = sign * 1.001 * limit_s
    error = refused(watch, board)
    assert error.part == f"mean conductance of {kind}"
    assert error.measured == f"{sign * 1.001 * limit_s * 1e6:+.2f} µS"
    assert error.limit == f"±{limit_s * 1e6:.2f} µS"


def test_cells_may_move_by_twice_their_scatter_and_half_a_microsiemens_rms(watched):
    watch, board = watched
    limit_s = 0.5e-6 + 2 * SCATTER_S
    cells = (-1.0) ** np.indices(WATCHED).sum(axis=0)  # the mean of no line moves
    board.change_s = 0.999 * limit_s * cells
    watch.look()
    board.change_s = 1.001 * limit_s * cells
    error = refused(watch, board)
    assert (error.part, error.expected) == ("conductances", "0.20 µS of scatter")
    assert (error.measured, error.limit) == ("0.90 µS rms of change", "0.90 µS")


def test_a_look_that_clips_is_told_of_with_the_outputs_safe(watched):
    watch, board = watched
    board.error = LimitError("current of SL 3", 9.0, 8.0, "µA")
    error = refused(watch, board)
    assert error.part == "amplifiers and converters"


def test_a_look_reads_the_registers_too(watched):
    watch, board = watched
    board.registers = [(1, "STATUS", 0, 1)]
    with pytest.raises(SelfTestError, match="DAC 1 register STATUS"):
        watch.look()
    assert board.made_safe
    with pytest.raises(SelfTestError, match="DAC 1 register STATUS"):
        Watch(board)
