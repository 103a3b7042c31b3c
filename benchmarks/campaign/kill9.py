"""kill -9 at random instants, and on with `xbar resume`: on the mock, and on a board that outlives its host.

``local``: programming, characterisation, calibration, sampling and training on the mock, killed again and again until
one attempt comes through; what it writes must be, bit for bit, that of a run which was never interrupted.

``outliving``: programming on a mock board behind TCP in another process, so that the chip keeps what a killed host has
sent. What the board executed is held against what the journal says: of the programs with pulses at most the one that
was under way may be missing (it counts as given), and none is executed twice: no verified cell is pulsed again.

python benchmarks/campaign/kill9.py --kills 200
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from anf.flows.checkpoint import read_tensors
from drivers.board import PAPER_BOARD, load_board
from drivers.bridges import open_bridge
from firmware_bridge.bridge import Bridge, Identity, Result, SequencerConfig
from firmware_bridge.isa import Pulse, Pulses
from firmware_bridge.journal import Kind, program_digest, read
from firmware_bridge.program import Program
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server
from lab_scripts.cli import main as xbar
from lab_scripts.run_store import differences, open_run
from lab_scripts.runs import COMMAND_FILE, journal_folder

COMMANDS = (
    ("program", "AI4S", "--seed", "3"),
    ("characterise", "endurance", "--seed", "4"),
    ("calibrate", "self", "--seed", "3"),
    ("sample", "--lam", "5.5", "--layers", "crossbar", "--configs", "200", "--tune-steps", "10", "--seed", "5"),
    ("train", "--L", "2", "--flow", "mixer", "--couplings", "2", "--channels", "2", "--hidden", "2", "--batch", "64",
     "--steps", "1500", "--evaluate", "500", "--seed", "6"),
)  # fmt: skip
SUFFIX = {"calibrate": ".json", "train": ".safetensors"}
"""Of what a command writes; a run otherwise."""
TIMES = ("created", "valid_until")
"""Of a calibration record: when it was made."""
MOST_KILLS = 3
"""Of one run; then it is left to end."""


def start(words: Sequence[str]) -> int:
    """`xbar` in a process of its own, its imports already made. Its pid."""
    pid = os.fork()
    if pid:
        return pid
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.argv = ["xbar", *words]
    try:
        xbar()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 70
    os._exit(code)


def run(words: Sequence[str]) -> float:
    """Undisturbed. Seconds. Raises RuntimeError if it fails."""
    began = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(start(words), 0)[1])
    if code:
        raise RuntimeError(f"xbar {' '.join(words)}: exit code {code}")
    return time.monotonic() - began


def killed(words: Sequence[str], after_s: float) -> bool:
    """Whether the command was still running after `after_s` and has been killed. Raises RuntimeError if it failed."""
    pid = start(words)
    ends = time.monotonic() + after_s
    while time.monotonic() < ends:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code:
                raise RuntimeError(f"xbar {' '.join(words)}: exit code {code}")
            return False
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def until_done(words: Sequence[str], out: Path, typical_s: float, rng: random.Random, dead: Callable[[], None]) -> int:
    """Begin and resume `words`, killing at random instants, until the run file is there. How often it was killed;
    `dead` is called after each."""
    kills = 0
    attempt = [*words, "--out", str(out), "--force"]
    while not out.exists():
        if kills == MOST_KILLS:
            run(attempt)
        elif killed(attempt, rng.uniform(0.0, typical_s)):
            kills += 1
            dead()
        attempt = _again(words, out)
    return kills


def _again(words: Sequence[str], out: Path) -> list[str]:
    """What a user types next: on with what was begun."""
    begun = (journal_folder(out) / COMMAND_FILE).exists()
    return ["resume", str(out)] if begun else [*words, "--out", str(out), "--force"]


def differing(one: Path, other: Path) -> list[str]:
    """In what two files of one kind differ, but for times of day and durations."""
    if one.suffix == ".nc":
        with open_run(one) as a, open_run(other) as b:
            return list(differences(a, b))
    if one.suffix == ".json":
        first, second = (json.loads(path.read_text()) for path in (one, other))
        return [k for k in first.keys() | second.keys() if k not in TIMES and first.get(k) != second.get(k)]
    (first, _), (second, _) = read_tensors(one), read_tensors(other)
    return [
        k for k in first.keys() | second.keys() if k not in first or k not in second or not first[k].equal(second[k])
    ]


# -- on the mock -------------------------------------------------------------------------------------------------------


def local(kills: int, rng: random.Random, folder: Path) -> tuple[int, int, int]:
    """Kills, runs that came through them, and runs among these that differ from the uninterrupted one in any bit."""
    whole, typical_s = {}, {}
    for i, words in enumerate(COMMANDS):
        whole[i] = folder / f"whole{i}{SUFFIX.get(words[0], '.nc')}"
        typical_s[i] = run([*words, "--out", str(whole[i])])
    done = runs = different = 0
    while done < kills:
        i = runs % len(COMMANDS)
        out = folder / f"run{runs}{whole[i].suffix}"
        done += until_done(COMMANDS[i], out, typical_s[i], rng, lambda: None)
        found = differing(whole[i], out)
        for difference in found:
            print(f"{' '.join(COMMANDS[i])}: {difference}", flush=True)
        different += bool(found)
        out.unlink()
        runs += 1
    return done, runs, different


# -- on a board that outlives its host ---------------------------------------------------------------------------------


@dataclass
class Witness:
    """Wraps `inner`; the digests of all programs with pulses that it was given, in order."""

    inner: Bridge
    executed: list[bytes]

    def identify(self) -> Identity:
        return self.inner.identify()

    def configure(self, config: SequencerConfig) -> None:
        self.inner.configure(config)

    def run(self, program: Program) -> Result:
        result = self.inner.run(program)
        if any(isinstance(i, Pulse | Pulses) for i in program):
            self.executed.append(program_digest(program))
        return result

    def reset(self) -> None:
        self.inner.reset()

    def safe(self) -> None:
        self.inner.safe()

    def close(self) -> None:
        self.inner.close()


def outliving(kills: int, rng: random.Random, folder: Path) -> tuple[int, int, int, int]:
    """Kills, runs, programs in doubt that the board had not executed, and programs that it executed against the journal
    (twice, or in another order)."""
    done = runs = in_doubt = wrong = 0
    typical_s = run([*COMMANDS[0], "--out", str(folder / "tcp.nc")])
    while done < kills:
        board, stop = (
            Witness(open_bridge("mock", board=load_board(PAPER_BOARD), seed=100 + runs), []),
            threading.Event(),
        )
        with Server(board, Address.parse("tcp://127.0.0.1:0"), lease_s=10.0) as server:
            thread = threading.Thread(target=server.serve, args=(stop.is_set,))
            thread.start()
            out, link = folder / f"tcp{runs}.nc", folder / f"tcp{runs}.journal"

            def keep(out: Path = out, link: Path = link) -> None:
                # The journal goes with the finished run; a second name of the same file stays.
                journal = journal_folder(out) / "board0.journal"
                if journal.exists() and not (link.exists() and os.path.samefile(journal, link)):
                    link.unlink(missing_ok=True)
                    os.link(journal, link)

            words = [*COMMANDS[0], "--backend", server.address]
            killed_times = until_done(words, out, typical_s, rng, keep)
            stop.set()
            thread.join()
        if link.exists():
            missing, other = against(journalled(link), board.executed)
            in_doubt += missing
            wrong += other + (missing > killed_times)
            link.unlink()
        done += killed_times
        out.unlink()
        runs += 1
    return done, runs, in_doubt, wrong


def journalled(path: Path) -> list[bytes]:
    """Digests of the programs with pulses that a journal says were begun."""
    records, _ = read(path)
    return [payload[:-1] for kind, payload in records if kind is Kind.BEGUN and payload[-1]]


def against(begun: Sequence[bytes], executed: Sequence[bytes]) -> tuple[int, int]:
    """Programs begun and never executed, and executed ones that are not, in their order, among those begun."""
    rest = iter(begun)
    found = sum(any(digest == it for it in rest) for digest in executed)
    return len(begun) - found, len(executed) - found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="in all; a quarter of them on the board that outlives")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    remote = max(1, arguments.kills // 4)
    began = time.monotonic()
    Path("runs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="runs") as name:
        folder = Path(name).resolve()
        kills, runs, different = local(arguments.kills - remote, rng, folder)
        print(
            f"mock: {kills} kills of {runs} runs; {different} differ from the uninterrupted run (limit 0)", flush=True
        )
        killed_times, programmed, in_doubt, wrong = outliving(remote, rng, folder)
    print(
        f"a board that outlives its host: {killed_times} kills of {programmed} programmings; {in_doubt} programs in "
        f"doubt had not been executed (limit {killed_times}), {wrong} were executed against the journal (limit 0)"
    )
    print(f"{kills + killed_times} kills, seed {arguments.seed}, {time.monotonic() - began:.0f} s")
    return int(different > 0 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
