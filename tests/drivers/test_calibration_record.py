"""Calibration records: what a file holds, whose it is, and what a crossbar makes of it."""

import datetime
import errno

import numpy as np
import pytest
from spread_boards import CONDUCTING, spread_board, truth

from drivers.board import load_board
from drivers.calibration_record import CalibrationRecord, RecordError, board_sha256
from drivers.connect import mock_board, open_crossbar
from drivers.estimate import Estimate
from firmware_bridge.errors import ProtocolError

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
BOARD = load_board()


def record(estimates=None, **changes):
    fields = dict(
        board=BOARD.name, board_sha256=board_sha256(BOARD), kind="mock", serial="mock-3", created=NOW,
        valid_until=NOW + 3650 * DAY, methods=("self",), estimates=estimates or {},
    )  # fmt: skip
    return CalibrationRecord(**(fields | changes))


def exact(name, values, unit="1"):
    return Estimate(unit=unit, value=values, scatter=np.zeros(len(values)), rests_on="truth")


@pytest.fixture
def identity():
    with open_crossbar("mock", seed=3) as crossbar:
        yield crossbar.identity


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path):
    written = record({"bl.zero_code": exact("bl.zero_code", np.arange(32) + 0.1)})
    written.save(tmp_path / "r.json")
    read = CalibrationRecord.load(tmp_path / "r.json")
    np.testing.assert_array_equal(read.value("bl.zero_code"), written.value("bl.zero_code"))
    assert read.model_dump_json() == written.model_dump_json()
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_record_that_cannot_be_put_on_the_disk_leaves_the_one_before(tmp_path, mocker):
    path = tmp_path / "r.json"
    record().save(path)
    before = path.read_bytes()
    synced = mocker.patch("os.fsync", side_effect=OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error"):
        record(serial="mock-4").save(path)
    assert synced.call_count == 1
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(("since", "fit"), [(3650 * DAY, True), (3650 * DAY + DAY / 86400, False)])
def test_a_record_is_valid_until_its_last_second(identity, since, fit):
    if fit:
        record().refuse_unfit(identity, BOARD, now=NOW + since)
    else:
        with pytest.raises(RecordError, match="expired"):
            record().refuse_unfit(identity, BOARD, now=NOW + since)


def test_clocks_may_be_a_day_apart(identity):
    record().refuse_unfit(identity, BOARD, now=NOW - DAY)
    with pytest.raises(RecordError, match="set this computer's clock"):
        record().refuse_unfit(identity, BOARD, now=NOW - DAY - DAY / 86400)


@pytest.mark.parametrize(("name", "counts"), [("bl.x", {1, 32}), ("sl.x", {1, 32}), ("adc.x", {1, 8}), ("x.y", {3})])
def test_a_quantity_has_one_value_for_all_lines_or_one_for_each(identity, name, counts):
    for n in (1, 3, 8, 32) if name != "x.y" else (3,):
        one = record({name: exact(name, np.ones(n))})
        if n in counts:
            one.refuse_unfit(identity, BOARD, now=NOW)
        else:
            with pytest.raises(RecordError, match=f"has {n} values"):
                one.refuse_unfit(identity, BOARD, now=NOW)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "Invalid JSON"), ("{}", "board: Field required"), ('{"format": "other"}', "format")],
)
def test_a_file_that_is_no_record_is_refused_with_the_place(tmp_path, text, says):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(RecordError, match=says):
        CalibrationRecord.load(tmp_path / "r.json")
    with pytest.raises(RecordError, match="make one with `xbar calibrate`"):
        CalibrationRecord.load(tmp_path / "none.json")


def test_a_record_of_a_newer_model_is_refused(tmp_path):
    record().save(tmp_path / "r.json")
    path = tmp_path / "r.json"
    path.write_text(path.read_text().replace('"model": 1', '"model": 2'))
    with pytest.raises(RecordError, match="is of model 2; this software has model 1: calibrate anew"):
        CalibrationRecord.load(path)


@pytest.mark.parametrize(
    ("changes", "accept", "says"),
    [
        ({"serial": "mock-4"}, "foreign", "is not of this board, mock mock-3"),
        ({"kind": "rtl"}, "foreign", "is not of this board"),
        ({"board_sha256": "0"}, "foreign", "another board file"),
        ({"valid_until": NOW - DAY, "created": NOW - 9 * DAY}, "expired", "expired on 2026-04-30"),
    ],
)
def test_an_expired_or_foreign_record_is_refused_unless_asked_for_by_name(identity, changes, accept, says):
    unfit = record(**changes)
    with pytest.raises(RecordError, match=says) as refused:
        unfit.refuse_unfit(identity, BOARD, now=NOW)
    assert f"--accept-{accept}" in str(refused.value)
    unfit.refuse_unfit(identity, BOARD, accept={accept}, now=NOW)
    other = {"foreign": "expired", "expired": "foreign"}[accept]
    with pytest.raises(RecordError):
        unfit.refuse_unfit(identity, BOARD, accept={other}, now=NOW)


def test_a_record_from_the_future_or_of_another_shape_is_refused_whatever_is_accepted(identity):
    with pytest.raises(RecordError, match="clock"):
        record(created=NOW + 9 * DAY).refuse_unfit(identity, BOARD, accept={"expired", "foreign"}, now=NOW)
    small = record({"bl.zero_code": exact("bl.zero_code", np.ones(4))})
    with pytest.raises(RecordError, match=r"bl\.zero_code has 4 values"):
        small.refuse_unfit(identity, BOARD, accept={"expired", "foreign"}, now=NOW)


def test_a_foreign_record_is_refused_before_anything_is_sent(mocker):
    sent = mocker.spy(__import__("firmware_bridge.mock.bridge", fromlist=["x"]).MockBridge, "run")
    with pytest.raises(RecordError):
        open_crossbar("mock", seed=9, calibration=record())
    assert not sent.call_count


def test_with_the_truth_as_a_record_lines_carry_what_is_asked_for_and_currents_are_amperes():
    with open_crossbar("mock", seed=3, mock=spread_board(**CONDUCTING)) as crossbar:
        board = mock_board(crossbar)
        volts = np.random.default_rng(0).uniform(-0.1, 0.1, (32, 32))

        def product():
            """What flows, and what a perfect board would let flow, A."""
            got = np.mean([crossbar.mvm(volts) for _ in range(64)], axis=0)
            # Drivers of 1 Ω lose 0.2 % here: their gain is part of what is asked for.
            transfer = board.array._current.mean_transfer_s
            edge = transfer / (1 - board.array.wires.bl_source_ohm * transfer.sum(axis=0))
            return got, volts @ edge.T

        before = product()
        names = ("bl.zero_code", "bl.volts_per_code", "sl.amperes_per_code", "adc.inl_bow_code", "adc.inl_ess_code",
                 "bl.driver_ohm")  # fmt: skip
        true = truth(board)
        crossbar.correct_by(record({name: exact(name, true[name]) for name in names}))
        after = product()
    error = [np.sqrt(np.mean((got - ideal) ** 2)) for got, ideal in (before, after)]
    size = np.sqrt(np.mean(before[1] ** 2))
    assert error[0] > 0.02 * size
    # 64 conversions of 50 nA; telegraph noise of a tenth of the cells, at most 2 % each.
    assert error[1] < 50e-9 / 8 + 0.002 * size


def test_without_a_record_nothing_changes_and_cells_alone_cannot_be_had():
    with open_crossbar("mock", seed=3) as crossbar:
        plain = crossbar.read_conductance()
        with pytest.raises(ProtocolError, match="load a calibration record"):
            crossbar.read_conductance(cells=True)
    with open_crossbar("mock", seed=3, calibration=record()) as crossbar:
        np.testing.assert_allclose(crossbar.read_conductance(), plain, rtol=3e-3)
