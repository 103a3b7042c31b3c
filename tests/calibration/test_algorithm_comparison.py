"""How algorithms are judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.algorithm_comparison import VARIANTS, compare, left_alone, pulse_energy_j
from calibration.write_verify import program
from calibration.write_verify_config import WriteVerifyConfig
from drivers.connect import open_crossbar

TARGET = np.full((32, 32), np.nan)
TARGET[:8, 8:16] = 50e-6


def test_one_cell_of_every_row_and_of_every_column_is_left_alone() -> None:
    watched = left_alone((32, 32))
    assert (watched.sum(axis=0) == 1).all()
    assert (watched.sum(axis=1) == 1).all()
    assert (left_alone((4, 3)).sum(axis=1) == 1).all()


def test_the_energy_is_that_of_the_pulses_in_the_trace() -> None:
    config = WriteVerifyConfig()
    with open_crossbar("mock", seed=2) as crossbar:
        result = program(crossbar, TARGET, config=config)
    energy = 0.0
    for k, n, m in np.argwhere(np.isfinite(result.amplitude_v)):
        v = float(result.amplitude_v[k, n, m])
        width = config.form_width_s if result.forming[k, n, m] else 1e-6 if v > 0 else 10e-6
        energy += v**2 * max(result.reads_s[k : k + 2, n, m].mean(), 0.0) * width
    assert pulse_energy_j(result, config) == pytest.approx(energy, rel=1e-5)
    assert energy > 0


def test_equal_variants_score_equally_and_the_watched_cells_are_not_pulsed() -> None:
    shifts = []

    def open_(chip: int) -> object:
        crossbar = open_crossbar("mock", seed=chip)
        shifts.append(crossbar)
        return crossbar

    config = replace(VARIANTS["predictive"], relax_waits_s=())
    target = TARGET.copy()
    target[0, 0] = 50e-6  # watched
    told: list[tuple[float, float, str]] = []
    variants = {"a": config, "b": config}
    compared = list(compare(open_, target, [4, 5], variants, lambda *now: told.append(now)))  # type: ignore[arg-type]
    assert [chip for chip, _, _ in compared] == [4, 4, 5, 5]
    done = [now[0] for now in told]
    assert done == sorted(done)
    assert told[-1] == (4.0, 4, told[-1][2])
    scores = {name: score for chip, name, score in compared if chip == 4}
    assert scores["a"] == scores["b"]
    assert all(crossbar.pulse_count[0, 0] == 0 for crossbar in shifts)
    score = scores["a"]
    assert score.yield_ == 1.0
    assert 0 < score.near <= score.far <= 1
    # Cells of one level: what is left is tolerance, the check reads' noise and relaxation.
    assert score.sigma_s < 0.5e-6
    assert score.later_sigma_s < 1e-6
    # Nothing on the mock disturbs cells that are not selected: what they change by is noise.
    assert score.disturb_s < 0.1e-6
