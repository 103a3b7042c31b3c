from __future__ import annotations

import numpy as np
import xarray as xr

from anf.actions import Phi4


def test_a_run_file_holds_the_chains_and_their_action(xbar_json):
    answer = xbar_json("hmc", "--L", 2, "--configs", 300, "--chains", 10, "--thermalisation", 100, "--out", "h.nc")
    with xr.open_dataset("h.nc") as run:
        assert set(run.data_vars) == {"phi", "action"}
        assert run["phi"].dims == ("chain", "draw", "x", "y")
        assert run["phi"].shape == (10, 30, 2, 2)
        assert run["action"].dims == ("chain", "draw")
        assert run["phi"].attrs["units"] == run["action"].attrs["units"] == "1"
        np.testing.assert_allclose(run["action"], Phi4(-4.0, 5.0, (2, 2))(run["phi"].to_numpy()), rtol=1e-12)
        assert run.attrs["acceptance"] == answer["acceptance"]


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(xbar_json):
    values = [
        xbar_json("hmc", "--L", 2, "--configs", 100, "--seed", seed, "--out", f"{k}.nc")["observables"]["S"]["value"]
        for k, seed in enumerate((3, 3, 4))
    ]
    assert values[0] == values[1] != values[2]


def test_couplings_without_a_normalisable_weight_are_bad_input(xbar):
    result = xbar("hmc", "--lam", -1, "--out", "h.nc")
    assert result.exit_code == 2
    assert "lam = -1" in result.stderr
    assert "take lam > 0" in result.stderr


def test_an_unknown_action_is_named_with_those_that_exist(xbar):
    result = xbar("hmc", "--action", "phi6", "--out", "h.nc")
    assert result.exit_code == 2
    assert "'phi6' does not exist; choose one of: phi4" in result.stderr


def test_a_trajectory_of_no_length_is_bad_input(xbar):
    result = xbar("hmc", "--length", 0, "--out", "h.nc")
    assert result.exit_code == 2
    assert "trajectory_length = 0.0 must be positive" in result.stderr
