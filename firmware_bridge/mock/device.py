"""The cells of the mock array: what a voltage pulse does to them, and how they drift afterwards.

Every equation stands in docs/device-model.md. Cells are a flat population here; lines, geometry and reads are the
array's.

A cell's state is its memristor's conductance g and a hidden offset d of its SET line. A SET grows g towards
``slope·(V_GS - V_th) + d``, in steps of gamma noise that d remembers: repeating a pulse does nothing, a slightly larger
gate makes a small step with small noise, and only growth from a low conductance shows the full single-shot spread.
Along g, d is a Brownian path that a RESET erases from the top.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.cell_faults import CellFault


class Pulsed(NamedTuple):
    """What a pulse did, per cell."""

    current_a: np.ndarray
    """Mean current (k,) A, positive from BL to SL."""
    changed: np.ndarray
    """Whether the state changed (k,)."""


_HEALTHY = int(CellFault.HEALTHY)  # comparing with the enum's member costs more than the comparison
_LITTLE_V = 1e-12  # keeps a transistor that is off out of a division by zero
_LN10 = float(np.log(10.0))
_STATE = ("_base_s", "_offset_s", "_drift_s", "_event_s", "faults")
_CONSTANTS = ("slope_s_per_v", "v_th_v", "set_v", "reset_v", "form_v")


class Cells:
    """`count` cells drawn from `params`; `device_rng` draws them, `pulse_rng` what each pulse does.

    `faults` (count,) holds `CellFault` values drawn by the caller; unformed ones are drawn here.
    """

    def __init__(
        self,
        params: ArrayParams,
        faults: np.ndarray,
        device_rng: np.random.Generator,
        pulse_rng: np.random.Generator,
    ) -> None:
        self._p = params
        self._rng = pulse_rng
        self._set_granularity_s = params.cycle.set_granularity_s if params.cycle else 0.0
        self._max_v = params.breakdown.max_voltage_v if params.breakdown else np.inf
        self._limiting_v = params.breakdown.limiting_overdrive_v if params.breakdown else np.inf
        n = len(faults)
        spread, switching, form = params.spread, params.switching, params.forming

        def normal() -> np.ndarray:
            """Standard normal cut at three: a healthy cell further out would be called a fault."""
            return np.clip(device_rng.standard_normal(n), -3.0, 3.0)

        # Always the same draws, so that switching one part off leaves the rest of the chip as it was.
        z_slope, z_th, z_set, z_reset, z_form, z_initial = (normal() for _ in range(6))
        u_unformed = device_rng.random(n)
        z_offset = device_rng.standard_normal(n)
        self.slope_s_per_v = switching.set_slope_s_per_v * (1.0 + (spread.set_slope_rel if spread else 0.0) * z_slope)
        self.v_th_v = params.transistor.v_th_v + (spread.v_th_v if spread else 0.0) * z_th
        self.set_v = switching.set_v + (spread.set_v if spread else 0.0) * z_set
        self.reset_v = switching.reset_v + (spread.reset_v if spread else 0.0) * z_reset
        self.form_v = form.form_v + form.form_spread_v * z_form if form else np.zeros(n)

        self.faults = faults.astype(np.int64)
        if form:
            self.faults[(self.faults == CellFault.HEALTHY) & (u_unformed < form.unformed_fraction)] = CellFault.UNFORMED
        # g = (base + drift·ln(1 + age/t0))·retention(age), age counted from the event.
        self._base_s = params.initial.g_median_s * np.exp(params.initial.log_spread * z_initial)
        self._offset_s = np.sqrt(self._set_granularity_s * np.maximum(self._base_s - switching.g_min_s, 0.0)) * z_offset
        self._drift_s = np.zeros(n)
        self._event_s = np.zeros(n)
        self._base_s[self.faults == CellFault.OPEN] = 0.0
        if form:
            self._base_s[self.faults == CellFault.UNFORMED] = form.pristine_s
        if params.faults:
            self._base_s[self.faults == CellFault.STUCK_HIGH] = params.faults.stuck_high_s
            self._base_s[self.faults == CellFault.STUCK_LOW] = params.faults.stuck_low_s

    def memristor_s(self, cells: np.ndarray | slice, t_s: float) -> np.ndarray:
        """Conductance (k,) S of the memristors alone at time `t_s`, low field, telegraph noise at its mean."""
        g = self._base_s[cells]
        age = np.maximum(t_s - self._event_s[cells], 0.0)
        if self._p.relaxation:
            g = g + self._drift_s[cells] * np.log1p(age / self._p.relaxation.t0_s)
        return np.maximum(g, 0.0) * self._retained(age)

    def series_s(self, cells: np.ndarray | slice, memristor_s: np.ndarray, gate_v: np.ndarray) -> np.ndarray:
        """Conductance (k,) S of memristor and transistor in series at `gate_v` (k,) V above the source; 0 when off."""
        overdrive = gate_v - self.v_th_v[cells]
        return self._series_s(memristor_s, overdrive) * (overdrive > 0)

    def nominal_a(self, cells: np.ndarray, g_s: np.ndarray, v: np.ndarray, gate_v: np.ndarray) -> np.ndarray:
        """Current (k,) A that `pulse` with these arguments ends with, had the lines no resistance."""
        overdrive = gate_v - self.v_th_v[cells]
        aim = self.slope_s_per_v[cells] * overdrive + self._offset_s[cells]
        grows = (v >= self._p.switching.disturb_v) & (self.faults[cells] == _HEALTHY)
        return self._passive_a(cells, np.maximum(g_s, aim * grows), v, overdrive)

    def pulse(
        self, cells: np.ndarray, g_s: np.ndarray, v: np.ndarray, gate_v: np.ndarray, width_s: float, end_s: float
    ) -> Pulsed:
        """Apply one pulse of `width_s`, ending at `end_s`, to distinct `cells` (k,) with memristors at `g_s` (k,) S.

        `v` (k,) is V_BL - V_SL at the cell; `gate_v` (k,) is V_WL over the lower of the two lines, which is the
        transistor's source: the SL for a SET, the BL for a RESET. All in V.
        """
        cutoff = self._p.switching.disturb_v
        overdrive = gate_v - self.v_th_v[cells]
        current = np.empty(len(cells))
        changed = np.zeros(len(cells), dtype=bool)
        formed = self.faults[cells] == _HEALTHY
        up, down = formed & (v >= cutoff), formed & (v <= -cutoff)
        for chosen, act in ((up, self._set), (down, self._reset), (~(up | down), self._rest)):
            k = chosen.nonzero()[0]
            if len(k) == len(cells):
                return Pulsed(*act(cells, g_s, v, overdrive, width_s, end_s))
            if len(k):
                current[k], changed[k] = act(cells[k], g_s[k], v[k], overdrive[k], width_s, end_s)
        return Pulsed(current, changed)

    def scale(self, factor: np.ndarray) -> None:
        """Every memristor conducts `factor` (count,) times as much."""
        self._base_s = self._base_s * factor
        self._drift_s = self._drift_s * factor

    def save(self) -> dict[str, np.ndarray]:
        """All that distinguishes these cells, constants included."""
        return {name.lstrip("_"): getattr(self, name).copy() for name in _STATE + _CONSTANTS}

    def load(self, saved: dict[str, np.ndarray]) -> None:
        """Take over what `save` returned."""
        for name in _STATE + _CONSTANTS:
            setattr(self, name, saved[name.lstrip("_")].copy())

    def _series_s(self, memristor_s: np.ndarray, overdrive_v: np.ndarray) -> np.ndarray:
        """`series_s` without the switching off."""
        return memristor_s / (
            1.0 + memristor_s / (self._p.transistor.on_slope_s_per_v * np.maximum(overdrive_v, _LITTLE_V))
        )

    def _limit_a(self, cells: np.ndarray, overdrive_v: np.ndarray) -> np.ndarray:
        """Current (k,) A at which the transistor saturates; 0 when off."""
        return self.slope_s_per_v[cells] * np.maximum(overdrive_v, 0.0) * self._p.transistor.compliance_v

    def _passive_a(self, cells: np.ndarray, g_s: np.ndarray, v: np.ndarray, overdrive_v: np.ndarray) -> np.ndarray:
        """Current (k,) A of memristors at `g_s` in series with their transistors, which limit it."""
        limit = self._limit_a(cells, overdrive_v)
        return np.minimum(np.maximum(v * self._series_s(g_s, overdrive_v), -limit), limit)

    def _set(
        self, cells: np.ndarray, g0: np.ndarray, v: np.ndarray, overdrive_v: np.ndarray, width_s: float, end_s: float
    ) -> tuple[np.ndarray, np.ndarray]:
        p = self._p.switching
        aim = (self.slope_s_per_v[cells] * overdrive_v + self._offset_s[cells]) * (overdrive_v > 0)
        rate = np.exp((v - self.set_v[cells]) * (_LN10 / p.set_decade_v)) / p.set_tau_s
        mean = np.maximum(aim - g0, 0.0) * -np.expm1(-width_s * rate)
        step = self._noisy(mean, self._set_granularity_s)
        self._offset_s[cells] += step - mean
        current = self._passive_a(cells, g0 + 0.5 * step, v, overdrive_v)
        self._step(cells, g0, step, end_s)
        broken = self._break(cells, (v > self._max_v) & (overdrive_v > self._limiting_v), current, end_s)
        return current, (step > 0) | broken

    def _reset(
        self, cells: np.ndarray, g0: np.ndarray, v: np.ndarray, overdrive_v: np.ndarray, width_s: float, end_s: float
    ) -> tuple[np.ndarray, np.ndarray]:
        p = self._p.switching
        # The transistor's source is the memristor's side now: it cannot rise above V_WL - V_th.
        follower_v = np.maximum(overdrive_v, _LITTLE_V)
        across = np.minimum(-v / (1.0 + g0 / (self._p.transistor.on_slope_s_per_v * follower_v)), follower_v)
        beyond = across - self.reset_v[cells]
        floor = np.maximum(p.reset_floor_s * np.exp(beyond * (-_LN10 / p.reset_floor_decade_v)), p.g_min_s)
        rate = np.exp(beyond * (_LN10 / p.reset_decade_v)) / p.reset_tau_s
        mean = np.where(across >= p.disturb_v, np.maximum(g0 - floor, 0.0) * -np.expm1(-width_s * rate), 0.0)
        step = self._noisy(mean, self._p.cycle.reset_granularity_s if self._p.cycle else 0.0)
        step = np.minimum(step, np.maximum(g0 - p.g_min_s, 0.0))
        self._erase(cells, g0, step)
        current = -across * (g0 - 0.5 * step)
        self._step(cells, g0, -step, end_s)
        broken = self._break(cells, across > self._max_v, -current, end_s)
        return current, (step > 0) | broken

    def _rest(
        self, cells: np.ndarray, g0: np.ndarray, v: np.ndarray, overdrive_v: np.ndarray, width_s: float, end_s: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cells that do not switch: too little voltage, stuck, or not formed (which the pulse may do)."""
        current = self._passive_a(cells, g0, v, overdrive_v)
        changed = np.zeros(len(cells), dtype=bool)
        p = self._p.forming
        if p is None:
            return current, changed
        k = ((self.faults[cells] == CellFault.UNFORMED) & (v >= self._p.switching.disturb_v)).nonzero()[0]
        if len(k):
            rate = np.exp((v[k] - self.form_v[cells[k]]) * (_LN10 / p.form_decade_v)) / p.form_tau_s
            done = (self._rng.standard_exponential(len(k)) < width_s * rate) & (overdrive_v[k] > 0)
            changed[k] = done
            self._form(cells[k[done]], overdrive_v[k[done]], p.overshoot, end_s)
        return current, changed

    def _form(self, cells: np.ndarray, overdrive_v: np.ndarray, overshoot: float, end_s: float) -> None:
        mean = overshoot * self.slope_s_per_v[cells] * overdrive_v
        g = self._noisy(mean, self._set_granularity_s)
        self.faults[cells] = CellFault.HEALTHY
        self._offset_s[cells] = g - mean
        self._base_s[cells] = 0.0
        self._step(cells, np.zeros(len(cells)), g, end_s)
        self._break(cells, np.zeros(len(cells), dtype=bool), overshoot * self._limit_a(cells, overdrive_v), end_s)

    def _noisy(self, mean: np.ndarray, granularity_s: float) -> np.ndarray:
        """Steps of the given mean and of variance granularity·mean, never negative."""
        if granularity_s == 0:
            return mean
        return self._rng.standard_gamma(mean / granularity_s) * granularity_s

    def _erase(self, cells: np.ndarray, g0: np.ndarray, step: np.ndarray) -> None:
        """Cut the Brownian path d(g) back from `g0` to `g0 - step`: a Brownian bridge from d(g_min) = 0."""
        granularity = self._set_granularity_s
        depth = np.maximum(g0 - self._p.switching.g_min_s, 0.0)
        kept = np.clip(1.0 - np.divide(step, depth, where=depth > 0, out=np.zeros_like(depth)), 0.0, 1.0)
        self._offset_s[cells] *= kept
        if granularity > 0:
            self._offset_s[cells] += np.sqrt(granularity * depth * kept * (1.0 - kept)) * self._rng.standard_normal(
                len(cells)
            )

    def _step(self, cells: np.ndarray, g0: np.ndarray, step: np.ndarray, end_s: float) -> None:
        """Add `step` to the conductance `g0`; a large step starts a new relaxation at `end_s`, a small one may."""
        relaxation = self._p.relaxation
        if relaxation is None:
            anew = step != 0
        else:
            size = np.abs(step)
            # Chosen with probability size / (size + scale), without a division by zero.
            anew = self._rng.random(len(cells)) * (size + relaxation.step_scale_s) < size
            drift = relaxation.mean_s + relaxation.sigma_s * self._rng.standard_normal(len(cells))
            self._drift_s[cells[anew]] = drift[anew]
        self._base_s[cells] = np.where(anew, g0, self._base_s[cells]) + step
        self._event_s[cells[anew]] = end_s

    def _retained(self, age_s: np.ndarray) -> np.ndarray | float:
        retention = self._p.retention
        if retention is None:
            return 1.0
        return np.maximum(1.0 - retention.loss_per_decade * np.log10(1.0 + age_s / retention.start_s), 0.0)

    def _break(self, cells: np.ndarray, over_voltage: np.ndarray, current_a: np.ndarray, end_s: float) -> np.ndarray:
        """Destroy those of `cells` (k,) that saw too much; returns which (k,)."""
        if self._p.breakdown is None:
            return np.zeros(len(cells), dtype=bool)
        broken = over_voltage | (current_a > self._p.breakdown.max_current_a)
        lost = cells[broken]
        self.faults[lost] = CellFault.STUCK_HIGH
        self._base_s[lost] = self._p.breakdown.broken_s
        self._drift_s[lost] = 0.0
        self._event_s[lost] = end_s
        return broken
