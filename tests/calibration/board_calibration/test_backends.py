"""The same calibration behind every bridge: the gateware, and a board at the other end of a link."""

import numpy as np
import pytest
from loopback import serving
from needs import MISSING
from spread_boards import CONDUCTING, spread_board

from calibration.board_calibration import gates, self_calibration
from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.calibration_record import CalibrationRecord, RecordError
from drivers.connect import open_crossbar
from firmware_bridge.remote import server

SEED = 11
MOCK = spread_board(**CONDUCTING)


@pytest.fixture(autouse=True)
def few_conversions(monkeypatch):
    """A hundredth of what a calibration takes: the gateware is simulated clock by clock."""
    monkeypatch.setattr(self_calibration, "ZERO_REPEATS", 4)
    monkeypatch.setattr(self_calibration, "LEVEL_REPEATS", 64)
    monkeypatch.setattr(self_calibration, "SLOPE_REPEATS", 4)
    monkeypatch.setattr(self_calibration, "RAMP_REPEATS", 2)
    monkeypatch.setattr(gates, "PASSES_ALL", 4)
    monkeypatch.setattr(gates, "PASSES_ONE", 2)
    monkeypatch.setattr(server, "TICK_S", 0.002)


def calibrated(address, **options):
    with open_crossbar(address, **options) as crossbar:
        findings = self_calibration.self_calibration(crossbar)
        return findings.record(crossbar, ("self",)), crossbar.cycles


def same(record: CalibrationRecord, other: CalibrationRecord) -> None:
    assert record.not_identified == other.not_identified
    assert record.estimates.keys() == other.estimates.keys()
    for name, estimate in record.estimates.items():
        np.testing.assert_array_equal(estimate.value, other.estimates[name].value)
        np.testing.assert_array_equal(estimate.standard_uncertainty, other.estimates[name].standard_uncertainty)


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
def test_the_gateware_finds_the_same_to_the_last_bit_in_as_many_cycles():
    record, cycles = calibrated("mock", seed=SEED, mock=MOCK)
    on_rtl, rtl_cycles = calibrated("rtl", seed=SEED, mock=MOCK)
    same(record, on_rtl)
    assert rtl_cycles == cycles
    assert (on_rtl.kind, on_rtl.serial) == ("rtl", f"rtl-{SEED}")


def test_a_board_at_the_other_end_of_a_link_finds_the_same_and_takes_its_record_back(tmp_path):
    record, cycles = calibrated("mock", seed=SEED, mock=MOCK)
    board = load_board()
    with serving(open_bridge("mock", board=board, seed=SEED, mock=MOCK)) as there:
        remote, remote_cycles = calibrated(str(there.address))
    same(record, remote)
    assert remote_cycles == cycles
    remote.save(tmp_path / "record.json")
    with (
        serving(open_bridge("mock", board=board, seed=SEED, mock=MOCK)) as there,
        open_crossbar(str(there.address), calibration=tmp_path / "record.json") as crossbar,
    ):
        assert crossbar.read_conductance().shape == (32, 32)
    with (
        serving(open_bridge("mock", board=board, seed=SEED + 1, mock=MOCK)) as there,
        pytest.raises(RecordError, match="is not of this board"),
    ):
        open_crossbar(str(there.address), calibration=tmp_path / "record.json")
