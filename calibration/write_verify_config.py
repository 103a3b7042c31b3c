"""Parameters of write-verify. Reasons and measured effects: docs/write-verify.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.board import Board
from firmware_bridge.errors import LimitError

Algorithm = Literal["predictive", "ispp", "window"]


@dataclass(frozen=True)
class WriteVerifyConfig:
    """How an array is programmed. SI units; voltages are relative to the source lines, amplitudes are magnitudes.

    What cells do to a pulse is learned from the pulses; the response given here is a starting point, typical of TaOx
    1T1R cells.
    """

    algorithm: Algorithm = "predictive"
    """How pulses are chosen; see `calibration.pulse_choice`, and docs/write-verify.md for how they compare."""

    # -- what is wanted ------------------------------------------------------------------------------------------------
    range_s: tuple[float, float] = (15e-6, 105e-6)
    """Targets that may be asked for, S: the paper's 20–100 µS and one step beyond."""
    tolerance_s: float = 0.2e-6
    """A cell is done when its reads average to within this of its target, S."""
    reopen_s: float = 0.45e-6
    """A cell that is found within this, or was done, is left alone, S: reads scatter, and every pulse costs life."""
    accept_s: float = 2.5e-6
    """A cell further off than this in the end has failed, S: beyond what telegraph noise alone does to a good cell."""

    verify: Literal["products", "cells"] = "products"
    """What targets are of: the conductances that products see, wires included, or those of the cells alone, for which
    the board needs a calibration record."""

    # -- reads ---------------------------------------------------------------------------------------------------------
    read_repeats: int = 2
    """Passes of the patterns in one read of the array."""
    confirm_reads: int = 2
    """Reads since its last pulse that must agree before a cell is done: a fluctuation in one read must not end it."""
    final_reads: int = 4
    """Reads after the last pulse, averaged to the reported conductance."""

    # -- how long ------------------------------------------------------------------------------------------------------
    max_cycles: int = 60
    """Cycles of one pass."""
    trim_pulses: int = 12
    """Pulses within `accept_s` in one pass over which a cell's tolerance widens from `tolerance_s` to `reopen_s`, and
    on to twice that."""
    trim_share: float = 0.02
    """When no more than this share of the cells is left, twice `reopen_s` is near enough for the rest of the pass."""
    relax_waits_s: tuple[float, ...] = (10.0,)
    """Waits before further passes, s, which correct what has relaxed beyond `reopen_s` meanwhile."""

    # -- pulses --------------------------------------------------------------------------------------------------------
    set_v: float = 1.5
    """Amplitude of every SET, V: enough that the gate decides where it ends."""
    set_width_s: float = 1e-6
    """Width of a SET, s."""
    set_gate_v: tuple[float, float] = (0.5, 2.2)
    """Gate voltages of SETs, V."""
    reset_v: tuple[float, float] = (0.5, 2.0)
    """Amplitudes of RESETs, V."""
    reset_gate_v: float = 2.4
    """Gate voltage of every RESET, V: fully on."""
    reset_width_s: float = 10e-6
    """Width of a RESET, s: long enough that its amplitude decides where it ends."""
    form_v: tuple[float, ...] = (2.8, 3.1, 3.4, 3.7, 3.95)
    """Amplitudes of forming pulses, V, one after the other until the cell responds, once in a call."""
    form_gate_v: float = 1.0
    """Gate voltage of forming pulses, V: the transistor limits what the cell forms to."""
    form_width_s: float = 100e-6
    """Width of a forming pulse, s."""

    # -- ramps of "ispp" and "window" ----------------------------------------------------------------------------------
    set_step_v: float = 0.04
    """First step of a SET ramp's gate voltage, V."""
    reset_step_v: float = 0.05
    """First step of a RESET ramp's amplitude, V."""

    # -- response to start from ----------------------------------------------------------------------------------------
    set_onset_v: float = 0.7
    """Gate voltage at which a SET begins to leave conductance, V."""
    set_slope_s_per_v: float = 150e-6
    """Conductance per volt of gate voltage above it, S/V."""
    reset_50us_v: float = 1.1
    """Amplitude of a RESET that leaves 50 µS, V."""
    reset_efold_v: float = 0.3
    """Amplitude that divides what a RESET leaves by e, V."""
    granularity_s: float = 0.3e-6
    """Variance of a pulse's step over the step, S."""
    probe_fraction: float = 0.85
    """Share of its target that a cell's first SET aims at, as its response is not known yet."""
    caution: float = 0.6
    """Standard deviations of its outcome by which every pulse aims short of the target."""

    # -- giving up -----------------------------------------------------------------------------------------------------
    strong_pulses: int = 3
    """Pulses in a row, at the end of their range and without effect, after which a cell is stuck."""
    unformed_s: float = 0.5e-6
    """A cell that stays below this through forming is unformed, above it stuck low, S."""

    def check(self, board: Board) -> None:
        """Raise `LimitError` naming the first parameter that makes no sense or that the board's limits refuse."""
        inf = np.inf
        self._within("range_s", self.range_s, (1e-9, self.range_s[1]), "S")
        self._within("tolerance_s", self.tolerance_s, (1e-12, self.reopen_s), "S")
        self._within("reopen_s", self.reopen_s, (1e-12, self.accept_s), "S")
        for name in ("read_repeats", "confirm_reads", "final_reads", "max_cycles", "strong_pulses"):
            self._within(name, getattr(self, name), (1, 10_000), "")
        self._within("trim_pulses", self.trim_pulses, (1, 10_000), "")
        self._within("trim_share", self.trim_share, (0.0, 1.0), "")
        self._within("relax_waits_s", self.relax_waits_s, (0.0, 1e8), "s")
        for name in ("set_step_v", "reset_step_v"):
            self._within(name, getattr(self, name), (1e-3, 1.0), "V")
        for name, unit in (("set_slope_s_per_v", "S/V"), ("reset_efold_v", "V"), ("granularity_s", "S")):
            self._within(name, getattr(self, name), (1e-12, inf), unit)
        self._within("probe_fraction", self.probe_fraction, (0.1, 1.0), "")
        self._within("caution", self.caution, (0.0, 3.0), "")
        limits = board.limits
        for kind, limit, volts in (
            ("set", limits.set, self.set_v),
            ("reset", limits.reset, self.reset_v),
            ("form", limits.form, self.form_v),
        ):
            self._within(f"{kind}_v", volts, limit.amplitude_v, "V", f"limits.{kind}.amplitude_v of board {board.name}")
            gate = getattr(self, f"{kind}_gate_v")
            self._within(
                f"{kind}_gate_v", gate, (limits.wl_off_v, limit.gate_v[1]), "V", f"limits of board {board.name}"
            )
            width = getattr(self, f"{kind}_width_s")
            self._within(f"{kind}_width_s", width, limit.width_s, "s", f"limits.{kind}.width_s of board {board.name}")
            gates = gate if isinstance(gate, tuple) else (gate, gate)
            amplitudes = volts if isinstance(volts, tuple) else (volts,)
            # Forming pulses are these and no others; the other amplitudes are ends of a range.
            spans = [(v, v) for v in amplitudes] if kind == "form" else [(amplitudes[0], amplitudes[-1])]
            for span in spans:
                if (outside := limit.outside_linked(span, gates, width, board.shape)) is not None:
                    self._refuse_linked(kind, *outside, width, board)

    def _refuse_linked(self, kind: str, amplitude_v: float, gate_v: float, width_s: float, board: Board) -> None:
        there = [
            w.amplitude_v
            for w in getattr(board.limits, kind).linked
            if w.gate_v[0] <= gate_v <= w.gate_v[1] and w.width_s[0] <= width_s <= w.width_s[1]
        ]
        raise LimitError(
            f"WriteVerifyConfig.{kind}_v, which may be used at {kind}_gate_v = {gate_v:.4g} V for {kind}_width_s = "
            f"{width_s:.4g} s on any cell,", amplitude_v,
            (min(w[0] for w in there), max(w[1] for w in there)) if there else (0.0, 0.0), "V",
            source=f"limits.{kind}.linked of board {board.name}",
            advice=f"keep {kind}_v, {kind}_gate_v and {kind}_width_s within the windows; nothing was pulsed",
        )  # fmt: skip

    def _within(
        self, name: str, value: float | tuple[float, ...], limit: tuple[float, float], unit: str, source: str = ""
    ) -> None:
        values = value if isinstance(value, tuple) else (value,)
        for v in values:
            if not limit[0] <= v <= limit[1]:
                raise LimitError(
                    f"WriteVerifyConfig.{name}", v, limit, unit, source=source, advice="nothing was pulsed"
                )
