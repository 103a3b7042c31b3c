"""Write-verify: program a whole array at a time to target conductances by reading, deciding, pulsing and confirming.

The algorithm, its parameters and what it reaches: docs/write-verify.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.evidence import Evidence
from calibration.failures import CellFailure, Failure
from calibration.pulse_choice import ALGORITHMS, PulseStep
from calibration.write_verify_config import WriteVerifyConfig
from drivers.crossbar import Crossbar
from firmware_bridge.errors import LimitError, ProtocolError, asking

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where programming stands after a read. Cells are (n_sl, n_bl).

    cycle: reads so far. g_target_s: targets, S; NaN where the cell is left alone. g_read_s: what was read, S.
    done: programmed, or given up. failure: `Failure` of each cell so far. pulses: that each cell got so far.
    amplitude_v, gate_v: the pulse between the read before and this one, V; NaN where there was none.
    """

    cycle: int
    g_target_s: Array
    g_read_s: Array
    done: Mask
    failure: NDArray[np.int8]
    pulses: NDArray[np.int64]
    amplitude_v: Array
    gate_v: Array

    @property
    def cells(self) -> int:
        """Cells with a target."""
        return int(np.isfinite(self.g_target_s).sum())

    @property
    def cells_done(self) -> int:
        """Cells with a target that are done or given up."""
        return int((self.done & np.isfinite(self.g_target_s)).sum())


Progress = Callable[[Snapshot], None]
"""Called after each read."""

BROKEN_OVER_RANGE = 1.5
"""A cell that conducts this many times more than the highest target is broken, whatever it did before."""
DIAGNOSTIC_READS = 8
"""Reads without pulses that tell a noisy cell from one that has not converged."""


@dataclass(frozen=True, eq=False)
class WriteVerifyResult:
    """What programming an array gave. Cells are (n_sl, n_bl), traces (n_cycles, n_sl, n_bl).

    g_target_s: targets, S; NaN where the cell was left alone.
    g_read_s: every cell's conductance in the end, S, mean of ``final_reads`` reads taken after the last decision.
    converged: cells with a target that were programmed.
    failure: `Failure` of each cell; `failures` the same in words.
    cycles: read-decide-pulse steps of each cell until it was done or given up, reads that confirm it included.
    pulses: pulses that each cell got.
    reads_s: reads of the whole array, S. amplitude_v, gate_v: the pulse after each read, V; NaN where there was none.
    forming: which of those were forming pulses.
    read_time_s: board time of each read since the start, s, (n_cycles,).
    board_time_s: board time used, s, without `wait_s`, the time spent waiting for relaxation.
    noise_s: standard deviation of one read of a typical cell, S.
    """

    g_target_s: Array
    g_read_s: Array
    converged: Mask
    failure: NDArray[np.int8]
    failures: tuple[CellFailure, ...]
    cycles: NDArray[np.int64]
    pulses: NDArray[np.int64]
    reads_s: NDArray[np.float32]
    amplitude_v: NDArray[np.float32]
    gate_v: NDArray[np.float32]
    forming: Mask
    read_time_s: Array
    board_time_s: float
    wait_s: float
    noise_s: float

    def summary(self) -> str:
        """A few lines for a person."""
        selected = np.isfinite(self.g_target_s)
        text = [f"{int(self.converged.sum())} of {int(selected.sum())} cells programmed, {len(self.failures)} failed"]
        if self.converged.any():
            error = (self.g_read_s - self.g_target_s)[self.converged] * 1e6
            worst = np.abs(error).max()
            median, most_cells, most = np.percentile(self.cycles[self.converged], (50, 90, 100))
            text += [
                f"error as read: mean {error.mean():+.3f} µS, σ {error.std():.3f} µS, largest {worst:.2f} µS",
                f"cycles per cell: median {median:g}, 90 % {most_cells:g}, most {most:g}",
            ]
        text.append(
            f"{len(self.reads_s)} cycles, {int(self.pulses.sum())} pulses, {self.board_time_s * 1e3:.0f} ms of board "
            f"time and {self.wait_s:g} s of waiting; read noise {self.noise_s * 1e6:.2f} µS"
        )
        return "\n".join(text + [str(failure) for failure in self.failures])


@asking("write-verify")
def program(
    crossbar: Crossbar,
    target_s: ArrayLike,
    *,
    config: WriteVerifyConfig | None = None,
    progress: Progress | None = None,
    mask: ArrayLike | None = None,
) -> WriteVerifyResult:
    """Program the array of `crossbar` to `target_s`.

    target_s: (n_sl, n_bl) S; NaN leaves a cell alone. Conductances are those that the lines show, wires included.
    config: parameters, default `WriteVerifyConfig()`.
    progress: called after each read; what it raises stops the programming with the outputs safe.
    mask: (n_sl, n_bl) bool; False leaves a cell alone whatever its target.

    Cells that fail are reported, not raised. Raises, before anything is pulsed, `ProtocolError` for a shape,
    `LimitError` for a target that is infinite or outside ``config.range_s`` and for a parameter that the board's
    limits refuse; and `LimitError` when a read exceeds the ADCs' range. Whatever is raised, the outputs are safe and
    pulses already given stay given.
    """
    config = config or WriteVerifyConfig()
    config.check(crossbar.board)
    target = checked_targets(target_s, crossbar.shape, config, mask=mask)
    try:
        return _Session(crossbar, target, config, progress).run()
    except BaseException:
        crossbar.safe()
        raise


def checked_targets(
    target_s: ArrayLike, shape: tuple[int, int], config: WriteVerifyConfig, *, mask: ArrayLike | None = None
) -> Array:
    """Targets (n_sl, n_bl) S as `program` takes them, NaN for cells to leave alone. Raises what `program` raises for
    them."""
    target = np.array(target_s, float)
    if target.shape != shape:
        raise ProtocolError(f"target_s has shape {target.shape}; the array needs {shape}, (source lines, bit lines)")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != shape or mask.dtype != bool:
            raise ProtocolError(f"mask has shape {mask.shape} of {mask.dtype}; the array needs {shape} of bool")
        target[~mask] = np.nan
    low, high = config.range_s
    bad = ~np.isnan(target) & ~((target >= low) & (target <= high))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise LimitError(
            f"target of cell (SL {row}, BL {column})", float(target[row, column]), config.range_s, "S",
            source="WriteVerifyConfig.range_s",
            advice="give targets in siemens within it, or NaN to leave a cell alone; nothing was pulsed",
        )  # fmt: skip
    return target


class _Session:
    """One call of `program`: state of the cells, and the loop."""

    def __init__(self, crossbar: Crossbar, target: Array, config: WriteVerifyConfig, progress: Progress | None) -> None:
        self._crossbar, self._config, self._progress = crossbar, config, progress
        self._selected = np.isfinite(target)
        self._given = target
        self._target = np.where(self._selected, target, 0.0)
        shape = target.shape
        self._evidence = Evidence(shape)
        self._choice = ALGORITHMS[config.algorithm](config, shape)
        self._choice.form_limit = crossbar.forming_left
        self._failure = np.zeros(shape, np.int8)
        self._cycles = np.zeros(shape, np.int64)
        self._pulses = np.zeros(shape, np.int64)
        self._reads: list[Array] = []
        self._steps: list[PulseStep | None] = []
        self._read_times: list[float] = []
        self._start_s = crossbar.board_time_s

    def run(self) -> WriteVerifyResult:
        self._pass()
        for wait_s in self._config.relax_waits_s:
            self._crossbar.wait(wait_s)
            # What has been read before the wait says little about the cells after it.
            self._evidence.forget()
            self._pass()
        return self._result(self._read_on(self._config.final_reads))

    # -- the loop ------------------------------------------------------------------------------------------------------
    def _pass(self) -> None:
        """Read, decide, pulse, until every cell is done or given up."""
        c = self._config
        alive = self._selected & (self._failure == Failure.NONE)
        done = ~alive
        trims = np.zeros(done.shape, int)
        pulsed = np.zeros(done.shape, bool)
        closing = False
        for _ in range(c.max_cycles):
            g = self._read()
            self._cycles[~done] += 1
            size = np.abs(self._evidence.mean_s - self._target)
            # A read costs the same for one cell as for all: the last few are not trimmed to the end.
            closing = closing or int((~done).sum()) <= c.trim_share * int(self._selected.sum())
            tolerance = np.full_like(size, 2 * c.reopen_s) if closing else self._tolerance_s(pulsed, trims)
            inside = size <= tolerance
            done |= inside & (self._evidence.count >= c.confirm_reads)
            # Later reads of cells that are done come free. One that they show to lie outside is taken up again.
            done &= ~(alive & (size > np.maximum(c.reopen_s, tolerance)))
            # The strongest pulses bring these no nearer: near enough, or failed.
            spent = alive & (self._choice.strikes >= c.strong_pulses)
            done |= spent & (size <= c.accept_s)
            self._give_up(spent & ~done)
            alive &= self._failure == Failure.NONE
            done |= ~alive
            if self._progress is not None:
                self._progress(self._snapshot(g, done))
            if done.all():
                break
            # One read is no reason to touch a cell that may well be on target.
            unsure = ~pulsed & (size <= 2 * c.reopen_s) & (self._evidence.count < c.confirm_reads)
            cells = ~done & ~inside & ~unsure
            self._pulse(cells)
            pulsed |= cells
            trims += cells & (size <= c.accept_s)

    def _snapshot(self, g: Array, done: Mask) -> Snapshot:
        step = self._steps[-2] if len(self._steps) > 1 else None
        none = np.full(g.shape, np.nan)
        amplitude, gate = (none, none) if step is None else (step.amplitude_v, step.gate_v)
        return Snapshot(
            len(self._reads), self._given, g, done.copy(), self._failure.copy(), self._pulses.copy(), amplitude, gate
        )

    def _tolerance_s(self, pulsed: Mask, trims: NDArray[np.int64]) -> Array:
        """What counts as on target, S: narrow after a pulse, wider for cells not touched yet and for those that do not
        settle."""
        c = self._config
        widened = c.tolerance_s + (c.reopen_s - c.tolerance_s) * (trims / c.trim_pulses)
        return np.where(pulsed, np.minimum(widened, 2 * c.reopen_s), c.reopen_s)

    def _conductance(self) -> Array:
        c = self._config
        return self._crossbar.read_conductance(repeats=c.read_repeats, cells=c.verify == "cells")

    def _read(self) -> Array:
        g = self._conductance()
        self._evidence.add(g)
        step = self._steps[-1] if self._steps else None
        if step is not None:
            self._choice.learn(step, self._evidence.mean_s, self._evidence.error_s(), self._target)
        self._reads.append(g)
        self._steps.append(None)
        self._read_times.append(self._crossbar.board_time_s - self._start_s)
        return g

    def _read_on(self, count: int) -> Array:
        """Mean of `count` reads without a pulse, S."""
        reads = [self._conductance() for _ in range(count)]
        for g in reads:
            self._evidence.add(g)
        return np.mean(reads, axis=0)

    def _pulse(self, cells: Mask) -> None:
        step = self._choice.choose(cells, self._evidence.mean_s, self._evidence.error_s(), self._target)
        for forming in (False, True):
            chosen = step.cells & (step.forming == forming)
            amplitude = np.where(chosen, step.amplitude_v, np.nan)
            self._crossbar.apply_pulses(amplitude, step.gate_v, step.width_s, forming=forming)
        self._steps[-1] = step
        self._pulses += step.cells
        self._evidence.forget(step.cells)

    def _give_up(self, stuck: Mask) -> None:
        """Say what is wrong with `stuck` cells, which strong pulses do not move; those that may form are spared."""
        high = self._evidence.mean_s > self._target
        low = stuck & ~high & self._choice.tried_forming
        g = self._evidence.mean_s
        dead = g < self._config.unformed_s
        # One that a pulse has broken responded once as well; it conducts more than any level.
        responds = self._choice.responded & ~dead & (g < BROKEN_OVER_RANGE * self._config.range_s[1])
        self._failure[stuck & high] = Failure.STUCK_HIGH
        self._failure[low & ~dead] = Failure.STUCK_LOW
        self._failure[low & dead] = Failure.UNFORMED
        self._failure[((stuck & high) | low) & responds] = Failure.OUT_OF_REACH

    # -- the result ----------------------------------------------------------------------------------------------------
    def _result(self, g_read: Array) -> WriteVerifyResult:
        c = self._config
        open_ = self._selected & (self._failure == Failure.NONE) & (np.abs(g_read - self._target) > c.accept_s)
        if open_.any():
            # These were pulsed after almost every read; left alone, a noisy cell shows itself.
            self._read_on(DIAGNOSTIC_READS)
        noisy = self._evidence.scatter_s() > c.accept_s / 2
        self._failure[open_ & noisy] = Failure.NOISY
        self._failure[open_ & ~noisy] = Failure.NOT_CONVERGED
        failures = tuple(self._describe(int(r), int(b), float(g_read[r, b])) for r, b in np.argwhere(self._failure))
        wait_s = float(sum(c.relax_waits_s))
        steps = self._steps
        nothing = np.full(g_read.shape, np.nan)
        return WriteVerifyResult(
            g_target_s=self._given,
            g_read_s=g_read,
            converged=self._selected & (self._failure == Failure.NONE),
            failure=self._failure,
            failures=failures,
            cycles=self._cycles,
            pulses=self._pulses,
            reads_s=np.array(self._reads, np.float32),
            amplitude_v=np.array([nothing if s is None else s.amplitude_v for s in steps], np.float32),
            gate_v=np.array([nothing if s is None else s.gate_v for s in steps], np.float32),
            forming=np.array([np.isfinite(nothing) if s is None else s.forming for s in steps]),
            read_time_s=np.array(self._read_times),
            board_time_s=self._crossbar.board_time_s - self._start_s - wait_s,
            wait_s=wait_s,
            noise_s=self._evidence.noise_s,
        )

    def _describe(self, sl: int, bl: int, g_s: float) -> CellFailure:
        c = self._config
        failure = Failure(int(self._failure[sl, bl]))
        reads = f"reads {g_s * 1e6:.2f} µS, target {self._target[sl, bl] * 1e6:.2f} µS"
        scatter = f"reads without a pulse between them scatter by {self._evidence.scatter_s()[sl, bl] * 1e6:.2f} µS"
        pulses = f"{int(self._pulses[sl, bl])} pulses"
        count, allowed = int(self._choice.form_count[sl, bl]), int(self._choice.form_limit[sl, bl])
        if count < len(c.form_v) and count >= allowed:
            formed = f"{count} forming pulses, all that limits.forming_per_cell leaves it,"
        else:
            formed = f"{count} forming pulses to {max(c.form_v):g} V"
        reason = {
            Failure.STUCK_HIGH: f"{reads}; {c.strong_pulses} RESETs of {c.reset_v[1]:g} V did not change it",
            Failure.STUCK_LOW: f"{reads}; {c.strong_pulses} SETs at {c.set_gate_v[1]:g} V of gate and {formed} "
            "did not change it",
            Failure.UNFORMED: f"{reads}; {formed} did not form it; the cell or one of its lines may be open",
            Failure.OUT_OF_REACH: f"{reads}; {c.strong_pulses} "
            + (
                f"RESETs of {c.reset_v[1]:g} V"
                if g_s > self._target[sl, bl]
                else f"SETs at {c.set_gate_v[1]:g} V of gate"
            )
            + " bring it no nearer; choose a target that it reaches, or a wider range of pulses",
            Failure.NOISY: f"{reads} after {pulses}; {scatter}",
            Failure.NOT_CONVERGED: f"{reads} after {pulses} in {int(self._cycles[sl, bl])} cycles; {scatter}",
        }[failure]
        return CellFailure(sl, bl, failure, reason)
