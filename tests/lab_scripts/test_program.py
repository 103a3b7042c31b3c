from __future__ import annotations

import importlib

import numpy as np
import pytest
import xarray as xr

from calibration.write_verify import WriteVerifyConfig
from drivers.connect import mock_board
from drivers.crossbar import Crossbar
from lab_scripts import boards


def test_a_run_file_holds_targets_reads_cycles_failures_and_the_mocks_truth(xbar_json, matrix):
    answer = xbar_json("program", matrix, "--seed", 1, "--out", "p.nc")
    with xr.open_dataset("p.nc") as run:
        names = {"g_target_s", "g_read_s", "cycles", "failed", "failure", "g_true_s"}
        assert set(run.data_vars) == names
        assert all(run[name].dims == ("sl", "bl") and run[name].shape == (32, 32) for name in names)
        assert all(run[name].attrs["units"] == "S" for name in ("g_target_s", "g_read_s", "g_true_s"))
        assert run["failed"].dtype == bool
        np.testing.assert_array_equal(run["g_target_s"][:3, :5], np.load(matrix))
        assert np.isnan(run["g_target_s"][3:]).all()
        assert np.isnan(run["g_target_s"][:, 5:]).all()
        error = (run["g_true_s"] - run["g_target_s"])[:3, :5]
        assert float(np.abs(error).max()) < 3.5e-6
        assert run.attrs["board_cycles"] == answer["board_cycles"]
        assert run.attrs["board_time_s"] == pytest.approx(answer["board_cycles"] * 1e-8)


def test_stuck_cells_are_found_and_named_and_a_low_yield_is_exit_code_1(xbar):
    result = xbar("program", "AI4S", "--seed", 0, "--min-yield", 1, "--out", "p.nc")
    with xr.open_dataset("p.nc") as run:
        failed = np.argwhere(run["failed"].to_numpy())
        assert 0 < len(failed) < 20
        for sl, bl in failed:
            assert f"SL {sl}, BL {bl}" in result.stdout
            assert "stuck" in str(run["failure"][sl, bl].item())
        assert (run["failure"].to_numpy() != "").sum() == len(failed)
    assert result.exit_code == 1
    assert "is below --min-yield 100 %" in result.stderr


def test_equal_seeds_give_equal_conductances(xbar_json, matrix):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        xbar_json("program", matrix, "--seed", seed, "--out", f"{name}.nc")
    a, b, c = (xr.load_dataset(f"{name}.nc")["g_true_s"].to_numpy() for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        (np.full((2, 2), np.nan), 2, "4 of 4 values are not finite, the first at (0, 0) is nan"),
        (np.array([[5e-5, np.inf]]), 2, "1 of 2 values are not finite, the first at (0, 1) is inf"),
        (np.array([[5e-5, 2e-4]]), 2, "cell (SL 0, BL 1) = 200 µS is outside 15 µS … 105 µS"),
        (np.array([[5e-5, -1e-6]]), 2, "cell (SL 0, BL 1) = -1 µS is outside"),
        (np.array([[50.0]]), 2, "give targets in siemens"),
        (np.full((33, 2), 5e-5), 2, "has shape (33, 2); the array has (32, 32)"),
        (np.full(4, 5e-5), 2, "has shape (4,); needs two dimensions"),
        (np.array([["a"]]), 4, "needs one array of real numbers"),
        (np.array([[1j]]), 4, "needs one array of real numbers"),
    ],
)
def test_a_target_that_cannot_be_programmed_is_refused_before_a_board_is_opened(
    xbar, tmp_path, mocker, target, code, message
):
    opened = mocker.patch("lab_scripts.board_choice.open_crossbar")
    np.save(tmp_path / "bad.npy", target)
    result = xbar("program", "bad.npy", "--out", "p.nc")
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    opened.assert_not_called()
    assert not (tmp_path / "p.nc").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "not a NumPy .npy file"), (b"0.5, 0.6\n", "not a NumPy .npy file")],
)
def test_a_target_file_that_cannot_be_read_is_a_file_error(xbar, tmp_path, content, message):
    if content is not None:
        (tmp_path / "bad.npy").write_bytes(content)
    result = xbar("program", "bad.npy", "--out", "p.nc")
    assert result.exit_code == 4
    assert "bad.npy" in result.stderr
    assert message in result.stderr


def test_a_pickled_target_is_refused_and_never_loaded(xbar, tmp_path):
    np.save(tmp_path / "bad.npy", np.array([[{"code": "runs"}]], dtype=object), allow_pickle=True)
    result = xbar("program", "bad.npy", "--out", "p.nc")
    assert result.exit_code == 4
    assert "not a NumPy .npy file of numbers" in result.stderr


def test_targets_at_the_ends_of_the_range_are_taken():
    low, high = WriteVerifyConfig().range_s
    boards.check_targets(np.array([[low, high, np.nan]]), WriteVerifyConfig())


def test_an_interrupt_leaves_the_outputs_safe_and_a_journal_to_go_on_from(xbar, tmp_path, mocker, matrix):
    opened = mocker.spy(importlib.import_module("lab_scripts.board_choice"), "open_crossbar")
    read = 0

    def interrupted(*args, **kwargs):
        nonlocal read
        read += 1
        if read == 5:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    original = Crossbar.read_conductance
    mocker.patch.object(Crossbar, "read_conductance", interrupted)
    result = xbar("program", matrix, "--out", "p.nc")
    assert result.exit_code == 130
    assert "the outputs are safe" in result.stderr
    board = mock_board(opened.spy_return)
    assert not board.gate
    assert board.chain.oe_n
    # Pulses were given: what is known of them is kept.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.nc.journal", "w.npy"]


def test_a_backend_that_cannot_be_opened_here_is_a_board_error_that_says_so(xbar, matrix):
    for backend, needs in (("zc706", "pynq is not installed here"), ("x", "unknown")):
        result = xbar("program", matrix, "--backend", backend, "--out", "p.nc")
        assert result.exit_code == 3
        assert needs in result.stderr
