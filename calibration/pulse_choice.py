"""Which pulse each cell gets next, and what the last ones taught."""

from __future__ import annotations

from dataclasses import dataclass

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


class PulseChoice:
    """SETs by gate voltage and RESETs by amplitude, each from a line that it learns; forming where no SET helps.

    strikes: strong pulses in a row without effect, (n_sl, n_bl).
    form_count: forming pulses that each cell has had, (n_sl, n_bl); formed: those that responded to them.
    """

    def __init__(self, config: WriteVerifyConfig, shape: tuple[int, int]) -> None:
        self._c = config
        self.set_line = ResponseLine(
            LinePrior(config.set_onset_v, 0.0, config.set_slope_s_per_v, 0.3, 0.1, SET_STRIDE_S), shape
        )
        self.reset_line = ResponseLine(
            LinePrior(config.reset_50us_v, -float(np.log(50e-6)), 1 / config.reset_efold_v, 0.3, 0.15, RESET_STRIDE),
            shape,
        )
        self.strikes = np.zeros(shape, int)
        self.form_count = np.zeros(shape, int)
        self.formed = np.zeros(shape, bool)

    def choose(self, cells: Mask, g_s: Array, error_s: Array, target_s: Array) -> PulseStep:
        """Pulses that take `cells` from the mean reads `g_s` (with standard errors `error_s`) towards `target_s`."""
        c = self._c
        way = target_s - g_s
        forming = cells & (way > 0) & (self.strikes >= c.strong_pulses) & ~self.tried_forming
        up, down = cells & (way > 0) & ~forming, cells & (way < 0)
        aim = self._aim(g_s, way, target_s, up & ~self.set_line.seen)
        gate = np.clip(self.set_line.voltage(aim), *c.set_gate_v)
        reset = np.clip(self.reset_line.voltage(-np.log(np.maximum(aim, REST_S))), *c.reset_v)
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
        """Cells for which forming is over: it worked, or every amplitude has been tried."""
        return self.formed | (self.form_count >= len(self._c.form_v))

    def learn(self, step: PulseStep, g_s: Array, error_s: Array, target_s: Array) -> None:
        """Take in the means `g_s`, with standard errors `error_s`, read after the pulses of `step`."""
        change = g_s - step.before_s
        sigma = np.sqrt(step.error_s**2 + error_s**2)
        variance = self._c.granularity_s * np.abs(change) + sigma**2
        switching = step.cells & ~step.forming
        up, down = switching & (step.amplitude_v > 0), switching & (step.amplitude_v < 0)
        self.set_line.update(up, step.gate_v, g_s, variance, change / sigma)
        left = np.maximum(g_s, REST_S)
        self.reset_line.update(down, -step.amplitude_v, -np.log(left), variance / left**2, -change / sigma)

        way = target_s - step.before_s
        effect = change * np.sign(way) > np.maximum(MOVED_SIGMA * sigma, STUCK_SHARE * np.abs(way))
        self.strikes[switching & effect] = 0
        self.strikes[step.strong & ~effect & (np.abs(target_s - g_s) > self._c.accept_s)] += 1
        self.form_count[step.forming] += 1
        formed = step.forming & effect
        self.formed |= formed
        self.strikes[formed] = 0
        # Its unformed past taught these cells' lines nothing; those that stay dead get their strong pulses again.
        self.set_line.forget(formed)

    def _aim(self, g_s: Array, way: Array, target_s: Array, first: Mask) -> Array:
        """Conductance that the next pulse should lead to, S: short of the target, as overshooting costs a turn."""
        size = np.abs(way)
        spread = np.sqrt(self._c.granularity_s * size + (0.1 * size) ** 2)
        aim = g_s + np.sign(way) * np.maximum(size - self._c.caution * spread, LEAST_AIM * size)
        probe = self._c.probe_fraction * target_s
        return np.where(first & (probe > g_s), np.minimum(probe, aim), aim)
