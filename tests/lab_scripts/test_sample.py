from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr

from anf.flows.checkpoint import load_flow
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4
from drivers.board import load_board
from lab_scripts.console import Report
from lab_scripts.deployment import flow_on_boards
from lab_scripts.exits import InputError


def read(path):
    with xr.open_dataset(path) as run:
        assert set(run.data_vars) == {"phi", "log_q", "action", "state"}
        assert run["phi"].dims == ("proposal", "x", "y")
        assert run["log_q"].dims == run["action"].dims == ("proposal",)
        assert run["state"].dims == ("draw",)
        assert all(run[name].attrs["units"] == "1" for name in run.data_vars)
        return run.load()


def test_digital_layers_store_the_exact_density_of_what_they_store(xbar_json, flows):
    xbar_json("sample", "--L", 2, "--flow", flows[0], "--configs", 300, "--out", "s.nc")
    run = read("s.nc")
    flow, _ = load_flow(flows[0])
    phi = torch.from_numpy(run["phi"].to_numpy())
    np.testing.assert_allclose(run["log_q"], flow.log_prob(phi), atol=2e-4)
    np.testing.assert_allclose(run["action"], Phi4(-4.0, 5.0, (2, 2))(phi.double()), rtol=1e-12)


def test_the_chain_enters_each_proposal_at_most_once(xbar_json, flows):
    answer = xbar_json("sample", "--L", 2, "--flow", flows[0], "--configs", 300, "--out", "s.nc")
    state = read("s.nc")["state"].to_numpy()
    entered = state[np.flatnonzero(np.diff(state, prepend=-1))]
    assert len(set(entered)) == len(entered)
    assert set(entered) <= set(range(300))
    # The first state is where the chain starts, not an offer.
    assert answer["acceptance"] == pytest.approx((len(entered) - 1) / 299)


def test_crossbar_layers_cost_board_time_and_report_ess_before_and_after_tuning(xbar_json, flows):
    answer = xbar_json(
        "sample",
        "--L",
        2,
        "--flow",
        flows[0],
        "--layers",
        "crossbar",
        "--configs",
        200,
        "--tune-steps",
        10,
        "--out",
        "s.nc",
    )
    run = read("s.nc")
    assert run.attrs["layers"] == "crossbar"
    layers = json.loads(run.attrs["transcript"])
    assert sum(layer["cycles"] for layer in layers.values()) == run.attrs["cycles"]
    assert 0 < run.attrs["cells_j"] == pytest.approx(sum(layer["cells_j"] for layer in layers.values()))
    assert run.attrs["cycles"] == answer["cycles"] > 0
    assert run.attrs["board_time_s"] == pytest.approx(answer["cycles"] * 1e-8)
    assert 0 < answer["ess_before_tuning"] <= 1
    assert 0 < answer["ess"] <= 1
    assert "[wiring]" in run.attrs["board"]


def test_simulated_layers_differ_from_digital_ones_and_repeat_with_the_seed(xbar_json, flows):
    def run(name, *args):
        xbar_json("sample", "--L", 2, "--flow", flows[0], "--configs", 100, "--tune-steps", 0, "--out", name, *args)
        return read(name)["phi"].to_numpy()

    digital = run("d.nc")
    first, again = run("a.nc", "--layers", "simulated"), run("b.nc", "--layers", "simulated")
    np.testing.assert_array_equal(first, again)
    difference = np.abs(first - digital)
    assert 1e-4 < np.median(difference) < 0.2


def test_an_adapter_is_sampled_at_its_own_coupling(xbar_json, flows):
    answer = xbar_json("sample", "--L", 2, "--lam", 5.5, "--flow", flows[1], "--configs", 200, "--out", "s.nc")
    assert 0.1 < answer["ess"] <= 1
    assert answer["observables"]["chi2"]["value"] == pytest.approx(0.77, abs=0.25)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--L", 4), "lattice is [2, 2], needed [4, 4]"),
        (("--L", 2, "--lam", 6), "couplings of the action"),
    ],
)
def test_a_flow_for_another_lattice_or_coupling_is_refused(xbar, flows, args, message):
    result = xbar("sample", "--flow", flows[0], "--out", "s.nc", *args)
    assert (result.exit_code, message in result.stderr) == (4, True), result.stderr


def test_a_flow_that_is_not_shipped_is_listed_with_those_that_are(xbar):
    result = xbar("sample", "--L", 2, "--lam", 7, "--out", "s.nc")
    assert result.exit_code == 4
    assert "no flow is shipped for phi4 (2, 2)" in result.stderr


def test_more_tiles_than_boards_are_refused_with_how_many_are_needed(mocker):
    wide = MixerFlow(MixerFlowConfig(shape=(4, 4), mixer=MixerConfig(channels=48, token_hidden=48, channel_hidden=48)))
    with (
        pytest.raises(InputError, match=r"need \d+ arrays of 32 × 32, but there is 1; open more boards"),
        flow_on_boards("zc706", load_board(), wide, 0, mocker.Mock(), Report(as_json=True)),
    ):
        pass


def test_a_damaged_flow_file_is_a_file_error(xbar, tmp_path, flows):
    (tmp_path / "cut.safetensors").write_bytes(flows[0].read_bytes()[:1000])
    result = xbar("sample", "--L", 2, "--flow", "cut.safetensors", "--out", "s.nc")
    assert result.exit_code == 4
    assert "not a readable safetensors file" in result.stderr
