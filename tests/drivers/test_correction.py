"""From a record to codes and back: closed forms of each step."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from drivers.board import load_board
from drivers.calibration_record import CalibrationRecord
from drivers.correction import Correction, inl_basis
from drivers.estimate import Estimate

BOARD = load_board()
N_SL, N_BL = BOARD.shape


def record(**values):
    """A record that has these quantities, ``bl__zero_code`` for ``bl.zero_code``."""
    now = datetime.now(timezone.utc)
    estimates = {
        name.replace("__", "."): Estimate(
            unit="", value=np.atleast_1d(value), scatter=np.zeros(np.size(value)), shared={}, rests_on="a test"
        )
        for name, value in values.items()
    }
    return CalibrationRecord(
        board=BOARD.name, board_sha256="0", kind="mock", serial="1", created=now, valid_until=now + timedelta(days=1),
        methods=("test",), estimates=estimates,
    )  # fmt: skip


def test_bow_and_ess_vanish_at_the_ends_and_have_peak_one():
    bow, ess = inl_basis(np.array([-8192.0, 0.0, 8192.0]))
    np.testing.assert_allclose((bow, ess), ([0, 1, 0], [0, 0, 0]), atol=1e-15)
    codes = np.linspace(-8192, 8192, 200_001)
    bow, ess = inl_basis(codes)
    assert (bow.max(), bow.min()) == (1.0, 0.0)
    # The peaks of t (1 − t) (1 − 2t) are at ½ ∓ 1/√12.
    assert ess.max() == pytest.approx(1.0, abs=1e-9)
    assert ess.min() == pytest.approx(-1.0, abs=1e-9)
    assert codes[ess.argmax()] == pytest.approx(-8192 / np.sqrt(3), abs=1)


def test_a_board_without_a_record_has_the_numbers_of_its_file():
    it = Correction.of(record(), BOARD)
    lsb_v = BOARD.dac.span_v / 65536
    np.testing.assert_allclose(it.bl_code(np.zeros(N_BL)), BOARD.wiring.vcm_v / lsb_v)
    np.testing.assert_allclose(it.bl_code(np.full(N_BL, 0.1)), (BOARD.wiring.vcm_v + 0.1) / lsb_v)
    # A code of the ADC is 2 Vref / 16384 over Rf, and the amplifier inverts.
    np.testing.assert_allclose(it.amperes_per_code, -2 * BOARD.adc.vref_v / 16384 / BOARD.tia.rf_ohm)
    codes = np.linspace(-8000, 8000, N_SL)
    np.testing.assert_array_equal(it.linear_code(codes), codes)
    assert it.resistance is None


def test_what_a_record_has_takes_the_place_of_the_boards_numbers():
    zero, gain = 32768 + np.arange(N_BL), 5 / 65536 * (1 + 1e-3 * np.arange(N_BL))
    it = Correction.of(record(bl__zero_code=zero, bl__volts_per_code=gain), BOARD)
    np.testing.assert_allclose(it.bl_code(np.full(N_BL, -0.2)), zero - 0.2 / gain)


def test_inl_is_taken_off_by_the_converter_that_a_source_line_goes_to():
    n = BOARD.wiring.n_adcs
    bows, esses = 1.0 + np.arange(n), -2.0 + 0.5 * np.arange(n)
    it = Correction.of(record(adc__inl_bow_code=bows, adc__inl_ess_code=esses), BOARD)
    adc = np.array(BOARD.wiring.sl_adc)
    for code in (-8192 / np.sqrt(3), 0.0, 4096.0):
        t = 0.5 + code / 16384
        bow, ess = 4 * t * (1 - t), 6 * np.sqrt(3) * t * (1 - t) * (1 - 2 * t)
        np.testing.assert_allclose(
            it.linear_code(np.full(N_SL, code)), code - bows[adc] * bow - esses[adc] * ess, rtol=0, atol=1e-9
        )


def test_resistances_are_those_of_the_record_and_zero_where_it_lacks_them():
    it = Correction.of(record(bl__driver_ohm=470.0, sl__segment_ohm=0.5), BOARD).resistance
    np.testing.assert_array_equal(it.driver_ohm, np.full(N_BL, 470.0))
    assert (it.bl_segment_ohm, it.sl_segment_ohm) == (0.0, 0.5)
    np.testing.assert_array_equal(it.sl_series_ohm, np.zeros(N_SL))
