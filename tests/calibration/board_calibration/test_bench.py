"""A calibration with instruments: what it finds, and what it does when something is wrong at the bench."""

from contextlib import contextmanager

import numpy as np
import pytest
from calibration_study import Decade
from spread_boards import CONDUCTING, spread_board, truth

from calibration.board_calibration.bench import bench_calibration
from calibration.board_calibration.measuring import CalibrationError
from calibration.board_calibration.probes import Bench
from calibration.board_calibration.reference import reference_calibration
from drivers.connect import mock_bench, mock_board, open_crossbar
from drivers.instruments.dmm import open_dmm
from drivers.instruments.smu import open_smu
from drivers.instruments.visa import InstrumentError
from firmware_bridge.errors import LimitError
from firmware_bridge.mock.array_params import InitialParams


class Moved:
    """Probes that end up somewhere else than asked, or with something happening on the way."""

    def __init__(self, there, elsewhere=None, on_the_way=None):
        self._there, self._elsewhere, self._on_the_way = there, elsewhere or {}, on_the_way or {}

    def connect(self, name, point):
        if point in self._on_the_way:
            self._on_the_way.pop(point)()
        self._there.connect(name, self._elsewhere.get(point, point))


@contextmanager
def on_a_bench(seed=2, **array):
    with (
        open_crossbar("mock", seed=seed, mock=spread_board(**array)) as crossbar,
        mock_bench(crossbar, seed=seed) as there,
        open_dmm(there.address("dmm")) as dmm,
        open_smu(there.address("smu")) as smu,
    ):
        yield crossbar, there, dmm, smu


@pytest.fixture(scope="module")
def found():
    with on_a_bench() as (crossbar, there, dmm, smu):
        bench = Bench(dmm, smu, there)
        findings = bench_calibration(crossbar, bench)
        record = findings.record(crossbar, ("bench",), instruments=bench.used())
        return findings, truth(mock_board(crossbar)), record, crossbar.board_time_s, crossbar.pulse_count, there


def test_every_quantity_agrees_with_the_truth_to_its_stated_uncertainty(found):
    findings, true, *_ = found
    measured = findings.estimates.keys() & true.keys()
    assert measured == true.keys()
    for name in measured:
        estimate = findings.estimates[name]
        pull = (estimate.value - true[name]) / estimate.standard_uncertainty
        # A bounded error is 1.7 standard uncertainties at most; up to 64 normal ones stay within 5.
        assert np.abs(pull).max() < 5, name
        assert np.sqrt(np.mean(pull**2)) < 2, name


def test_volts_amperes_and_ohms_are_known_as_well_as_the_data_sheets_let_them(found):
    findings, *_ = found
    relative = {
        name: float(np.max(findings.estimates[name].half_width() / np.abs(findings.estimates[name].value)))
        for name in ("reference.vcm_v", "bl.volts_per_code", "sl.amperes_per_code", "tia.rf_ohm")
    }
    # 34465A: 0.0035 % + 50 µV; 2450: 0.02 %.
    assert relative["reference.vcm_v"] < 6e-5
    assert relative["bl.volts_per_code"] < 6e-5
    assert 1.5e-4 < relative["sl.amperes_per_code"] < 2.5e-4
    assert 1.5e-4 < relative["tia.rf_ohm"] < 2.5e-4


def test_no_cell_is_pulsed_and_the_source_is_off_at_the_end(found):
    _, _, _, board_time_s, pulses, there = found
    assert not pulses.any()
    assert not there.smu.output
    assert board_time_s < 3.0


def test_the_record_says_who_measured(found):
    _, _, record, *_ = found
    assert {(i.role, i.serial) for i in record.instruments} == {("dmm", "MY54505388"), ("smu", "04096331")}
    assert record.methods == ("bench",)


def test_errors_of_one_instrument_are_shared_by_all_lines_and_drop_out_of_ratios(found):
    findings, *_ = found
    amperes = findings.estimates["sl.amperes_per_code"]
    covariance = amperes.covariance()
    relative = covariance / np.outer(amperes.value, amperes.value)
    ratio = np.sqrt(relative[0, 0] + relative[1, 1] - 2 * relative[0, 1])
    assert ratio < 0.5 * np.sqrt(relative[0, 0])


def test_a_probe_at_another_amplifier_is_noticed_and_the_source_is_off():
    with on_a_bench() as (crossbar, there, dmm, smu):
        bench = Bench(dmm, smu, Moved(there, {"TIA3": "TIA4"}))
        with pytest.raises(CalibrationError, match="check that the SMU is at SL3 and the DMM at TIA3"):
            bench_calibration(crossbar, bench)
        smu.close()
        assert not there.smu.output


def test_a_probe_at_another_channel_is_noticed():
    with on_a_bench() as (crossbar, there, dmm, smu):
        bench = Bench(dmm, smu, Moved(there, {"DAC5": "WL3"}))
        with pytest.raises(CalibrationError, match="check that the DMM was at DAC5 and BL5"):
            bench_calibration(crossbar, bench)


def test_a_source_line_that_is_open_ends_at_the_limit_of_the_source():
    with on_a_bench() as (crossbar, there, dmm, smu):
        bench = Bench(dmm, smu, Moved(there, {"SL0": None}))
        with pytest.raises(InstrumentError, match="reached its limit"):
            bench_calibration(crossbar, bench)
        assert not there.smu.output


@pytest.mark.parametrize(("drift_v", "refused"), [(0.0005, False), (0.05, True)])
def test_a_common_mode_that_drifts_widens_its_uncertainty_or_is_refused(drift_v, refused):
    with on_a_bench() as (crossbar, there, dmm, smu):
        board = mock_board(crossbar)

        def warm_up():
            board.vcm_v += drift_v

        bench = Bench(dmm, smu, Moved(there, on_the_way={"DAC60": warm_up}))
        if refused:
            with pytest.raises(CalibrationError, match=r"moved by 50 mV .* let the board warm up"):
                bench_calibration(crossbar, bench)
            return
        findings = bench_calibration(crossbar, bench)
    estimate = findings.estimates["reference.vcm_v"]
    assert abs(estimate.shared["common mode drift"].effect[0] - drift_v) < 5e-6
    assert np.abs(findings.estimates["bl.zero_code"].shared["common mode drift"].effect - drift_v / 76e-6).max() < 0.5


def test_an_interrupted_calibration_leaves_board_and_source_safe():
    def impatient(done, total, note=""):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), on_a_bench() as (crossbar, there, dmm, smu):
        bench_calibration(crossbar, Bench(dmm, smu, there), impatient)
    assert not there.smu.output
    assert not mock_board(crossbar).gate


# -- a reference resistor ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def with_resistor():
    with open_crossbar("mock", seed=4, mock=spread_board(**CONDUCTING)) as crossbar, mock_bench(crossbar) as there:
        findings = reference_calibration(crossbar, Decade(there, 1000.0), 1000.0, 0.2)
        return findings, truth(mock_board(crossbar))


def test_amperes_rest_on_the_resistor_and_on_the_two_levels_that_the_board_takes_for_volts(with_resistor):
    findings, true = with_resistor
    estimate = findings.estimates["sl.amperes_per_code"]
    assert np.abs((estimate.value - true["sl.amperes_per_code"]) / estimate.standard_uncertainty).max() < 3
    assert {"reference resistor", "common mode", "forming level"} <= estimate.shared.keys()


def test_siemens_are_known_far_better_than_amperes_as_volts_drop_out(with_resistor):
    findings, true = with_resistor
    amperes, volts = findings.estimates["sl.amperes_per_code"], findings.estimates["bl.volts_per_code"]
    siemens = amperes.value[:, None] / volts.value
    wrong = siemens / (true["sl.amperes_per_code"][:, None] / true["bl.volts_per_code"]) - 1
    assert np.abs(wrong).max() < 5e-3
    assert np.median(np.abs(wrong)) < 5e-4
    relative = amperes.covariance(volts) / np.outer(amperes.value, volts.value)
    own = np.outer((amperes.standard_uncertainty / amperes.value) ** 2, np.ones(32))
    assert (relative > 0.9 * own).all()


def test_lines_whose_codes_were_not_found_get_less_voltage_or_a_larger_resistor():
    alike = {"initial": InitialParams(g_median_s=50e-6, log_spread=0.0), "spread": None, "telegraph": None}
    with open_crossbar("mock", seed=4, mock=spread_board(**alike)) as crossbar, mock_bench(crossbar) as there:
        true = truth(mock_board(crossbar))
        findings = reference_calibration(crossbar, Decade(there, 1000.0), 1000.0, 0.2)
        with pytest.raises(CalibrationError, match="may stand 135 mV off the common mode"):
            reference_calibration(crossbar, Decade(there, 600.0), 600.0, 0.2)
    assert "bl.zero_code" not in findings.estimates
    estimate = findings.estimates["sl.amperes_per_code"]
    assert "gains of DACs" in estimate.shared
    assert np.abs(estimate.value / true["sl.amperes_per_code"] - 1).max() < 0.055


@pytest.mark.parametrize(("true_ohm", "message"), [(2000.0, "check that the resistor hangs"), (None, "changed by")])
def test_a_resistor_that_is_not_what_it_should_be_is_refused(true_ohm, message):
    class Drifting:
        def __init__(self, there):
            self.there, self.ohm = there, 1000.0

        def connect_resistor(self, sl, bl, ohm):
            self.there.connect_resistor(sl, bl, ohm if np.isinf(ohm) else self.ohm)
            self.ohm *= 1.001

    with open_crossbar("mock", seed=4, mock=spread_board(**CONDUCTING)) as crossbar, mock_bench(crossbar) as there:
        resistor = Drifting(there) if true_ohm is None else Decade(there, true_ohm)
        with pytest.raises(CalibrationError, match=message):
            reference_calibration(crossbar, resistor, 1000.0, 0.2)


@pytest.mark.parametrize(("ohm", "expanded"), [(100.0, 0.1), (1e6, 10.0), (1000.0, 0.0), (1000.0, 200.0)])
def test_a_resistor_of_no_use_is_refused_before_anything_is_measured(ohm, expanded):
    with open_crossbar("mock", seed=4) as crossbar:
        with pytest.raises(LimitError):
            reference_calibration(crossbar, None, ohm, expanded)
        assert crossbar.board_time_s < 1e-3
