"""Training lowers the KL, stops on trouble, resumes to the last bit."""

from __future__ import annotations

import math

import pytest
import torch

from anf.flows.checkpoint import CheckpointError, load_flow, shipped
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4
from anf.training.evaluation import evaluate
from anf.training.loop import TrainingConfig, TrainingDiverged, group_sizes, parameter_groups, train
from anf.training.noise import TrainingNoise
from anf.training.recipes import architecture

CONFIG = MixerFlowConfig(
    shape=(4, 4), couplings=2, site_map="tanh", mixer=MixerConfig(patch=4, channels=6, channel_hidden=6)
)
FREE = Phi4(3.0, 0.0, (4, 4))
SHORT = TrainingConfig(steps=8, batch=32, report_every=2, checkpoint_every=4)
LONG = TrainingConfig(steps=120, batch=64, learning_rate=2e-2)
NOISE = TrainingNoise(programming=0.02, read=0.004)


def parameters(flow: MixerFlow) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in flow.parameters()])


def test_training_reaches_the_free_field_whose_free_energy_is_known():
    flow = MixerFlow(CONFIG)
    assert evaluate(flow, FREE, n=8192).ess < 0.1
    train(flow, FREE, LONG)
    result = evaluate(flow, FREE, n=8192)
    # S = phi K phi / 2 with K = 2 (p^2 + m^2): F = -ln Z = sum over modes of ln(K / 2 pi) / 2
    modes = [
        2 * (4 * math.sin(math.pi * a / 4) ** 2 + 4 * math.sin(math.pi * b / 4) ** 2 + FREE.m2)
        for a in range(4)
        for b in range(4)
    ]
    exact = 0.5 * sum(math.log(k / (2 * math.pi)) for k in modes)
    assert result.ess > 0.9
    assert abs(result.free_energy - exact) < 4 * result.free_energy_error
    assert 0 < result.kl < 0.05


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SHORT, id="plain"),
        pytest.param(
            SHORT.model_copy(update={"noise": NOISE, "noise_steps": 6, "weight_limit": 1.5}), id="noise, limit"
        ),
    ],
)
def test_an_interrupted_run_resumes_to_the_same_bits(config, tmp_path):
    whole = MixerFlow(CONFIG)
    reference = train(whole, FREE, config)

    class Interrupted(Exception):
        pass

    def interrupt(step, loss, ess, eta):
        if step == 6:
            raise Interrupted

    state = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted):
        train(MixerFlow(CONFIG), FREE, config, checkpoint=state, progress=interrupt)
    again = MixerFlow(CONFIG, seed=99)
    result = train(again, FREE, config, checkpoint=state, resume=True)
    assert torch.equal(parameters(again), parameters(whole))
    assert result.curve == reference.curve
    assert [c[0] for c in result.curve] == [2, 4, 6, 8]


def test_resuming_another_run_is_refused(tmp_path):
    state = tmp_path / "state.safetensors"
    train(MixerFlow(CONFIG), FREE, SHORT, checkpoint=state)
    with pytest.raises(CheckpointError, match=r"'lam': 0\.0.*'lam': 5\.0"):
        train(MixerFlow(CONFIG), Phi4(1.0, 5.0, (4, 4)), SHORT, checkpoint=state, resume=True)
    with pytest.raises(CheckpointError, match="needs the checkpoint"):
        train(MixerFlow(CONFIG), FREE, SHORT, resume=True)
    other = MixerFlow(CONFIG, seed=5)
    train(other, FREE, SHORT, groups=["bias"], checkpoint=state)
    with pytest.raises(CheckpointError, match="the rest being"):
        train(MixerFlow(CONFIG, seed=6), FREE, SHORT, groups=["bias"], checkpoint=state, resume=True)


class Poisoned:
    """An action whose gradient fails at the seventh call."""

    name, parameters, shape = "phi4", {"m2": 3.0, "lam": 0.0}, (4, 4)

    def __init__(self, value: float) -> None:
        self.value, self.calls = value, 0

    def __call__(self, phi):
        self.calls += 1
        return FREE(phi) + (self.value if self.calls == 7 else 0.0)

    def gradient(self, phi):
        return FREE.gradient(phi)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 100.0])
def test_divergence_stops_with_advice_and_keeps_the_last_good_state(value, tmp_path):
    state = tmp_path / "state.safetensors"
    with pytest.raises(TrainingDiverged, match=r"step 6.*of step 4, is in .*state\.safetensors.*learning_rate"):
        train(MixerFlow(CONFIG), Poisoned(value), SHORT, checkpoint=state)
    recovered = MixerFlow(CONFIG)
    assert train(recovered, FREE, SHORT, checkpoint=state, resume=True).steps == 8
    assert torch.isfinite(parameters(recovered)).all()


def test_divergence_before_the_first_checkpoint_does_not_speak_of_one(tmp_path):
    late = SHORT.model_copy(update={"checkpoint_every": 8})
    with pytest.raises(TrainingDiverged, match="no checkpoint was written yet, the first was due at step 8"):
        train(MixerFlow(CONFIG), Poisoned(math.nan), late, checkpoint=tmp_path / "state.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_groups_cover_every_parameter_once():
    flow = MixerFlow(CONFIG)
    flow.add_lora(2)
    groups = parameter_groups(flow)
    names = [name for members in groups.values() for name in members]
    assert sorted(names) == sorted(name for name, _ in flow.named_parameters())
    assert sum(group_sizes(flow).values()) == sum(p.numel() for p in flow.parameters())
    assert group_sizes(flow)["lora"] == 4 * 2 * 6


def test_the_weight_limit_holds_for_every_matrix():
    flow = MixerFlow(CONFIG)
    train(flow, FREE, SHORT.model_copy(update={"weight_limit": 1.5, "learning_rate": 0.05}))
    for layer in flow.base_layers().values():
        # Clamping lowers the rms a little too, so the ratio may end slightly above the limit.
        assert layer.weight.abs().max() <= 1.65 * layer.weight.square().mean().sqrt()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda flow: train(flow, FREE, SHORT, groups=["wheights"]), "wheights.*unknown"),
        (lambda flow: train(flow, FREE, SHORT, groups=["lora"]), "no parameter.*add_lora"),
        (lambda flow: train(flow, Phi4(1.0, 0.0, (6, 6)), SHORT), r"\(6, 6\).*\(4, 4\)"),
    ],
)
def test_requests_that_make_no_sense_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(MixerFlow(CONFIG))


def test_checkpoints_between_reports_are_refused():
    with pytest.raises(ValueError, match="checkpoint_every = 5: must be a multiple of report_every = 2"):
        TrainingConfig(steps=10, report_every=2, checkpoint_every=5)


def test_the_default_flow_at_l_4_fills_one_array_and_reads_it_96_times_per_configuration():
    flow = MixerFlow(architecture(Phi4(-4.0, 5.5, (4, 4))))
    shapes = {name: tuple(layer.weight.shape) for name, layer in flow.base_layers().items()}
    # Three quadrants of a 32 x 32 array, then embed beside pixel in the fourth.
    assert shapes == {
        "embed": (16, 8),
        "blocks.0.w3": (16, 16),
        "blocks.0.w4": (16, 16),
        "output": (16, 16),
        "pixel": (4, 2),
    }
    assert sum(flow.vectors_per_sample().values()) == 96


# F = -ln Z from the transfer matrix (anf.lattice.exact.phi4(4, -4, lam), 4 s each).
@pytest.mark.parametrize(
    ("lam", "floor", "free_energy"), [(5.0, 0.95, -5.671007), (5.5, 0.95, -4.869490), (6.0, 0.95, -4.217724)]
)
def test_shipped_flows_have_the_ess_their_record_states_and_the_exact_free_energy(lam, floor, free_energy):
    action = Phi4(-4.0, lam, (4, 4))
    flow, record = load_flow(shipped(action, "mixer"), action)
    assert record.ess is not None
    assert record.ess >= floor
    n, n_record = 16_384, record.summary["evaluation"]["n"]
    phi, log_q = flow.sample(n, torch.Generator().manual_seed(20_000))
    log_w = -action(phi.double()) - log_q
    w = torch.softmax(log_w, 0) * n
    measured = 1 / w.square().mean()
    # Delta method for (mean w)^2 / mean w^2; five standard deviations of the difference of two such estimates.
    influence = measured * (2 * w - measured * w.square())
    tolerance = 5 * influence.std() * (1 / n + 1 / n_record) ** 0.5
    assert abs(measured - record.ess) < tolerance < 0.05
    # A flow that had lost a well would be off by ln 2.
    assert abs(free_energy + torch.logsumexp(log_w, 0) - math.log(n)) < 5 * w.std() / n**0.5
