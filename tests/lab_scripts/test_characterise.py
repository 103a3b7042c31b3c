from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from calibration.characterise import EXPERIMENTS
from drivers.connect import mock_board
from drivers.crossbar import Crossbar
from firmware_bridge.errors import ConnectionLost
from lab_scripts.characterise import PANELS
from lab_scripts.panels.characterised import DRAWN
from tests.support.small import CHARACTERISATIONS

SET_CURVE = CHARACTERISATIONS["set-curve"]
VIRGIN = "[array.forming]\nunformed_fraction = 1.0\n"


def test_every_characterisation_has_a_figure_and_the_panels_of_fig_2_are_complete():
    assert set(DRAWN) == set(EXPERIMENTS)
    assert sorted(PANELS) == ["2d", "2e", "2f", "2g", "2h", "2i", "2j", "2k"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_characterisation_leaves_a_run_a_figure_and_numbers_beside_their_bars(xbar_json, tmp_path, name):
    (tmp_path / "virgin.toml").write_text(VIRGIN)
    answer = xbar_json("characterise", name, *CHARACTERISATIONS.get(name, ()), "--seed", 1, "--out", "run.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.nc", "run.pdf", "run.png", "virgin.toml"]
    with xr.open_dataset("run.nc") as run:
        assert run.attrs["characterisation"] == name
        assert run.attrs["identity"] == "mock mock-1"
        assert run.attrs["command"].startswith(f"xbar characterise {name} ")
        assert "paper-32x32" in run.attrs["board"]
        numbers = EXPERIMENTS[name].numbers(run.load())
        assert all({"units", "long_name"} <= set(v.attrs) for v in run.variables.values() if v.dtype.kind == "f")
    assert [n["name"] for n in answer["numbers"]] == [n.name for n in numbers]
    assert [n["value"] for n in answer["numbers"]] == pytest.approx([n.value for n in numbers], nan_ok=True)
    for text in (answer["run_id"], f"xbar characterise {name}"):
        assert text.encode() in (tmp_path / "run.png").read_bytes()
    with Image.open("run.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10


def test_the_figure_of_a_run_is_drawn_from_it_without_a_board(xbar_json, xbar, tmp_path, mocker):
    xbar_json("characterise", "set-curve", *SET_CURVE, "--out", "run.nc")
    opened = mocker.patch("lab_scripts.board_choice.open_crossbar")
    answer = xbar_json("figure", "2e", "--from", "run.nc", "--out", "again.svg")
    opened.assert_not_called()
    assert answer["figure"] == "again.svg"
    text = (tmp_path / "again.svg").read_text()
    assert answer["run_id"] in text
    assert "xbar characterise set-curve --points 3" in text
    refused = xbar("figure", "2g", "--from", "run.nc", "--out", "other.pdf")
    assert (refused.exit_code, "is a run of set-curve, not of levels" in refused.stderr) == (4, True)


def test_runs_of_program_and_mvm_can_be_drawn(xbar_json, matrix, tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).uniform(-0.1, 0.1, (4, 5)))
    xbar_json("program", matrix, "--out", "p.nc")
    xbar_json("mvm", "--weights", matrix, "--inputs", "v.npy", "--out", "m.nc")
    assert xbar_json("figure", "2h", "--from", "p.nc", "--out", "p.pdf")["numbers"][0]["value"] == 100.0
    with xr.open_dataset("m.nc") as run:
        error = float(np.sqrt(((run["result_a"] - run["ideal_a"]) ** 2).mean())) * 1e6
    numbers = xbar_json("figure", "2k", "--from", "m.nc", "--out", "m.pdf")["numbers"]
    assert {n["name"]: n["value"] for n in numbers}["rms error of a current"] == pytest.approx(error)


def test_a_missed_bar_is_exit_code_1_with_the_run_and_the_figure_written(xbar, tmp_path):
    assert xbar("characterise", "pattern", "--out", "run.nc").exit_code == 0
    run = xr.load_dataset("run.nc")
    run["g_check_s"][:2] += 4e-6
    run.to_netcdf("bad.nc", engine="h5netcdf")
    result = xbar("figure", "2h", "--from", "bad.nc", "--out", "bad.pdf")
    assert result.exit_code == 1
    assert re.search(r"all cells within ±3\.5 µS: 93\.\d+ %, bar > 95 %", result.stderr)
    assert re.search(r"> 95 % │ +NO │", result.stdout)
    assert (tmp_path / "bad.pdf").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("figure", "2z", "--out", "f.pdf"), 2, "panel 2z is unknown; there are: "),
        (("figure", "2e", "--out", "f.png"), 4, "must end in .pdf or .svg"),
        (("figure", "2e", "--from", "none.nc", "--out", "f.pdf"), 4, "none.nc: not a run file: No such file"),
        (("figure", "2e", "--from", "text.nc", "--out", "f.pdf"), 4, "text.nc: not a run file"),
        (("characterise", "levels", "--out", "taken.nc"), 4, "taken.png: exists already"),
        (("characterise", "levels", "--levels", "1", "--out", "f.nc"), 2, "levels = 1 is outside 2 … 1000"),
        (
            ("characterise", "set-curve", "--last-v", "5", "--out", "f.nc"),
            2,
            "last_v = 5 V is outside 500 mV … 2.2 V (xbar characterise set-curve)",
        ),
        (
            ("characterise", "forming", "--first-v", "3", "--last-v", "2.5", "--out", "f.nc"),
            2,
            "last_v = 2.5 V is outside 3 V … 4 V (xbar characterise forming: more than first_v)",
        ),
        (("characterise", "levels", "--mock", "none.toml", "--out", "f.nc"), 4, "none.toml: No such file"),
        (("characterise", "levels", "--mock", "text.nc", "--out", "f.nc"), 4, "text.nc: not TOML"),
        (
            ("characterise", "levels", "--mock", "text.nc", "--backend", "tcp://h:1", "--out", "f.nc"),
            2,
            "--backend tcp://h:1 has chips of its own",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_board_is_opened(xbar, tmp_path, mocker, args, code, message):
    (tmp_path / "text.nc").write_text("no run")
    (tmp_path / "taken.png").write_text("somebody's")
    opened = mocker.patch("lab_scripts.board_choice.open_crossbar")
    result = xbar(*args)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    opened.assert_not_called()


def test_a_board_that_really_waits_is_asked_for_days_only_with_yes(xbar, mocker, tmp_path):
    original = importlib.import_module("drivers.connect").open_crossbar

    def real(*args, **kwargs):
        crossbar = original(*args, **kwargs)
        crossbar.identity = replace(crossbar.identity, kind="zc706", serial="7")
        return crossbar

    mocker.patch("lab_scripts.board_choice.open_crossbar", real)
    pulsed = mocker.spy(Crossbar, "apply_pulses")
    args = ("characterise", "retention", "--cells", 2, "--repeats", 1)
    refused = xbar(*args, "--out", "run.nc")
    assert refused.exit_code == 2
    assert "waits 1e+06 s (12 days), and zc706 board 7 really waits; say --yes" in refused.stderr
    pulsed.assert_not_called()
    assert not list(tmp_path.iterdir())
    assert xbar(*args, "--duration-s", 3600, "--out", "hour.nc").exit_code == 0
    assert xbar(*args, "--yes", "--out", "run.nc").exit_code == 0


def test_an_interrupt_leaves_the_outputs_safe_and_a_journal_to_go_on_from(xbar, tmp_path, mocker):
    module = importlib.import_module("lab_scripts.board_choice")
    opened = mocker.spy(module, "open_crossbar")
    mocker.patch.object(Crossbar, "read_conductance", side_effect=KeyboardInterrupt)
    result = xbar("characterise", "set-curve", "--out", "run.nc")
    assert result.exit_code == 130
    board = mock_board(opened.spy_return)
    assert board is not None
    assert not board.gate
    assert board.chain.oe_n
    # Pulses were given: what is known of them is kept.
    assert [path.name for path in tmp_path.iterdir()] == ["run.nc.journal"]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [(KeyboardInterrupt, 130, "KeyboardInterrupt"), (ConnectionLost("the link is gone"), 3, "the link is gone")],
)
def test_what_was_measured_until_a_run_ended_early_can_be_drawn_and_says_so(
    xbar, tmp_path, mocker, error, code, reason
):
    original, left = Crossbar.wait, [4]

    def wait(crossbar, seconds):
        left[0] -= 1
        if left[0] < 0:
            raise error
        original(crossbar, seconds)

    mocker.patch.object(Crossbar, "wait", wait)
    args = ("characterise", "retention", "--cells", 2, "--per-decade", 1, "--repeats", 1, "--out", "run.nc")
    result = xbar(*args)
    assert result.exit_code == code
    kept = "run.nc.journal/incomplete.nc"
    assert f"{kept} keeps what was measured until then" in result.stderr
    assert "xbar resume run.nc" in result.stderr
    with xr.open_dataset(kept) as run:
        assert reason in run.attrs["incomplete"]
        assert run["time_s"].values == pytest.approx([1, 10, 100], rel=1e-6)
        assert run["g_s"].shape == (3, 2)
    drawn = xbar("figure", "2i", "--from", kept, "--out", "f.pdf")
    assert drawn.exit_code == 0
    assert "INCOMPLETE" in drawn.stdout
    mocker.patch.object(Crossbar, "wait", original)
    assert xbar("resume", "run.nc").exit_code == 0
    with xr.open_dataset("run.nc") as run:
        assert run["g_s"].shape == (7, 2)
        assert "incomplete" not in run.attrs
    assert sorted(p.name for p in tmp_path.glob("run*")) == ["run.nc", "run.pdf", "run.png"]


def test_equal_seeds_give_equal_numbers(xbar_json):
    first, second, other = (
        json.dumps(xbar_json("characterise", "set-curve", *SET_CURVE, "--seed", seed, "--out", f"{k}.nc")["numbers"])
        for k, seed in enumerate((4, 4, 5))
    )
    assert first == second != other


def test_a_calibration_record_corrects_what_is_measured(xbar_json, xbar):
    xbar_json("calibrate", "bench", "--dmm", "mock", "--smu", "mock", "--seed", 6, "--out", "record.json")
    args = ("characterise", "linearity", "--cells", 3, "--points", 5, "--sweeps", 100, "--seed", 6)
    slopes = []
    for name, record in (("plain", ()), ("corrected", ("--calibration", "record.json"))):
        xbar_json(*args, *record, "--out", f"{name}.nc")
        with xr.open_dataset(f"{name}.nc") as run:
            slopes.append(np.polyfit(run["voltage_v"], run["current_a"], 1)[0] / run["g_target_s"].to_numpy())
    # Each cell is programmed by reads with the same correction, so that slope and target agree either way, to the
    # programming's accuracy; what the record changes is what a siemens is.
    assert np.abs(np.array(slopes) - 1).max() < 0.05
    assert not np.array_equal(*slopes)
    refused = xbar(*args, "--seed", 7, "--calibration", "record.json", "--out", "other.nc")
    assert (refused.exit_code, "mock-6" in refused.stderr) == (4, True), refused.stderr


def test_the_yield_map_of_a_dead_array_is_a_map(xbar_json, tmp_path):
    (tmp_path / "dead.toml").write_text("[array.faults]\nstuck_high_fraction = 0.0\nstuck_low_fraction = 1.0\n")
    answer = xbar_json("characterise", "yield-map", "--mock", "dead.toml", "--out", "run.nc")
    numbers = {n["name"]: n["value"] for n in answer["numbers"]}
    assert (numbers["cells that hold every level"], numbers["stuck low"]) == (0, 1024)
    assert (tmp_path / "run.png").exists()
