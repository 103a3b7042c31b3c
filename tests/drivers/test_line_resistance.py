"""Cells behind wires, against the exact solution of the network, which is another implementation."""

import numpy as np
import pytest

from drivers.line_resistance import LineResistance, NoSuchCells
from firmware_bridge.mock import irdrop
from firmware_bridge.mock.array_params import WireParams


def network(driver_ohm, cell_s, shape=(32, 32), seed=1):
    rng = np.random.default_rng(seed)
    wires = irdrop.Wires.draw(WireParams(bl_source_ohm=driver_ohm, line_spread=0.2), *shape, rng)
    cells = rng.uniform(0.25, 1.75, shape) * cell_s
    lines = LineResistance(wires.bl_source_ohm, wires.bl_segment_ohm, wires.sl_segment_ohm, wires.sl_series_ohm)
    return lines, cells, irdrop.transfer_matrix(cells, np.arange(shape[0]), wires), wires


@pytest.mark.parametrize(
    ("driver_ohm", "cell_s", "bound"),
    [(1.0, 20e-6, 2e-5), (1.0, 80e-6, 3e-4), (470.0, 20e-6, 2e-3), (470.0, 50e-6, 8e-3)],
)
def test_cells_are_found_behind_their_wires(driver_ohm, cell_s, bound):
    lines, cells, transfer, _ = network(driver_ohm, cell_s)
    assert np.abs(lines.cells(transfer) / cells - 1).max() < bound
    assert np.abs(transfer / cells - 1).max() > 10 * bound


def test_cells_are_the_inverse_of_transfer():
    lines, cells, _, _ = network(100.0, 50e-6, (8, 16))
    np.testing.assert_allclose(lines.cells(lines.transfer(cells)), cells, rtol=1e-8)


def test_one_cell_is_resistors_in_series():
    lines = LineResistance(np.array([3.0]), 1.5, 0.7, np.array([5.0]))
    assert lines.transfer(np.array([[80e-6]]))[0, 0] == pytest.approx(1 / (1 / 80e-6 + 3.0 + 1.5 + 0.7 + 5.0), rel=1e-6)


def test_the_gain_of_a_driver_makes_up_for_what_it_loses():
    lines, cells, transfer, wires = network(470.0, 20e-6)
    edge = irdrop.transfer_matrix(
        cells, np.arange(32),
        irdrop.Wires(0 * wires.bl_source_ohm, wires.bl_segment_ohm, wires.sl_segment_ohm, wires.sl_series_ohm),
    )  # fmt: skip
    assert np.abs(transfer * lines.driver_gain(transfer) / edge - 1).max() < 2e-3
    assert np.abs(transfer / edge - 1).max() > 0.2


def test_a_driver_that_would_lose_everything_is_refused():
    lines = LineResistance(np.full(4, 470.0), 0.1, 0.1, np.full(4, 0.5))
    with pytest.raises(NoSuchCells, match=r"bit line 0 takes 4 mS.*driver of 470 Ω"):
        lines.cells(np.full((4, 4), 1e-3))
