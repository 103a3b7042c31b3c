"""What a programming pulse may be: each voltage and width by itself, and together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.board import Board
from drivers.limits import Linked, PulseLimits
from drivers.refusal import ROUNDING, Volts, refuse
from firmware_bridge.errors import LimitError


@dataclass(frozen=True)
class PulseVolts:
    """Voltages of n pulses, V over the source lines.

    relative: (n, n_bl) of the bit lines. gates: (n, n_sl) of the word lines. width_s: (n,).
    forming: the source lines are at the forming level. slack_v: half a DAC code.
    """

    relative: Volts
    gates: Volts
    width_s: Volts
    forming: bool
    slack_v: float

    def driven(self, board: Board) -> NDArray[np.bool_]:
        """Bit lines (n, n_bl) that are beyond a read voltage."""
        return np.abs(self.relative) > board.limits.read_v + self.slack_v

    def rows_on(self, board: Board, pulse: NDArray[np.intp], relative: Volts) -> NDArray[np.bool_]:
        """Rows (k, n_sl) whose transistors conduct in pulses (k,) for a bit line at `relative` (k,): the lower of the
        two lines is the transistors' source."""
        off_v = board.limits.wl_off_v + self.slack_v
        on: NDArray[np.bool_] = self.gates[pulse] > off_v + np.minimum(relative, 0.0)[:, None]
        return on

    def check(self, board: Board) -> None:
        """Raise `LimitError` for the first pulse that the limits of its kind do not allow."""
        limits, driven = board.limits, self.driven(board)
        for kind, cells, limit in (
            (
                "form" if self.forming else "set",
                driven & (self.relative > 0),
                limits.form if self.forming else limits.set,
            ),
            ("reset", driven & (self.relative < 0), limits.reset),
        ):
            if cells.any():
                self._check_kind(board, kind, cells, limit)

    def _check_kind(self, board: Board, kind: str, cells: NDArray[np.bool_], limit: PulseLimits) -> None:
        """Limits of one kind of pulse, on bit lines `cells` (n, n_bl)."""
        which, key, of = kind.upper(), f"limits.{kind}", f"of board {board.name}"
        pulse, bl = np.nonzero(cells)
        volts, any_cell = np.abs(self.relative), np.zeros(len(cells), bool)
        any_cell[pulse] = True
        refuse(
            f"{which} amplitude on BL", volts, limit.amplitude_v, "V", f"{key}.amplitude_v {of}",
            slack=self.slack_v, of=cells,
        )  # fmt: skip
        rows = self.rows_on(board, pulse, self.relative[pulse, bl])
        on = np.zeros(self.gates.shape, bool)
        np.logical_or.at(on, pulse, rows)
        refuse(
            f"gate voltage during {which} on WL", self.gates, limit.gate_v, "V", f"{key}.gate_v {of}",
            slack=self.slack_v, of=on,
        )  # fmt: skip
        refuse(f"{which} width of pulse", self.width_s, limit.width_s, "s", f"{key}.width_s {of}", of=any_cell)
        if limit.compliance_a is not None:
            transistor = board.transistor
            refuse(
                f"compliance current during {which} of SL", transistor.saturation_a(self.gates),
                (0.0, limit.compliance_a), "A", f"{key}.compliance_a {of}",
                slack=self.slack_v * transistor.saturation_a_per_v, of=on,
            )  # fmt: skip
        if limit.linked:
            self._check_linked(which, f"{key}.linked {of}", limit.linked, pulse, bl, rows)

    def _check_linked(
        self,
        which: str,
        source: str,
        linked: tuple[Linked, ...],
        pulse: NDArray[np.intp],
        bl: NDArray[np.intp],
        rows: NDArray[np.bool_],
    ) -> None:
        """Each cell's pulse must lie in one of the windows: pulses (k,) on bit lines (k,) and `rows` (k, n_sl)."""
        amplitude_v, gate_v, width_s = np.abs(self.relative[pulse, bl]), self.gates[pulse], self.width_s[pulse]
        sl = np.arange(gate_v.shape[1])
        allowed = np.zeros(gate_v.shape, bool)
        elsewhere = []
        for window in linked:
            here = (_within(gate_v, window.gate_v, self.slack_v) & _among(sl, window.sl)[None]) & (
                _within(width_s, window.width_s, None) & _among(bl, window.bl)
            )[:, None]
            elsewhere.append(here)
            allowed |= here & _within(amplitude_v, window.amplitude_v, self.slack_v)[:, None]
        if (bad := rows & ~allowed).any():
            k, row = np.argwhere(bad)[0]
            there = [w.amplitude_v for w, here in zip(linked, elsewhere, strict=True) if here[k, row]]
            raise LimitError(
                f"{which} amplitude on cell (SL {row}, BL {bl[k]}) at a gate of {gate_v[k, row]:.4g} V for "
                f"{width_s[k]:.4g} s",
                float(amplitude_v[k]),
                (min(w[0] for w in there), max(w[1] for w in there)) if there else (0.0, 0.0),
                "V",
                source=source,
                advice="nothing was sent to the board",
            )


def _within(values: Volts, limit: tuple[float, float], slack: float | None) -> NDArray[np.bool_]:
    low, high = (
        (limit[0] * (1 - ROUNDING), limit[1] * (1 + ROUNDING))
        if slack is None
        else (limit[0] - slack * (1 + ROUNDING), limit[1] + slack * (1 + ROUNDING))
    )
    inside: NDArray[np.bool_] = (values >= low) & (values <= high)
    return inside


def _among(lines: NDArray[np.intp], those: tuple[int, ...] | None) -> NDArray[np.bool_]:
    return np.ones(lines.shape, bool) if those is None else np.isin(lines, those)
