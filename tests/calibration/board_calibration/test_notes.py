"""What a person measured is asked for once, however often the calibration is begun."""

from contextlib import closing

import numpy as np
import pytest
from spread_boards import CONDUCTING, spread_board, truth

from calibration.board_calibration import gates, reference, self_calibration
from calibration.board_calibration.notes import Notebook, NotebookError
from drivers.connect import mock_bench, mock_board, open_crossbar

OF = "mock mock-2, with a resistor of 1000 Ω"


def never():
    raise AssertionError("measured although it was noted")


def test_a_note_is_measured_once_and_comes_back_bit_for_bit_from_the_file(tmp_path):
    with closing(Notebook(tmp_path / "n", OF)) as notes:
        first = notes.keep("source lines 3", lambda: np.array([0.1, 1 / 3, -0.0]))
        assert notes.keep("source lines 3", never) is first
    with closing(Notebook(tmp_path / "n", OF)) as again:
        assert again.count == 1
        assert again.keep("source lines 3", never).tobytes() == first.tobytes()


def test_a_measurement_that_fails_is_not_noted(tmp_path):
    with closing(Notebook(tmp_path / "n", OF)) as notes:
        with pytest.raises(ZeroDivisionError):
            notes.keep("muxes 0", lambda: np.array([1 / 0]))
        assert notes.keep("muxes 0", lambda: np.array([2.0])) == 2.0


def test_a_note_that_was_cut_short_is_measured_again(tmp_path):
    path = tmp_path / "n"
    with closing(Notebook(path, OF)) as notes:
        for k in range(3):
            notes.keep(f"muxes {k}", lambda k=k: np.array([float(k)]))
    path.write_bytes(path.read_bytes()[:-5])
    with closing(Notebook(path, OF)) as again:
        assert again.count == 2
        assert again.keep("muxes 2", lambda: np.array([7.0])) == 7.0


def test_a_notebook_of_another_board_or_resistor_is_refused(tmp_path):
    Notebook(tmp_path / "n", OF).close()
    with pytest.raises(NotebookError, match=r"is of mock mock-2, with a resistor of 1000 Ω, this is mock mock-3"):
        Notebook(tmp_path / "n", OF.replace("mock-2", "mock-3"))


def test_a_damaged_notebook_is_refused_with_what_is_whole(tmp_path):
    path = tmp_path / "n"
    with closing(Notebook(path, OF)) as notes:
        for k in range(3):
            notes.keep(f"muxes {k}", lambda: np.array([1.0]))
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    with pytest.raises(NotebookError, match="readings before that are whole; begin the calibration anew with --force"):
        Notebook(path, OF)


class Resistor:
    """Hangs the mock's resistor where it is asked to, until its hand is called away."""

    def __init__(self, bench, away_at=None):
        self.bench, self.away_at, self.asked = bench, away_at, []

    def connect_resistor(self, sl, bl, ohm):
        if len(self.asked) == self.away_at:
            raise KeyboardInterrupt
        self.asked.append(sl)
        self.bench.connect_resistor(sl, bl, ohm)


def test_a_calibration_with_a_resistor_goes_on_at_the_line_where_it_was_interrupted(tmp_path, monkeypatch):
    for module, name, count in (
        (self_calibration, "ZERO_REPEATS", 4), (self_calibration, "LEVEL_REPEATS", 64),
        (self_calibration, "SLOPE_REPEATS", 4), (self_calibration, "RAMP_REPEATS", 2),
        (gates, "PASSES_ALL", 4), (gates, "PASSES_ONE", 2), (reference, "REPEATS", 16),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, count)
    away_at, found = 20, None
    for attempt in range(2):
        with (
            open_crossbar("mock", seed=2, mock=spread_board(**CONDUCTING)) as crossbar,
            mock_bench(crossbar, seed=2) as bench,
            closing(Notebook(tmp_path / "n", OF)) as notes,
        ):
            resistor = Resistor(bench, None if attempt else away_at)
            try:
                found = reference.reference_calibration(crossbar, resistor, 1000.0, 0.2, notes=notes)
                true = truth(mock_board(crossbar))
            except KeyboardInterrupt:
                assert attempt == 0
                assert notes.count == away_at
    # Then once more at the first line, whether it is still what it was; and away.
    assert resistor.asked == [*range(away_at, 32), 0, 0]
    estimate = found.estimates["sl.amperes_per_code"]
    pull = (estimate.value - true["sl.amperes_per_code"]) / estimate.standard_uncertainty
    # Errors that are bounded and some that are normal, 32 of them.
    assert np.abs(pull).max() < 5
