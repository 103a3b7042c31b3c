"""What pulses do to the cells: direction, limits, spread, forming and destruction."""

import numpy as np
import pytest

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.array import Array
from firmware_bridge.mock.array_params import (
    ArrayParams,
    BreakdownParams,
    CycleParams,
    FormingParams,
    InitialParams,
    RelaxationParams,
    SwitchingParams,
    TransistorParams,
    WireParams,
)
from firmware_bridge.mock.cell_faults import CellFault

V_CM = 2.5


class Bench:
    """`n` cells, each with word and source lines of its own, so that one pulse treats each differently."""

    def __init__(self, n: int, seed: int = 0, **parts: object) -> None:
        params = ArrayParams.ideal(n_sl=n, n_bl=1).model_copy(update=parts)
        self.array, self.n, self.t_s = Array(params, seed=seed), n, 0.0

    def set(self, gate_v, v: float = 1.5, width_s: float = 1e-6) -> np.ndarray:
        return self._pulse(V_CM + v, V_CM + np.broadcast_to(gate_v, self.n), V_CM, width_s)

    def reset(self, v, v_wl: float = 5.0, width_s: float = 1e-6) -> np.ndarray:
        return self._pulse(1.0, np.full(self.n, v_wl), 1.0 + np.asarray(v, dtype=float), width_s)

    def _pulse(self, v_bl, v_wl, v_sl, width_s):
        self.t_s += 1e-3
        v_sl = np.broadcast_to(v_sl, self.n).astype(float)
        return self.array.pulse(np.array([v_bl]), v_wl, v_sl, width_s, self.t_s)

    @property
    def g_us(self) -> np.ndarray:
        return self.array.conductance_s(self.t_s)[:, 0] * 1e6


def full_model(**changes: object) -> dict[str, object]:
    """All default parts of the cell, for `Bench`; lines without resistance."""
    default = ArrayParams()
    parts = {name: getattr(default, name) for name in type(default).model_fields if name not in ("n_sl", "n_bl")}
    return parts | {"wires": WireParams.none()} | changes


HEALTHY_ONLY = {"faults": None, "forming": None}


def test_an_ideal_saturated_set_lands_exactly_on_the_gate_line():
    bench = Bench(5)
    gate = np.array([0.9, 1.0, 1.2, 1.5, 2.0])
    bench.set(gate, v=2.0)
    np.testing.assert_allclose(bench.g_us, 150 * (gate - 0.7), rtol=1e-12)


def test_repeating_a_saturated_set_does_nothing_and_a_larger_gate_goes_on():
    bench = Bench(1)
    seen = []
    for gate in (1.0, 1.0, 1.0, 1.1, 1.05):
        bench.set(gate, v=2.0)
        seen.append(bench.g_us[0])
    np.testing.assert_allclose(seen, [45, 45, 45, 60, 60], rtol=1e-12)


def test_set_only_raises_and_reset_only_lowers_with_all_noise_on():
    bench = Bench(300, **full_model())
    rng = np.random.default_rng(5)
    # Read conductances at the pulse's own time: what changes then is the pulse's doing, not drift's.
    for _ in range(20):
        for pulse, sign in ((bench.set, 1), (bench.reset, -1)):
            t = bench.t_s + 1e-3
            before = bench.array.conductance_s(t)
            pulse(rng.uniform(0.8, 2.0, bench.n))
            after = bench.array.conductance_s(t)
            assert (sign * (after - before) >= -1e-18).all()
            assert (sign * (after - before) > 1e-7).any()


def test_a_set_is_faster_at_higher_voltage_and_grows_with_width_up_to_saturation():
    p = SwitchingParams()
    for v in (1.2, 1.3, 1.5):
        for width in (10e-9, 100e-9, 1e-6):
            bench = Bench(1)
            bench.set(1.5, v=v, width_s=width)
            tau = p.set_tau_s * 10 ** ((p.set_v - v) / p.set_decade_v)
            assert bench.g_us[0] == pytest.approx(10 + (120 - 10) * -np.expm1(-width / tau), rel=1e-12)


def test_a_set_without_gate_overdrive_does_nothing():
    bench = Bench(2, cycle=CycleParams())
    before = bench.g_us
    current = bench.set(np.array([0.0, 0.69]))
    np.testing.assert_array_equal(bench.g_us, before)
    np.testing.assert_array_equal(current, 0.0)


def test_reset_grows_with_amplitude_width_and_gate_and_rests_at_its_floor():
    def after(v=1.2, width=1e-6, v_wl=5.0, repeats=1):
        bench = Bench(1, transistor=TransistorParams())
        bench.set(1.6)
        for _ in range(repeats):
            bench.reset(v, v_wl=v_wl, width_s=width)
        return bench.g_us[0]

    assert after(v=1.0) > after(v=1.2) > after(v=1.5) > after(v=1.8)
    assert after(width=10e-9) > after(width=100e-9) > after(width=1e-6)
    # The source follower leaves V_WL - V_BL - V_th = 0.9 V, then 1.1 V, of 1.5 V to the memristor.
    assert after(v=1.5, v_wl=2.6) > after(v=1.5, v_wl=2.8) > after(v=1.5, v_wl=5.0)
    floor = after(v=1.5, repeats=200)
    assert after(v=1.5, repeats=400) == pytest.approx(floor, rel=1e-6)


def test_an_ideal_reset_rests_at_the_floor_of_its_voltage():
    p = SwitchingParams()
    bench = Bench(3)
    bench.set(1.6)
    v = np.array([1.2, 1.5, 1.8])
    for _ in range(60):
        bench.reset(v, width_s=10e-6)
    floor = p.reset_floor_s * 10 ** (-(v - p.reset_v) / p.reset_floor_decade_v)
    np.testing.assert_allclose(bench.g_us, floor * 1e6, rtol=1e-9)


def test_nothing_below_the_disturb_voltage_changes_a_cell_ever():
    bench = Bench(50, **full_model(telegraph=None, relaxation=None, retention=None))
    bench.set(1.3)
    before = bench.g_us
    for _ in range(20):
        bench.set(2.5, v=0.499, width_s=1.0)
        bench.reset(0.499, width_s=1.0)
    np.testing.assert_array_equal(bench.g_us, before)


def test_half_the_programming_voltage_disturbs_a_little_and_more_often_more():
    bench = Bench(1)
    seen = []
    for _ in range(3):
        bench.set(1.5, v=0.75, width_s=1e-3)
        seen.append(bench.g_us[0] - 10.0)
    tau = 50e-9 * 10 ** (0.75 / 0.115)
    assert seen[0] == pytest.approx(110 * 1e-3 / tau, rel=0.01)
    assert seen[0] < seen[1] < seen[2] < 3.0


def test_single_shot_spread_is_5_to_10_percent_and_the_mean_is_linear_in_the_gate():
    bench = Bench(400, **full_model(**HEALTHY_ONLY, spread=None, initial=InitialParams(log_spread=0)))
    gates, means = np.array([0.9, 1.05, 1.2, 1.35]), []
    for gate in gates:
        shots = []
        for _ in range(8):
            bench.reset(np.full(bench.n, 1.8))
            bench.set(gate)
            shots.append(bench.g_us)
        means.append(np.mean(shots))
        spread = np.std(shots, ddof=1) / np.mean(shots)
        # Standard error of a spread from 3200 shots: 1.3 % of it.
        assert 0.05 * (1 - 0.05) < spread < 0.10 * (1 + 0.05)
    assert np.corrcoef(gates, means)[0, 1] ** 2 > 0.998


def test_step_variance_is_granularity_times_step():
    granularity = 0.33e-6
    bench = Bench(20000, cycle=CycleParams(set_granularity_s=granularity), seed=3)
    bench.set(1.1, v=2.0)
    start = bench.g_us
    bench.set(1.12, v=2.0)
    step = bench.g_us - start
    # Each cell's line has moved with its own noise: the mean step is 20 mV × 150 µS/V for all.
    assert step.mean() == pytest.approx(3.0, abs=5 * np.sqrt(0.33 * 3 / bench.n))
    # Kurtosis of gamma steps: 3 + 6·granularity/step = 3.66, so the variance's relative error is √(2.66/n).
    assert step.var() == pytest.approx(0.33 * 3, rel=5 * np.sqrt(2.66 / bench.n))


def test_small_reset_and_set_again_keeps_most_of_the_deviation_and_a_full_one_none():
    bench = Bench(20000, cycle=CycleParams(), seed=4)
    bench.set(1.1, v=2.0)
    first = bench.g_us
    bench.reset(np.full(bench.n, 2.4), width_s=10e-6)
    bench.set(1.1, v=2.0)
    again = bench.g_us
    assert abs(np.corrcoef(first, again)[0, 1]) < 0.05 + 4 / np.sqrt(bench.n)
    assert again.std() == pytest.approx(first.std(), rel=0.05)
    bench.reset(np.full(bench.n, 1.3), width_s=100e-9)
    assert 0.5 < (again - bench.g_us).mean() < 20
    bench.set(1.1, v=2.0)
    assert np.corrcoef(again, bench.g_us)[0, 1] > 0.7
    # The spread of a line stays that of a single shot however often it is corrected.
    assert bench.g_us.std() == pytest.approx(first.std(), rel=0.05)


def test_healthy_cells_reach_15_to_110_us():
    bench = Bench(1000, **full_model(), seed=7)
    ok = bench.array.faults[:, 0] == CellFault.HEALTHY
    for _ in range(3):
        bench.reset(np.full(bench.n, 2.0), width_s=10e-6)
    assert bench.g_us[ok].max() < 15
    bench.set(2.4)
    assert bench.g_us[ok].min() > 110


def test_mean_current_is_that_of_the_mean_conductance_until_the_transistor_limits_it():
    bench = Bench(2)
    current = bench.set(np.array([0.75, 1.1]), v=2.0)
    # 0.05 V of overdrive aims at 7.5 µS, below the cell: it stays at 10 µS, limited to 150 µS/V × 0.05 V × 0.6 V.
    # 0.4 V aims at 60 µS and limits to 36 µA, less than 2 V × (10 + 60)/2 µS.
    np.testing.assert_allclose(current * 1e6, [4.5, 36.0], rtol=1e-12)
    bench = Bench(1)
    bench.set(1.1, v=2.0)
    current = bench.reset(1.4)
    assert current[0] * 1e6 == pytest.approx(-1.4 * (60 + bench.g_us[0]) / 2, rel=1e-12)


def test_forming_needs_its_voltage_then_the_cell_switches():
    parts = full_model(faults=None, forming=FormingParams(unformed_fraction=1.0))
    bench = Bench(200, **parts, seed=8)
    assert (bench.array.faults == CellFault.UNFORMED).all()
    bench.set(1.5, v=1.8)
    bench.reset(np.full(bench.n, 2.0))
    assert (bench.array.faults == CellFault.UNFORMED).all()
    assert bench.g_us.max() < 0.1

    def form(v):
        bench.t_s += 1e-3
        bench.array.pulse(
            np.array([1.0 + v]), np.full(bench.n, 1.0 + 1.3), np.full(bench.n, 1.0), width_s=100e-6, t_s=bench.t_s
        )
        return (bench.array.faults == CellFault.HEALTHY).mean()

    shares = [form(v) for v in (2.0, 2.6, 3.0, 4.0)]
    assert shares[0] == 0 < shares[1] < shares[2]
    assert shares[3] == 1
    assert np.all((bench.g_us > 40) & (bench.g_us < 250))
    bench.reset(np.full(bench.n, 1.8))
    bench.set(1.1)
    assert abs(bench.g_us.mean() - 60) < 10


def test_forming_with_too_large_a_gate_leaves_the_cell_stuck_high():
    parts = full_model(faults=None, forming=FormingParams(unformed_fraction=1.0))
    bench = Bench(50, **parts, seed=9)
    bench.array.pulse(np.array([5.0]), np.full(50, 5.0), np.full(50, 1.0), width_s=100e-6, t_s=1.0)
    assert (bench.array.faults == CellFault.STUCK_HIGH).all()


def test_over_voltage_destroys_and_the_limit_itself_does_not():
    limit = BreakdownParams().max_voltage_v
    for v, expected in ((limit, CellFault.HEALTHY), (limit + 0.01, CellFault.STUCK_HIGH)):
        for polarity in (1, -1):
            bench = Bench(4, breakdown=BreakdownParams())
            if polarity > 0:
                bench._pulse(1.0 + v, np.full(4, 2.8), 1.0, 1e-6)
            else:
                bench.reset(np.full(4, v))
            assert (bench.array.faults == expected).all(), (v, polarity)
    # A destroyed cell answers to nothing any more.
    bench.reset(np.full(4, 2.0))
    np.testing.assert_allclose(bench.g_us, 300.0)


def test_a_low_gate_protects_a_formed_cell_from_over_voltage_in_the_set_direction():
    bench = Bench(4, breakdown=BreakdownParams())
    bench._pulse(1.0 + 3.5, np.full(4, 1.0 + 1.1), 1.0, 1e-6)
    assert (bench.array.faults == CellFault.HEALTHY).all()


def test_too_much_current_destroys_at_any_voltage():
    bench = Bench(1, breakdown=BreakdownParams())
    # 3.3 V of overdrive lets 297 µA through: more than 250 µA.
    bench._pulse(1.0 + 2.0, np.array([5.0]), 1.0, 1e-6)
    assert bench.array.faults[0, 0] == CellFault.STUCK_HIGH
    bench = Bench(1)
    bench._pulse(1.0 + 2.0, np.array([5.0]), 1.0, 1e-6)
    assert bench.array.faults[0, 0] == CellFault.HEALTHY


def test_the_drop_on_the_lines_weakens_a_pulse_by_the_current_they_carry():
    wires = WireParams(bl_source_ohm=0.0, bl_segment_ohm=0.0, sl_segment_ohm=0.0, sl_series_ohm=1000.0)
    bench = Bench(1, wires=wires)
    bench.set(1.1, v=2.0)
    # 36 µA through 1 kΩ lift the source by 36 mV: that much less gate voltage.
    assert bench.g_us[0] == pytest.approx(150 * (0.4 - 0.036), rel=1e-9)


@pytest.mark.parametrize("width", [0.0, -1e-6, np.nan, np.inf])
def test_a_width_that_is_no_duration_is_refused(width):
    with pytest.raises(LimitError, match="width_s"):
        Bench(1).set(1.1, width_s=width)


def test_wrong_shapes_floating_gates_and_time_running_backwards_are_refused():
    array = Array(ArrayParams.ideal(2, 3), seed=0)
    bl, wl, sl = np.full(3, 4.0), np.full(2, 4.0), np.full(2, 2.5)
    with pytest.raises(ProtocolError, match=r"v_bl has shape \(2,\)"):
        array.pulse(wl, wl, sl, 1e-6, 0.0)
    with pytest.raises(ProtocolError, match="gate must not float"):
        array.pulse(bl, np.array([4.0, np.nan]), sl, 1e-6, 0.0)
    array.pulse(bl, wl, sl, 1e-6, 1.0)
    with pytest.raises(ProtocolError, match="runs backwards"):
        array.pulse(bl, wl, sl, 1e-6, 0.5)


def test_a_pulse_at_the_disturb_voltage_itself_changes_a_cell():
    bench = Bench(1)
    assert SwitchingParams().disturb_v == 0.5  # exact, as is its sum with the common mode
    bench.set(1.5, v=0.5, width_s=10.0)
    assert bench.g_us[0] > 10.01


def test_a_reset_of_which_the_transistor_takes_all_but_less_than_the_disturb_voltage_changes_nothing():
    bench = Bench(2, transistor=TransistorParams())
    bench.set(1.6)
    before = bench.g_us
    bench.reset(np.array([1.5, 1.5]), v_wl=1.0 + 0.7 + 0.49, width_s=1.0)
    np.testing.assert_array_equal(bench.g_us, before)
    bench.reset(np.array([1.5, 1.5]), v_wl=1.0 + 0.7 + 1.1, width_s=1.0)
    assert (bench.g_us < before - 1).all()


def test_what_several_pulses_of_one_bit_line_lose_on_it_adds_up():
    # Both cells draw 150 µS/V × 0.4 V × 0.6 V = 36 µA through the driver, the second also through two segments.
    wires = WireParams(bl_source_ohm=1000.0, bl_segment_ohm=0.0, sl_segment_ohm=0.0, sl_series_ohm=0.0)
    one, two = Bench(2, wires=wires), Bench(2, wires=wires)
    one.set(np.array([1.1, 0.0]), v=1.2, width_s=20e-9)
    two.set(np.array([1.1, 1.1]), v=1.2, width_s=20e-9)
    plain = Bench(2)
    plain.set(np.array([1.1, 1.1]), v=1.2, width_s=20e-9)
    assert two.g_us[0] < one.g_us[0] < plain.g_us[0]
    far = Bench(2, wires=wires.model_copy(update={"bl_source_ohm": 0.0, "bl_segment_ohm": 1000.0}))
    far.set(np.array([1.1, 1.1]), v=1.2, width_s=20e-9)
    assert far.g_us[1] < far.g_us[0] < plain.g_us[0]


# -- closed forms of docs/device-model.md -----------------------------------------------------------------------------


@pytest.mark.parametrize("v", [1.2, 1.5, 1.7])
@pytest.mark.parametrize("width_s", [5e-9, 50e-9, 200e-9])
def test_a_set_comes_closer_to_its_line_by_its_rate_and_draws_the_current_of_the_mean_of_both_ends(v, width_s):
    p = SwitchingParams()
    bench = Bench(2)
    current = bench.set(np.array([0.9, 1.4]), v=v, width_s=width_s)
    aim = p.set_slope_s_per_v * np.array([0.2, 0.7])
    done = -np.expm1(-width_s * 10 ** ((v - p.set_v) / p.set_decade_v) / p.set_tau_s)
    after = 10e-6 + (aim - 10e-6) * done
    np.testing.assert_allclose(bench.g_us, after * 1e6, rtol=1e-12)
    limit = aim * TransistorParams().compliance_v
    np.testing.assert_allclose(current, np.minimum(v * (10e-6 + after) / 2, limit), rtol=1e-12)


@pytest.mark.parametrize("width_s", [20e-9, 200e-9, 2e-6])
def test_a_reset_comes_closer_to_its_floor_by_its_rate(width_s):
    p = SwitchingParams()
    bench = Bench(4)
    bench.set(1.6)
    start = bench.g_us * 1e-6
    v = np.array([0.8, 1.2, 1.5, 1.8])
    current = bench.reset(v, width_s=width_s)
    floor = p.reset_floor_s * 10 ** (-(v - p.reset_v) / p.reset_floor_decade_v)
    done = -np.expm1(-width_s * 10 ** ((v - p.reset_v) / p.reset_decade_v) / p.reset_tau_s)
    after = start - np.maximum(start - floor, 0.0) * done
    np.testing.assert_allclose(bench.g_us, after * 1e6, rtol=1e-12)
    np.testing.assert_allclose(current, -v * (start + after) / 2, rtol=1e-12)


@pytest.mark.parametrize(("v_wl", "follower_v"), [(5.0, 3.3), (3.2, 1.5), (2.9, 1.2)])
def test_a_reset_sees_what_the_transistor_leaves_as_a_resistor_and_as_a_follower(v_wl, follower_v):
    p, t = SwitchingParams(), TransistorParams()
    bench = Bench(1, transistor=t)
    bench.set(1.6, width_s=1e-3)
    # As a memristor alone: what is read has the transistor in series.
    g = 150e-6 * 0.9
    bench.reset(1.5, v_wl=v_wl, width_s=1e-7)
    across = min(1.5 / (1 + g / (t.on_slope_s_per_v * follower_v)), follower_v)
    floor = p.reset_floor_s * 10 ** (-(across - p.reset_v) / p.reset_floor_decade_v)
    done = -np.expm1(-1e-7 * 10 ** ((across - p.reset_v) / p.reset_decade_v) / p.reset_tau_s)
    after = g - (g - floor) * done
    read_v = bench.array.params.read_gate_v - t.v_th_v
    assert bench.g_us[0] * 1e-6 == pytest.approx(after / (1 + after / (t.on_slope_s_per_v * read_v)), rel=1e-9)


def test_a_gate_at_its_threshold_is_off():
    array = Array(ArrayParams.ideal(n_sl=2, n_bl=1), seed=0)
    threshold = TransistorParams().v_th_v
    seen = array.response(0.0, np.array([threshold, threshold + 1e-9]), np.zeros(2)).transfer_s
    assert seen[0, 0] == 0.0
    assert seen[1, 0] > 0.0


@pytest.mark.parametrize("step_us", [0.5, 2.0, 8.0])
def test_a_step_starts_a_relaxation_with_its_share_of_step_and_scale(step_us):
    n = 20_000
    relaxation = RelaxationParams(mean_s=0.0, sigma_s=1e-6, step_scale_s=2e-6)
    bench = Bench(n, relaxation=relaxation, seed=2)
    # From the initial 10 µS, which nothing has relaxed from.
    bench.set(0.7 + (10.0 + step_us) / 150.0, v=2.5)
    drifted = np.abs(bench.array.conductance_s(bench.t_s + 1e4)[:, 0] * 1e6 - 10.0 - step_us) > 1e-6
    p = step_us / (step_us + 2.0)
    assert drifted.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))


def test_cells_that_are_scaled_are_so_from_that_instant_on():
    array = Array(ArrayParams.ideal(n_sl=2, n_bl=1), seed=0)
    on, ground = np.full(2, 5.0), np.zeros(2)
    before = array.response(1.0, on, ground).transfer_s.copy()
    array.scale(np.array([[2.0], [0.5]]), 3.0)
    assert array.now_s == 3.0
    np.testing.assert_allclose(array.response(3.0, on, ground).transfer_s, before * [[2.0], [0.5]])
    with pytest.raises(ProtocolError, match="time"):
        array.response(2.0, on, ground)
