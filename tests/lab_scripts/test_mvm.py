from __future__ import annotations

import numpy as np
import pytest
import xarray as xr


@pytest.fixture
def inputs(tmp_path):
    volts = np.random.default_rng(0).uniform(-0.1, 0.1, (7, 5))
    np.save(tmp_path / "v.npy", volts)
    return volts


def test_a_run_file_holds_result_ideal_and_raw_codes(xbar_json, matrix, inputs):
    answer = xbar_json("mvm", "--weights", matrix, "--inputs", "v.npy", "--seed", 3, "--out", "m.nc")
    with xr.open_dataset("m.nc") as run:
        for name in ("result_a", "ideal_a", "adc_code"):
            assert run[name].dims == ("vector", "sl")
            assert run[name].shape == (7, 3)
        assert run["result_a"].attrs["units"] == run["ideal_a"].attrs["units"] == "A"
        assert run["adc_code"].dtype == np.int16
        np.testing.assert_allclose(run["ideal_a"], inputs @ np.load(matrix).T, rtol=1e-12)
        error = (run["result_a"] - run["ideal_a"]).to_numpy()
        # One LSB is 31 nA; programming is good to 1 µS in 5 cells at 0.1 V.
        assert np.abs(error).max() < 0.4e-6
        # Codes and currents are the same thing but for each line's offset; the amplifiers invert.
        lsb_a = 2 * 0.9 / 16384 / 3500
        offset = run["adc_code"].to_numpy() + run["result_a"].to_numpy() / lsb_a
        assert np.ptp(offset, axis=0).max() < 1e-6
        assert run.attrs["cycles"] == answer["cycles"] > 0
        assert run.attrs["board_time_s"] == pytest.approx(run.attrs["cycles"] * 1e-8)


@pytest.mark.parametrize(
    ("volts", "message"),
    [
        (np.full((2, 5), 0.11), "largest |voltage| = 0.11 V is above 0.1 V (levels.input_v of board paper-32x32)"),
        (np.full((2, 4), 0.05), "has shape (2, 4)"),
        (np.array([[0, 0, np.nan, 0, 0]]), "not finite, the first at (0, 2) is nan"),
    ],
)
def test_inputs_that_the_board_may_not_see_are_refused_before_it_is_opened(
    xbar, tmp_path, mocker, matrix, volts, message
):
    opened = mocker.patch("lab_scripts.board_choice.open_crossbar")
    np.save(tmp_path / "v.npy", volts)
    result = xbar("mvm", "--weights", matrix, "--inputs", "v.npy", "--out", "m.nc")
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    opened.assert_not_called()
    assert not (tmp_path / "m.nc").exists()


def test_inputs_at_the_limit_pass(xbar_json, tmp_path, matrix):
    np.save(tmp_path / "v.npy", np.array([[0.1, -0.1, 0.1, -0.1, 0.1]]))
    assert xbar_json("mvm", "--weights", matrix, "--inputs", "v.npy", "--out", "m.nc")["error_rms_a"] < 0.4e-6
