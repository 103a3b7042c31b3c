"""A flow on boards, as `xbar sample` and `xbar demo` need it: enough of them, programmed, released on every way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from anf.actions import Action
from anf.analog import Deployment, deploy, plan
from anf.flow import Flow
from anf.tuning import EngineFactory, Tuning, tune
from drivers.board import Board
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from lab_scripts.console import Report, Step
from lab_scripts.exits import bad_input
from lab_scripts.runs import RunFile


@contextmanager
def open_boards(address: str, board: Board, flow: Flow, seed: int, run_file: RunFile) -> Iterator[list[Crossbar]]:
    """As many boards as the flow's matrices need; on the mock each with a seed of its own, from `seed` on."""
    with bad_input():
        n_arrays = plan(flow, board.shape).n_arrays
        if n_arrays > 1 and address != "mock":
            plan(flow, board.shape, max_arrays=1)
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                open_crossbar(
                    address,
                    board=board,
                    seed=seed + i,
                    journal=run_file.next_journal(),
                    vcd=run_file.next_waveform(),
                )
            )
            for i in range(n_arrays)
        ]


def program_flow(flow: Flow, crossbars: list[Crossbar], report: Report) -> Deployment:
    """Write-verify of all base matrices, with a bar."""
    with report.task("Programming") as step, bad_input():
        return deploy(
            flow,
            crossbars,
            progress=lambda array, done, total: step(done, total, f"array {array + 1} of {len(crossbars)}"),
        )


def tune_flow(flow: Flow, action: Action, engines: EngineFactory, tuning: Tuning, seed: int, report: Report) -> None:
    """LoRA against arrays, with a bar."""
    with report.task("Tuning LoRA") as step:
        tune(flow, action, engines, tuning, seed=seed, progress=_tuning_progress(step, tuning.steps))


def _tuning_progress(step: Step, steps: int):
    return lambda at, loss, ess, _: step(at, steps, f"loss {loss:.4f}, ESS {ess:.3f}")
