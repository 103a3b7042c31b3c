"""Which pulse each cell gets next, and what the last ones taught.

`PulseChoice` is what all algorithms share: SETs by gate voltage, RESETs by amplitude, forming where no SET helps, and
the count of strong pulses without effect. How the two voltages are chosen is what they differ in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from calibration.lines import MOVED_SIGMA, LinePrior, ResponseLine
from calibration.write_verify_config import WriteVerifyConfig

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

REST_S = 0.1e-6
"""Smallest conductance that the RESET line's logarithm is taken of, S: reads of a dead cell scatter about zero."""
SET_STRIDE_S, RESET_STRIDE = 5e-6, 0.1
"""Longest steps of a search for the gate voltage or the amplitude at which a cell begins to move: in what they may
overshoot by, S and relative."""
LEAST_AIM = 0.4
"""Share of the way to its target that a pulse aims at least."""
LEAST_STEP = 16
"""Share of its first step, as a divisor, below which the step of a ramp is not halved."""
STUCK_SHARE = 0.05
"""A strong pulse that covers less than this share of the way to the target had no effect."""


@dataclass(frozen=True)
class PulseStep:
    """One pulse for each cell of one step, (n_sl, n_bl) each; NaN amplitude leaves a cell alone.

    amplitude_v: V, negative RESETs. gate_v: V above the source lines. width_s: s. forming: cells whose pulse is a
        forming pulse.
    strong: cells whose pulse is at the end of its range. before_s, error_s: mean read before it and its standard
        error, S.
    """

    amplitude_v: Array
    gate_v: Array
    width_s: Array
    forming: Mask
    strong: Mask
    before_s: Array
    error_s: Array

    @property
    def cells(self) -> Mask:
        """Cells that get a pulse."""
        return ~np.isnan(self.amplitude_v)


class PulseChoice(ABC):
    """What the algorithms share.

    strikes: strong pulses in a row without effect, (n_sl, n_bl).
    responded: cells that a pulse has moved, (n_sl, n_bl).
    form_count: forming pulses that each cell has had, (n_sl, n_bl); formed: those that responded to them.
    form_limit: forming pulses that each cell may have, (n_sl, n_bl).
    """

    def __init__(self, config: WriteVerifyConfig, shape: tuple[int, int]) -> None:
        self._c = config
        self.strikes = np.zeros(shape, int)
        self.responded = np.zeros(shape, bool)
        self.form_count = np.zeros(shape, int)
        self.form_limit = np.full(shape, len(config.form_v))
        self.formed = np.zeros(shape, bool)

    @abstractmethod
    def _voltages(self, g_s: Array, target_s: Array, up: Mask, down: Mask) -> tuple[Array, Array]:
        """Gate voltage of the SET of cells `up` and amplitude of the RESET of cells `down`, V, before they are clipped
        to their ranges."""

    @abstractmethod
    def _take_in(self, step: PulseStep, up: Mask, down: Mask, g_s: Array, sigma_s: Array) -> None:
        """SETs `up` and RESETs `down` of `step` left the cells at `g_s`; `sigma_s`: standard error of the change."""

    @abstractmethod
    def _begin_again(self, cells: Mask) -> None:
        """`cells` have just been formed and are no longer what they were."""

    def choose(self, cells: Mask, g_s: Array, error_s: Array, target_s: Array) -> PulseStep:
        """Pulses that take `cells` from the mean reads `g_s` (with standard errors `error_s`) towards `target_s`."""
        c = self._c
        way = target_s - g_s
        forming = cells & (way > 0) & (self.strikes >= c.strong_pulses) & ~self.tried_forming
        up, down = cells & (way > 0) & ~forming, cells & (way < 0)
        gate, reset = self._voltages(g_s, target_s, up, down)
        gate, reset = np.clip(gate, *c.set_gate_v), np.clip(reset, *c.reset_v)
        form = np.array(c.form_v)[np.minimum(self.form_count, len(c.form_v) - 1)]
        choices = [up, down, forming]
        return PulseStep(
            amplitude_v=np.select(choices, [np.full_like(way, c.set_v), -reset, form], np.nan),
            gate_v=np.select(
                choices, [gate, np.full_like(way, c.reset_gate_v), np.full_like(way, c.form_gate_v)], np.nan
            ),
            width_s=np.select([down, forming], [c.reset_width_s, c.form_width_s], c.set_width_s),
            forming=forming,
            strong=(up & (gate >= c.set_gate_v[1])) | (down & (reset >= c.reset_v[1])),
            before_s=g_s.copy(),
            error_s=error_s,
        )

    @property
    def tried_forming(self) -> Mask:
        """Cells that forming can do no more for: they have responded to a pulse, or to forming, or every amplitude that
        they may be given has been tried."""
        return self.responded | self.formed | (self.form_count >= np.minimum(self.form_limit, len(self._c.form_v)))

    def learn(self, step: PulseStep, g_s: Array, error_s: Array, target_s: Array) -> None:
        """Take in the means `g_s`, with standard errors `error_s`, read after the pulses of `step`."""
        change = g_s - step.before_s
        sigma = np.sqrt(step.error_s**2 + error_s**2)
        switching = step.cells & ~step.forming
        self._take_in(step, switching & (step.amplitude_v > 0), switching & (step.amplitude_v < 0), g_s, sigma)

        way = target_s - step.before_s
        effect = change * np.sign(way) > np.maximum(MOVED_SIGMA * sigma, STUCK_SHARE * np.abs(way))
        self.strikes[switching & effect] = 0
        self.responded |= switching & effect
        self.strikes[step.strong & ~effect] += 1
        self.form_count[step.forming] += 1
        formed = step.forming & effect
        self.formed |= formed
        self.strikes[formed] = 0
        # Those that stay dead get their strong pulses again.
        self._begin_again(formed)


class Predictive(PulseChoice):
    """Each cell's response is learned while it is programmed: two lines per cell, and pulses that aim by them."""

    def __init__(self, config: WriteVerifyConfig, shape: tuple[int, int]) -> None:
        super().__init__(config, shape)
        self.set_line = ResponseLine(
            LinePrior(config.set_onset_v, 0.0, config.set_slope_s_per_v, 0.3, 0.1, SET_STRIDE_S), shape
        )
        self.reset_line = ResponseLine(
            LinePrior(config.reset_50us_v, -float(np.log(50e-6)), 1 / config.reset_efold_v, 0.3, 0.15, RESET_STRIDE),
            shape,
        )

    def _voltages(self, g_s: Array, target_s: Array, up: Mask, down: Mask) -> tuple[Array, Array]:
        aim = self._aim(g_s, target_s, up & ~self.set_line.seen)
        return self.set_line.voltage(aim), self.reset_line.voltage(-np.log(np.maximum(aim, REST_S)))

    def _take_in(self, step: PulseStep, up: Mask, down: Mask, g_s: Array, sigma_s: Array) -> None:
        change = g_s - step.before_s
        variance = self._c.granularity_s * np.abs(change) + sigma_s**2
        self.set_line.update(up, step.gate_v, g_s, variance, change / sigma_s)
        left = np.maximum(g_s, REST_S)
        self.reset_line.update(down, -step.amplitude_v, -np.log(left), variance / left**2, -change / sigma_s)

    def _begin_again(self, cells: Mask) -> None:
        # An unformed past taught the line nothing.
        self.set_line.forget(cells)

    def _aim(self, g_s: Array, target_s: Array, first: Mask) -> Array:
        """Conductance that the next pulse should lead to, S: short of the target, as overshooting costs a turn."""
        way = target_s - g_s
        size = np.abs(way)
        spread = np.sqrt(self._c.granularity_s * size + (0.1 * size) ** 2)
        aim = g_s + np.sign(way) * np.maximum(size - self._c.caution * spread, LEAST_AIM * size)
        probe = self._c.probe_fraction * target_s
        return np.where(first & (probe > g_s), np.minimum(probe, aim), aim)


class Ramp(PulseChoice):
    """Incremental-step pulses: each SET a fixed step of gate voltage above the one before, each RESET a fixed step of
    amplitude. A change of direction begins the other ramp.

    With `reverse_and_halve` a ramp that is taken up again goes on where it was, one step back, with half the step, so
    that a cell is closed in from both sides (the window with polarity reversal). Without, it begins at its start.
    """

    def __init__(self, config: WriteVerifyConfig, shape: tuple[int, int], *, reverse_and_halve: bool) -> None:
        super().__init__(config, shape)
        self._halve = reverse_and_halve
        self._set, self._reset = (
            _OneRamp(start, step, shape)
            for start, step in ((config.set_gate_v[0], config.set_step_v), (config.reset_v[0], config.reset_step_v))
        )

    def _voltages(self, g_s: Array, target_s: Array, up: Mask, down: Mask) -> tuple[Array, Array]:
        for ramp, other, cells in ((self._set, self._reset, up), (self._reset, self._set, down)):
            ramp.turn(cells & other.running, halve=self._halve)
            other.running &= ~cells
            ramp.running |= cells
        return self._set.next_v, self._reset.next_v

    def _take_in(self, step: PulseStep, up: Mask, down: Mask, g_s: Array, sigma_s: Array) -> None:
        self._set.advance(up)
        self._reset.advance(down)

    def _begin_again(self, cells: Mask) -> None:
        self._set.turn(cells, halve=False)


class _OneRamp:
    """The ramp of one polarity: every array (n_sl, n_bl), V."""

    def __init__(self, start_v: float, step_v: float, shape: tuple[int, int]) -> None:
        self._start_v = start_v
        self._least_v = step_v / LEAST_STEP
        self._step_v = np.full(shape, step_v)
        self.next_v = np.full(shape, start_v)
        self._used = np.zeros(shape, bool)
        self.running = np.zeros(shape, bool)
        """Cells whose last pulse was of this ramp."""

    def advance(self, cells: Mask) -> None:
        """`cells` had a pulse."""
        self.next_v[cells] += self._step_v[cells]
        self._used |= cells

    def turn(self, cells: Mask, *, halve: bool) -> None:
        """`cells` come back to this ramp from the other one."""
        if not halve:
            self.next_v[cells] = self._start_v
            return
        cells = cells & self._used
        # The pulse before the turn was one step below `next_v`, and went too far.
        back = np.maximum(self.next_v - 2 * self._step_v, self._start_v)
        self.next_v[cells] = back[cells]
        self._step_v[cells] = np.maximum(self._step_v[cells] / 2, self._least_v)


ALGORITHMS: dict[str, Callable[[WriteVerifyConfig, tuple[int, int]], PulseChoice]] = {
    "predictive": Predictive,
    "ispp": partial(Ramp, reverse_and_halve=False),
    "window": partial(Ramp, reverse_and_halve=True),
}
"""Algorithms by the name that `WriteVerifyConfig.algorithm` gives them."""
