"""Drivers over sockets to instruments whose probes are at a mock board's test points."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from drivers.connect import mock_bench, mock_board, open_crossbar
from drivers.instruments.dmm import open_dmm
from drivers.instruments.smu import ComplianceReached, open_smu
from drivers.instruments.visa import InstrumentError, InstrumentLost
from firmware_bridge.isa import Gate
from firmware_bridge.mock.board import MockParams
from firmware_bridge.mock.probe import Probe
from firmware_bridge.program import Program

both = pytest.mark.parametrize("model", ["2400", "2450"])


@pytest.fixture
def crossbar():
    with open_crossbar("mock", seed=5) as it:
        yield it


@pytest.fixture
def bench(crossbar):
    with mock_bench(crossbar, seed=1) as it:
        yield it


@pytest.fixture
def dmm(bench):
    with open_dmm(bench.address("dmm")) as it:
        yield it


def within(reading, truth):
    """The simulated instruments err within their bound, √3 standard uncertainties; a little more for noise."""
    return abs(reading.value - truth) <= 1.1 * math.sqrt(3) * reading.standard_uncertainty


def connect_bit_lines(crossbar, volts):
    crossbar.mvm(volts)
    crossbar._lines.run(Program([Gate(True)]))


def test_bit_lines_carry_what_their_dacs_really_put_there(crossbar, bench, dmm):
    connect_bit_lines(crossbar, np.linspace(-0.1, 0.1, 32))
    board = mock_board(crossbar)
    for line in (0, 9, 31):
        bench.connect("dmm", f"BL{line}")
        seen = dmm.dc_voltage(3.0, samples=4)
        assert within(seen, Probe(board).port(f"BL{line}").voltage_v(0.0))
        assert seen.standard_deviation > 0


def test_a_line_that_floats_is_pulled_down_by_a_meter_of_10_gohm(bench, dmm):
    bench.connect("dmm", "BL3")
    assert within(dmm.dc_voltage(3.0), 2.5 * 10e9 / (10e9 + 10e6))


def test_mux_resistance_by_four_wires_and_the_leads_by_two(crossbar, bench, dmm):
    bench.connect("dmm", "MUX_REF")
    four, two = dmm.resistance(1e3), dmm.resistance(1e3, four_wire=False)
    assert within(four, mock_board(crossbar).reference_mux.r_on_ohm[0])
    assert two.value - four.value == pytest.approx(0.3, abs=5e-3)


def test_an_open_mux_is_an_overload(bench, dmm):
    bench.connect("dmm", "MUX_BL3")
    with pytest.raises(InstrumentError, match="an overload; choose a larger range, check the wiring"):
        dmm.resistance(1e3)


def test_a_meter_in_series_reads_what_a_source_line_sinks(crossbar, bench, dmm):
    """Shorted to ground, the amplifier is at its upper rail and delivers what Rf and the line let through."""
    bench.connect("dmm", "SL3")
    board = mock_board(crossbar)
    expected = board.tia.output_range_v[1] / (board.tia.rf_ohm[3] + board.params.array.wires.sl_series_ohm)
    assert dmm.dc_current(10e-3).value == pytest.approx(expected, rel=5e-3)


@both
@pytest.mark.parametrize("amps", [-100e-6, 30e-6])
def test_a_current_into_a_virtual_ground_shows_in_the_codes(crossbar, model, amps):
    board = mock_board(crossbar)
    with mock_bench(crossbar, seed=1, smu_model=model) as bench, open_smu(bench.address("smu")) as smu:
        bench.connect("smu", "SL3")
        before = crossbar.measure(np.zeros((64, 32))).adc_code.mean(axis=0)
        smu.source_current(amps, limit_v=3.0)
        smu.output_on()
        seen = smu.measure(samples=4)
        flowing = float(board.injected_a[3])
        after = crossbar.measure(np.zeros((64, 32))).adc_code.mean(axis=0)
        smu.output_off()
        again = crossbar.measure(np.zeros((64, 32))).adc_code.mean(axis=0)
    assert within(seen.current, flowing)
    assert flowing == pytest.approx(amps, rel=1e-3)
    # The slope of the converter is not exactly nominal.
    rf_ohm = -(after - before)[3] * 1.8 / 16384 / seen.current.value
    assert rf_ohm == pytest.approx(board.tia.rf_ohm[3], rel=5e-3)
    others = np.arange(32) != 3
    # Means of 64 conversions of less than 2 LSB: six standard deviations of their difference.
    np.testing.assert_allclose(after[others], before[others], atol=6 * 2 * math.sqrt(2 / 64))
    np.testing.assert_allclose(again, before, atol=6 * 2 * math.sqrt(2 / 64))


@both
def test_a_voltage_against_a_virtual_ground_ends_at_the_limit(crossbar, model):
    with (
        mock_bench(crossbar, smu_model=model) as bench,
        open_smu(bench.address("smu")) as smu,
    ):
        bench.connect("smu", "SL3")
        smu.source_voltage(2.6, limit_a=100e-6)
        smu.output_on()
        with pytest.raises(ComplianceReached) as refusal:
            smu.measure()
        assert refusal.value.measurement.current.value == pytest.approx(100e-6, rel=1e-3)
        assert refusal.value.measurement.voltage.value == pytest.approx(2.5, abs=5e-3)
        assert not bench.smu.output


@both
def test_a_cell_by_voltage_and_by_current(model):
    with open_crossbar("mock", mock=MockParams.ideal(), seed=3) as crossbar:
        lines = crossbar._lines
        lines._codes[lines._wl] = 0
        lines._codes[lines._wl[6]] = 64225
        program = Program([])
        lines._write_codes(program)
        lines.run(program)
        board = mock_board(crossbar)
        true_s = board.array.conductance_s(board.array.now_s)[6, 11]
        with mock_bench(crossbar, seed=2, smu_model=model) as bench, open_smu(bench.address("smu")) as smu:
            bench.connect("smu", "CELL6,11")
            smu.configure(four_wire=True)
            smu.source_voltage(0.1, limit_a=100e-6)
            smu.output_on()
            by_voltage = smu.measure()
            smu.output_off()
            smu.source_current(1e-6, limit_v=0.2)
            smu.output_on()
            by_current = smu.measure()
    for seen in (by_voltage, by_current):
        g_s = seen.current.value / seen.voltage.value
        relative = math.hypot(*(r.standard_uncertainty / r.value for r in (seen.current, seen.voltage)))
        assert abs(g_s / true_s - 1) <= 1.1 * math.sqrt(3) * math.sqrt(2) * relative


@both
def test_after_a_lost_link_the_output_is_switched_off_over_a_new_one(crossbar, model):
    with mock_bench(crossbar, smu_model=model) as bench:
        with open_smu(bench.address("smu"), timeout_s=0.3) as smu:
            smu.source_voltage(0.1, limit_a=1e-6)
            smu.output_on()
            assert bench.smu.output
            bench.cut("smu")
            with pytest.raises(InstrumentLost):
                smu.measure()
            assert not bench.smu.output
        assert not bench.smu.output
        assert bench.smu.log[-2:] == [":OUTP OFF", ":OUTP?"]


@both
def test_where_no_new_link_can_be_had_the_user_is_told_to_go_there(crossbar, model):
    bench = mock_bench(crossbar, smu_model=model)
    with bench:
        smu = open_smu(bench.address("smu"), timeout_s=0.3)
        smu.source_voltage(0.1, limit_a=1e-6)
        smu.output_on()
    with pytest.raises(InstrumentLost, match="may still be ON, switch it off at the front panel now"):
        smu.close()


@both
def test_what_the_instrument_refuses_is_said_in_its_words(crossbar, model):
    with mock_bench(crossbar, smu_model=model) as bench, open_smu(bench.address("smu")) as smu:
        bench.connect("smu", "CELL6,11")
        smu.source_voltage(1.0, limit_a=1e-6)
        with pytest.raises(
            InstrumentError, match=r"-200 Execution error;voltage over CELL6,11 = [\d.]+ m?V is outside"
        ):
            smu.output_on()
        assert not bench.smu.output


def test_claims_hold_for_every_instrument(crossbar):
    """Two hundred instruments, each with its own flaws: none beyond its bound, and the spread that the claim says."""
    pulls = []
    with mock_bench(crossbar) as bench, open_dmm(bench.address("dmm")) as dmm:
        bench.connect("dmm", "REF")
        for _ in range(200):
            bench.dmm._flaws.clear()  # another instrument
            seen = dmm.dc_voltage(3.0)
            pulls.append((seen.value - 2.5) / seen.standard_uncertainty)
    assert np.abs(pulls).max() <= 1.05 * math.sqrt(3)
    # The bound is a sum of two uniform errors, 87.5 and 50 µV: σ = 0.73 of that of one uniform error of their sum.
    expected = math.hypot(87.5, 50) / 137.5
    assert np.std(pulls) == pytest.approx(expected, abs=4 * expected / math.sqrt(2 * 200))


@pytest.mark.parametrize("point", ["BL99", "nowhere"])
def test_a_probe_needs_a_test_point(bench, point):
    with pytest.raises(Exception, match="is not on this board"):
        bench.connect("smu", point)


def test_the_example_of_the_documentation_prints_what_it_shows(capsys):
    page = (Path(__file__).parents[3] / "docs" / "instruments.md").read_text()
    ((code, shown),) = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == shown


@both
def test_a_current_ends_when_its_probes_are_taken_away_or_its_instrument_is_reset(crossbar, model):
    board = mock_board(crossbar)
    with mock_bench(crossbar, smu_model=model) as bench, open_smu(bench.address("smu")) as smu:
        for ends, still_on in ((lambda: bench.connect("smu", None), True), (bench.smu.reset, False)):
            bench.connect("smu", "SL3")
            smu.source_current(50e-6, limit_v=3.0)
            smu.output_on()
            assert board.injected_a[3] == pytest.approx(50e-6, rel=1e-2)
            ends()
            assert not board.injected_a.any()
            assert bench.smu.output is still_on
            smu.output_off()
