"""Parameters of the mock array: one frozen object per non-ideality, every field with its unit, default and source.

Sources are abbreviated: *paper* is the system paper (180 nm, 32×32, TiN/Ta₂O₅/TaOₓ/TiN 1T1R), *typical* is the range
usual for TaOₓ 1T1R cells of that kind, *assumed* is a choice of this project, *fit* came out of
``benchmarks/fit_device.py`` (targets and result: ``docs/device-model.md``). Setting a part to ``None`` switches that
non-ideality off; `ArrayParams.ideal` switches all of them off.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TransistorParams(_Part):
    """The access transistor, NMOS between the cell's bottom electrode and its source line."""

    v_th_v: PositiveFloat = 0.7
    """Threshold voltage, V (typical of 180 nm thick-oxide devices)."""
    on_slope_s_per_v: PositiveFloat = 0.6e-3
    """Channel conductance per volt of overdrive when fully on, S/V (assumed); ``inf`` is a perfect switch."""
    compliance_v: PositiveFloat = 0.6
    """Voltage left across the memristor when the transistor limits the SET, V; current = g·compliance_v (assumed)."""


class SwitchingParams(_Part):
    """SET and RESET of a formed cell. Equations: docs/device-model.md, "Switching"."""

    set_slope_s_per_v: PositiveFloat = 150e-6
    """Saturated SET conductance per volt of gate overdrive, S/V (typical 100–200 µS/V; paper: linear in V_WL)."""
    set_v: PositiveFloat = 1.5
    """BL–SL voltage at which a SET takes `set_tau_s`, V (typical 1–2 V)."""
    set_tau_s: PositiveFloat = 50e-9
    """Time constant of the SET at `set_v`, s (typical: below 100 ns)."""
    set_decade_v: PositiveFloat = 0.115
    """Voltage that speeds the SET up ten times, V (typical of TaOₓ 0.1–0.15 V per decade)."""
    reset_v: PositiveFloat = 1.5
    """Memristor voltage at which a RESET takes `reset_tau_s`, V (typical 1–2 V)."""
    reset_tau_s: PositiveFloat = 200e-9
    """Time constant of the RESET at `reset_v`, s (assumed)."""
    reset_decade_v: PositiveFloat = 0.46
    """Voltage that speeds the RESET up ten times, V (assumed; RESET of TaOₓ is gradual)."""
    reset_floor_s: PositiveFloat = 15e-6
    """Conductance at which a RESET at `reset_v` comes to rest, S (fit to the paper's lowest levels)."""
    reset_floor_decade_v: PositiveFloat = 0.69
    """Voltage that lowers that floor ten times, V (assumed)."""
    g_min_s: PositiveFloat = 2e-6
    """Conductance below which no RESET goes, S (assumed)."""
    disturb_v: PositiveFloat = 0.5
    """Voltage below which nothing ever switches, V; from it on the kinetics hold, so half-selection disturbs."""


class CycleParams(_Part):
    """Cycle-to-cycle spread: every step is a gamma variable of variance = granularity × mean step."""

    set_granularity_s: NonNegativeFloat = 0.33e-6
    """SET, S (fit to 5–10 % single-shot spread; a small corrective step is then as fine as published write-verify)."""
    reset_granularity_s: NonNegativeFloat = 0.5e-6
    """RESET, S (assumed: noisier than SET)."""


class SpreadParams(_Part):
    """Device-to-device spread, normal, cut at three standard deviations."""

    set_slope_rel: NonNegativeFloat = 0.08
    """Relative spread of `SwitchingParams.set_slope_s_per_v` (typical 5–10 %)."""
    v_th_v: NonNegativeFloat = 0.03
    """Spread of the transistor threshold, V (typical of 180 nm)."""
    set_v: NonNegativeFloat = 0.03
    """Spread of the SET voltage, V (assumed)."""
    reset_v: NonNegativeFloat = 0.04
    """Spread of the RESET voltage, V (assumed)."""


class InitialParams(_Part):
    """How the chip arrives: formed and RESET."""

    g_median_s: PositiveFloat = 10e-6
    """Median conductance, S (assumed)."""
    log_spread: NonNegativeFloat = 0.3
    """Standard deviation of ln g, cut at three (assumed)."""


class FormingParams(_Part):
    """Cells that have not been formed yet."""

    unformed_fraction: Fraction = 0.001
    """Share of cells that arrive unformed (assumed; 1.0 is a virgin chip)."""
    form_v: PositiveFloat = 3.0
    """Mean forming voltage at a width of `form_tau_s`, V (typical 2.5–4 V)."""
    form_spread_v: NonNegativeFloat = 0.15
    """Device-to-device spread of it, V, cut at three standard deviations (assumed)."""
    form_tau_s: PositiveFloat = 1e-6
    """Mean waiting time at the forming voltage, s (assumed)."""
    form_decade_v: PositiveFloat = 0.15
    """Voltage that shortens the wait ten times, V (assumed)."""
    overshoot: PositiveFloat = 1.3
    """Conductance and current over those of a SET with the same gate (assumed: forming overshoots)."""
    pristine_s: NonNegativeFloat = 0.05e-6
    """Conductance of an unformed cell, S (assumed)."""


class BreakdownParams(_Part):
    """What destroys a formed cell, or one that is just forming; it is stuck high afterwards."""

    max_voltage_v: PositiveFloat = 2.6
    """Memristor voltage above which the cell breaks down unless the transistor limits it, V (assumed)."""
    limiting_overdrive_v: PositiveFloat = 1.0
    """Gate overdrive below which the transistor does limit it in the SET direction, V (assumed)."""
    max_current_a: PositiveFloat = 250e-6
    """Cell current that destroys it at any voltage, A (assumed)."""
    broken_s: PositiveFloat = 300e-6
    """Conductance it is left with, S (assumed)."""


class ReadNoiseParams(_Part):
    """White noise of each cell and conversion."""

    relative: NonNegativeFloat = 0.002
    """Standard deviation over conductance (assumed; a conversion's bandwidth)."""


class TelegraphParams(_Part):
    """Random telegraph noise: some cells jump between two conductances."""

    fraction: Fraction = 0.10
    """Share of cells that have a fluctuator (assumed)."""
    amplitude_rel: tuple[PositiveFloat, PositiveFloat] = (0.003, 0.02)
    """Log-uniform range of the jump over conductance (typical 0.5–3 %)."""
    rate_per_s: tuple[PositiveFloat, PositiveFloat] = (0.01, 10.0)
    """Log-uniform range of the rates up and down, drawn independently, 1/s (assumed)."""

    @model_validator(mode="after")
    def _ordered(self) -> TelegraphParams:
        for name in ("amplitude_rel", "rate_per_s"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} = ({low:g}, {high:g}) runs backwards; write (low, high)")
        return self


class RelaxationParams(_Part):
    """Conductance change c·ln(1 + t/t0) after a programming event, c drawn per event."""

    mean_s: float = -0.01e-6
    """Mean of c, S per e-fold of time (fit to the paper's stable states; published for CMO/HfOₓ: −0.089 µS)."""
    sigma_s: NonNegativeFloat = 0.025e-6
    """Standard deviation of c, S per e-fold of time (published for CMO/HfOₓ: 0.042 µS; here 0.38 µS after 1 h)."""
    t0_s: PositiveFloat = 1e-3
    """Start of the logarithm, s (assumed)."""
    step_scale_s: NonNegativeFloat = 2e-6
    """A step Δg starts a new relaxation with probability |Δg|/(|Δg| + step_scale_s), S (assumed)."""


class RetentionParams(_Part):
    """Slow loss: g·(1 − loss·log10(1 + t/start))."""

    loss_per_decade: NonNegativeFloat = 0.001
    """Relative loss per decade of time (paper: 30–95 µS stable over 10⁶ s)."""
    start_s: PositiveFloat = 3600.0
    """Time at which it begins, s (assumed)."""


class NonlinearityParams(_Part):
    """Current beyond ±0.1 V over the Ohmic one; see `array.excess_voltage`. Paper: Ohmic within ±0.1 V."""

    coefficient: NonNegativeFloat = 0.05
    """Coefficient of the excess current of a cell at `g_ref_s`, no unit (assumed: 2.5 % more current at 0.2 V)."""
    g_ref_s: PositiveFloat = 50e-6
    """Conductance at which `coefficient` holds, S; it falls as 2·g_ref/(g + g_ref), filaments being more Ohmic."""


class FaultParams(_Part):
    """Cells and lines that do not work: random shares, and lists of (row, column) or line numbers."""

    stuck_high_fraction: Fraction = 0.002
    """Share of stuck-high cells (assumed)."""
    stuck_low_fraction: Fraction = 0.003
    """Share of stuck-low cells (assumed)."""
    open_fraction: Fraction = 0.0
    """Share of cells that do not conduct at all (assumed)."""
    stuck_high_s: PositiveFloat = 300e-6
    """Conductance of stuck-high cells, S (assumed)."""
    stuck_low_s: PositiveFloat = 1e-6
    """Conductance of stuck-low cells, S (assumed)."""
    stuck_high_cells: tuple[tuple[int, int], ...] = ()
    stuck_low_cells: tuple[tuple[int, int], ...] = ()
    open_cells: tuple[tuple[int, int], ...] = ()
    broken_bl: tuple[int, ...] = ()
    broken_wl: tuple[int, ...] = ()
    broken_sl: tuple[int, ...] = ()


class WireParams(_Part):
    """Series resistances. BLs are driven at the row-0 edge, SLs leave at the column-0 edge."""

    bl_source_ohm: NonNegativeFloat = 1.0
    """BL driver with its (buffered) mux, Ω (assumed; an unbuffered CD4051B is 125–470 Ω)."""
    bl_segment_ohm: NonNegativeFloat = 0.1
    """BL metal from one cell to the next, and from the edge to the first, Ω (assumed)."""
    sl_segment_ohm: NonNegativeFloat = 0.1
    """SL metal from one cell to the next, and from the first to the edge, Ω (assumed)."""
    sl_series_ohm: NonNegativeFloat = 0.5
    """SL edge to the virtual ground of its amplifier, Ω (assumed)."""
    line_spread: Fraction = 0.0
    """Relative σ of `bl_source_ohm` and `sl_series_ohm` from line to line, cut at three (assumed: none)."""
    segment_spread: Fraction = 0.0
    """Relative σ of each segment resistance from chip to chip, cut at three (assumed: none)."""

    @classmethod
    def none(cls) -> WireParams:
        """Lines without resistance."""
        return cls(bl_source_ohm=0.0, bl_segment_ohm=0.0, sl_segment_ohm=0.0, sl_series_ohm=0.0)


class ArrayParams(_Part):
    """Everything about the array. Parts that are ``None`` are switched off."""

    n_sl: PositiveInt = 32
    """Rows: cells sharing a word line and a source line (paper: 32)."""
    n_bl: PositiveInt = 32
    """Columns: cells sharing a bit line (paper: 32)."""
    read_gate_v: PositiveFloat = 2.5
    """V_WL − V_SL at which `Array.conductance_s` states a cell's conductance, V (board: 5 V on the WL, SL at 2.5 V)."""
    transistor: TransistorParams = TransistorParams()
    switching: SwitchingParams = SwitchingParams()
    initial: InitialParams = InitialParams()
    cycle: CycleParams | None = CycleParams()
    spread: SpreadParams | None = SpreadParams()
    forming: FormingParams | None = FormingParams()
    breakdown: BreakdownParams | None = BreakdownParams()
    read_noise: ReadNoiseParams | None = ReadNoiseParams()
    telegraph: TelegraphParams | None = TelegraphParams()
    relaxation: RelaxationParams | None = RelaxationParams()
    retention: RetentionParams | None = RetentionParams()
    nonlinearity: NonlinearityParams | None = NonlinearityParams()
    faults: FaultParams | None = FaultParams()
    wires: WireParams | None = WireParams()

    @classmethod
    def ideal(cls, n_sl: int = 32, n_bl: int = 32) -> ArrayParams:
        """Deterministic switching, a perfect transistor switch, every non-ideality off."""
        return cls(
            n_sl=n_sl,
            n_bl=n_bl,
            transistor=TransistorParams(on_slope_s_per_v=math.inf),
            initial=InitialParams(log_spread=0.0),
            cycle=None,
            spread=None,
            forming=None,
            breakdown=None,
            read_noise=None,
            telegraph=None,
            relaxation=None,
            retention=None,
            nonlinearity=None,
            faults=None,
            wires=None,
        )

    def digest(self) -> str:
        """SHA-256 of all parameters, hexadecimal: equal exactly when the parameters are."""
        return hashlib.sha256(repr(self.model_dump()).encode()).hexdigest()

    @model_validator(mode="before")
    @classmethod
    def _off(cls, values: Any) -> Any:
        """A file has no None: a part that is switched off is the word "off" there."""
        return {k: None if v == "off" else v for k, v in values.items()} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _read_gate_turns_on(self) -> ArrayParams:
        if self.read_gate_v <= self.transistor.v_th_v:
            raise ValueError(
                f"read_gate_v = {self.read_gate_v:g} V does not exceed transistor.v_th_v = "
                f"{self.transistor.v_th_v:g} V; no cell would conduct"
            )
        return self

    @model_validator(mode="after")
    def _faults_inside(self) -> ArrayParams:
        if self.faults is None:
            return self
        bounds = {"broken_bl": self.n_bl, "broken_wl": self.n_sl, "broken_sl": self.n_sl}
        for name, count in bounds.items():
            for line in getattr(self.faults, name):
                if not 0 <= line < count:
                    raise ValueError(f"faults.{name}: line {line} is outside 0 … {count - 1}")
        for name in ("stuck_high_cells", "stuck_low_cells", "open_cells"):
            for row, col in getattr(self.faults, name):
                if not (0 <= row < self.n_sl and 0 <= col < self.n_bl):
                    raise ValueError(f"faults.{name}: cell ({row}, {col}) is outside {self.n_sl} × {self.n_bl}")
        return self
