from __future__ import annotations

import numpy as np
import pytest

from calibration.characterise.noise import Noise
from calibration.characterise.traces import Traces, shown_cells
from calibration.characterise.yield_map import YieldMap, broken_lines, worst_failure
from calibration.failures import Failure
from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.array_params import CycleParams, FaultParams, SpreadParams


def test_traces_show_every_read_of_cells_from_the_whole_range(measured):
    run, numbers, _array = measured(Traces(), cycle=CycleParams(), spread=SpreadParams())
    target = run["g_target_s"].to_numpy()
    cells = shown_cells(run)
    shown = target[tuple(cells.T)]
    assert (np.diff(shown) > 0).all()
    assert np.ptp(shown) > 0.4 * np.ptp(target)
    last = run["reads_s"].to_numpy()[-1][tuple(cells.T)]
    assert np.abs(last - shown).max() < 1e-6
    assert numbers["cycles to converge, median"].value == np.median(run["cycles"])
    assert numbers["cycles to converge, median"].met
    assert (np.diff(run["read_time_s"]) > 0).all()


def test_a_yield_map_names_the_cells_and_the_line_that_do_not_work(measured):
    faults = FaultParams(
        stuck_high_fraction=0.0, stuck_low_fraction=0.0, stuck_high_cells=((3, 4),), stuck_low_cells=((5, 6), (7, 8)),
        broken_bl=(20,),
    )  # fmt: skip
    run, numbers, _ = measured(YieldMap(), faults=faults)
    failure = worst_failure(run)
    assert failure[3, 4] == Failure.STUCK_HIGH
    assert failure[5, 6] == failure[7, 8] == Failure.STUCK_LOW
    assert (failure[:, 20] == Failure.UNFORMED).all()
    assert numbers["cells that hold every level"].value == 100 * (1024 - 32 - 3) / 1024
    rows, columns = broken_lines(failure)
    assert not rows.any()
    assert np.flatnonzero(columns).tolist() == [20]
    assert numbers["bit lines without working cells"].value == 1


@pytest.mark.parametrize("experiment", [Traces(), Noise()], ids=lambda e: e.name)
def test_an_array_without_a_cell_that_works_is_an_error_that_says_where_to_look(measured, experiment):
    dead = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=1.0)
    with pytest.raises(ProtocolError, match=r"none of 1024 cells could be programmed, the first: cell \(SL 0, BL 0\)"):
        measured(experiment, faults=dead)
