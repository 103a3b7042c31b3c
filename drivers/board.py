"""The board description: everything about a board that is data. Loaded from TOML; unknown keys are refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from drivers.dac import FULL_SCALE, NOP, write_frame
from drivers.dac_parts import AnyDac
from drivers.limits import Limits, Section
from firmware_bridge.bridge import SequencerConfig, SequencerLimits
from firmware_bridge.errors import BoardError, ProtocolError
from firmware_bridge.timing import SequencerTiming
from firmware_bridge.wiring import Wiring

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAPER_BOARD = Path(__file__).parent / "boards" / "paper.toml"

_Model = TypeVar("_Model", bound=BaseModel)


class BoardFileError(BoardError):
    """A board file that cannot be used: which key, what it holds, what it may hold."""


class TiaSettings(Section):
    """Transimpedance amplifiers."""

    rf_ohm: float = Field(gt=0)


class AdcSettings(Section):
    """Converters of the amplifiers' outputs: range ±VREF around their reference."""

    vref_v: float = Field(ge=0.5, le=0.9, description="ADS8324: 0.5 V to VCC/2 of the 1.8 V part")


class SettleSettings(Section):
    """Waiting times before a sample or a pulse."""

    dac_s: float = Field(gt=0)
    mux_s: float = Field(gt=0)


class Levels(Section):
    """Working voltages."""

    wl_on_v: float = Field(gt=0, description="gate of every row in reads, absolute")
    input_v: float = Field(gt=0, description="largest input of a matrix-vector product, around the common mode")
    verify_v: float = Field(gt=0, description="input of array reads, around the common mode")


class Transistor(Section):
    """Access transistors as they were designed: what limits the current of a pulse, since nothing on the board measures
    it."""

    threshold_v: float = Field(gt=0, description="gate over source at which it begins to conduct")
    saturation_a_per_v: float = Field(gt=0, description="current at which it saturates, per volt beyond that")

    def saturation_a(self, gate_v: NDArray[np.floating]) -> NDArray[np.floating]:
        """Largest current that passes at `gate_v` over the source, A."""
        return self.saturation_a_per_v * np.maximum(gate_v - self.threshold_v, 0.0)


class LineDesign(Section):
    """Resistances of the lines as they were designed. A calibration takes them where it cannot measure."""

    bl_driver_ohm: float = Field(0.0, ge=0, description="bit line: driver with mux, to the array's edge")
    bl_segment_ohm: float = Field(0.0, ge=0, description="bit line: from one cell to the next")
    sl_segment_ohm: float = Field(0.0, ge=0, description="source line: from one cell to the next")
    sl_series_ohm: float = Field(0.0, ge=0, description="source line: array's edge to amplifier")
    tolerance: float = Field(0.5, ge=0, lt=1, description="share by which each may be off")


class Tolerances(Section):
    """Shares by which what the board file says may be off before a calibration. Widest case, not standard deviation."""

    dac_gain: float = Field(0.05, ge=0, lt=1)
    adc_gain: float = Field(0.05, ge=0, lt=1)
    rf: float = Field(0.05, ge=0, lt=1)
    reference: float = Field(0.004, ge=0, lt=1, description="common mode and forming level")


class Instruments(Section):
    """Bench instruments at the board: where they are, and what they may do to it.

    Into a line, by default, what the amplifiers bear: inputs from 0.3 V below ground to the 5 V supply, and a tenth of
    the 10 mA that their input protection carries (OPA4322-Q1, SLOS856, absolute maximum ratings, recalled).
    Temperature: −40 … 85 °C, the range of the SN74HC595 (recalled), which is the narrowest on the board.
    """

    smu: str | None = Field(None, description="VISA address of the source-measure unit")
    dmm: str | None = Field(None, description="VISA address of the multimeter")
    stage: str | None = Field(None, description="VISA address of the temperature stage")
    min_voltage_v: float = Field(-0.3, le=0)
    max_voltage_v: float = Field(5.0, ge=0)
    max_current_a: float = Field(1e-3, ge=0)
    min_temperature_k: float = Field(233.15, gt=0)
    max_temperature_k: float = Field(358.15, gt=0)


class Board(Section):
    """One board: netlist, converters, waiting times, levels, limits."""

    name: str
    chip: str = Field("", max_length=64, description="the array on it, as you call it: its doses are kept by this")
    wiring: Wiring
    dac: AnyDac
    tia: TiaSettings
    adc: AdcSettings
    timing: SequencerTiming = SequencerTiming()
    settle: SettleSettings
    levels: Levels
    limits: Limits
    transistor: Transistor
    lines: LineDesign = LineDesign()
    tolerances: Tolerances = Tolerances()
    instruments: Instruments = Instruments()

    @model_validator(mode="after")
    def _levels_within_limits(self) -> Board:
        if self.wiring.dac_channels != self.dac.CHANNELS:
            raise ValueError(
                f"wiring.dac_channels = {self.wiring.dac_channels}, but a {self.dac.part} (dac.part) has "
                f"{self.dac.CHANNELS} channels"
            )
        top = self.dac.span_v * (1 - 1 / FULL_SCALE)
        for key, value, limit in (
            ("wiring.vcm_v", self.wiring.vcm_v, top),
            ("wiring.vform_v", self.wiring.vform_v, top),
            ("levels.wl_on_v", self.levels.wl_on_v, min(top, self.limits.wl_v[1])),
            ("levels.input_v", self.levels.input_v, self.limits.read_v),
            ("levels.verify_v", self.levels.verify_v, self.levels.input_v),
        ):
            if value > limit:
                raise ValueError(
                    f"{key} = {value:g} V is above {limit:g} V, which is what the DAC span and the limits allow"
                )
        return self

    def tightened(self, **limits: Any) -> Board:
        """This board with closer limits, given by their keys in ``[limits]``; of a kind of pulse those that change:
        ``board.tightened(pulses_per_cell=100, set={"amplitude_v": (0.0, 1.8)})``.

        Raises `LimitError` for one that would be looser than it is, `ProtocolError` for one that is no limit, that the
        levels of the board do not keep within, or that the gateware holds until it is configured anew.
        """
        if "host_silence_s" in limits:
            raise ProtocolError("tighten: host_silence_s is the gateware's; change it in the board file")
        data = self.model_dump()
        for key, value in limits.items():
            before = data["limits"].get(key)
            data["limits"][key] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
        try:
            board = Board.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise ProtocolError(f"tighten: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        self.limits.refuse_looser(board.limits, self.name)
        return board

    @property
    def shape(self) -> tuple[int, int]:
        """(source lines, bit lines)."""
        return self.wiring.n_sl, self.wiring.n_bl

    def sequencer(self) -> SequencerConfig:
        """Registers of the sequencer for this board: its clock, the frames that make the DACs safe, and the limits that
        it holds against any program: those of single lines and pulses. `drivers.interlock` knows the rest."""
        return SequencerConfig(
            timing=self.timing,
            safe_wait_cycles=self.timing.cycles(self.dac.RESET_WAIT_S),
            safe_frames=(write_frame(*self.dac.RESET),),
            watchdog_cycles=self.timing.cycles(self.limits.host_silence_s),
            limits=self._sequencer_limits(),
        )

    def _sequencer_limits(self) -> SequencerLimits:
        limits, dac, lsb_v = self.limits, self.dac, self.dac.span_v / FULL_SCALE
        code = [(0, FULL_SCALE - 1)] * (self.wiring.n_channels)
        for channels, (low_v, high_v) in ((self.wiring.bl_dac, limits.bl_v), (self.wiring.wl_dac, limits.wl_v)):
            # To the nearest code, as a voltage at its limit is converted.
            pair = tuple(min(round(v / lsb_v), FULL_SCALE - 1) for v in (low_v, high_v))
            for channel in channels:
                code[channel] = (pair[0], pair[1])
        settings = (*dac.setup(), dac.WAIT_FOR_LDAC, dac.LDAC, dac.RESET)
        registers = {NOP, *range(dac.CHANNELS, 2 * dac.CHANNELS)} | {register for register, _ in settings}
        widths = [w for kind in (limits.set, limits.reset, limits.form) for w in kind.width_s]
        return SequencerLimits(
            dac_channels=dac.CHANNELS,
            code=tuple(code),
            fixed=dac.setup(),
            registers=sum(1 << r for r in registers),
            pulse_width=(self.timing.cycles(min(widths)), self.timing.cycles(max(widths))),
            pulse_interval=self.timing.cycles(limits.pulse_interval_s),
            sr_bits=self.wiring.sr_bits,
        )


def load_board(path: str | Path = PAPER_BOARD) -> Board:
    """Read a board file. Raises `BoardFileError`: each key that is missing, unknown, mistyped or out of range."""
    return load_model(Path(path), Board, f"give a board file in TOML, or leave it out for {PAPER_BOARD.name}")


def load_model(path: Path, model: type[_Model], advice: str) -> _Model:
    """Read a `model` from a TOML file. Raises `BoardFileError`, with `advice` if there is no such file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BoardFileError(f"{path}: {error.strerror}; {advice}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardFileError(f"{path}: not TOML: {error}") from error
    try:
        # Strict: a number in quotes is a unit or a decimal comma that somebody meant to write.
        return model.model_validate(_tuples(data), strict=True)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r:.80})" for e in error.errors()]
        raise BoardFileError(f"{path}:\n" + "\n".join(lines)) from error


def _tuples(data: Any) -> Any:
    """TOML's arrays as tuples, which is what a frozen description holds."""
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return tuple(map(_tuples, data)) if isinstance(data, list) else data
