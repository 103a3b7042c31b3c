"""`xbar train` and `xbar finetune`: flows from the action alone, and their digital part for other couplings."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from lab_scripts.console import Report
from lab_scripts.exits import FileError, InputError, bad_input
from lab_scripts.options import (
    FlowOut,
    Force,
    Json,
    Seed,
    TheoryChoice,
    Threads,
    set_threads,
)
from lab_scripts.outputs import check_output
from lab_scripts.runs import CHECKPOINT_FILE, RunFile, command_line, journal_folder, resuming

if TYPE_CHECKING:
    from anf.flows.flow import Flow
    from anf.lattice.actions import Action
    from anf.training.evaluation import Evaluation
    from anf.training.loop import TrainingResult

Model = TypeVar("Model", bound=BaseModel)
RECIPE = "that of the shipped flows"
Batch = Annotated[int | None, typer.Option("--batch", min=2, help="Configurations per step.", show_default=RECIPE)]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Peak of the learning rate.", show_default=RECIPE)]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Optimisation steps.", show_default=RECIPE)]
EvaluateOn = Annotated[int, typer.Option("--evaluate", min=100, help="Fresh proposals for the figures at the end.")]


class FlowKind(str, Enum):
    """What to train."""

    mixer = "mixer"
    field = "field"


def train(
    context: typer.Context,
    out: FlowOut,
    of: TheoryChoice,
    kind: Annotated[FlowKind, typer.Option("--flow", help="Kind of flow.")] = FlowKind.field,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Flow FILE of the same kind to start from: other couplings or a smaller lattice."),
    ] = None,
    steps: Steps = None,
    noise_steps: Annotated[
        int | None,
        typer.Option("--noise-steps", min=0, help="Mixer: last steps, against array errors.", show_default=RECIPE),
    ] = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    stop_at_ess: Annotated[
        float | None,
        typer.Option("--stop-at-ess", help="Stop before --steps once the ESS of the last steps is this high."),
    ] = None,
    sweeps: Annotated[
        int | None, typer.Option("--sweeps", help="Field: sweeps through the colours.", show_default=RECIPE)
    ] = None,
    wells: Annotated[
        int | None,
        typer.Option(
            "--wells",
            min=0,
            help="Field: wells on either side that it begins with.",
            show_default="0, or those of --start",
        ),
    ] = None,
    couplings: Annotated[
        int | None, typer.Option("--couplings", help="Mixer: coupling steps, T.", show_default=RECIPE)
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="Mixer: features per token.", show_default=RECIPE)
    ] = None,
    hidden: Annotated[
        int | None, typer.Option("--hidden", help="Mixer: width of mixing layers.", show_default=RECIPE)
    ] = None,
    blocks: Annotated[int | None, typer.Option("--blocks", help="Mixer: blocks.", show_default=RECIPE)] = None,
    patch: Annotated[
        int | None, typer.Option("--patch", help="Mixer: side of a patch, sites; even.", show_default=RECIPE)
    ] = None,
    heads: Annotated[
        int | None, typer.Option("--heads", help="Mixer: token-mixing matrices.", show_default=RECIPE)
    ] = None,
    features: Annotated[
        int | None, typer.Option("--features", help="Mixer: features per site at the output.", show_default=RECIPE)
    ] = None,
    evaluate_on: EvaluateOn = 65_536,
    seed: Seed = 0,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Train a flow by the reverse KL divergence alone, and write it to a flow file.

    Its state is kept while it runs: xbar resume OUT goes on from there, to the same bits. Under torchrun
    (torchrun --no-python --nproc-per-node N xbar train ...) the processes share each batch.
    """
    report = Report(as_json=json_output)
    check_output(out, ".safetensors", force=force)
    theory = of.build()
    mixer_only = {
        "--couplings": couplings, "--channels": channels, "--hidden": hidden, "--blocks": blocks, "--patch": patch,
        "--heads": heads, "--features": features, "--noise-steps": noise_steps,
    }  # fmt: skip
    field_only = {"--sweeps": sweeps, "--wells": wells}
    for option, value in (field_only if kind is FlowKind.mixer else mixer_only).items():
        if value is not None:
            raise InputError(
                f"{option} {value}: the {kind.value} flow has no such thing; leave it out or change --flow"
            )
    set_threads(threads)
    from anf.flows.checkpoint import save_flow
    from anf.training import loop as training
    from anf.training import recipes
    from anf.training.parallel import here

    run_file = RunFile.open(context, out, force=force, suffix=".safetensors") if here().leads else None
    flow: Flow
    with bad_input():
        if kind is FlowKind.field:
            flow = recipes.field_flow(theory, start, sweeps=sweeps, wells=wells)
            recipe = recipes.field_training(theory.shape, started=start is not None, seed=seed)
        else:
            flow = recipes.mixer_flow(
                theory, start, seed=seed, couplings=couplings, channels=channels, hidden=hidden, blocks=blocks,
                patch=patch, heads=heads, features=features,
            )  # fmt: skip
            recipe = recipes.mixer_training(theory, started=start is not None, seed=seed)
            if noise_steps is None:
                noise_steps = recipe.noise_steps * (steps or recipe.steps) // recipe.steps
            recipe = _changed(recipe, noise=recipes.ARRAY_NOISE)
        config = _changed(
            recipe,
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            noise_steps=noise_steps,
            stop_at_ess=stop_at_ess,
        )
    with report.task("Training") as step:
        result = training.train(
            flow, theory, config, **_checkpoint(context, out, run_file), threads=threads,
            progress=lambda at, loss, ess, _: step(at, config.steps, f"loss {loss:.4f}, ESS {ess:.3f}"),
        )  # fmt: skip
    if run_file is None:
        return
    summary = _evaluated(report, flow, theory, result, evaluate_on, seed)
    summary["curve"] = recipes.thinned(result.curve)
    summary["training"] = config.model_dump()
    save_flow(out, flow, theory, seed=seed, command=command_line(context), ess=summary["ess"], summary=summary)
    run_file.finished()
    _finish(report, out, summary)


def finetune(
    context: typer.Context,
    out: FlowOut,
    of: TheoryChoice,
    flow_choice: Annotated[
        str,
        typer.Option("--flow", help="mixer or field, the shipped one with the nearest couplings, or a flow FILE."),
    ] = "mixer",
    rank: Annotated[int, typer.Option("--rank", min=1, help="Rank of LoRA, if the flow has none yet.")] = 1,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--train",
            help="Digital part to train, may be given again: lora, base (spectrum), site (maps), time, bias.",
            show_default="lora, base and site: under 8 % of the weights",
        ),
    ] = None,
    steps: Steps = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    evaluate_on: EvaluateOn = 65_536,
    seed: Seed = 0,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Tune LoRA and other digital parts of a flow for other couplings; matrices in arrays stay.

    Writes an adapter to --out; the base file that it belongs to is put beside it, if it is not there already.
    """
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force, suffix=".safetensors")
    theory = of.build()
    set_threads(threads)
    from anf.arrays import adaptation
    from anf.flows.checkpoint import save_flow
    from anf.training import loop as training
    from anf.training import recipes
    from anf.training.finetuning import finetune as tune
    from lab_scripts.flows import base_path, nearest_flow

    chosen = tuple(groups or adaptation.SMALL)
    if unknown := set(chosen) - set(training.DIGITAL):
        raise InputError(f"--train {', '.join(sorted(unknown))}: choose from {', '.join(training.DIGITAL)}")
    with bad_input():
        config = _changed(recipes.adapter_training(theory, seed), steps=steps, batch=batch, learning_rate=learning_rate)
    path, flow, record = nearest_flow(theory, flow_choice)
    base = _beside(base_path(path, record), out)
    if not record.lora_ranks:
        flow.add_lora(rank, seed=seed)
    report.say(f"from {path.name}: {record.parameters}")
    with report.task("Fine-tuning") as step:
        result = tune(
            flow, theory, config, groups=chosen, **_checkpoint(context, out, run_file), threads=threads,
            progress=lambda at, loss, ess, _: step(at, config.steps, f"loss {loss:.4f}, ESS {ess:.3f}"),
        )  # fmt: skip
    summary = _evaluated(report, flow, theory, result, evaluate_on, seed)
    summary["curve"], summary["training"] = recipes.thinned(result.curve), config.model_dump()
    summary["groups"] = chosen
    summary["trained"] = sum(summary["parameters"][group] for group in chosen)
    summary["share"] = summary["trained"] / adaptation.weights(flow)
    save_flow(
        out, flow, theory, seed=seed, command=command_line(context), ess=summary["ess"], summary=summary, base=base
    )
    run_file.finished()
    _finish(report, out, summary | {"base": str(base)})


def _checkpoint(context: typer.Context, out: Path, run_file: RunFile | None) -> dict[str, Any]:
    """Where a training keeps its state, and whether it goes on from there: killed before its first checkpoint it begins
    again. run_file: that of the process that writes."""
    state = (journal_folder(out) if run_file is None else run_file.begin()) / CHECKPOINT_FILE
    return {"checkpoint": state, "resume": resuming(context) and state.exists()}


def _changed(model: Model, **changes: Any) -> Model:
    """A copy with some fields replaced and all of them checked again; None leaves a field as it is."""
    wanted = {name: value for name, value in changes.items() if value is not None}
    return type(model).model_validate({**dict(model), **wanted})


def _evaluated(report: Report, flow: Flow, theory: Action, result: TrainingResult, n: int, seed: int) -> dict[str, Any]:
    from anf.samplers.proposals import measure_ess_forward
    from anf.training.evaluation import evaluate
    from anf.training.loop import group_sizes

    with report.task("Evaluating") as step:
        step(0, 1)
        # A seed of its own: the figures are not those of configurations that were trained on.
        found: Evaluation = evaluate(flow, theory, n, seed=seed + 1)
        forward = measure_ess_forward(flow, theory, seed=seed + 1)
    return {
        "steps": result.steps, "seconds": result.seconds, "ess": found.ess, "ess_forward": forward, "kl": found.kl,
        "acceptance": found.acceptance, "largest_weight": found.largest_weight,
        "free_energy": found.free_energy, "free_energy_error": found.free_energy_error,
        "evaluated_on": n, "parameters": group_sizes(flow),
    }  # fmt: skip


def _finish(report: Report, out: Path, summary: dict[str, Any]) -> None:
    report.table(str(out), ("", ""), [
        ("steps", f"{summary['steps']} in {summary['seconds']:.0f} s"),
        ("ESS", f"{summary['ess']:.4f}"),
        ("ESS forward", f"{summary['ess_forward']:.4f}"),
        ("KL(q‖p)", f"{summary['kl']:.4f}"),
        ("acceptance", f"{summary['acceptance']:.4f}"),
        ("largest weight / mean", f"{summary['largest_weight']:.3g}"),
        ("F = −ln Z", f"{summary['free_energy']:.4f} ± {summary['free_energy_error']:.4f}"),
        ("parameters", ", ".join(f"{n} {group}" for group, n in summary["parameters"].items() if n)),
        *([("trained", f"{summary['trained']}, {summary['share']:.1%} of the weights")] if "share" in summary else []),
    ])  # fmt: skip
    report.finish({"out": str(out), **summary})


def _beside(base: Path, out: Path) -> Path:
    """The base file in the folder of `out`, copied there if need be: an adapter and its base lie together."""
    from anf.flows.checkpoint import read_record

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
