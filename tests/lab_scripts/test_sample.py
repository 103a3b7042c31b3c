from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from anf.flows.checkpoint import load_flow, save_flow
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4
from drivers.connect import mock_board
from drivers.self_test import SelfTestError, Watch
from firmware_bridge.mock.faults.lines import BrokenLine, DriftJump
from lab_scripts.board_choice import BoardChoice
from lab_scripts.console import Report
from lab_scripts.deployment import flow_on_boards
from lab_scripts.exits import InputError


def read(path):
    with xr.open_dataset(path) as run:
        assert set(run.data_vars) == {"phi", "log_q", "action", "state", "segment"}
        assert run["phi"].dims == ("proposal", "x", "y")
        assert run["log_q"].dims == run["action"].dims == run["segment"].dims == ("proposal",)
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
    assert sum(layer["cycles"] for layer in layers.values()) + run.attrs["watch_cycles"] == run.attrs["cycles"]
    assert run.attrs["looks"] == 1
    assert run.attrs["watch_cycles"] * 1e-8 < 0.01
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
    assert "no flow is shipped for phi4 on 2 × 2" in result.stderr


def test_more_tiles_than_boards_are_refused_with_how_many_are_needed(mocker):
    wide = MixerFlow(MixerFlowConfig(shape=(4, 4), mixer=MixerConfig(channels=48, token_hidden=48, channel_hidden=48)))
    with (
        pytest.raises(InputError, match=r"need \d+ arrays of 32 × 32, but there is 1; open more boards"),
        flow_on_boards(BoardChoice(), ["zc706"], wide, mocker.Mock(), Report(as_json=True)),
    ):
        pass


def test_a_damaged_flow_file_is_a_file_error(xbar, tmp_path, flows):
    (tmp_path / "cut.safetensors").write_bytes(flows[0].read_bytes()[:1000])
    result = xbar("sample", "--L", 2, "--flow", "cut.safetensors", "--out", "s.nc")
    assert result.exit_code == 4
    assert "not a readable safetensors file" in result.stderr


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A flow file for φ⁴ on 2 × 2 whose matrices need two arrays."""
    path, action = tmp_path_factory.mktemp("wide") / "wide.safetensors", Phi4(-4.0, 5.0, (2, 2))
    mixer = MixerConfig(channels=18, channel_hidden=18)
    save_flow(path, MixerFlow(MixerFlowConfig(shape=(2, 2), couplings=2, mixer=mixer)), action, seed=0, command="test")
    return path


def crossbar(flow, *args):
    return ("sample", "--L", 2, "--flow", flow, "--layers", "crossbar", "--tune-steps", 0, "--out", "s.nc", *args)


def test_one_board_takes_the_arrays_of_a_flow_in_turn(xbar, xbar_json, wide):
    refused = xbar(*crossbar(wide, "--backend", "mock"))
    assert (refused.exit_code, "--time-share" in refused.stderr) == (2, True), refused.stderr
    answer = xbar_json(*crossbar(wide, "--configs", 600, "--backend", "mock", "--time-share"))
    assert (answer["boards"], answer["arrays"]) == (1, 2)
    layers = json.loads(answer["transcript"])
    filling = sum(layer["filling_cycles"] for layer in layers.values())
    assert filling > 0
    # Boards that take turns are looked at by their self-test.
    assert filling + sum(layer["cycles"] for layer in layers.values()) + answer["watch_cycles"] == answer["cycles"]
    assert 0.01 < answer["watch_cycles"] * 1e-8 < 0.03


def test_a_flow_goes_into_as_many_boards_as_are_named(xbar_json, wide):
    answer = xbar_json(*crossbar(wide, "--configs", 60, "--backend", "mock", "--backend", "mock"))
    assert (answer["boards"], answer["arrays"]) == (2, 2)
    assert answer["drift_s"] < 0.5e-6
    assert all(layer["filling_cycles"] == 0 for layer in json.loads(answer["transcript"]).values())


def test_arrays_that_drift_before_sampling_begins_are_refused(xbar, mocker, flows):
    read = mocker.patch("anf.arrays.analog.Deployment.drift_s", return_value=np.array([5e-6]))
    result = xbar(*crossbar(flows[0], "--configs", 60))
    assert result.exit_code == 3
    assert "array 0: changed by 5.00 µS rms, expected what was read back (±2 µS)" in result.stderr
    assert read.called


def test_after_a_rest_the_arrays_are_tuned_against_as_they_are_then(xbar_json, flows):
    args = crossbar(flows[0], "--configs", 300)
    at_once, later = xbar_json(*args), xbar_json(*args, "--rest", 1e6, "--force")
    assert later["rested_drift_s"] > 2 * at_once["drift_s"]
    # Nothing changes between that read-back and the sampling.
    assert later["drift_s"] < later["rested_drift_s"] / 2


def test_a_record_that_has_expired_is_refused_before_anything_is_programmed(xbar, xbar_json, flows):
    xbar_json("calibrate", "self", "--out", "r.json")
    with open("r.json") as file:
        record = json.load(file) | {"created": "2020-01-01T00:00:00Z", "valid_until": "2020-03-01T00:00:00Z"}
    with open("r.json", "w") as file:
        json.dump(record, file)
    refused = xbar(*crossbar(flows[0], "--configs", 60, "--calibration", "r.json"))
    assert refused.exit_code == 4
    assert "expired on 2020-03-01" in refused.stderr


def test_inputs_beyond_a_fixed_range_are_counted_and_reported(xbar, xbar_json, flows):
    args = ("sample", "--L", 2, "--flow", flows[0], "--layers", "simulated", "--tune-steps", 0, "--configs", 300)
    answer = xbar_json(*args, "--drive-quantile", 0.5, "--out", "s.nc")
    fractions = json.loads(answer["clipped_fraction"])
    assert 0.02 < max(fractions.values()) < 0.6
    said = xbar(*args, "--drive-quantile", 1, "--out", "t.nc").stdout
    assert "inputs clipped" in said
    bad = xbar(*args, "--drive-quantile", 1.5, "--out", "u.nc")
    assert (bad.exit_code, "must lie in (0, 1]" in bad.stderr) == (2, True)


@pytest.fixture
def struck(mocker):
    """``struck(fault, at)``: the fault sets in after the look number `at` of the first board."""

    def strike(fault, at):
        look, looks = Watch.look, 0

        def look_then_strike(self):
            nonlocal looks
            look(self)
            looks += 1
            if looks == at:
                mock_board(self.crossbar).faults.add(fault)

        mocker.patch.object(Watch, "look", look_then_strike)

    return strike


def test_cells_that_move_begin_another_chain_and_the_flow_is_tuned_to_them(xbar, struck, flows):
    struck(DriftJump(relative=0.035), 1)
    result = xbar(*crossbar(flows[0], "--configs", 1600, "--tune-steps", 10))
    assert result.exit_code == 0, result.stderr
    assert "segment 0 ended after 512 proposals, 512 more were dropped: " in result.stdout
    assert "the arrays were read again, and a new chain begun" in result.stdout
    run = read("s.nc")
    np.testing.assert_array_equal(run["segment"], np.repeat([0, 1], [512, 576]))
    np.testing.assert_array_equal(run["segment"][run["state"]], run["segment"])
    first, second = json.loads(run.attrs["segments"])
    assert (first["proposals"], first["dropped"], second["proposals"], second["ended_by"]) == (512, 512, 576, None)
    assert "S" in first["ended_by"]
    assert run.attrs["renewals"] == 1
    assert "incomplete" not in run.attrs


def test_a_fault_ends_the_run_with_exit_code_3_and_what_was_drawn_before_is_kept(xbar, xbar_json, struck, flows):
    struck(BrokenLine(line="bl", index=1), 2)
    result = xbar(*crossbar(flows[0], "--configs", 1600))
    assert result.exit_code == 3
    assert "sampling ended after 1024 of 1600 proposals, which s.nc keeps: array 0: changed by" in result.stderr
    assert "outputs are safe" in result.stderr
    assert "resume" not in result.stderr
    run = read("s.nc")
    assert (run.sizes["proposal"], run.sizes["draw"]) == (1024, 1024)
    assert "array 0: changed by" in run.attrs["incomplete"]
    assert xbar_json("runs", "show", "s.nc")["results"]["incomplete"] == run.attrs["incomplete"]


def test_a_fault_before_the_first_look_leaves_no_run(xbar, mocker, flows):
    mocker.patch.object(Watch, "look", side_effect=SelfTestError("DAC 3", "0x1", "0x0", "exact", "check its supply"))
    result = xbar(*crossbar(flows[0], "--configs", 600))
    assert result.exit_code == 3
    assert "DAC 3: 0x0, expected 0x1" in result.stderr
    assert not Path("s.nc").exists()


def test_identities_beyond_their_band_end_the_run_with_exit_code_1(xbar, mocker, flows):
    found = mocker.patch("anf.samplers.guard.pulls", side_effect=[{}, {"virial": 9.0}])
    result = xbar("sample", "--L", 2, "--flow", flows[0], "--configs", 2000, "--out", "s.nc")
    assert found.call_count == 2
    assert result.exit_code == 1
    assert "sampling ended after 512 of 2000 proposals, which s.nc keeps: virial is +9.0 σ off" in result.stderr
    assert read("s.nc").sizes["proposal"] == 512
