"""Each threshold of the self-test and the watch, met and exceeded, on a board that answers by numbers."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.board import load_board
from drivers.line_control import READ, ReadState
from drivers.read_patterns import ReadPatterns
from drivers.self_test import PASSES, SelfTestError, Watch, check_registers, self_test
from firmware_bridge.errors import LimitError, ProtocolError

BOARD = load_board()
N_SL, N_BL = BOARD.shape
ADC = np.array(BOARD.wiring.sl_adc)
SIGNS = ReadPatterns.of(N_BL).signs
REST = round(BOARD.wiring.vcm_v / BOARD.dac.span_v * 65536)
STEP = BOARD.levels.verify_v / BOARD.dac.span_v * 65536
A_LITTLE = 1e-6
OUT_OF_RANGE = LimitError("ADC code", 8191.0, (-8191.0, 8190.0), "", advice="less")


class Numbers:
    """A crossbar of which every answer is known.

    cells: (n_sl, n_bl) codes that a bit line at the verify level adds. half: (n_sl,) share of them at half the level.
    zero, leak: (n_sl,) codes with nothing at the converters, and with gates a little on. noise: (n_sl, n_bl) σ of the
    mean of each cell, codes. beside: (n_sl,) codes that a row adds while it is off, and takes away while it is on with
    others off. offset: (n_sl,) codes of every line with its amplifier.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.board, self.shape, self.patterns = BOARD, BOARD.shape, ReadPatterns.of(N_BL)
        self.cells = rng.uniform(5.0, 60.0, BOARD.shape)
        self.noise = np.full(BOARD.shape, 0.5)
        self.half, self.zero, self.leak, self.beside = (
            np.full(N_SL, 0.5),
            np.zeros(N_SL),
            np.zeros(N_SL),
            np.zeros(N_SL),
        )
        self.wrong: list[tuple[int, str, int, int]] = []
        self.asked: list[tuple[np.ndarray, ReadState]] = []
        self.offset = rng.uniform(-30.0, 30.0, N_SL)
        self.cycles, self.made_safe = 1000, 0
        self.fails_at: Exception | None = None

    def convert(self, codes, state=READ):
        if self.fails_at is not None:
            raise self.fails_at
        self.asked.append((codes, state))
        self.cycles += len(codes)
        if state.adc_inputs == "open":
            return np.tile(self.zero, (len(codes), 1))
        if state.gate_v is not None:
            return np.tile(self.leak, (len(codes), 1))
        # Signs and levels by the nearest half: a code is rounded.
        level = np.round((codes.astype(float) - REST) / STEP * 2) / 2
        halves = (np.abs(level) == 0.5).any()
        found = np.sign(level) @ self.cells.T * (self.half if halves else 1.0)
        if state.rows is not None:
            on = np.isin(np.arange(N_SL), state.rows)
            driven = (level != 0).any(axis=1)[:, None]
            found = found * on + np.where(on, -self.beside, self.beside) * driven
        if len(codes) == PASSES * len(SIGNS):
            # ±σ √3 from pass to pass: the mean stays, and the variance of the mean is σ².
            turns = np.tile([1.0, -1.0], PASSES // 2)[:, None, None] * np.sqrt(3.0) * self.noise
            found = found + np.einsum("pb,ksb->kps", SIGNS, turns).reshape(found.shape)
        return found + self.offset

    def wrong_registers(self):
        return self.wrong

    def safe(self):
        self.made_safe += 1


@pytest.fixture
def crossbar():
    return Numbers()


def told(crossbar):
    with pytest.raises(SelfTestError) as error:
        self_test(crossbar)
    assert crossbar.made_safe == 1
    return error.value


def moved(crossbar):
    """Largest excursion of each line over the patterns, codes."""
    full = SIGNS @ crossbar.cells.T
    return np.abs(full - full.mean(axis=0)).max(axis=0)


def test_a_healthy_board_is_asked_for_exactly_this_and_passes(crossbar):
    result = self_test(crossbar)
    rest = np.full((8, N_BL), REST, np.uint16)
    drive = np.rint(REST + STEP * SIGNS).astype(np.uint16)
    half = np.rint(REST + STEP / 2 * SIGNS).astype(np.uint16)
    expected = [
        (rest, ReadState(rows=(), adc_inputs="open")),
        (rest, ReadState(gate_v=BOARD.wiring.vform_v + 0.95)),
        (np.tile(drive, (PASSES, 1)), READ),
        (half, READ),
        (drive[:4], READ),
        (rest, READ),
    ]
    for bit in range(5):
        for value in (0, 1):
            state = ReadState(rows=tuple(i for i in range(N_SL) if i >> bit & 1 == value))
            expected += [(drive[:4], state), (rest, state)]
    assert [state for _, state in crossbar.asked] == [state for _, state in expected]
    for (codes, _), (right, _) in zip(crossbar.asked, expected, strict=True):
        assert codes.dtype == np.uint16
        np.testing.assert_array_equal(codes, right)
    assert result.tested == {
        "DACs": "8 chips hold what they were sent; no alarm",
        "ADC zero": "within ±64 codes",
        "reference mux": "on the common mode",
        "ADC span": "linear to 5%",
        "muxes": "all different",
        "bit lines": "all different",
        "word lines": "each alone",
    }
    assert result.untested == {}
    assert result.cycles == crossbar.cycles - 1000 == sum(len(codes) for codes, _ in expected)
    assert result.board_time_s == result.cycles * BOARD.timing.period_s
    assert crossbar.made_safe == 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("part", "codes"), [("ADC zero", "zero"), ("reference mux", "leak")])
def test_codes_without_an_input_may_be_64_and_no_more(crossbar, part, codes, sign):
    getattr(crossbar, codes)[19] = 64 * sign
    self_test(crossbar)
    getattr(crossbar, codes)[19] = (64 + A_LITTLE) * sign
    error = told(crossbar)
    assert error.part == f"{part}, SL 19 on ADC {ADC[19]}"
    assert (error.expected, error.measured, error.limit) == ("code 0", f"code {64 * sign}", "±64")


def test_a_converter_whose_codes_never_change_while_others_do_is_stuck(crossbar):
    crossbar.cells[7] = crossbar.noise[7] = 0.0
    error = told(crossbar)
    assert error.part == f"ADC {ADC[7]}, SL 7"
    assert error.measured == f"code {crossbar.offset[7]:.0f} each time"
    # Of a line: its signs and its noise, from the lowest to the highest.
    passes = np.concatenate([SIGNS @ (crossbar.cells + np.sqrt(3.0) * s * crossbar.noise).T for s in (1, -1)])
    assert error.limit == f"others change by {np.median(np.ptp(passes, axis=0)):.0f}"


def test_the_least_noise_on_most_lines_is_missed_where_there_is_none(crossbar):
    crossbar.cells[:] = crossbar.noise[:] = 0.0
    crossbar.noise[:17, 0] = 0.9 / np.sqrt(12.0)  # most lines change by 0.9 codes
    assert told(crossbar).part == f"ADC {ADC[17]}, SL 17"
    crossbar.noise[:16, 0] = 0.0  # most do not change at all
    self_test(crossbar)


def test_an_array_that_does_not_conduct_at_all_is_not_tested(crossbar):
    crossbar.cells[:] = crossbar.noise[:] = 0.0
    assert self_test(crossbar).untested == {
        "ADC span": "not tested: all SLs conduct too little",
        "muxes": "not tested: all SLs are too much like others of one ADC",
        "bit lines": "not tested: all BLs are too much alike",
        "word lines": "not tested: all WLs conduct too little",
    }


@pytest.mark.parametrize("sign", [1, -1])
def test_half_an_input_is_half_a_code_to_within_five_percent_and_rounding(crossbar, sign):
    # ± 5 % of the half, and 8 codes of the line's largest.
    apart = 0.5 * 0.05 + 8 / moved(crossbar)[3]
    crossbar.half[3] = 0.5 + sign * (apart - A_LITTLE)
    self_test(crossbar)
    crossbar.half[3] = 0.5 + sign * (apart + A_LITTLE)
    error = told(crossbar)
    assert error.part == f"ADC {ADC[3]}, SL 3"
    assert (error.measured, error.limit) == (f"{crossbar.half[3]:.3f} of it", "±5%")


def test_a_line_is_judged_from_100_codes_on(crossbar):
    crossbar.cells[3] *= 100 / moved(crossbar)[3] * (1 - 1e-9)
    crossbar.half[3] = 0.9
    assert self_test(crossbar).untested["ADC span"] == "linear to 5%; not tested: 1 of 32 SLs, which conduct too little"
    crossbar.cells[3] *= 1 + 1e-6
    assert told(crossbar).part == f"ADC {ADC[3]}, SL 3"


def lines_of_one_adc():
    first = next(i for i in range(N_SL) if (ADC[i] == ADC).sum() > 1)
    return np.flatnonzero(ADC[first] == ADC)[:2]


def closer(crossbar, axis, i, j, apart):
    """Line j as line i, but for differences of mean square `apart`, in that of their noise together."""
    cells, noise = (np.moveaxis(a, axis, 0) for a in (crossbar.cells, crossbar.noise))
    both = (noise[i] ** 2).mean() + (noise[j] ** 2).mean()
    cells[j] = cells[i] + np.sqrt(apart * both) * np.where(np.arange(len(cells[i])) % 2, 1.0, -1.0)
    return both


@pytest.mark.parametrize(("kind", "axis"), [("SL", 0), ("BL", 1)])
def test_lines_are_joined_if_they_differ_by_no_more_than_twice_the_noise(crossbar, kind, axis):
    i, j = lines_of_one_adc() if axis == 0 else (4, 22)
    np.moveaxis(crossbar.noise, axis, 0)[j] = 0.7
    closer(crossbar, axis, i, j, 2.0 + A_LITTLE)
    self_test(crossbar)
    both = closer(crossbar, axis, i, j, 2.0 - A_LITTLE)
    error = told(crossbar)
    assert error.part == f"{kind} {i} and {kind} {j}"
    assert error.measured == f"{np.sqrt(2 * both):.2g} codes apart"
    own = np.moveaxis(crossbar.cells, axis, 0)[i].std()
    assert error.limit == f"noise alone makes {np.sqrt(both):.2g}, cells of a line differ by {own:.2g}"


def test_source_lines_of_different_converters_may_be_alike(crossbar):
    other = int(np.flatnonzero(ADC[0] != ADC)[0])
    crossbar.cells[other] = crossbar.cells[0]
    assert self_test(crossbar).tested["muxes"] == "all different"


def test_lines_whose_cells_are_alike_to_their_noise_cannot_be_told_apart(crossbar):
    i, j = lines_of_one_adc()
    # A variance of 50 times that of the noise.
    sigma = np.sqrt(50.0) * 0.5
    crossbar.cells[[i, j]] = 30.0 + sigma * np.where(np.arange(N_BL) % 2, 1.0, -1.0) * (1 - A_LITTLE)
    assert (
        self_test(crossbar).untested["muxes"].startswith("all different; not tested: 2 of 32 SLs, which are too much")
    )
    crossbar.cells[[i, j]] = 30.0 + sigma * np.where(np.arange(N_BL) % 2, 1.0, -1.0) * (1 + A_LITTLE)
    assert told(crossbar).part == f"SL {i} and SL {j}"


@pytest.mark.parametrize("line", [0, 1, 6, 16, 31])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_alone_does_what_it_does_together_with_others(crossbar, line, sign):
    together = np.abs(SIGNS[:4] @ crossbar.cells.T).max()
    limit = 64 + 0.05 * together
    crossbar.beside[line] = sign * (limit - A_LITTLE)
    self_test(crossbar)
    crossbar.beside[line] = sign * (limit + A_LITTLE)
    error = told(crossbar)
    assert error.part == f"WL {line}"
    # Of bit 0 the rows that are even come first.
    assert error.expected == ("off" if line % 2 else "as with all rows on")
    assert (error.measured, error.limit) == (f"{limit:.0f} codes away", f"±{limit:.0f}")


def test_word_lines_whose_rows_conduct_less_than_the_limit_are_not_tested(crossbar):
    limit = 64 + 0.05 * np.abs(SIGNS[:4] @ crossbar.cells.T).max()
    crossbar.cells[5] *= limit / np.abs(SIGNS[:4] @ crossbar.cells[5]).max() * (1 - 1e-9)
    assert "not tested: 1 of 32 WLs" in self_test(crossbar).untested["word lines"]
    crossbar.cells[5] *= 1 + 1e-6
    assert "word lines" not in self_test(crossbar).untested


def test_a_code_out_of_range_is_told_of_with_outputs_safe(crossbar):
    crossbar.fails_at = OUT_OF_RANGE
    error = told(crossbar)
    assert (error.part, error.limit) == ("amplifiers and converters", "range of the ADC")
    assert "8191" in error.measured


def test_registers_that_are_wrong_or_do_not_answer_leave_the_outputs_safe(crossbar, mocker):
    crossbar.wrong = [(3, "DAC5", 0x1234, 0x1235), (4, "STATUS", 0, 1)]
    error = told(crossbar)
    assert (error.part, error.expected, error.measured) == ("DAC 3 register DAC5", "0x1234", "0x1235")
    assert error.limit == "exact; 2 registers differ"
    assert "CS, SCLK and SDI" in error.advice
    mocker.patch.object(crossbar, "wrong_registers", side_effect=ProtocolError("DAC 2: echoed 0x00"))
    with pytest.raises(SelfTestError, match="DAC SDO: DAC 2: echoed 0x00, expected an echo of each read"):
        check_registers(crossbar)
    assert crossbar.made_safe == 2
    assert crossbar.asked == []


# -- the watch ---------------------------------------------------------------------------------------------------------


class Watched(Numbers):
    """Besides: `offset_a` (n_sl,) at zero input, conductances of `known_s` and a change since, of the first reads."""

    def __init__(self) -> None:
        super().__init__()
        self.offset_a, self.change_s = np.zeros(N_SL), np.zeros(BOARD.shape)
        self.reads: list[int] = []
        self.products: list[tuple[int, ...]] = []

    def mvm(self, volts):
        assert not volts.any()
        self.products.append(volts.shape)
        self.cycles += 100
        # What is averaged away: ± 10 µA.
        return self.offset_a + 1e-5 * np.where(np.arange(len(volts)) % 2, 1.0, -1.0)[:, None]

    def read_conductance(self, repeats=1):
        if self.fails_at is not None:
            raise self.fails_at
        self.reads.append(repeats)
        self.cycles += 1000
        # The second read tells the scatter: 0.2 µS rms.
        return 50e-6 + (0.2e-6 if len(self.reads) == 2 else self.change_s)


@pytest.fixture
def board():
    return Watched()


def look(board):
    watch = Watch(board)
    watch.look()
    return watch


def refused(board):
    watch = Watch(board)
    with pytest.raises(SelfTestError) as error:
        watch.look()
    assert board.made_safe == 1
    assert (watch.looks, watch.cycles) == (0, 0)
    return error.value


def test_a_watch_reads_once_well_and_once_as_it_will_then_looks(board):
    watch = look(board)
    assert board.reads == [8, 1, 1]
    assert board.products == [(1, N_BL), (64, N_BL)]
    assert (watch.looks, watch.cycles, board.made_safe) == (1, 1100, 0)
    watch.look()
    assert (watch.looks, watch.cycles) == (2, 2200)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_offset_may_be_a_little_below_a_hundredth_of_full_scale(board, sign):
    board.offset_a[12] = sign * 0.4e-6 * (1 - A_LITTLE)
    look(board)
    board.offset_a[12] = sign * 0.4e-6 * (1 + A_LITTLE)
    error = refused(board)
    assert (error.part, error.measured, error.limit) == ("offset of SL 12", f"{sign * 0.4:.2f} µA", "±0.4 µA")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("kind", "axis", "n"), [("SL", 0, N_BL), ("BL", 1, N_SL)])
def test_the_mean_of_a_line_may_change_by_half_a_microsiemens_and_eight_sigma(board, kind, axis, n, sign):
    limit_s = 0.5e-6 + 8 * 0.2e-6 / np.sqrt(n)
    watch = Watch(board)
    line = np.moveaxis(board.change_s, axis, 0)
    line[9] = sign * limit_s * (1 - A_LITTLE)
    watch.look()
    line[9] = sign * limit_s * (1 + A_LITTLE)
    with pytest.raises(SelfTestError) as told_of:
        watch.look()
    assert told_of.value.part == f"mean conductance of {kind} 9"
    assert told_of.value.measured == f"{sign * limit_s * 1e6:+.2f} µS"
    assert told_of.value.limit == f"±{limit_s * 1e6:.2f} µS"


def test_cells_may_change_by_twice_their_scatter_and_half_a_microsiemens(board):
    watch = Watch(board)
    # Of a mean of zero in every line.
    chequered = np.where(np.indices(BOARD.shape).sum(axis=0) % 2, 1.0, -1.0)
    board.change_s = chequered * (2 * 0.2e-6 + 0.5e-6) * (1 - A_LITTLE)
    watch.look()
    board.change_s = chequered * (2 * 0.2e-6 + 0.5e-6) * (1 + A_LITTLE)
    with pytest.raises(SelfTestError) as told_of:
        watch.look()
    assert told_of.value.part == "conductances"
    assert (told_of.value.expected, told_of.value.limit) == ("0.20 µS of scatter", "0.90 µS")
    assert told_of.value.measured == "0.90 µS rms of change"
    assert (board.made_safe, watch.looks) == (1, 1)


def test_a_look_that_cannot_read_or_finds_a_register_wrong_leaves_the_outputs_safe(board):
    watch = Watch(board)
    board.fails_at = OUT_OF_RANGE
    with pytest.raises(SelfTestError, match="amplifiers and converters"):
        watch.look()
    assert board.made_safe == 1
    board.fails_at = None
    board.wrong = [(3, "DAC5", 0x1234, 0x1235)]
    with pytest.raises(SelfTestError, match="DAC 3 register DAC5"):
        watch.look()
    assert board.made_safe > 1
    assert (watch.looks, watch.cycles) == (0, 0)
    with pytest.raises(SelfTestError, match="DAC 3 register DAC5"):
        Watch(board)
