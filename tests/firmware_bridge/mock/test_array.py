"""The array as its callers see it: responses, time, noise, faults, state in a file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock import irdrop
from firmware_bridge.mock.array import Array, excess_voltage
from firmware_bridge.mock.array_params import (
    ArrayParams,
    FaultParams,
    NonlinearityParams,
    ReadNoiseParams,
    RelaxationParams,
    RetentionParams,
    TelegraphParams,
    WireParams,
)
from firmware_bridge.mock.cell_faults import CellFault
from firmware_bridge.mock.line_setting import refresh_age_s

N_SL, N_BL = 6, 5
WL, SL = np.full(N_SL, 5.0), np.full(N_SL, 2.5)


def make(seed: int = 1, **parts: object) -> Array:
    return Array(ArrayParams(n_sl=N_SL, n_bl=N_BL).model_copy(update=parts), seed=seed)


def make_ideal(seed: int = 1, **parts: object) -> Array:
    return Array(ArrayParams.ideal(N_SL, N_BL).model_copy(update=parts), seed=seed)


def set_all(array: Array, t_s: float, gate_v: float = 1.1) -> None:
    # 1.8 V for 1 µs is thousands of time constants: the SET is complete to the last digit.
    array.pulse(np.full(N_BL, 4.3), SL + gate_v, SL, 1e-6, t_s)


def gates(*rows: int) -> np.ndarray:
    """Word lines fully on for `rows`, off for the others."""
    v = np.zeros(N_SL)
    v[list(rows)] = 5.0
    return v


def test_an_ideal_array_reads_exactly_its_conductances_for_ever_and_without_noise():
    array = make_ideal()
    set_all(array, 1.0)
    for t in (1.0 + 1e-6, 2.0, 1e6, 1e9):
        response = array.response(t, WL, SL)
        np.testing.assert_array_equal(response.transfer_s, array.conductance_s(t))
        np.testing.assert_allclose(response.transfer_s, 60e-6, rtol=1e-12)
        assert not response.noise_s.any()
        assert not response.nonlinear.any()
    assert array.flips(1e9, 1e10) is None
    assert not array.faults.any()


def test_each_part_switched_off_leaves_the_rest_of_the_chip_as_it_was():
    with_all = make()
    for part in ("read_noise", "telegraph", "relaxation", "retention", "nonlinearity", "breakdown", "wires"):
        np.testing.assert_array_equal(make(**{part: None}).conductance_s(0.0), with_all.conductance_s(0.0))


def test_rows_whose_word_line_is_off_do_not_conduct_and_the_transistor_is_in_series():
    array = make(wires=None, telegraph=None)
    response = array.response(0.0, gates(1, 4), SL)
    on = np.array([False, True, False, False, True, False])
    np.testing.assert_array_equal(response.transfer_s[~on], 0.0)
    np.testing.assert_array_equal(response.transfer_s[on], array.conductance_s(0.0)[on])
    weaker = array.response(0.0, np.full(N_SL, 3.6), SL).transfer_s
    assert (weaker < array.conductance_s(0.0)).all()
    assert (weaker > 0).all()


def test_a_pulse_acts_only_where_gate_and_bit_line_select():
    array = make_ideal()
    before = array.conductance_s(0.0)
    v_bl = np.full(N_BL, 2.5)
    v_bl[2] = 4.0
    v_bl[3] = np.nan
    array.pulse(v_bl, np.where(gates(1, 4) > 0, 3.6, 0.0), SL, 1e-6, 1.0)
    changed = array.conductance_s(2.0) != before
    expected = np.zeros((N_SL, N_BL), dtype=bool)
    expected[[1, 4], 2] = True
    np.testing.assert_array_equal(changed, expected)


def test_pulse_currents_add_up_along_each_source_line():
    array = make_ideal()
    v_bl = np.array([2.6, 2.5, 2.45, np.nan, 2.7])
    current = array.pulse(v_bl, gates(0, 3), SL, 1e-6, 0.0)
    expected = 10e-6 * np.nansum(v_bl - 2.5)
    np.testing.assert_allclose(current, [expected, 0, 0, expected, 0, 0], rtol=1e-9)


def test_a_floating_source_line_carries_no_current_and_its_cells_do_not_switch():
    array = make_ideal()
    v_sl = SL.copy()
    v_sl[2] = np.nan
    current = array.pulse(np.full(N_BL, 4.0), np.full(N_SL, 3.6), v_sl, 1e-6, 0.0)
    assert current[2] == 0
    assert (np.delete(current, 2) > 0).all()
    np.testing.assert_allclose(array.conductance_s(1.0)[2], 10e-6)


def test_equal_seeds_give_bit_identical_arrays_and_other_seeds_others():
    def history(seed):
        array = make(seed)
        for k in range(5):
            set_all(array, 0.1 * (k + 1), 0.9 + 0.1 * k)
            array.pulse(np.full(N_BL, 1.0), WL, SL, 1e-6, 0.1 * (k + 1) + 0.05)
        return array.response(3.0, WL, SL).transfer_s

    np.testing.assert_array_equal(history(5), history(5))
    assert (history(5) != history(6)).all()


NOISY = {
    "telegraph": TelegraphParams(fraction=0.7, rate_per_s=(0.5, 50.0), amplitude_rel=(0.01, 0.05)),
    "relaxation": RelaxationParams(sigma_s=0.5e-6),
}


def pieces(rng: np.random.Generator, start: float, stop: float, count: int) -> np.ndarray:
    return np.concatenate([[start], np.sort(rng.uniform(start, stop, count)), [stop]])


def test_transfer_at_any_instant_does_not_depend_on_how_time_was_cut():
    instants = np.sort(np.random.default_rng(0).uniform(1.5, 30.0, 40))

    def ask(cuts: np.ndarray) -> list[np.ndarray]:
        """Transfers at `instants`, with responses and flips asked for at `cuts` as well."""
        array = make(**NOISY)
        set_all(array, 1.0)
        seen = []
        for t in np.union1d(instants, cuts):
            response = array.response(float(t), WL, SL)
            if t in instants:
                seen.append(response.transfer_s.copy())
            else:
                array.flips(float(t), float(t) + 1.0)
        return seen

    rng = np.random.default_rng(1)
    plain = ask(np.empty(0))
    for count in (10, 300):
        for a, b in zip(plain, ask(pieces(rng, 1.2, 30.0, count)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_flips_are_the_same_events_however_the_interval_is_cut():
    def ask(cuts):
        array = make(**NOISY, retention=None)
        array.response(0.0, WL, SL)
        parts = [array.flips(a, b) for a, b in pairwise(cuts)]
        parts = [p for p in parts if p is not None]
        return [np.concatenate([getattr(p, name) for p in parts]) for name in ("t_s", "row", "col", "delta_s")]

    whole = ask(np.array([0.0, 200.0]))
    assert len(whole[0]) > 500
    assert (np.diff(whole[0]) > 0).all()
    # Cuts exactly at an event put it into the earlier interval, once.
    cuts = np.union1d(pieces(np.random.default_rng(2), 0.0, 200.0, 400), whole[0][10:20])
    for a, b in zip(whole, ask(cuts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_response_plus_flips_is_the_later_response():
    array = make(**NOISY)
    set_all(array, 1.0)
    t = 5.0
    for _ in range(40):
        response = array.response(t, WL, SL)
        later = t + 0.9 * (response.until_s - t)
        transfer = response.transfer_s.copy()
        flips = array.flips(t, later)
        if flips is not None:
            assert (flips.t_s > t).all()
            assert (flips.t_s <= later).all()
            np.add.at(transfer, (flips.row, flips.col), flips.delta_s)
        np.testing.assert_allclose(array.response(later, WL, SL).transfer_s, transfer, rtol=1e-12)
        t = response.until_s


def test_flips_of_rows_that_are_off_are_not_reported():
    array = make(**NOISY)
    array.response(0.0, gates(3), SL)
    flips = array.flips(0.0, 100.0)
    assert flips is not None
    assert set(flips.row) == {3}


def test_flips_before_any_response_are_refused():
    with pytest.raises(ProtocolError, match="response"):
        make(**NOISY).flips(0.0, 100.0)


def test_telegraph_noise_has_its_share_amplitudes_and_mean():
    params = TelegraphParams()
    array = Array(ArrayParams(n_sl=64, n_bl=64, wires=None), seed=3)
    wl, sl = np.full(64, 5.0), np.full(64, 2.5)
    g = array.conductance_s(0.0)
    array.response(0.0, wl, sl)
    flips = array.flips(0.0, 2000.0)
    cells = np.unique(flips.row * 64 + flips.col)
    # Cells that do not flip within 2000 s at rates from 0.01/s: less than one in 4096 × 0.1.
    share = params.fraction
    assert abs(len(cells) - 4096 * share) < 4 * np.sqrt(4096 * share * (1 - share)) + 2
    relative = np.abs(flips.delta_s) / g[flips.row, flips.col]
    low, high = params.amplitude_rel
    assert relative.min() >= low * (1 - 1e-12)
    assert relative.max() <= high * (1 + 1e-12)
    # Time average over 2000 s of a cell's response is its mean conductance.
    response = array.response(0.0, wl, sl)
    level = response.transfer_s.copy()
    area, last = np.zeros((64, 64)), np.zeros((64, 64))
    for t, row, col, delta in zip(flips.t_s, flips.row, flips.col, flips.delta_s, strict=True):
        area[row, col] += level[row, col] * (t - last[row, col])
        last[row, col] = t
        level[row, col] += delta
    area += level * (2000.0 - last)
    deviation = (area / 2000.0 / g - 1).ravel()[cells]
    # One cell's average has a variance of at most 2 a²·p(1-p)·τ/T ≤ a²/2 · 50 s/2000 s with a ≤ 0.02.
    assert np.abs(deviation).max() < 5 * 0.02 * np.sqrt(0.5 * 50 / 2000)
    assert abs(deviation.mean()) < 5 * 0.02 * np.sqrt(0.5 * 50 / 2000 / len(cells))


def test_refresh_instants_are_12_per_decade_from_a_millisecond():
    assert refresh_age_s(0) == 0.0
    np.testing.assert_allclose([refresh_age_s(1 + 12 * d) for d in range(4)], [1e-3, 1e-2, 1e-1, 1.0])


def test_drift_happens_at_the_refresh_instants_alone_and_is_the_logarithm_there():
    array = make_ideal(relaxation=RelaxationParams(mean_s=-0.1e-6, sigma_s=0.0, t0_s=1e-3, step_scale_s=0.0))
    set_all(array, 1.0)
    end = 1.0 + 1e-6
    t, seen = end, []
    for index in range(60):
        response = array.response(t, WL, SL)
        expected = 60e-6 - 0.1e-6 * np.log1p(refresh_age_s(index) / 1e-3)
        np.testing.assert_allclose(response.transfer_s, expected, rtol=1e-9)
        middle = array.response(t + 0.99 * (response.until_s - t), WL, SL)
        np.testing.assert_array_equal(middle.transfer_s, response.transfer_s)
        assert response.until_s == end + refresh_age_s(index + 1)
        seen.append(response.transfer_s[0, 0])
        t = response.until_s
    assert (np.diff(seen) < 0).all()


def test_relaxation_spreads_by_its_sigma_and_small_steps_rarely_restart_it():
    relaxation = RelaxationParams(mean_s=-0.01e-6, sigma_s=0.02e-6, step_scale_s=2e-6)
    array = Array(ArrayParams.ideal(20000, 1).model_copy(update={"relaxation": relaxation}), seed=1)
    sl = np.full(20000, 2.5)
    array.pulse(np.array([4.3]), sl + 1.1, sl, 1e-6, 0.0)
    e_folds = np.log1p(3600.0 / 1e-3)
    change = array.conductance_s(3600.0 + 1e-6)[:, 0] * 1e6 - 60
    # A step of 50 µS starts a relaxation with probability 50/52; otherwise there is none.
    p = 50 / 52
    expected_var = p * (0.02**2 + 0.01**2) - (p * 0.01) ** 2
    assert change.mean() == pytest.approx(-p * 0.01 * e_folds, abs=5 * np.sqrt(expected_var / 20000) * e_folds)
    assert change.std() == pytest.approx(np.sqrt(expected_var) * e_folds, rel=5 / np.sqrt(2 * 20000) * 1.2)
    # A corrective pulse of 0.5 mV more also undoes the drift so far: steps of some 0.2 µS.
    t = 7200.0
    drift_before = array.conductance_s(2 * t)[:, 0] - array.conductance_s(t)[:, 0]
    before = array.conductance_s(t)[:, 0]
    array.pulse(np.array([4.3]), sl + 1.1005, sl, 1e-6, t)
    step = array.conductance_s(t)[:, 0] - before
    drift_after = array.conductance_s(2 * t)[:, 0] - array.conductance_s(t + 1e-6)[:, 0]
    moved = np.abs(drift_after - drift_before) > 1e-9
    expected = step / (step + 2e-6)
    assert 0.02 < expected.mean() < 0.15
    assert moved.mean() == pytest.approx(expected.mean(), abs=5 * np.sqrt(expected.mean() / 20000))


def test_retention_loses_its_share_per_decade():
    array = make_ideal(retention=RetentionParams(loss_per_decade=0.01, start_s=10.0))
    set_all(array, 0.0)
    np.testing.assert_allclose(array.conductance_s(1e-6 + 990.0), 60e-6 * (1 - 0.01 * 2), rtol=1e-9)


def test_white_noise_is_a_share_of_the_transfer():
    array = make(read_noise=ReadNoiseParams(relative=0.01), telegraph=None)
    response = array.response(0.0, WL, SL)
    np.testing.assert_allclose(response.noise_s, 0.01 * response.transfer_s, rtol=1e-12)


def test_excess_voltage_is_zero_inside_odd_and_smooth_at_the_edge():
    v = np.linspace(-0.1, 0.1, 11)
    np.testing.assert_array_equal(excess_voltage(v), 0.0)
    assert excess_voltage(0.2) == pytest.approx(0.1)
    assert excess_voltage(-0.2) == pytest.approx(-0.1)
    step = 1e-4
    second = (excess_voltage(0.1 + step) - 2 * excess_voltage(0.1) + excess_voltage(0.1 - step)) / step**2
    assert abs(second) < 0.02


def test_nonlinearity_is_its_coefficient_at_the_reference_and_less_for_larger_conductance():
    array = make_ideal(nonlinearity=NonlinearityParams(coefficient=0.05, g_ref_s=60e-6))
    before = array.response(0.0, WL, SL).nonlinear[0, 0]
    set_all(array, 0.0)
    response = array.response(1.0, WL, SL)
    np.testing.assert_allclose(response.nonlinear, 0.05, rtol=1e-12)
    assert before > 0.05


def test_response_with_wires_is_the_exact_network_of_the_true_conductances():
    wires = WireParams(bl_source_ohm=100.0, bl_segment_ohm=2.0, sl_segment_ohm=1.0, sl_series_ohm=10.0)
    array = make(wires=wires, telegraph=None, relaxation=None, retention=None)
    set_all(array, 0.0)
    np.testing.assert_allclose(
        array.response(1.0, WL, SL).transfer_s,
        irdrop.transfer_matrix(array.conductance_s(1.0), np.arange(N_SL), array.wires),
        rtol=1e-12,
    )
    rows = np.array([2, 5])
    np.testing.assert_allclose(
        array.response(1.0, gates(2, 5), SL).transfer_s[rows],
        irdrop.transfer_matrix(array.conductance_s(1.0)[rows], rows, array.wires),
        rtol=1e-12,
    )


def test_drift_between_solutions_of_the_network_is_first_order_exact():
    wires = WireParams(bl_source_ohm=1.0, bl_segment_ohm=0.1, sl_segment_ohm=0.1, sl_series_ohm=0.5)
    array = Array(ArrayParams(telegraph=None, wires=wires), seed=2)
    wl, sl = np.full(32, 5.0), np.full(32, 2.5)
    array.pulse(np.full(32, 4.0), sl + 1.1, sl, 1e-6, 0.0)
    for t in (0.9, 9.0, 1e5):
        response = array.response(t, wl, sl)
        start = 1e-6 + next(refresh_age_s(k) for k in range(200, -1, -1) if 1e-6 + refresh_age_s(k) <= t)
        exact = irdrop.transfer_matrix(array.conductance_s(start), np.arange(32), array.wires)
        np.testing.assert_allclose(response.transfer_s, exact, rtol=5e-5)
        assert np.abs(response.transfer_s / array.conductance_s(start) - 1)[exact > 0].max() > 1e-3


def test_a_pulse_in_one_row_leaves_the_responses_of_other_rows_as_they_were():
    def ask(first: bool) -> np.ndarray:
        array = make()
        set_all(array, 1.0)
        if first:
            array.response(2.0, gates(3), SL)
        array.pulse(np.full(N_BL, 4.0), np.where(gates(1) > 0, 3.9, 0.0), SL, 1e-6, 2.5)
        return array.response(2.6, gates(3), SL).transfer_s

    np.testing.assert_array_equal(ask(True), ask(False))


def test_a_pulse_that_changes_nothing_keeps_the_response():
    array = make(telegraph=None)
    set_all(array, 1.0)
    response = array.response(2.0, WL, SL)
    array.pulse(np.full(N_BL, 2.7), WL, SL, 1e-6, 2.0)
    assert array.response(2.0, WL, SL) is response


def test_response_arrays_cannot_be_written():
    response = make().response(0.0, WL, SL)
    for array in (response.transfer_s, response.noise_s, response.nonlinear):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0


def test_listed_faults_are_where_they_are_listed_and_act_as_named():
    faults = FaultParams(
        stuck_high_fraction=0.0,
        stuck_low_fraction=0.0,
        stuck_high_cells=((0, 0),),
        stuck_low_cells=((0, 1),),
        open_cells=((0, 2),),
        broken_bl=(4,),
        broken_wl=(3,),
        broken_sl=(5,),
    )
    array = make_ideal(faults=faults)
    set_all(array, 0.0)
    array.pulse(np.full(N_BL, 1.0), WL, SL, 1e-6, 0.1)
    set_all(array, 0.2)
    g = array.conductance_s(1.0) * 1e6
    expected = np.full((N_SL, N_BL), 60.0)
    expected[0, :3] = [300.0, 1.0, 0.0]
    expected[:, 4] = 0.0
    expected[[3, 5]] = 0.0
    np.testing.assert_allclose(g, expected, rtol=1e-9)
    np.testing.assert_array_equal(array.response(1.0, WL, SL).transfer_s * 1e6, g)
    kinds = array.faults
    assert list(kinds[0]) == [
        CellFault.STUCK_HIGH,
        CellFault.STUCK_LOW,
        CellFault.OPEN,
        CellFault.HEALTHY,
        CellFault.BROKEN_BL,
    ]
    assert (kinds[3] == CellFault.BROKEN_WL).all()
    assert (kinds[5] == CellFault.BROKEN_SL).all()


def test_random_faults_have_their_shares():
    shares = FaultParams(stuck_high_fraction=0.05, stuck_low_fraction=0.1, open_fraction=0.02)
    faults = Array(ArrayParams(n_sl=128, n_bl=128, faults=shares, forming=None), seed=0).faults
    for fault, share in ((CellFault.STUCK_HIGH, 0.05), (CellFault.STUCK_LOW, 0.1), (CellFault.OPEN, 0.02)):
        count = (faults == fault).sum()
        assert abs(count - share * faults.size) < 4 * np.sqrt(faults.size * share * (1 - share))


@pytest.mark.parametrize("when", ["fresh", "later"])
def test_a_saved_array_continues_bit_for_bit(when, tmp_path):
    def programme(array, t):
        set_all(array, t, 0.9)
        array.pulse(np.full(N_BL, 1.0), WL, SL, 1e-6, t + 0.1)
        set_all(array, t + 0.2, 1.2)
        return array.response(t + 0.7, WL, SL).transfer_s

    original = make(**NOISY)
    if when == "later":
        programme(original, 1.0)
        original.response(5000.0, WL, SL)
    np.savez(tmp_path / "chip.npz", **original.save_state())
    copy = make(**NOISY)
    with np.load(tmp_path / "chip.npz") as saved:
        copy.load_state(dict(saved))
    np.testing.assert_array_equal(copy.faults, original.faults)
    assert copy.now_s == original.now_s == (5000.0 if when == "later" else 0.0)
    for t in (5001.0, 5002.0):
        np.testing.assert_array_equal(programme(copy, t), programme(original, t))
        a, b = copy.flips(t + 0.7, t + 0.9), original.flips(t + 0.7, t + 0.9)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.t_s, b.t_s)


def test_a_state_of_another_chip_is_refused():
    saved = make(seed=1).save_state()
    with pytest.raises(ProtocolError, match="seed = 1, this one 2"):
        make(seed=2).load_state(saved)
    with pytest.raises(ProtocolError, match="params_sha256"):
        make(seed=1, wires=None).load_state(saved)


def test_reads_refuse_floating_lines_wrong_shapes_and_time_running_backwards():
    array = make()
    floating = SL.copy()
    floating[0] = np.nan
    with pytest.raises(ProtocolError, match="v_sl = nan V while reading"):
        array.response(0.0, WL, floating)
    with pytest.raises(ProtocolError, match="v_wl has shape"):
        array.response(0.0, np.full(N_SL + 1, 5.0), SL)
    array.response(1.0, WL, SL)
    with pytest.raises(ProtocolError, match="backwards"):
        array.response(0.5, WL, SL)


@pytest.mark.parametrize(
    "bad",
    [
        {"faults": {"broken_bl": [32]}},
        {"faults": {"open_cells": [[0, 40]]}},
        {"faults": {"stuck_high_fraction": 1.5}},
        {"telegraph": {"rate_per_s": [10.0, 0.01]}},
        {"wires": {"bl_source_ohms": 1.0}},
        {"read_gate_v": 0.5},
    ],
)
def test_parameters_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=r"outside|less than|backwards|Extra inputs|no cell would conduct"):
        ArrayParams.model_validate(bad)


def test_every_parameter_stands_in_the_documentation_with_its_default():
    lines = (Path(__file__).parents[3] / "docs" / "device-model.md").read_text(encoding="utf-8").splitlines()
    params = ArrayParams()
    for name in type(params).model_fields:
        value = getattr(params, name)
        fields = {f"{name}.{field}": getattr(value, field) for field in getattr(type(value), "model_fields", ())}
        for parameter, default in (fields or {name: value}).items():
            assert any(line.startswith(f"| `{parameter}` | {default} |") for line in lines), parameter
