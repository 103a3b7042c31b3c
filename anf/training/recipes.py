"""How the shipped flows were made, and the architecture that a new one gets by default.

``python -m anf.training.recipes`` makes all shipped files again, in about ten minutes on one core.
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path

from anf.flows.checkpoint import WEIGHTS, CheckpointError, load_flow, save_flow
from anf.flows.field_flow import FieldFlow, FieldFlowConfig
from anf.flows.flow import Flow
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Action, Phi4
from anf.training.evaluation import evaluate
from anf.training.finetuning import finetune
from anf.training.loop import TrainingConfig, TrainingResult, group_sizes, train
from anf.training.noise import TrainingNoise

# Of a matrix's full scale, 30 uS: 0.5 uS programming error and 0.1 uS read noise per cell.
ARRAY_NOISE = TrainingNoise(programming=0.017, read=0.0035)
LORA_RANK = 2
SWEEPS = 8
"""Of a field flow."""
PHI4_M2 = -4.0
PHI4_BASE_LAM = 5.5
PHI4_ADAPTED_LAMS = (5.0, 6.0)


def architecture(action: Action) -> MixerFlowConfig:
    """The mixer flow of an action on its lattice.

    φ⁴ on 4 × 4: a single patch, 904 base weights in five rectangles that fill 30 × 32 of one array
    (docs/decisions/0024). Else the completed half with circulant token mixing (0060, 0061), wide enough that LoRA of
    rank 1 in the mixer blocks is less than 8 % of the weights (0062). Raises ValueError (pydantic) for an odd side.
    """
    if action.name == "phi4" and action.shape == (4, 4):
        mixer = MixerConfig(patch=4, channels=16, channel_hidden=16, features=2)
        return MixerFlowConfig(shape=action.shape, couplings=8, site_map="tanh", mixer=mixer)
    mixer = MixerConfig(window=4, channels=24, token_hidden=None, channel_hidden=24, heads=2, features=8, even=4)
    return MixerFlowConfig(
        shape=action.shape,
        completed=True,
        couplings=8,
        site_map="sine" if action.site.cosine else "tanh",
        fitted_base=True,
        mixer=mixer,
    )


def mixer_flow(action: Action, start: Path | None = None, *, seed: int = 0, **sizes: int | None) -> MixerFlow:
    """A mixer flow for `action`: fresh, with those of `sizes` that are not None (``couplings``, ``patch``,
    ``channels``, ``hidden``, ``blocks``, ``heads``, ``features``), or going on from the flow in the file `start`,
    with its sizes.

    Raises CheckpointError for a file that holds no mixer flow; ValueError for sizes that do not fit.
    """
    given = {name: size for name, size in sizes.items() if size is not None}
    if start is not None:
        other, record = load_flow(start)
        if not isinstance(other, MixerFlow):
            raise CheckpointError(
                f"{start}: holds a {record.architecture.kind} flow; a mixer flow starts from a mixer flow"
            )
        if given:
            raise ValueError(f"{given}: a flow that starts from {start} has the sizes of that one; leave them out")
        config = MixerFlowConfig.model_validate(dict(other.config) | {"shape": action.shape})
        flow = MixerFlow(config, seed, action)
        flow.start_from(other)
        return flow
    base = architecture(action)
    couplings, hidden = given.pop("couplings", base.couplings), given.pop("hidden", None)
    if hidden is not None:
        given["channel_hidden"] = hidden
        if base.mixer.token_hidden is not None:
            given["token_hidden"] = hidden
    mixer = MixerConfig.model_validate(dict(base.mixer) | given)
    return MixerFlow(
        MixerFlowConfig.model_validate(dict(base) | {"couplings": couplings, "mixer": mixer}), seed, action
    )


def base_training(seed: int = 0) -> TrainingConfig:
    """φ⁴ on 4 × 4 from nothing: four minutes without noise, then as long with it, on one core."""
    return TrainingConfig(steps=16_000, batch=512, weight_limit=2.0, noise=ARRAY_NOISE, noise_steps=6_000, seed=seed)


def mixer_training(action: Action, *, started: bool, seed: int = 0) -> TrainingConfig:
    """A mixer flow from the Gaussian, or on from other couplings or a smaller lattice: one to two minutes on a core."""
    if not started and action.name == "phi4" and action.shape == (4, 4):
        return base_training(seed)
    if not started:
        return TrainingConfig(steps=1500, batch=256, learning_rate=6e-3, seed=seed)
    if math.prod(action.shape) < 512:
        return TrainingConfig(steps=700, batch=256, learning_rate=3e-3, seed=seed)
    return TrainingConfig(steps=600, batch=128, learning_rate=2e-3, seed=seed)


def adapter_training(action: Action, seed: int = 0) -> TrainingConfig:
    """Digital parts only, for other couplings of the action or for the errors of a programmed array: about a minute."""
    if action.shape == (4, 4):
        return TrainingConfig(steps=2_000, batch=512, seed=seed)
    # Large lattices need no larger batch: their sites are many samples of one kernel.
    return TrainingConfig(steps=300, batch=256 if math.prod(action.shape) < 512 else 128, learning_rate=1e-2, seed=seed)


def field_flow(
    action: Action, start: Path | None = None, *, sweeps: int | None = None, wells: int | None = None
) -> FieldFlow:
    """A field flow for `action`: fresh, or with the kernels of the flow in the file `start`.

    Raises CheckpointError for a file that holds no field flow; ValueError for a lattice larger than the action's.
    """
    if start is None:
        return FieldFlow(FieldFlowConfig(shape=action.shape, sweeps=sweeps or SWEEPS, wells=wells or 0), action)
    other, record = load_flow(start)
    if not isinstance(other, FieldFlow):
        raise CheckpointError(
            f"{start}: holds a {record.architecture.kind} flow; a field flow starts from a field flow"
        )
    config = other.config.model_copy(
        update={
            "shape": action.shape,
            "sweeps": sweeps or other.config.sweeps,
            "wells": other.config.wells if wells is None else wells,
        }
    )
    flow = FieldFlow(FieldFlowConfig.model_validate(dict(config)), action)
    flow.start_from(other, action)
    return flow


def field_training(shape: tuple[int, int], *, started: bool, seed: int = 0) -> TrainingConfig:
    """A field flow from the Gaussian, or on from other couplings or a smaller lattice."""
    # Large lattices need no larger batch: their sites are many samples of one kernel.
    batch = 256 if math.prod(shape) < 512 else 128 if math.prod(shape) < 2048 else 64
    if started:
        return TrainingConfig(steps=400, batch=batch, learning_rate=4e-3, seed=seed)
    return TrainingConfig(steps=600, batch=batch, learning_rate=1e-2, seed=seed)


def thinned(curve: list[tuple[int, float, float]]) -> list[list[float]]:
    """About 32 points (step, loss, ESS) of a training curve, as flow files keep it."""
    return [[step, round(loss, 4), round(ess, 4)] for step, loss, ess in curve[:: max(1, len(curve) // 32)]]


def make_phi4_l4(folder: Path = WEIGHTS, seed: int = 0, report=print) -> None:
    """Train the base flow of phi^4 on 4 x 4 and its adapters into `folder`."""

    def progress(step: int, loss: float, ess: float, eta_s: float) -> None:
        if step % 1000 == 0:
            report(f"step {step}: S + log q = {loss:.4f}, batch ESS {ess:.3f}, {eta_s:.0f} s left")

    base = folder / "phi4_L4.safetensors"
    action = Phi4(PHI4_M2, PHI4_BASE_LAM, (4, 4))
    flow = mixer_flow(action, seed=seed)
    config = base_training(seed)
    result = train(flow, action, config, progress=progress)
    report(_save(base, flow, action, config, result))
    for lam in PHI4_ADAPTED_LAMS:
        adapted, _ = load_flow(base)
        adapted.add_lora(LORA_RANK, seed)
        action = Phi4(PHI4_M2, lam, (4, 4))
        config = adapter_training(action, seed)
        result = finetune(adapted, action, config, progress=progress)
        report(_save(folder / f"phi4_L4_lam{lam:g}.safetensors", adapted, action, config, result, base))


def _save(
    path: Path, flow: Flow, action: Action, config: TrainingConfig, result: TrainingResult, base: Path | None = None
) -> str:
    measured = asdict(evaluate(flow, action))
    summary = {
        "training": config.model_dump(),
        "parameters": group_sizes(flow),
        "seconds": round(result.seconds),
        "evaluation": measured,
        "curve": thinned(result.curve),
    }
    save_flow(
        path,
        flow,
        action,
        seed=config.seed,
        command="python -m anf.training.recipes",
        ess=measured["ess"],
        summary=summary,
        base=base,
    )
    return f"{path.name}: {measured}"


if __name__ == "__main__":
    make_phi4_l4(Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS)
