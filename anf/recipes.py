"""How the shipped flows were made, and the architecture that a new one gets by default.

``python -m anf.recipes`` makes all shipped files again, in about ten minutes on one core.
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path

from anf.actions import Action, Phi4
from anf.checkpoint import WEIGHTS, CheckpointError, load_flow, save_flow
from anf.field_flow import FieldFlow, FieldFlowConfig
from anf.flow import Flow
from anf.mixer import MixerConfig
from anf.mixer_flow import MixerFlow, MixerFlowConfig
from anf.sitemap import Kind
from anf.training import TrainingConfig, TrainingNoise, TrainingResult, evaluate, finetune, group_sizes, train

# Of a matrix's full scale, 30 uS: 0.5 uS programming error and 0.1 uS read noise per cell.
ARRAY_NOISE = TrainingNoise(programming=0.017, read=0.0035)
LORA_RANK = 2
SWEEPS = 8
"""Of a field flow."""
PHI4_M2 = -4.0
PHI4_BASE_LAM = 5.5
PHI4_ADAPTED_LAMS = (5.0, 6.0)


def architecture(shape: tuple[int, int]) -> MixerFlowConfig:
    """The default flow for a lattice (Lx, Ly).

    At 4 x 4 a single patch, 904 base weights in five rectangles that fill 30 x 32 of one array (docs/decisions/0024);
    otherwise 2 x 2 patches. Raises ValueError (pydantic) for an odd side.
    """
    if shape == (4, 4):
        mixer = MixerConfig(patch=4, channels=16, channel_hidden=16, features=2)
        return MixerFlowConfig(shape=shape, couplings=8, site_map="tanh", mixer=mixer)
    return MixerFlowConfig(shape=shape, couplings=8, site_map="tanh", mixer=MixerConfig(channels=16, heads=2))


def mixer_architecture(shape: tuple[int, int], *, site_map: Kind = "tanh") -> MixerFlowConfig:
    """The mixer flow on the completed half for any lattice with even sides: circulant token mixing, so that what is
    learnt on one lattice starts the next larger one. Wide enough that rank-1 LoRA is under 8 % of the weights."""
    mixer = MixerConfig(window=4, channels=24, token_hidden=None, channel_hidden=24, heads=2, features=8, even=4)
    return MixerFlowConfig(shape=shape, completed=True, couplings=8, site_map=site_map, fitted_base=True, mixer=mixer)


def base_training(seed: int = 0) -> TrainingConfig:
    """From nothing: four minutes without noise, then as long with it, on one core at 4 x 4."""
    return TrainingConfig(steps=16_000, batch=512, weight_limit=2.0, noise=ARRAY_NOISE, noise_steps=6_000, seed=seed)


def adapter_training(seed: int = 0) -> TrainingConfig:
    """Digital parts only, for other couplings of the action or for the errors of a programmed array: about a minute."""
    return TrainingConfig(steps=2_000, batch=512, seed=seed)


def field_flow(action: Action, start: Path | None = None, *, sweeps: int | None = None) -> FieldFlow:
    """A field flow for `action`: fresh, or with the kernels of the flow in the file `start`.

    Raises CheckpointError for a file that holds no field flow; ValueError for a lattice larger than the action's.
    """
    if start is None:
        return FieldFlow(FieldFlowConfig(shape=action.shape, sweeps=sweeps or SWEEPS), action)
    other, record = load_flow(start)
    if not isinstance(other, FieldFlow):
        raise CheckpointError(
            f"{start}: holds a {record.architecture.kind} flow; a field flow starts from a field flow"
        )
    config = other.config.model_copy(update={"shape": action.shape, "sweeps": sweeps or other.config.sweeps})
    flow = FieldFlow(FieldFlowConfig.model_validate(dict(config)), action)
    flow.start_from(other)
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
    flow = MixerFlow(architecture(action.shape), seed)
    config = base_training(seed)
    result = train(flow, action, config, progress=progress)
    report(_save(base, flow, action, config, result))
    for lam in PHI4_ADAPTED_LAMS:
        adapted, _ = load_flow(base)
        adapted.add_lora(LORA_RANK, seed)
        action, config = Phi4(PHI4_M2, lam, (4, 4)), adapter_training(seed)
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
        command="python -m anf.recipes",
        ess=measured["ess"],
        summary=summary,
        base=base,
    )
    return f"{path.name}: {measured}"


if __name__ == "__main__":
    make_phi4_l4(Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS)
