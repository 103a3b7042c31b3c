"""IR drop against closed forms and an independent dense nodal analysis."""

import numpy as np
import pytest

from firmware_bridge.mock import irdrop
from firmware_bridge.mock.array_params import WireParams

WIRES = WireParams(bl_source_ohm=3.0, bl_segment_ohm=1.5, sl_segment_ohm=0.7, sl_series_ohm=5.0)
SPREAD = WIRES.model_copy(update={"line_spread": 0.3, "segment_spread": 0.3})


def solved(g: np.ndarray, rows: np.ndarray, params: WireParams) -> np.ndarray:
    """What the mock solves, for the rows `rows` of an array."""
    return irdrop.transfer_matrix(g, rows, drawn(params, (int(rows[-1]) + 1, g.shape[1])))


def drawn(params: WireParams, shape: tuple[int, int]) -> irdrop.Wires:
    return irdrop.Wires.draw(params, *shape, np.random.default_rng(5))


def nodal_transfer(g: np.ndarray, params: WireParams) -> np.ndarray:
    """Dense nodal analysis, branch by branch: node voltages by conductance matrix, one driver at 1 V at a time."""
    n_sl, n_bl = g.shape
    wires = drawn(params, g.shape)
    bl = lambda i, j: i * n_bl + j  # noqa: E731
    sl = lambda i, j: n_sl * n_bl + i * n_bl + j  # noqa: E731
    size = 2 * n_sl * n_bl
    y, source = np.zeros((size, size)), np.zeros((size, n_bl))

    def branch(a: int, b: int, s: float) -> None:
        y[a, a] += s
        y[b, b] += s
        y[a, b] -= s
        y[b, a] -= s

    for i in range(n_sl):
        for j in range(n_bl):
            branch(bl(i, j), sl(i, j), g[i, j])
            if i:
                branch(bl(i - 1, j), bl(i, j), 1 / wires.bl_segment_ohm)
            else:
                s = 1 / (wires.bl_source_ohm[j] + wires.bl_segment_ohm)
                y[bl(0, j), bl(0, j)] += s
                source[bl(0, j), j] += s
            if j:
                branch(sl(i, j - 1), sl(i, j), 1 / wires.sl_segment_ohm)
            else:
                y[sl(i, 0), sl(i, 0)] += 1 / (wires.sl_series_ohm[i] + wires.sl_segment_ohm)
    v = np.linalg.solve(y, source)
    return v[[sl(i, 0) for i in range(n_sl)]] / (wires.sl_series_ohm + wires.sl_segment_ohm)[:, None]


@pytest.mark.parametrize("wires", [WIRES, SPREAD], ids=["alike", "spread"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (5, 8), (16, 16)])
def test_transfer_equals_dense_nodal_analysis(shape, wires):
    g = np.random.default_rng(1).uniform(2e-6, 300e-6, shape)
    np.testing.assert_allclose(solved(g, np.arange(shape[0]), wires), nodal_transfer(g, wires), rtol=1e-10, atol=0)


def test_one_cell_is_resistors_in_series():
    g = np.array([[80e-6]])
    total = 3.0 + 1.5 + 1 / 80e-6 + 0.7 + 5.0
    assert solved(g, np.array([0]), WIRES)[0, 0] == pytest.approx(1 / total, rel=1e-14)


def test_two_cells_of_a_row_share_their_source_line():
    g1, g2 = 80e-6, 50e-6
    near, far = 1 / (3.0 + 1.5 + 1 / g1), 1 / (3.0 + 1.5 + 1 / g2 + 0.7)
    end = 1 / (5.0 + 0.7)
    # Node of column 0 on the source line, with one driver at 1 V and the other at 0.
    total = near + far + end
    expected = [[near / total * end, far / total * end]]
    np.testing.assert_allclose(solved(np.array([[g1, g2]]), np.array([0]), WIRES), expected, rtol=1e-13)


def test_two_cells_of_a_column_share_their_bit_line():
    g1, g2 = 80e-6, 50e-6
    first, second = 1 / (1 / g1 + 0.7 + 5.0), 1 / (1.5 + 1 / g2 + 0.7 + 5.0)
    feed = 1 / (3.0 + 1.5)
    node_v = feed / (feed + first + second)
    expected = [[node_v * first], [node_v * second]]
    np.testing.assert_allclose(solved(np.array([[g1], [g2]]), np.arange(2), WIRES), expected, rtol=1e-13)


def test_lines_without_resistance_leave_the_conductances_exactly_as_they_are():
    g = np.random.default_rng(2).uniform(1e-6, 1e-4, (4, 5))
    np.testing.assert_allclose(solved(g, np.arange(4), WireParams.none()), g, rtol=1e-15)


@pytest.mark.parametrize("part", ["bl_source_ohm", "bl_segment_ohm", "sl_segment_ohm", "sl_series_ohm"])
def test_each_resistance_may_be_zero_and_is_the_limit_of_a_small_one(part):
    g = np.random.default_rng(3).uniform(1e-6, 1e-4, (4, 5))
    rows = np.arange(4)
    zero = solved(g, rows, WIRES.model_copy(update={part: 0.0}))
    small = nodal_transfer(g, WIRES.model_copy(update={part: 1e-5}))
    # Ten ohm times a few cells of 100 µS is the scale of the drop, so 1e-5 Ω moves the answer by about 1e-8.
    np.testing.assert_allclose(zero, small, rtol=1e-7)
    assert np.abs(zero / solved(g, rows, WIRES) - 1).max() > 1e-6


def test_rows_that_are_off_only_lengthen_the_bit_lines():
    g = np.random.default_rng(4).uniform(1e-6, 1e-4, (6, 5))
    rows = np.array([1, 4])
    masked = np.zeros_like(g)
    masked[rows] = g[rows]
    np.testing.assert_allclose(solved(g[rows], rows, WIRES), nodal_transfer(masked, WIRES)[rows], rtol=1e-10)


def test_currents_of_taps_share_the_path_up_to_the_nearer_one():
    np.testing.assert_allclose(irdrop.shared_segments_ohm(3, segment_ohm=1.0), [[1, 1, 1], [1, 2, 2], [1, 2, 3]])


def test_drivers_and_line_ends_spread_by_the_share_that_is_asked_for():
    chips = [irdrop.Wires.draw(SPREAD, 32, 32, np.random.default_rng(seed)) for seed in range(200)]
    drivers = np.concatenate([chip.bl_source_ohm for chip in chips]) / 3.0
    # 6400 draws: σ is known to 1 %; cutting at three σ takes 1.3 % off it.
    assert abs(drivers.mean() - 1) < 4 * 0.3 / 80
    assert abs(drivers.std() / 0.3 - 0.987) < 0.04


class Normals:
    """In place of a generator: these, whatever is asked for."""

    def __init__(self, *values: float) -> None:
        self.values = np.array(values)

    def standard_normal(self, n: int) -> np.ndarray:
        assert n == len(self.values)
        return self.values


def test_lines_are_spread_each_by_its_own_number_and_segments_by_one_each():
    wires = irdrop.Wires.draw(SPREAD, 2, 3, Normals(1.0, -1.0, 0.5, 2.0, -2.0, 1.0, -0.5))
    np.testing.assert_allclose(wires.bl_source_ohm, 3.0 * np.array([1.3, 0.7, 1.15]))
    np.testing.assert_allclose(wires.sl_series_ohm, 5.0 * np.array([1.6, 0.4]))
    assert (wires.bl_segment_ohm, wires.sl_segment_ohm) == pytest.approx((1.5 * 1.3, 0.7 * 0.85))


def test_a_spread_ends_at_three_sigma_and_no_resistance_is_negative():
    wide = WIRES.model_copy(update={"line_spread": 0.3, "segment_spread": 0.5})
    wires = irdrop.Wires.draw(wide, 1, 1, Normals(9.0, -9.0, -9.0, 9.0))
    assert wires.bl_source_ohm == pytest.approx([3.0 * 1.9])
    assert wires.sl_series_ohm == pytest.approx([5.0 * 0.1])
    assert (wires.bl_segment_ohm, wires.sl_segment_ohm) == pytest.approx((0.0, 0.7 * 2.5))


def test_one_resistance_alone_is_enough_for_lines_that_drop_something():
    assert irdrop.Wires.draw(None, 2, 2, np.random.default_rng(0)).drop_nothing
    for name in ("bl_source_ohm", "bl_segment_ohm", "sl_segment_ohm", "sl_series_ohm"):
        params = WireParams.none().model_copy(update={name: 1.0})
        assert not irdrop.Wires.draw(params, 2, 2, np.random.default_rng(0)).drop_nothing
