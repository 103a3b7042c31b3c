from __future__ import annotations

import numpy as np
import xarray as xr
from needs import needs_verilator

from lab_scripts.exits import Exit
from lab_scripts.panels.panel import run_id

SMALL = ("--L", 2, "--configs", 600, "--tune-steps", 20, "--seed", 2)


def test_the_whole_story_on_a_small_lattice(xbar, tmp_path, flows):
    result = xbar("demo", *SMALL, "--flow", flows[0], "--flow", flows[1], "--out", "d.nc")
    assert result.exit_code == 0, result.stderr
    for text in ("Write-verify", "λ = 5.5", "χ₂", "virial", "ESS, array, before LoRA", "clock cycles"):
        assert text in result.stdout
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert f"xbar demo, run {run_id(tmp_path / 'd.nc')}".encode() in (tmp_path / "d.png").read_bytes()
    with xr.open_dataset("d.nc") as run:
        assert run["phi"].dims == ("lam", "proposal", "x", "y")
        assert run["phi"].shape == (2, 600, 2, 2)
        assert run["state"].dims == ("lam", "draw")
        assert run["g_read_s"].dims == ("array", "sl", "bl")
        assert list(run["lam"]) == [5.0, 5.5]
        assert (run["cycles"] > 0).all()
        checked = run.sel(observable=["chi2", "E", "phi2", "phi4"])
        np.testing.assert_array_less(np.abs(checked["value"] - checked["exact"]), 3 * checked["error"])


def test_a_pull_above_three_sigma_is_exit_code_1_with_everything_written(xbar, tmp_path, flows, mocker):
    from anf.lattice import exact

    wrong = exact.ExactValues(free_energy=0.0, chi2=9.0, energy=0.2, phi2=0.28, phi4=0.13)
    mocker.patch.object(exact, "phi4", return_value=wrong)
    result = xbar("demo", *SMALL, "--lam", 5, "--flow", flows[0], "--out", "d.nc")
    assert result.exit_code == 1
    assert "more than 3 σ from HMC or from the exact value: χ₂ at λ = 5" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"d.nc", "d.png"}


def test_identities_beyond_their_band_are_exit_code_1_and_no_run(xbar, flows, mocker):
    mocker.patch("anf.samplers.guard.pulls", side_effect=[{}, {"zero_mode": -9.0}])
    result = xbar("demo", *SMALL, "--lam", 5, "--flow", flows[0], "--out", "d.nc")
    assert result.exit_code == 1
    assert "zero_mode is -9.0 σ off" in result.stderr


def test_flows_with_other_base_weights_cannot_share_a_board(xbar, tmp_path, flows):
    made = xbar(
        "train", "--flow", "mixer", "--L", 2, "--lam", 5.5, "--steps", 2, "--couplings", 4, "--channels", 4,
        "--hidden", 4, "--evaluate", 100, "--out", "other.safetensors",
    )  # fmt: skip
    assert made.exit_code == 0
    result = xbar("demo", *SMALL, "--flow", flows[0], "--flow", "other.safetensors", "--out", "d.nc")
    assert result.exit_code == 4
    assert "has other base weights" in result.stderr


def test_one_flow_file_for_two_couplings_is_bad_input(xbar, flows):
    result = xbar("demo", *SMALL, "--flow", flows[0], "--out", "d.nc")
    assert result.exit_code == 2
    assert "1 files for 2 values of --lam" in result.stderr


@needs_verilator
def test_the_story_on_the_gateware_is_that_on_the_mock_code_by_code(xbar, flows, mocker):
    mocker.patch("lab_scripts.demo.ESS_PROPOSALS", 16)
    small = ("--L", 2, "--configs", 100, "--tune-steps", 2, "--lam", 5, "--flow", flows[0], "--seed", 3)
    for backend in ("mock", "rtl"):
        result = xbar("demo", *small, "--backend", backend, "--out", f"{backend}.nc")
        assert result.exit_code in (Exit.OK, Exit.OUTSIDE_BOUND), result.stderr
    with xr.open_dataset("mock.nc") as mock, xr.open_dataset("rtl.nc") as rtl:
        assert np.ptp(mock["adc_code"].values) > 1000
        assert rtl.equals(mock)
