"""Hours of sampling that nobody attends, on an array that drifts, with faults at random instants.

An hour is a run: it has a journal while it lasts, and in the end a file with all that it drew; hosts keep nothing else.
The board outlives them. When a host is lost, the next one does the hour again from its journal, as `xbar resume` does,
and what had been drawn must come out again, bit for bit. `command_sequences.Witness` holds all that reaches the array
against the limits.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import xarray as xr
from command_sequences import BOARD, SAFE_WITHIN_S, FailingBridge, Witness, is_safe

from anf.arrays.analog import ArrayDrifted, Deployment, deploy
from anf.arrays.boards import Boards
from anf.arrays.mapped import map_flow
from anf.arrays.watched import Watched
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice.actions import Phi4
from anf.measurement.observables import Estimate, estimate, measure_series
from anf.samplers.guard import guarded
from anf.samplers.proposals import Proposals
from calibration.board_calibration.self_calibration import self_calibration
from drivers.calibration_record import CalibrationRecord
from drivers.crossbar import Crossbar
from drivers.ledger import Ledger, board_name
from drivers.self_test import SelfTestError, self_test
from firmware_bridge.bridge import Result
from firmware_bridge.errors import ConnectionLost, LimitError
from firmware_bridge.journal import Journal, JournalBridge
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.cell_faults import CellFault
from firmware_bridge.mock.faults.catalogue import CATALOGUE
from firmware_bridge.mock.faults.lines import BrokenLine, DriftJump, ShortedSourceLines
from firmware_bridge.program import Program

ACTION = Phi4(m2=-4.0, lam=5.0, shape=(4, 4))
HOUR_S, BATCHES, PROPOSALS, LOOKS = 3600.0, 4, 256, 4
CALIBRATED_EVERY = 6
"""Hours."""
JUMP, PASSING_S = 0.1, 1800.0
"""σ of the relative change of cells in a jump; how long faults last that pass, s."""
FAULTS = (
    "interrupt", "link lost", "host full", "power cut", "drift jump", "loose contact", "short SL–SL", "frozen cell",
)  # fmt: skip
PINS = (
    "mux before an ADC not switching", "ADC saturating at a tenth of its range", "DOUT of an ADC stuck low",
    "reference of the DACs 0.4 % low",
)  # fmt: skip
"""Of the catalogue of faults; they pass."""
WITHIN_S = 4.0
"""What befalls the board does so within this time of a batch's beginning: most of it while the batch is drawn, s."""


class Interrupted(KeyboardInterrupt):
    """As by a user, told from one by the user of this."""


class HostFull(MemoryError):
    """The host has no memory left."""


HOST_LOST = (Interrupted, HostFull, ConnectionLost)


class UnattendedBridge(FailingBridge):
    """Fails as planned, one failure after the other, and looks whether that left the outputs safe in time.

    planned: programs that come through before it, instructions of the next one that do, the failure, and whether the
    board loses its supply as well.
    """

    def __init__(self, board: MockBoard) -> None:
        super().__init__(board)
        self.planned: deque[tuple[int, int, BaseException, bool]] = deque()
        self.slowest_safe_s, self._power = 0.0, False

    def run(self, program: Program) -> Result:
        if self.failure is None and self.planned:
            spared, self.after, failure, self._power = self.planned.popleft()
            if spared:
                self.planned.appendleft((spared - 1, self.after, failure, self._power))
            else:
                self.failure = failure
        try:
            return super().run(program)
        except HOST_LOST:
            took_s = (self._cycle - self.failed_cycle) * self._period
            self.slowest_safe_s = max(self.slowest_safe_s, took_s)
            assert is_safe(self.board), "a failure left the outputs on"
            assert took_s <= SAFE_WITHIN_S, f"{took_s * 1e3:.2f} ms of board time until the outputs were safe"
            if self._power:
                self.board.power_up(self._now)
            raise


class Unattended:
    """The board, its faults, and the folder where everything is kept.

    faults_per_hour: their mean number. struck: the faults, in order. happened: how often hosts were lost, and, in the
    hours that are in files, how often the array was programmed, how many batches began with a board that was refused,
    and how many proposals were not drawn or dropped.
    """

    def __init__(self, folder: Path, *, seed: int, faults_per_hour: float) -> None:
        self.folder, self._rate, self._seed = folder, faults_per_hour, seed
        self.chips = MockBoard(BOARD.wiring, seed=seed)
        self.witness = Witness(self.chips)
        self.bridge = UnattendedBridge(self.chips)
        self.flow, _ = load_flow(shipped(ACTION), ACTION)
        self._mapped = map_flow(self.flow, BOARD.shape)
        self.happened: Counter[str] = Counter()
        self._seen: dict[tuple[int, int], bytes] = {}
        self.struck: list[str] = []
        self._come_to: set[tuple[int, int]] = set()

    # -- an hour -----------------------------------------------------------------------------------------------------
    def hour(self, k: int) -> None:
        """Hour `k`, by as many hosts as it takes."""
        journal = self.folder / f"hour{k:02}.journal"
        while not self.file(k).exists():
            try:
                with self._host(journal, k) as crossbar:
                    run = self._operate(crossbar, k)
            except HOST_LOST:
                self.happened["hosts lost"] += 1
                continue
            self.happened.update({name: int(n) for name, n in run.attrs.items()})
            run.to_netcdf(self.file(k), engine="h5netcdf")
            journal.unlink()

    def file(self, k: int) -> Path:
        """What hour `k` drew."""
        return self.folder / f"hour{k:02}.nc"

    def _record(self, k: int) -> Path:
        """The calibration record that hour `k` makes or takes over."""
        return self.folder / f"calibration{k - k % CALIBRATED_EVERY:02}.json"

    def _host(self, journal: Path, k: int) -> Crossbar:
        """A new host: what `open_crossbar` does with the board's own address."""
        identity = self.bridge.identify()
        with ExitStack() as unless_opened:
            kept = (Journal.resume if journal.exists() else Journal.create)(journal, identity)
            unless_opened.callback(kept.close)
            ledger = self._ledger(kept.run_id, journal)
            unless_opened.callback(ledger.close)
            # An hour that calibrates begins with the record of the hours before, however often it begins.
            record = CalibrationRecord.load(self._record(k - 1)) if k else None
            crossbar = Crossbar(JournalBridge(self.bridge, kept, rebuild=False), BOARD, record, ledger)
            unless_opened.pop_all()
        return crossbar

    def _ledger(self, run: bytes | None = None, journal: Path | None = None) -> Ledger:
        name = board_name(self.bridge.identify(), BOARD)
        return Ledger.open(self.folder, name, BOARD.shape, run=run, journal=journal)

    def _operate(self, crossbar: Crossbar, k: int) -> xr.Dataset:
        start_s, drawn = crossbar.board_time_s, []
        done = {"programmings": int(k == 0), "refused": 0, "dropped": 0}
        if k % CALIBRATED_EVERY == 0:
            self._calibrate(crossbar, k)
        deployment = self._taken_over(crossbar, k) if k else self._programmed(crossbar)
        for i in range(BATCHES):
            self._strike(k, i)
            kept = []
            try:
                self_test(crossbar)
                now = deployment.read_again()
                try:
                    deployment.refuse_drifted(now)
                except ArrayDrifted:
                    now = deployment = self._programmed(crossbar)
                    done["programmings"] += 1
                watched = Watched(now)
                with deployed(self.flow, {}, now.crossbar()):
                    kept = [
                        segment.proposals
                        for segment in guarded(
                            self.flow, ACTION, PROPOSALS, seed=BATCHES * k + i, batch=PROPOSALS // LOOKS,
                            look=watched.look, renew=watched.renew,
                        )
                        if segment.proposals is not None
                    ]  # fmt: skip
            except (LimitError, SelfTestError):
                # Nothing is drawn until that has passed.
                done["refused"] += 1
            proposals = joined(kept)
            done["dropped"] += PROPOSALS - len(proposals.phi)
            if kept:
                self._compare(k, i, proposals)
                drawn.append((i, proposals))
            crossbar.wait(max(0.0, start_s + (i + 1) * HOUR_S / BATCHES - crossbar.board_time_s))
        whole = joined([p for _, p in drawn])
        return xr.Dataset(
            {
                "phi": (("proposal", "x", "y"), whole.phi),
                "log_q": ("proposal", whole.log_q),
                "action": ("proposal", whole.action),
                "batch": ("proposal", np.repeat([i for i, _ in drawn], [len(p.phi) for _, p in drawn]).astype(int)),
                "programmed_s": (("array", "sl", "bl"), deployment.measured_s, {"units": "S"}),
            },
            attrs=done,
        )

    def _calibrate(self, crossbar: Crossbar, k: int) -> None:
        """The record of hour `k` on: a new one, or if the board cannot be read the one before."""
        try:
            self_test(crossbar)
            crossbar.correct_by(self_calibration(crossbar).record(crossbar, ("self",)))
        except (LimitError, SelfTestError):
            if crossbar.calibration is None:
                raise
        assert crossbar.calibration is not None
        crossbar.calibration.save(self._record(k))

    def _programmed(self, crossbar: Crossbar) -> Deployment:
        return deploy(self.flow, [crossbar], mapped=self._mapped)

    def _taken_over(self, crossbar: Crossbar, k: int) -> Deployment:
        with xr.open_dataset(self.file(k - 1), engine="h5netcdf") as before:
            return Deployment(Boards([crossbar]), self._mapped, before["programmed_s"].to_numpy(), ())

    def _compare(self, k: int, i: int, proposals: Proposals) -> None:
        """What comes again from the journal is what had been there."""
        digest = hashlib.sha256(proposals.phi.tobytes() + proposals.log_q.tobytes()).digest()
        assert self._seen.setdefault((k, i), digest) == digest, f"hour {k}, batch {i} came out differently"

    # -- faults ------------------------------------------------------------------------------------------------------
    def _strike(self, k: int, i: int) -> None:
        """The faults of batch `i`, the first time that a host comes to it."""
        if (k, i) in self._come_to:
            return
        self._come_to.add((k, i))
        rng = np.random.default_rng([self._seed, k, i])
        for fault in rng.choice(FAULTS + PINS, rng.poisson(self._rate / BATCHES)):
            self.struck.append(str(fault))
            self._begin(str(fault), rng)

    def _begin(self, fault: str, rng: np.random.Generator) -> None:
        at_s = self.board_time_s + float(rng.uniform(0.0, WITHIN_S))
        lost = {
            "interrupt": Interrupted, "link lost": ConnectionLost, "host full": HostFull, "power cut": ConnectionLost,
        }  # fmt: skip
        if fault in lost:
            # Somewhere in the programs of about one batch.
            spared, after = int(rng.integers(0, 130)), int(rng.integers(0, 3))
            self.bridge.planned.append((spared, after, lost[fault](fault), fault == "power cut"))
        elif fault == "drift jump":
            self.chips.faults.add(DriftJump(from_s=at_s, relative=JUMP, seed=int(rng.integers(2**31))))
        elif fault == "frozen cell":
            state = self.chips.array.save_state()
            state["cells_faults"][rng.integers(BOARD.shape[0] * BOARD.shape[1])] = CellFault.STUCK_LOW
            self.chips.array.load_state(state)
        else:
            lasts = {"from_s": at_s, "until_s": at_s + PASSING_S}
            a, b = (int(line) for line in rng.choice(BOARD.shape[0], 2, replace=False))
            if fault in PINS:
                self.chips.faults.add(CATALOGUE[fault](**lasts))
            elif fault == "loose contact":
                self.chips.faults.add(BrokenLine(line="bl", index=a, **lasts))
            else:
                self.chips.faults.add(ShortedSourceLines(lines=(a, b), **lasts))

    @property
    def board_time_s(self) -> float:
        """Since the board was powered up, s."""
        return self.bridge._cycle * self.bridge._period

    # -- the account -------------------------------------------------------------------------------------------------
    def proposals(self, first: int, last: int) -> Proposals:
        """All that the files of hours `first` to `last` − 1 hold. AssertionError if anything is missing or is not what
        was drawn."""
        runs = []
        for k in range(first, last):
            with xr.open_dataset(self.file(k), engine="h5netcdf") as run:
                runs.append(Proposals(*(run[name].to_numpy() for name in ("phi", "log_q", "action"))))
                batch = run["batch"].to_numpy()
            assert {(k, int(i)) for i in batch} == {key for key in self._seen if key[0] == k}
            for i in set(batch):
                self._compare(k, int(i), Proposals(*(a[batch == i] for a in vars(runs[-1]).values())))
        return joined(runs)

    def uncounted_pulses(self) -> int:
        """Pulses that cells were given and the ledger does not know."""
        ledger = self._ledger()
        try:
            return int(np.maximum(self.witness.pulses - ledger.others.pulses, 0).sum())
        finally:
            ledger.close()


def joined(parts: list[Proposals]) -> Proposals:
    """One after the other; of none, none."""
    none = Proposals(np.empty((0, *ACTION.shape), np.float32), np.empty(0), np.empty(0))
    return Proposals(
        *(np.concatenate(arrays) for arrays in zip(*(vars(p).values() for p in [none, *parts]), strict=True))
    )


def identities(proposals: Proposals) -> dict[str, Estimate]:
    """Means over all proposals by their weights, of which the exact values are known."""
    found = estimate(ACTION, measure_series(ACTION, proposals.phi), log_weights=proposals.log_weights)
    return {name: e for name, e in found.items() if e.expected is not None}
