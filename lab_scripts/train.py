"""`xbar train` and `xbar finetune`: flows from the action alone, and their digital part for other couplings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab_scripts.console import Report
from lab_scripts.exits import FileError, bad_input
from lab_scripts.options import M2, ActionName, FlowOut, Force, Json, L, Lam, Seed, Threads, build_action, set_threads
from lab_scripts.runs import check_output, command_line

if TYPE_CHECKING:
    from anf.actions import Action
    from anf.flow import Flow
    from anf.training import Evaluation, TrainingResult

Steps = Annotated[int, typer.Option("--steps", min=1, help="Optimisation steps.")]
Batch = Annotated[int, typer.Option("--batch", min=2, help="Configurations per step.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="Peak of the learning rate.")]
EvaluateOn = Annotated[int, typer.Option("--evaluate", min=100, help="Fresh proposals for the figures at the end.")]


def train(
    context: typer.Context,
    out: FlowOut,
    action: ActionName = "phi4",
    m2: M2 = -4.0,
    lam: Lam = 5.0,
    side: L = 4,
    steps: Steps = 5000,
    batch: Batch = 512,
    learning_rate: Rate = 4e-3,
    couplings: Annotated[int, typer.Option("--couplings", help="T, coupling steps that share one network.")] = 20,
    channels: Annotated[int, typer.Option("--channels", help="Features per token.")] = 16,
    hidden: Annotated[int, typer.Option("--hidden", help="Hidden width of token and channel mixing.")] = 16,
    blocks: Annotated[int, typer.Option("--blocks", help="Mixer blocks.")] = 1,
    heads: Annotated[int, typer.Option("--heads", help="Token-mixing matrices per block.")] = 1,
    patch: Annotated[int, typer.Option("--patch", help="Side of a patch, sites; even.")] = 2,
    site_map: Annotated[
        bool, typer.Option("--site-map", help="Follow each coupling with a digital map of each site.")
    ] = False,
    weight_limit: Annotated[
        float | None, typer.Option("--weight-limit", help="Keep weights below this multiple of their rms.")
    ] = None,
    noise_steps: Annotated[
        int, typer.Option("--noise-steps", min=0, help="Train the last steps against array errors.")
    ] = 0,
    programming_noise: Annotated[
        float, typer.Option("--programming-noise", help="Error of a cell, relative to full scale.")
    ] = 0.02,
    read_noise: Annotated[
        float, typer.Option("--read-noise", help="Error of a cell in each product, relative to full scale.")
    ] = 0.002,
    evaluate_on: EvaluateOn = 16_384,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint that an interrupted run left beside --out.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Train a flow from nothing, by the reverse KL divergence alone, and write it to a flow file.

    While it runs, its state is in OUT.checkpoint; --resume goes on from there.
    """
    report = Report(as_json=json_output)
    check_output(out, ".safetensors", force=force)
    theory = build_action(action, m2, lam, side)
    set_threads(threads)
    from anf import training
    from anf.checkpoint import save_flow
    from anf.flow import Flow, FlowConfig
    from anf.mixer import MixerConfig

    with bad_input():
        mixer = MixerConfig(
            patch=patch, channels=channels, token_hidden=hidden, channel_hidden=hidden, heads=heads, blocks=blocks
        )
        architecture = FlowConfig(shape=theory.shape, couplings=couplings, site_map=site_map, mixer=mixer)
        config = training.TrainingConfig(
            steps=steps, batch=batch, learning_rate=learning_rate, weight_limit=weight_limit, noise_steps=noise_steps,
            noise=training.TrainingNoise(programming=programming_noise, read=read_noise) if noise_steps else training.TrainingNoise(),
            seed=seed,
        )  # fmt: skip
    flow = Flow(architecture, seed=seed)
    checkpoint = out.with_suffix(".checkpoint")
    with report.task("Training") as step:
        result = training.train(
            flow, theory, config, checkpoint=checkpoint, resume=resume, threads=threads,
            progress=lambda at, loss, ess, _: step(at, steps, f"loss {loss:.4f}, ESS {ess:.3f}"),
        )  # fmt: skip
    summary = _evaluated(report, flow, theory, result, evaluate_on, seed)
    save_flow(out, flow, theory, seed=seed, command=command_line(context), ess=summary["ess"], summary=summary)
    checkpoint.unlink()
    _finish(report, out, summary)


def finetune(
    context: typer.Context,
    out: FlowOut,
    action: ActionName = "phi4",
    m2: M2 = -4.0,
    lam: Lam = 5.0,
    side: L = 4,
    flow_file: Annotated[
        Path | None,
        typer.Option("--flow", help="Flow to start from; without it, the shipped one with the nearest couplings."),
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="Rank of LoRA, if the flow has none yet.")] = 2,
    steps: Steps = 1000,
    batch: Batch = 512,
    learning_rate: Rate = 2e-3,
    evaluate_on: EvaluateOn = 16_384,
    seed: Seed = 0,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Tune the digital part of a flow (LoRA, biases, time embedding) for other couplings; the matrices in the arrays stay.

    Writes an adapter to --out; the base file that it belongs to is put beside it, if it is not there already.
    """
    report = Report(as_json=json_output)
    check_output(out, ".safetensors", force=force)
    theory = build_action(action, m2, lam, side)
    set_threads(threads)
    from anf import training
    from anf.checkpoint import save_flow
    from lab_scripts.flows import base_path, nearest_flow

    with bad_input():
        config = training.TrainingConfig(steps=steps, batch=batch, learning_rate=learning_rate, seed=seed)
    path, flow, record = nearest_flow(theory, flow_file)
    base = _beside(base_path(path, record), out)
    if not record.lora_ranks:
        flow.add_lora(rank, seed=seed)
    report.say(f"from {path.name}: {record.parameters}")
    with report.task("Fine-tuning") as step:
        result = training.finetune(
            flow, theory, config, threads=threads,
            progress=lambda at, loss, ess, _: step(at, steps, f"loss {loss:.4f}, ESS {ess:.3f}"),
        )  # fmt: skip
    summary = _evaluated(report, flow, theory, result, evaluate_on, seed)
    save_flow(out, flow, theory, seed=seed, command=command_line(context), ess=summary["ess"], summary=summary, base=base)
    _finish(report, out, summary | {"base": str(base)})


def _evaluated(report: Report, flow: Flow, theory: Action, result: TrainingResult, n: int, seed: int) -> dict[str, Any]:
    from anf.training import evaluate, group_sizes

    with report.task("Evaluating") as step:
        step(0, 1)
        # A seed of its own: the figures are not those of configurations that were trained on.
        found: Evaluation = evaluate(flow, theory, n, seed=seed + 1)
    return {
        "steps": result.steps, "seconds": result.seconds, "ess": found.ess, "kl": found.kl, "acceptance": found.acceptance,
        "free_energy": found.free_energy, "free_energy_error": found.free_energy_error, "evaluated_on": n,
        "parameters": group_sizes(flow),
    }  # fmt: skip


def _finish(report: Report, out: Path, summary: dict[str, Any]) -> None:
    report.table(str(out), ("", ""), [
        ("steps", f"{summary['steps']} in {summary['seconds']:.0f} s"),
        ("ESS", f"{summary['ess']:.4f}"),
        ("KL(q‖p)", f"{summary['kl']:.4f}"),
        ("acceptance", f"{summary['acceptance']:.4f}"),
        ("F = −ln Z", f"{summary['free_energy']:.4f} ± {summary['free_energy_error']:.4f}"),
        ("parameters", ", ".join(f"{n} {group}" for group, n in summary["parameters"].items() if n)),
    ])  # fmt: skip
    report.finish({"out": str(out), **summary})


def _beside(base: Path, out: Path) -> Path:
    """The base file in the folder of `out`, copied there if need be: an adapter and its base lie together."""
    from anf.checkpoint import read_record

    there = out.parent / base.name
    if there.resolve() == out.resolve():
        raise FileError(f"--out {out}: is the base file itself; choose another name")
    if not there.exists():
        shutil.copyfile(base, there)
    elif read_record(there).base_digest != read_record(base).base_digest:
        raise FileError(
            f"{there}: is another flow than the base {base}, which has the same name; choose another folder for --out"
        )
    return there

