"""A flow on boards, as `xbar sample` and `xbar demo` need it: enough of them, programmed, released on every way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from anf.arrays.analog import Deployment, deploy, survey
from anf.arrays.array_model import EngineFactory
from anf.arrays.drive import Drive
from anf.arrays.mapped import map_flow
from anf.arrays.placement import Placement
from anf.arrays.tuning import Tuning, tune
from anf.arrays.watched import Watched
from anf.flows.flow import Flow
from anf.lattice.actions import Action
from lab_scripts.board_choice import BoardOptions
from lab_scripts.boards import say_read
from lab_scripts.console import Report, Step
from lab_scripts.exits import bad_input
from lab_scripts.live_events import tell_programmed
from lab_scripts.options import UNCORRECTED, Corrected
from lab_scripts.runs import RunFile


@contextmanager
def flow_on_boards(
    at: BoardOptions,
    addresses: Sequence[str],
    flow: Flow,
    run_file: RunFile,
    report: Report,
    *,
    plan: Path | None = None,
    surveyed: bool = False,
    time_shared: bool = False,
    drives: Mapping[str, Drive] | None = None,
    corrected: Corrected = UNCORRECTED,
) -> Iterator[Deployment]:
    """The flow's base matrices programmed into the boards at `addresses`, with a bar; the boards are released on every
    way out. Without addresses as many mock boards are opened as there are arrays. Each mock board has a seed of its
    own, from --seed on. `plan` is a file of `xbar place`. time_shared: with more arrays than boards, fill them in turn.
    With `surveyed` the arrays are looked over first, faulty cells are avoided, and those that are not are
    made up for digitally.
    A calibration record is one board's: with several it is refused."""
    with bad_input():
        placement = None if plan is None else Placement.read(plan)
        limit = None if time_shared or not addresses else len(addresses)
        mapped = map_flow(flow, at.board.shape, max_arrays=limit, placement=placement)
    n_arrays = mapped.placement.n_arrays
    used = (addresses or ["mock"] * n_arrays)[:n_arrays]
    with ExitStack() as stack:
        crossbars = [
            stack.enter_context(at.open_at(address, report, run_file, corrected, chip=at.seed + i))
            for i, address in enumerate(used)
        ]
        if surveyed:
            with report.task("Survey") as step, bad_input():
                step(0, 1)
                faults = survey(crossbars)
                mapped = map_flow(flow, at.board.shape, faults=faults * (1 + n_arrays // len(faults)), max_arrays=limit)
                n_arrays = mapped.placement.n_arrays
        with report.task("Programming") as step:
            programmed = deploy(
                flow,
                crossbars,
                mapped=mapped,
                patched=surveyed,
                time_shared=time_shared,
                drives=drives,
                progress=lambda array, now: say_read(now, crossbars[array % len(crossbars)], step, array, n_arrays),
            )
        for array, result in enumerate(programmed.programming):
            tell_programmed(result, array)
        yield programmed


def tune_flow(
    flow: Flow,
    action: Action,
    engines: EngineFactory,
    tuning: Tuning,
    seed: int,
    report: Report,
    before: EngineFactory | None = None,
) -> None:
    """LoRA against arrays, with a bar. before: arrays that it was tuned to already."""
    with report.task("Tuning LoRA") as step:
        tune(flow, action, engines, tuning, before=before, seed=seed, progress=_tuning_progress(step, tuning.steps))


def watched(
    programmed: Deployment, flow: Flow, action: Action, tuning: Tuning | None, seed: int, report: Report
) -> Watched:
    """Arrays under watch while they are sampled with; where they move, the flow is tuned to them if it was before."""

    def retune(before: Deployment, now: Deployment) -> None:
        assert tuning is not None
        tune_flow(flow, action, now.simulated, tuning, seed, report, before.simulated)

    return Watched(programmed, None if tuning is None else retune)


def _tuning_progress(step: Step, steps: int):
    return lambda at, loss, ess, _: step(at, steps, f"loss {loss:.4f}, ESS {ess:.3f}")
