"""Flow files: what comes back is what was written, and nothing foreign or damaged is taken."""

from __future__ import annotations

import os

import pytest
import torch

from anf.flows import checkpoint
from anf.flows.checkpoint import CheckpointError, load_flow, save_flow
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4

CONFIG = MixerFlowConfig(
    shape=(4, 4), couplings=2, site_map="tanh", mixer=MixerConfig(patch=4, channels=4, channel_hidden=4)
)
ACTION = Phi4(-4.0, 5.5, (4, 4))


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    save_flow(path, MixerFlow(CONFIG, seed=1), ACTION, seed=1, command="xbar train", ess=0.5, summary={"steps": 3})
    return path


def output(flow: MixerFlow) -> torch.Tensor:
    return flow.sample(5, torch.Generator().manual_seed(0))[0]


def test_a_flow_comes_back_as_it_was_with_its_record(base):
    flow, record = load_flow(base, ACTION, CONFIG)
    assert torch.equal(output(flow), output(MixerFlow(CONFIG, seed=1)))
    assert (record.seed, record.command, record.ess, record.summary) == (1, "xbar train", 0.5, {"steps": 3})
    assert record.parameters == {"m2": -4.0, "lam": 5.5}
    assert record.versions["torch"] == torch.__version__


def test_an_adapter_holds_no_base_weights_and_brings_its_base_along(base):
    flow, _ = load_flow(base)
    flow.add_lora(2, seed=3)
    with torch.no_grad():
        for layer in flow.base_layers().values():
            if layer.lora is not None:
                layer.lora.b.fill_(0.1)
        flow.site_map.gamma.fill_(0.2)
    path = base.with_name("adapter.safetensors")
    save_flow(path, flow, Phi4(-4.0, 5.0, (4, 4)), seed=3, command="xbar finetune", base=base)
    tensors, _ = checkpoint.read_tensors(path)
    assert not any(name.endswith("weight") for name in tensors)
    again, record = load_flow(path, Phi4(-4.0, 5.0, (4, 4)))
    assert record.kind == "adapter"
    assert record.base_file == base.name
    assert torch.equal(output(again), output(flow))


def test_an_adapter_of_other_base_weights_is_refused_at_both_ends(base):
    other = MixerFlow(CONFIG, seed=2)
    path = base.with_name("adapter.safetensors")
    with pytest.raises(CheckpointError, match="belongs to the base it was tuned on"):
        save_flow(path, other, ACTION, seed=2, command="", base=base)
    save_flow(path, MixerFlow(CONFIG, seed=1), ACTION, seed=1, command="", base=base)
    save_flow(base, other, ACTION, seed=2, command="")
    with pytest.raises(CheckpointError, match="base weights"):
        load_flow(path)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Phi4(-4.0, 5.0, (4, 4)), r'"lam": 5\.5.*needed .*"lam": 5\.0'),
        (Phi4(-4.0, 5.5, (6, 6)), r"lattice is \[4, 4\], needed \[6, 6\]"),
    ],
)
def test_a_file_for_another_action_or_lattice_is_refused_naming_both(base, action, message):
    with pytest.raises(CheckpointError, match=message):
        load_flow(base, action)


def test_another_architecture_is_refused_naming_both(base):
    with pytest.raises(CheckpointError, match=r'"couplings": 2.*needed .*"couplings": 20'):
        load_flow(base, architecture=MixerFlowConfig(shape=(4, 4)))


def test_a_flow_is_not_saved_for_an_action_on_another_lattice(tmp_path):
    with pytest.raises(CheckpointError, match=r"\(6, 6\).*\(4, 4\)"):
        save_flow(tmp_path / "x.safetensors", MixerFlow(CONFIG), Phi4(-4.0, 5.5, (6, 6)), seed=0, command="")
    assert not list(tmp_path.iterdir())


def test_damaged_missing_and_foreign_files_are_named(base, tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_flow(tmp_path / "none.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    checkpoint.write_tensors(foreign, {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="without a flow record"):
        load_flow(foreign)
    base.write_bytes(base.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"base\.safetensors: not a readable"):
        load_flow(base)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    flow = MixerFlow(CONFIG)
    with torch.no_grad():
        flow.mixer.embed.weight[0, 0] = float("nan")
    save_flow(tmp_path / "x.safetensors", flow, ACTION, seed=0, command="")
    with pytest.raises(CheckpointError, match=r"mixer\.embed\.weight .*not finite"):
        load_flow(tmp_path / "x.safetensors")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(base, monkeypatch):
    before = base.read_bytes()

    def no_space(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        save_flow(base, MixerFlow(CONFIG, seed=9), ACTION, seed=9, command="")
    assert base.read_bytes() == before
    assert list(base.parent.iterdir()) == [base]


def test_no_shipped_flow_says_which_couplings_there_are_or_which_lattices():
    with pytest.raises(
        CheckpointError, match=r"phi4 on 4 × 4 at m2 = -4, lam = 7\.5; there it is for m2 = -4, lam = 4\.5 and"
    ):
        checkpoint.shipped(Phi4(-4.0, 7.5, (4, 4)))
    with pytest.raises(
        CheckpointError, match=r"phi4 on 10 × 10 at m2 = -4, lam = 5; it is on 4 × 4, 6 × 6, 12 × 12, 24"
    ):
        checkpoint.shipped(Phi4(-4.0, 5.0, (10, 10)))
    with pytest.raises(
        CheckpointError, match=r"no token flow is shipped for phi4 .*; for this action there is none\. Train"
    ):
        checkpoint.shipped(Phi4(-4.0, 5.0, (4, 4)), "token")
