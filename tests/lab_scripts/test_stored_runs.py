from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from lab_scripts import run_store

HMC = ("hmc", "--L", 2, "--configs", 2000, "--chains", 10)


@pytest.fixture
def two(xbar):
    """Two runs that differ in their seed."""
    for seed in (1, 2):
        assert xbar(*HMC, "--seed", seed, "--out", f"h{seed}.nc").exit_code == 0


def test_a_folder_is_listed_with_commands_and_results(two, xbar_json):
    listed = xbar_json("runs", "list", ".")["runs"]
    assert [run["name"] for run in listed] == ["h1.nc", "h2.nc"]
    assert listed[1]["command"] == "xbar hmc --L 2 --configs 2000 --chains 10 --seed 2 --out h2.nc"
    assert 0 < listed[0]["results"]["acceptance"] < 1
    assert listed[0]["created"].endswith("+00:00")


def test_the_index_spares_opening_files_that_have_not_changed(two, xbar_json, mocker):
    first = xbar_json("runs", "list", ".")
    opened = mocker.spy(h5py, "File")
    assert xbar_json("runs", "list", ".") == first
    opened.assert_not_called()
    with h5py.File("h1.nc", "a") as run:
        run.attrs["acceptance"] = 0.125
    opened.reset_mock()
    assert xbar_json("runs", "list", ".")["runs"][0]["results"]["acceptance"] == 0.125
    assert opened.call_count == 1


@pytest.mark.parametrize("damage", ["", "{", '{"format": 99, "runs": {}}', '{"format": 1, "runs": {"h1.nc": 3}}'])
def test_a_lost_or_damaged_index_is_made_anew(two, xbar_json, damage):
    first = xbar_json("runs", "list", ".")
    Path(run_store.INDEX).write_text(damage)
    assert xbar_json("runs", "list", ".") == first
    assert json.loads(Path(run_store.INDEX).read_text())["format"] == 1


def test_a_damaged_run_is_named_and_does_not_hide_the_others(two, xbar_json):
    content = Path("h1.nc").read_bytes()
    Path("h1.nc").write_bytes(content[: len(content) // 2])
    xr.Dataset({"x": 1}).to_netcdf("other.nc", engine="h5netcdf")
    damaged, whole, foreign = xbar_json("runs", "list", ".")["runs"]
    assert "truncated" in damaged["problem"]
    assert not whole["problem"]
    assert foreign["problem"] == "not a run file: it has no attribute 'command'"


def test_a_folder_that_is_not_there_is_said(xbar):
    result = xbar("runs", "list", "nowhere")
    assert result.exit_code == 4
    assert "nowhere: there is no such folder" in result.stderr


def test_show_says_how_a_run_was_made_and_what_it_holds(two, xbar_json):
    shown = xbar_json("runs", "show", "h1.nc")
    assert shown["made_by"]["command"].startswith("xbar hmc")
    assert shown["configuration"]["chains"] == 10
    assert shown["variables"][0]["name"] == "phi"
    assert shown["variables"][0]["dims"] == "chain 10 × draw 200 × x 2 × y 2"


def test_compare_finds_every_difference_and_nothing_else(two, xbar, xbar_json):
    assert xbar_json("runs", "compare", "h1.nc", "h1.nc")["same"]
    result = xbar("runs", "compare", "h1.nc", "h2.nc", "--json")
    assert result.exit_code == 1
    found = {(d["what"], d["name"]): (d["a"], d["b"]) for d in json.loads(result.stdout)["differences"]}
    assert found["configuration", "seed"] == ("1", "2")
    assert ("variable", "phi") in found
    assert ("configuration", "chains") not in found


def test_one_bit_is_a_difference(two, xbar_json, xbar):
    with h5py.File("h2.nc", "a") as run, h5py.File("h1.nc") as other:
        for name in other:
            run[name][...] = other[name][...]
        for name, value in other.attrs.items():
            run.attrs[name] = value
    assert xbar_json("runs", "compare", "h1.nc", "h2.nc")["same"]
    with h5py.File("h2.nc", "a") as run:
        run["phi"][0, 0, 0, 0] = np.nextafter(run["phi"][0, 0, 0, 0], np.float32(9), dtype=np.float32)
    assert "phi" in xbar("runs", "compare", "h1.nc", "h2.nc").stderr


def test_a_replay_needs_the_run_file_alone(xbar, xbar_json, matrix, tmp_path):
    np.save("v.npy", np.linspace(-0.1, 0.1, 20).reshape(4, 5))
    made = xbar("mvm", "--weights", matrix, "--inputs=./v.npy", "--seed", 3, "--out", "m.nc")
    assert made.exit_code == 0, made.stderr
    matrix.unlink()
    Path("v.npy").write_bytes(b"another file by now")
    assert xbar_json("runs", "replay", "m.nc", "--out", "again.nc")["same"]
    xr.testing.assert_identical(xr.load_dataset("m.nc").drop_attrs(), xr.load_dataset("again.nc").drop_attrs())


def run_that_somebody_made(command, name="v.npy"):
    """A run file with a command, and one input of that name."""
    xr.Dataset(attrs={"command": command, "configuration": "{}"}).to_netcdf("run.nc", engine="h5netcdf")
    content = np.frombuffer(b"content", np.uint8)
    attributes = {"word": "v.npy", "name": name, "sha256": "", "size": content.size}
    inputs = xr.Dataset({"file_0": ("byte_0", content, attributes)})
    inputs.to_netcdf("run.nc", mode="a", group="inputs", engine="h5netcdf")


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "..", "a/b", ""])
def test_a_replay_puts_no_file_outside_its_folder(xbar, name):
    run_that_somebody_made("xbar mvm --inputs v.npy", name)
    result = xbar("runs", "replay", "run.nc")
    assert result.exit_code == 4
    assert "is no name of a file: nothing is unpacked" in result.stderr


@pytest.mark.parametrize("command", ["xbar serve", "xbar resume other.nc", "xbar runs replay m.nc", "xbar", ""])
def test_a_replay_does_nothing_but_runs(xbar, command):
    run_that_somebody_made(command)
    result = xbar("runs", "replay", "run.nc")
    assert result.exit_code == 4
    assert "holds a command that makes no run" in result.stderr


def test_a_replay_takes_the_flow_with_the_base_that_it_belongs_to(xbar, xbar_json, flows, tmp_path):
    for flow in flows:
        (tmp_path / flow.name).write_bytes(flow.read_bytes())
    made = xbar("sample", "--L", 2, "--lam", 5.5, "--flow", "adapter.safetensors", "--configs", 300, "--out", "s.nc")
    assert made.exit_code == 0, made.stderr
    for flow in flows:
        (tmp_path / flow.name).unlink()
    assert xbar_json("runs", "replay", "s.nc")["same"]


def test_a_replay_that_comes_out_different_is_exit_code_1(two, xbar):
    with h5py.File("h1.nc", "a") as run:
        run["phi"][0, 0, 0, 0] += 1
    result = xbar("runs", "replay", "h1.nc")
    assert result.exit_code == 1
    assert "differ in phi" in result.stderr


@pytest.mark.parametrize("where", [{"backend": "tcp://10.0.0.2:7706"}, {"backends": ["mock", "tcp://10.0.0.2:7706"]}])
def test_a_real_board_is_not_pulsed_by_a_replay(two, xbar, where):
    with h5py.File("h1.nc", "a") as run:
        run.attrs["configuration"] = json.dumps({"command": "program", **where})
    result = xbar("runs", "replay", "h1.nc")
    assert result.exit_code == 2
    assert "was made on tcp://10.0.0.2:7706, a real board" in result.stderr
    assert "--real-board" in result.stderr


def test_an_input_too_large_to_keep_is_named_with_its_digest(xbar, matrix, mocker):
    mocker.patch("lab_scripts.runs.LARGEST_INPUT", 100)
    assert xbar("program", matrix, "--out", "p.nc").exit_code == 0
    result = xbar("runs", "replay", "p.nc")
    assert result.exit_code == 4
    assert "was too large to be kept, only its digest is" in result.stderr


def test_csv_has_units_and_asks_for_variables_of_one_shape(xbar, xbar_json, matrix):
    np.save("v.npy", np.full((2, 5), 0.05))
    assert xbar("mvm", "--weights", matrix, "--inputs", "v.npy", "--out", "m.nc").exit_code == 0
    refused = xbar("runs", "export", "m.nc", "--out", "m.csv")
    assert refused.exit_code == 2
    assert "failed, g_target_s, g_read_s over (sl, bl): choose by --variable" in refused.stderr
    said = xbar_json("runs", "export", "m.nc", "--out", "m.csv", "--variable", "result_a")
    assert said == {"run": "m.nc", "file": "m.csv", "variables": ["result_a"], "size": Path("m.csv").stat().st_size}
    lines = Path("m.csv").read_text().splitlines()
    assert lines[0] == "vector,sl,result_a (A)"
    assert float(lines[1].split(",")[2]) == xr.load_dataset("m.nc")["result_a"].values[0, 0]
    assert xbar("runs", "export", "m.nc", "--out", "m.json").exit_code == 0
    assert json.loads(Path("m.json").read_text())["data_vars"]["result_a"]["attrs"]["units"] == "A"
