"""Every kind of run that the program writes is done again from its file alone, and every bit is the same."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anf.studies import phi4
from calibration.characterise import EXPERIMENTS
from lab_scripts import run_store
from lab_scripts.figure import CALCULATED, Calculated, Sampled
from lab_scripts.runs import RUN_COMMANDS
from lab_scripts.sample import Layers
from tests.support import small

SAMPLE = (
    "sample",
    "--L",
    2,
    "--lam",
    5.5,
    "--flow",
    "adapter.safetensors",
    "--configs",
    100,
    "--tune-steps",
    2,
    "--layers",
)
KINDS = {
    "program": ("program", "w.npy"),
    "compare-write-verify": ("compare-write-verify", "--variant", "predictive"),
    "mvm": ("mvm", "--weights", "w.npy", "--inputs", "v.npy"),
    "hmc": ("hmc", "--L", 2, "--configs", 2000, "--chains", 10),
    "demo": ("demo", "--configs", 100, "--tune-steps", 5, "--lam", 5),
    **{f"sample {layers.value}": (*SAMPLE, layers.value) for layers in Layers},
    **{f"characterise {n}": ("characterise", n, *small.CHARACTERISATIONS.get(n, ())) for n in EXPERIMENTS},
    "figure measured": ("figure", "2h"),
    f"figure {Calculated.__name__}": ("figure", "4g"),
    f"figure {Sampled.__name__}": ("figure", "3c"),
}
"""A small run of each kind: of each command, and of each way in which one command makes different runs."""
QUICK = ("characterise forming", "characterise linearity")
"""Characterisations that are replayed each time; all make their runs in one way."""


def test_every_kind_of_run_is_among_those_that_are_replayed():
    assert {words[0] for words in KINDS.values()} == RUN_COMMANDS
    assert {words[-1] for words in KINDS.values() if words[0] == "sample"} == {layers.value for layers in Layers}
    assert {words[1] for words in KINDS.values() if words[0] == "characterise"} == set(EXPERIMENTS)
    made = {"measured", *(type(panel).__name__ for panel in CALCULATED.values())}
    assert {kind for kind, words in KINDS.items() if words[0] == "figure"} == {f"figure {name}" for name in made}


def test_a_command_that_nobody_could_replay_writes_no_run(xbar, matrix, mocker):
    mocker.patch("lab_scripts.runs.RUN_COMMANDS", RUN_COMMANDS - {"program"})
    refused = xbar("program", matrix, "--out", "p.nc")
    assert refused.exit_code == 70
    assert "xbar program writes run files that nobody can replay" in refused.stderr
    assert not Path("p.nc").exists()


@pytest.fixture
def here(mocker, xbar, monkeypatch):
    """A replay's process is this one, so that what is made small stays small."""

    def run(words, *, env, **_):
        code = xbar(*words[3:]).exit_code
        return subprocess.CompletedProcess(words, code)

    mocker.patch.object(run_store, "subprocess", SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL))
    for name, value in {"SIDES": (4,), "LAMBDAS": (5.0,), "_DRAWS": {4: 150}, "_PROPOSALS": {4: 1024}}.items():
        monkeypatch.setattr(phi4, name, value)


@pytest.fixture
def inputs(flows, matrix, tmp_path):
    np.save(tmp_path / "v.npy", np.linspace(-0.1, 0.1, 20).reshape(4, 5))
    (tmp_path / "virgin.toml").write_text("[array.forming]\nunformed_fraction = 1.0\n")
    for flow in flows:
        (tmp_path / flow.name).write_bytes(flow.read_bytes())


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.startswith("characterise") or k in QUICK])
def test_a_run_comes_out_again_bit_for_bit(here, inputs, xbar, xbar_json, kind):
    out = "run.pdf" if kind.startswith("figure") else "run.nc"
    made = xbar(*KINDS[kind], "--seed", 3, "--out", out)
    assert made.exit_code in (0, 1), made.stderr
    for name in ("w.npy", "v.npy", "virgin.toml", "base.safetensors", "adapter.safetensors"):
        Path(name).unlink()
    assert xbar_json("runs", "replay", "run.nc")["same"]


def test_a_run_that_a_panel_was_made_from_comes_out_again(here, xbar, xbar_json, tmp_path):
    assert xbar("figure", "3c", "--runs", "kept", "--out", "run.pdf").exit_code in (0, 1)
    kept = sorted(Path("kept").glob("*.nc"))
    assert {path.name.partition("-")[0] for path in kept} == {"hmc", "flow"}
    for path in kept:
        assert xbar_json("runs", "replay", path)["same"]


def test_a_run_that_a_check_was_made_from_comes_out_again(here, xbar, xbar_json, monkeypatch):
    small.physics(monkeypatch, "graphene", 6)
    words = ("check-physics", "--lattice", "graphene:6", "--sampler", "hmc", "--runs", "kept")
    assert xbar(*words).exit_code in (0, 1)
    assert xbar_json("runs", "replay", min(Path("kept").glob("*.nc")))["same"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "figure Sampled"])
def test_a_run_comes_out_again_bit_for_bit_in_a_process_of_its_own(inputs, xbar, xbar_json, kind):
    made = xbar(*KINDS[kind], "--seed", 3, "--out", "run.pdf" if kind.startswith("figure") else "run.nc")
    assert made.exit_code in (0, 1), made.stderr
    assert xbar_json("runs", "replay", "run.nc")["same"]
