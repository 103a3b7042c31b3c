"""`xbar campaign`: many runs over many boards, through Dask.

A board is a Dask worker with one thread, named by the board's address. What a task leaves behind is its run file, whole
or not at all, under a name that follows from what was asked: a task that is there is not made again, and one that was
begun goes on from its journals.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab_scripts.campaign_plan import MOCK, Campaign, Task, load_campaign, tasks
from lab_scripts.console import Report
from lab_scripts.exits import Exit, FileError, InputError, OutsideBound
from lab_scripts.options import Json
from lab_scripts.runs import COMMAND_FILE, journal_folder

if TYPE_CHECKING:
    from distributed import Client, Future

BOARD_TAG = "board"
"""Dask resource of a worker that has a board; one task at a time holds it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task. worker: where. code: as of the command; `there` if the run file was there already.
    said: what the command wrote to stderr."""

    name: str
    worker: str
    code: int
    seconds: float
    cpu_s: float
    there: bool = False
    said: str = ""


def make_run(words: Sequence[str], name: str, file: str, folder: str, board: int | str | None) -> Outcome:
    """One task, in a worker's process: make the run, go on with it, or find that it is there."""
    from distributed import get_worker

    worker = str(get_worker().name)
    out = Path(folder, file)
    began, cpu = time.monotonic(), time.process_time()
    if out.exists():
        return Outcome(name, worker, Exit.OK, 0.0, 0.0, there=True)
    backend = MOCK if worker.startswith(MOCK) else worker
    typed = [*words, "--backend", backend, "--out", str(out)]
    if isinstance(board, int):
        typed += ["--seed", str(board)]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = _xbar(_begun(out, typed))
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    return Outcome(name, worker, code, seconds, cpu_s, said=said.getvalue().strip())


def _begun(out: Path, typed: list[str]) -> list[str]:
    """What to type: on with what a worker that died has begun, if that was this command on this board; else anew."""
    try:
        command = json.loads((journal_folder(out) / COMMAND_FILE).read_text())
    except (OSError, ValueError):
        return [*typed, "--force"]
    return ["resume", str(out)] if command["words"] == [*typed, "--force"] else [*typed, "--force"]


def _xbar(words: list[str]) -> int:
    from lab_scripts.cli import app

    try:
        return int(typer.main.get_command(app).main(words, prog_name="xbar", standalone_mode=False) or 0)
    except Exception as error:
        # What the parser refuses carries its own code and text.
        print(f"xbar: {getattr(error, 'message', error)}", file=sys.stderr)
        return int(getattr(error, "exit_code", Exit.DEFECT))


def campaign(
    file: Annotated[Path, typer.Argument(help="Campaign in TOML, see docs/campaigns.md.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of its run files; what is there is not made again.")],
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler, tcp://HOST:PORT; without one, workers of this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes on this machine for mock boards. Default: its cores."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Many runs over many boards: a command for each board, or for each of many values.

    A worker that dies costs no more than time: its run is gone on with elsewhere. A board that fails is left out, and
    its tasks move to another. The same command again makes what is missing.
    """
    report = Report(as_json=json_output)
    plan = load_campaign(file)
    todo = tasks(plan)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"--out {out}: {error.strerror}") from error
    began = time.monotonic()
    with cluster_client(plan, scheduler, workers) as client, report.task(f"{len(todo)} runs") as step:
        outcomes = run_campaign(client, todo, out.resolve(), step)
    seconds = time.monotonic() - began
    bad = [o for o in outcomes if o.code]
    rows = [
        ("runs", f"{len(outcomes)}"), ("made now", f"{sum(not o.there for o in outcomes)}"),
        ("not made", f"{sum(o.code not in (Exit.OK, Exit.OUTSIDE_BOUND) for o in outcomes)}"),
        ("outside their bounds", f"{sum(o.code == Exit.OUTSIDE_BOUND for o in outcomes)}"),
        ("CPU of the runs", f"{sum(o.cpu_s for o in outcomes):.1f} s"), ("wall clock", f"{seconds:.1f} s"),
    ]  # fmt: skip
    report.table(str(file), ("", ""), rows)
    for outcome in bad:
        report.say(f"{outcome.name} on {outcome.worker or 'no board'}: exit code {outcome.code}: {outcome.said}")
    report.finish({"seconds": seconds, "runs": [asdict(o) for o in outcomes]})
    if bad:
        raise OutsideBound(
            f"{len(bad)} of {len(outcomes)} runs are missing or outside their bounds; mend what they say, then give "
            "the same command again"
        )


def run_campaign(client: Client, todo: Sequence[Task], folder: Path, step: Any = None) -> list[Outcome]:
    """All tasks, in their order. A board that fails three tasks in a row is left out from then on."""
    from distributed import as_completed

    names = _boards(client)
    failed_boards: set[str] = set()
    in_a_row: Counter[str] = Counter()
    outcomes: dict[str, Outcome] = {}
    by_key = {task.name: task for task in todo}

    def submit(task: Task, tried: frozenset[str] = frozenset()) -> Future | None:
        allowed = [n for n in names if n not in tried | failed_boards]
        if isinstance(task.board, str):
            allowed = [n for n in allowed if n == task.board]
        if not allowed:
            return None
        # Dask holds names by the address they have now; a worker that is started again has another.
        where = {} if len(allowed) == len(names) else {"workers": allowed}
        future = client.submit(
            make_run, task.words, task.name, task.file, str(folder), task.board, key=f"{task.name}:{len(tried)}",
            resources={BOARD_TAG: 1}, pure=False, retries=0, **where,
        )  # fmt: skip
        tried_by[str(future.key)] = tried
        return future

    tried_by: dict[str, frozenset[str]] = {}
    begun: list[Future] = []
    for task in todo:
        if (first := submit(task)) is not None:
            begun.append(first)
        else:
            said = f"no worker has the board {task.board}; there are {', '.join(names)}"
            outcomes[task.name] = Outcome(task.name, "", Exit.BOARD, 0.0, 0.0, said=said)
    running = as_completed(begun, with_results=False)
    for future in running:
        task = by_key[str(future.key).rpartition(":")[0]]
        if future.status == "error":
            # Every worker that had it died: it is left alone, before it has killed them all.
            outcome = Outcome(task.name, "", Exit.DEFECT, 0.0, 0.0, said=str(future.exception()))
        else:
            outcome = future.result()
        future.release()
        if outcome.code == Exit.BOARD:
            in_a_row[outcome.worker] += 1
            if in_a_row[outcome.worker] >= 3:
                failed_boards.add(outcome.worker)
            again = submit(task, tried_by[str(future.key)] | {outcome.worker})
            if again is not None:
                running.add(again)
                continue
        else:
            in_a_row[outcome.worker] = 0
        outcomes[task.name] = outcome
        if step is not None:
            step(len(outcomes), len(todo), outcome.name)
    return [outcomes[task.name] for task in todo]


def _boards(client: Client) -> list[str]:
    """Names of the workers that have a board. Raises `InputError` if there is none."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    found = [str(worker["name"]) for worker in workers if worker["resources"].get(BOARD_TAG)]
    if not found:
        raise InputError(
            "no worker has a board: start one for each with `dask worker ADDRESS --nthreads 1 --name BOARD --resources "
            f"{BOARD_TAG}=1`, BOARD being its address as --backend takes it"
        )
    return sorted(found)


@contextlib.contextmanager
def cluster_client(plan: Campaign, scheduler: str | None, workers: int | None) -> Any:
    # Read when distributed is imported, here and in the workers.
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")
    from distributed import Client, Nanny, SpecCluster
    from distributed.scheduler import Scheduler

    if scheduler is not None:
        if workers is not None:
            raise InputError(f"--workers {workers}: the scheduler at {scheduler} has its own; leave it out")
        with Client(scheduler, timeout="10s") as client:
            yield client
        return
    if plan.boards.mock:
        n = min(plan.boards.mock, workers or os.cpu_count() or 1)
        names = [f"{MOCK}-{i}" for i in range(n)]
    else:
        names = list(plan.boards.addresses)
    specs = {
        name: {"cls": Nanny, "options": {"nthreads": 1, "name": name, "resources": {BOARD_TAG: 1}, "memory_limit": 0}}
        for name in names
    }
    head = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0}}
    with SpecCluster(workers=specs, scheduler=head) as cluster, Client(cluster) as client:
        client.wait_for_workers(len(names), timeout=120)
        yield client
