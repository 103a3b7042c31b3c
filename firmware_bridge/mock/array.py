"""The mock board's 1T1R array: cells on word, bit and source lines, with wires, noise and faults.

Rows share a word line (gates) and a source line, columns share a bit line (top electrodes). Inputs are bit-line
voltages, outputs source-line currents. Voltages are absolute line voltages in V, times are board times in s and never
run backwards.

Randomness comes in independent streams of one seed: the chip (device to device), the pulses (cycle to cycle), and the
telegraph noise, whose events are a pure function of seed and time. White noise of a conversion is not drawn here but by
the converter, from `Response.noise_s`. No result depends on how often or in which pieces it is asked for.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock import irdrop, rng_state
from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.cell_faults import BROKEN_LINE, draw_faults
from firmware_bridge.mock.device import Cells
from firmware_bridge.mock.line_setting import LineSetting
from firmware_bridge.mock.telegraph import Telegraph

OHMIC_V = 0.1
"""Cell voltage up to which cells are Ohmic, V (paper, Fig. 2j)."""

_MAX_CACHED = 128


def excess_voltage(v: np.ndarray | float) -> np.ndarray:
    """Odd, twice differentiable h(v) in V that is 0 within ±0.1 V: sign(v)·(|v| - 0.1 V)³/(0.1 V)² beyond."""
    v = np.asarray(v, dtype=float)
    return np.sign(v) * np.maximum(np.abs(v) - OHMIC_V, 0.0) ** 3 / OHMIC_V**2


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Small-signal response of the array; arrays are read-only."""

    transfer_s: np.ndarray
    """(n_sl, n_bl) S: ``I_sl = transfer_s @ v`` for v = V_BL - V_SL within ±0.1 V, IR drop included."""
    mean_transfer_s: np.ndarray
    """The same with telegraph noise at its mean: the same object until `until_s`."""
    noise_s: np.ndarray
    """(n_sl, n_bl) S rms white noise of each entry, independent per conversion and cell."""
    nonlinear: np.ndarray
    """(n_sl, n_bl): ``I_sl += (transfer_s * nonlinear) @ excess_voltage(v)``."""
    until_s: float
    """Board time until which this holds, but for the telegraph transitions that `Array.flips` gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Flips:
    """Telegraph transitions in time order; all arrays (k,)."""

    t_s: np.ndarray
    row: np.ndarray
    col: np.ndarray
    delta_s: np.ndarray
    """Change of ``transfer_s[row, col]`` at `t_s`, S."""


class Array:
    """An array of `params`, drawn from `seed`.

    Equal parameters, seed and history of pulses give bit-identical arrays.
    """

    def __init__(self, params: ArrayParams, *, seed: int) -> None:
        self.params = params
        self.seed = seed
        self.shape = (params.n_sl, params.n_bl)
        device_seq, pulse_seq, telegraph_seq, wire_seq = np.random.SeedSequence(seed).spawn(4)
        device_rng = np.random.default_rng(device_seq)
        self._pulse_rng = np.random.default_rng(pulse_seq)
        faults = draw_faults(params.faults, self.shape, device_rng)
        self._connected = ~np.isin(faults, BROKEN_LINE)
        self._cells = Cells(params, faults.ravel(), device_rng, self._pulse_rng)
        self.wires = irdrop.Wires.draw(params.wires, *self.shape, np.random.default_rng(wire_seq))
        self._row_v_th_v = self._cells.v_th_v.reshape(self.shape).min(axis=1)
        self._draw_telegraph(telegraph_seq)
        # Last time that a pulse changed a cell of each row.
        self._row_epoch_s = np.zeros(params.n_sl)
        self._settings: dict[bytes, LineSetting] = {}
        self._current: Response | None = None
        self._current_setting: LineSetting | None = None
        self._current_key = b""
        self._current_from_s = 0.0
        self._current_until_s = 0.0
        self._now_s = 0.0

    @property
    def faults(self) -> np.ndarray:
        """Ground truth (n_sl, n_bl) of `CellFault` values; for tests, no real board can be asked this."""
        return self._cells.faults.reshape(self.shape).copy()

    @property
    def now_s(self) -> float:
        """Latest board time seen, s: where the clock of a board that loads a saved array has to go on."""
        return self._now_s

    @functools.cached_property
    def _path_ohm(self) -> tuple[np.ndarray, np.ndarray]:
        """Shared resistances along bit lines (n_sl, n_sl) and source lines (n_bl, n_bl), Ω."""
        return (
            irdrop.shared_segments_ohm(self.params.n_sl, self.wires.bl_segment_ohm),
            irdrop.shared_segments_ohm(self.params.n_bl, self.wires.sl_segment_ohm),
        )

    def conductance_s(self, t_s: float) -> np.ndarray:
        """Ground truth (n_sl, n_bl) S at `t_s`: each cell at low field with its transistor on (`read_gate_v`).

        Without IR drop, telegraph noise at its mean; cells that cannot conduct are 0. For tests and records.
        """
        gate = np.full(self._cells.v_th_v.shape, self.params.read_gate_v)
        g = self._cells.series_s(slice(None), self._cells.memristor_s(slice(None), t_s), gate)
        return g.reshape(self.shape) * self._connected

    def pulse(self, v_bl: np.ndarray, v_wl: np.ndarray, v_sl: np.ndarray, width_s: float, t_s: float) -> np.ndarray:
        """Apply one programming pulse at board time `t_s` and return the mean SL currents (n_sl,) A during it.

        `v_bl` (n_bl,), `v_wl` (n_sl,), `v_sl` (n_sl,) are absolute voltages in V; NaN in `v_bl` or `v_sl` is a line
        that floats: its cells carry no current. Line resistance acts to first order: the drop is that of the currents
        that cells at switching voltages would draw without it.

        Raises `LimitError` for a width that is not positive and finite, `ProtocolError` for a wrong shape, a word
        line without a voltage, or a time before one already seen.
        """
        v_bl, v_wl, v_sl = self._lines("v_bl", v_bl, 1), self._lines("v_wl", v_wl, 0), self._lines("v_sl", v_sl, 0)
        if not (np.isfinite(width_s) and width_s > 0):
            raise LimitError("pulse width_s", width_s, 0.0, "s", advice="give a positive, finite width")
        if not np.isfinite(v_wl).all():
            raise ProtocolError(
                f"v_wl = {v_wl[~np.isfinite(v_wl)][0]} V: every word line needs a voltage, a gate must not float"
            )
        self._forward(t_s)
        current = np.zeros(self.shape[0])
        driven = (~np.isnan(v_bl)).nonzero()[0]
        if not len(driven):
            return current
        # The lower of a cell's two lines is its transistor's source; a floating SL compares as off.
        rows = (v_wl - np.minimum(v_sl, v_bl[driven].min()) > self._row_v_th_v).nonzero()[0]
        if not len(rows):
            return current
        v = v_bl[driven] - v_sl[rows, None]
        connected = self._connected[rows[:, None], driven]
        switching = connected & (np.abs(v) >= self.params.switching.disturb_v)
        resting = connected & ~switching & (v != 0)
        if resting.any():
            cells = rows[:, None] * self.shape[1] + driven
            gate = v_wl[rows, None] - np.minimum(v_sl[rows, None], v_bl[driven])
            cell_s = self._cells.series_s(cells, self._cells.memristor_s(cells, t_s), gate)
            current[rows] = np.einsum("ij,ij,ij->i", v, cell_s, resting)
        r, c = switching.nonzero()
        if not len(r):
            return current
        row, col = rows[r], driven[c]
        cells = row * self.shape[1] + col
        bl, sl, wl = v_bl[col], v_sl[row], v_wl[row]
        g = self._cells.memristor_s(cells, t_s)
        if not self.wires.drop_nothing:
            nominal = np.zeros(self.shape)
            nominal[row, col] = self._cells.nominal_a(cells, g, bl - sl, wl - np.minimum(bl, sl))
            bl_path_ohm, sl_path_ohm = self._path_ohm
            bl_lost_v = bl_path_ohm @ nominal + self.wires.bl_source_ohm * nominal.sum(axis=0)
            sl_lost_v = nominal @ sl_path_ohm + (self.wires.sl_series_ohm * nominal.sum(axis=1))[:, None]
            bl, sl = bl - bl_lost_v[row, col], sl + sl_lost_v[row, col]
        end_s = t_s + width_s
        pulsed = self._cells.pulse(cells, g, bl - sl, wl - np.minimum(bl, sl), width_s, end_s)
        current[rows] += np.bincount(r, weights=pulsed.current_a, minlength=len(rows))
        if pulsed.changed.any():
            self._invalidate(row[pulsed.changed], end_s)
        return current

    def response(self, t_s: float, v_wl: np.ndarray, v_sl: np.ndarray) -> Response:
        """Small-signal response at `t_s`, word lines at `v_wl` (n_sl,) V, source lines held at `v_sl` (n_sl,) V.

        Source-line potentials that differ by an amplifier's offset act through each row's own transfer:
        ``I_i = Σ_j transfer_ij (v_bl_j - v_sl_i)`` neglects that they shift the bit lines (offset × IR drop).

        IR drop is solved exactly when a pulse has changed a row that is on, and again at each decade of time from 1 s
        after it; in between, drift and telegraph noise scale each entry by its cell's relative change. Raises
        `ProtocolError` for a wrong shape, a line that floats, or a time before one already seen.
        """
        key = v_wl.tobytes() + v_sl.tobytes()
        if (
            self._current is not None
            and key == self._current_key
            and self._current_from_s <= t_s < self._current_until_s
        ):
            self._now_s = t_s
            return self._current
        self._forward(t_s)
        setting = self._settings.get(key)
        if setting is None:
            setting = self._new_setting(self._lines("v_wl", v_wl, 0), self._lines("v_sl", v_sl, 0))
            if len(self._settings) >= _MAX_CACHED:
                self._settings.clear()
            self._settings[key] = setting
        setting.refresh(t_s)
        self._telegraph.advance(t_s)
        transfer = setting.mean_transfer_s
        if len(self._noisy):
            transfer = transfer.copy()
            swing = self._telegraph.states - self._telegraph.mean_state
            transfer.reshape(-1)[self._noisy] *= 1.0 + self._amplitude * swing
            transfer.flags.writeable = False
        self._current = Response(transfer, setting.mean_transfer_s, setting.noise_s, setting.nonlinear, setting.until_s)
        self._current_setting, self._current_key = setting, key
        self._current_from_s = t_s
        self._current_until_s = min(setting.until_s, self._telegraph.next_flip_s)
        return self._current

    def flips(self, t0_s: float, t1_s: float) -> Flips | None:
        """Telegraph transitions in (t0_s, t1_s] as changes of the last response's transfer, or None without any.

        ``response(t0_s)`` plus these is the transfer at every instant to t1_s ≤ ``until_s``. Rows that are off have
        none. Raises `ProtocolError` when no response has been asked for, or t0_s lies before it.
        """
        if t1_s < self._telegraph.next_flip_s:
            return None
        setting = self._current_setting
        if setting is None:
            raise ProtocolError("flips() needs a response() at or before t0_s: transitions are changes of its transfer")
        if t0_s < self._current_from_s:
            raise ProtocolError(
                f"flips from t0_s = {t0_s!r} s begin before the response in force, of {self._current_from_s!r} s"
            )
        t, which, sign = self._telegraph.events(t0_s, t1_s)
        cell = self._noisy[which]
        delta = setting.mean_transfer_s.reshape(-1)[cell] * self._amplitude[which] * sign
        seen = delta != 0
        if not seen.any():
            return None
        row, col = np.divmod(cell[seen], self.shape[1])
        return Flips(t[seen], row, col, delta[seen])

    def reconnect(self, cells: np.ndarray, connected: bool, t_s: float) -> np.ndarray:
        """Cut `cells` (n_sl, n_bl) bool off their lines at `t_s`, or put them back; returns those that it changed."""
        self._forward(t_s)
        changed = cells & (self._connected != connected)
        self._connected = self._connected ^ changed
        self._invalidate(np.arange(self.shape[0]), t_s)
        return changed

    def scale(self, factor: np.ndarray, t_s: float) -> None:
        """Every cell conducts `factor` (n_sl, n_bl) times as much from `t_s` on."""
        self._forward(t_s)
        self._cells.scale(factor.ravel())
        self._invalidate(np.arange(self.shape[0]), t_s)

    def save_state(self) -> dict[str, np.ndarray]:
        """The whole array as a dictionary of plain numpy arrays, fit for ``np.savez``."""
        saved = {f"cells_{name}": value for name, value in self._cells.save().items()}
        saved |= {f"telegraph_{name}": value for name, value in self._telegraph.save().items()}
        saved["pulse_rng"] = rng_state.pack(self._pulse_rng)
        saved["row_epoch_s"] = self._row_epoch_s.copy()
        saved["now_s"] = np.array(self._now_s)
        saved["seed"] = np.array(str(self.seed))
        saved["params_sha256"] = np.array(self.params.digest())
        return saved

    def load_state(self, saved: dict[str, np.ndarray]) -> None:
        """Continue, bit for bit, from what `save_state` returned.

        Raises `ProtocolError` when the state belongs to an array of other parameters or another seed.
        """
        for name, mine in (("params_sha256", self.params.digest()), ("seed", str(self.seed))):
            if str(saved[name]) != mine:
                raise ProtocolError(
                    f"saved array has {name} = {saved[name]}, this one {mine}: "
                    "open it with the parameters and the seed it was made with"
                )
        self._cells.load(_part(saved, "cells_"))
        self._telegraph.load(_part(saved, "telegraph_"))
        rng_state.unpack(self._pulse_rng, saved["pulse_rng"])
        self._row_epoch_s = saved["row_epoch_s"].copy()
        self._now_s = float(saved["now_s"])
        self._settings.clear()
        self._current = self._current_setting = None

    def _draw_telegraph(self, seq: np.random.SeedSequence) -> None:
        rng = np.random.default_rng(seq)
        n = self.shape[0] * self.shape[1]
        p = self.params.telegraph
        self._noisy = np.flatnonzero(rng.random(n) < p.fraction) if p else np.empty(0, dtype=np.int64)
        k = len(self._noisy)
        low, high = p.amplitude_rel if p else (1.0, 1.0)
        self._amplitude = low * (high / low) ** rng.random(k)
        low, high = p.rate_per_s if p else (1.0, 1.0)
        self._telegraph = Telegraph(low * (high / low) ** rng.random((k, 2)), int(rng.integers(2**63)))

    def _lines(self, name: str, values: np.ndarray, axis: int) -> np.ndarray:
        values = np.asarray(values, dtype=float)
        if values.shape != (self.shape[axis],):
            raise ProtocolError(f"{name} has shape {values.shape}, the array needs ({self.shape[axis]},)")
        return values

    def _forward(self, t_s: float) -> None:
        # A pulse's end is computed here and by the caller; the two may differ in the last digit.
        if not t_s >= self._now_s - 1e-12 * (1.0 + self._now_s):
            raise ProtocolError(f"board time t_s = {t_s!r} s runs backwards, {self._now_s!r} s has been seen")
        self._now_s = max(t_s, self._now_s)

    def _invalidate(self, rows: np.ndarray, end_s: float) -> None:
        """Start the refresh grid of `rows` anew at `end_s` and drop what was derived from their old state."""
        self._row_epoch_s[rows] = end_s
        hit = np.zeros(self.shape[0], dtype=bool)
        hit[rows] = True
        self._settings = {key: s for key, s in self._settings.items() if not hit[s.rows].any()}
        if self._current_setting is not None and hit[self._current_setting.rows].any():
            self._current = self._current_setting = None

    def _new_setting(self, v_wl: np.ndarray, v_sl: np.ndarray) -> LineSetting:
        for name, volts in (("v_wl", v_wl), ("v_sl", v_sl)):
            if not np.isfinite(volts).all():
                raise ProtocolError(
                    f"{name} = {volts[~np.isfinite(volts)][0]} V while reading: each of these lines needs a voltage"
                )
        gate = v_wl - v_sl
        rows = np.flatnonzero(gate > self._row_v_th_v)
        epoch = float(self._row_epoch_s[rows].max()) if len(rows) else 0.0
        return LineSetting(self._cells, self._connected, self.params, self.wires, rows, gate[rows], epoch)


def _part(saved: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in saved.items() if name.startswith(prefix)}
