from __future__ import annotations

import json
import os
import shlex

import pytest
import xarray as xr

from drivers.board import PAPER_BOARD
from lab_scripts import outputs, runs
from lab_scripts.exits import FileError

HMC = ("hmc", "--L", 2, "--configs", 2000, "--chains", 10)


def test_the_root_attributes_are_enough_to_run_it_again(xbar, tmp_path):
    assert xbar(*HMC, "--out", "first.nc").exit_code == 0
    first = xr.load_dataset("first.nc")
    command = shlex.split(first.attrs["command"])
    assert command[0] == "xbar"
    command[command.index("first.nc")] = "again.nc"
    assert xbar(*command[1:]).exit_code == 0
    xr.testing.assert_equal(first, xr.load_dataset("again.nc"))


def test_the_root_attributes_say_with_what_when_and_from_which_configuration(xbar, matrix):
    assert xbar("program", matrix, "--seed", 3, "--out", "p.nc").exit_code == 0
    with xr.open_dataset("p.nc") as run:
        configuration = json.loads(run.attrs["configuration"])
        assert configuration["command"] == "program"
        assert configuration["seed"] == run.attrs["seed"] == 3
        assert configuration["min_yield"] == 0.98
        assert run.attrs["board"] == PAPER_BOARD.read_text()
        assert json.loads(run.attrs["versions"]).keys() >= {"python", "xbar", "numpy", "torch"}
        assert run.attrs["created"].endswith("+00:00")
        assert run.attrs["git_revision"] == runs.git_revision()


def test_an_existing_file_is_kept_unless_force_is_given(xbar, tmp_path):
    (tmp_path / "h.nc").write_text("precious")
    refused = xbar(*HMC, "--out", "h.nc")
    assert refused.exit_code == 4
    assert "exists already; choose another name, or replace it with --force" in refused.stderr
    assert (tmp_path / "h.nc").read_text() == "precious"
    assert xbar(*HMC, "--out", "h.nc", "--force").exit_code == 0
    assert "phi" in xr.load_dataset("h.nc")


@pytest.mark.parametrize(
    ("out", "message"), [("h.txt", "must end in .nc"), ("missing/h.nc", "there is no folder missing; create it first")]
)
def test_a_place_that_cannot_be_written_is_refused_at_the_beginning(xbar, mocker, out, message):
    sampler = mocker.patch("anf.samplers.hmc.run")
    result = xbar(*HMC, "--out", out)
    assert result.exit_code == 4
    assert message in result.stderr
    sampler.assert_not_called()


def test_a_write_that_fails_leaves_nothing_behind(xbar, tmp_path, mocker):
    mocker.patch("lab_scripts.outputs.publish", side_effect=OSError(28, "No space left on device"))
    result = xbar(*HMC, "--out", "h.nc")
    assert result.exit_code == 4
    assert "No space left on device" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_that_somebody_wrote_meanwhile_is_not_replaced(tmp_path):
    partial, path = tmp_path / "partial", tmp_path / "run.nc"
    partial.write_text("mine")
    path.write_text("theirs")
    with pytest.raises(FileError, match="written by somebody else"):
        outputs.publish(partial, path, force=False)
    assert path.read_text() == "theirs"


@pytest.mark.parametrize("force", [False, True])
def test_a_finished_file_is_on_the_disk_before_its_name_and_the_name_before_anything_goes_on(tmp_path, mocker, force):
    happened = []
    for name in ("fsync", "replace", "link"):
        original = getattr(os, name)
        mocker.patch(f"os.{name}", lambda *a, f=original, n=name: (happened.append(n), f(*a))[1])
    with outputs.published(tmp_path / "run.nc", force=force) as partial:
        partial.write_text("mine")
    assert happened == ["fsync", "replace" if force else "link", "fsync"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.nc"]
