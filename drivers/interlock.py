"""The last thing before a bridge: reads every program as the chips will, and refuses what the board's limits forbid.

An `Interlock` is itself a `Bridge`. It follows the words, not the intentions of whoever wrote them: it keeps what the DACs, the mux
chain and the pulse gate will hold, and knows therefore what each line will carry at each connection and each pulse. A refused program
is refused whole, before any of it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from drivers import dac80508 as dac
from drivers.board import Board, PulseLimits, Range
from firmware_bridge.bridge import Bridge, Identity, Result, SequencerConfig
from firmware_bridge.errors import BoardError, LimitError, ProtocolError
from firmware_bridge.isa import (
    DAC_CHANNELS,
    Codes,
    Gate,
    Instruction,
    Mvm,
    OutputEnable,
    Pulse,
    Pulses,
    Shift,
    SpiRead,
    SpiWrite,
    mask_indices,
)
from firmware_bridge.program import Clock, Program

Volts = NDArray[np.float64]


@dataclass
class _State:
    """What the chips hold. Codes are flat (8 · chips,), −1 where unknown; `copy` before changing."""

    buffer: NDArray[np.int64]
    active: NDArray[np.int64]
    waits_for_ldac: NDArray[np.bool_]
    chain: int | None
    enabled: bool
    gate: bool
    last_pulse_s: float
    pulses: NDArray[np.int64]
    exposure_s: Volts

    def copy(self) -> _State:
        return replace(
            self,
            buffer=self.buffer.copy(),
            active=self.active.copy(),
            waits_for_ldac=self.waits_for_ldac.copy(),
            pulses=self.pulses.copy(),
            exposure_s=self.exposure_s.copy(),
        )

    def power_up(self) -> None:
        """Outputs unknown until the drivers have initialised them; doses are kept."""
        self.buffer[:] = self.active[:] = -1
        self.waits_for_ldac[:] = False
        self.chain, self.enabled, self.gate = None, False, False


@dataclass
class Interlock:
    """Wraps `bridge`; same interface. Raises `LimitError` naming line, value and limit, or `ProtocolError` for what it cannot follow.

    `pulses` (n_sl, n_bl) counts programming pulses that each cell has received through this object.
    """

    bridge: Bridge
    board: Board
    _state: _State = field(init=False)
    _now_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        n_channels = DAC_CHANNELS * self.board.wiring.n_dacs
        self._bl = np.array(self.board.wiring.bl_dac)
        self._wl = np.array(self.board.wiring.wl_dac)
        self._adc_bits = sum(1 << b for b in self.board.wiring.adc_select.bits())
        self._channels_of: dict[int, tuple[NDArray[np.int64], bool]] = {}
        self._lsb_v = self.board.dac.span_v / dac.FULL_SCALE
        self._state = _State(
            buffer=np.full(n_channels, -1),
            active=np.full(n_channels, -1),
            waits_for_ldac=np.zeros(n_channels, bool),
            chain=None,
            enabled=False,
            gate=False,
            last_pulse_s=-np.inf,
            pulses=np.zeros(self.board.shape, np.int64),
            exposure_s=np.zeros(self.board.wiring.n_bl),
        )

    # -- Bridge ----------------------------------------------------------------------------------------------------
    def identify(self) -> Identity:
        return self.bridge.identify()

    def configure(self, config: SequencerConfig) -> None:
        self.bridge.configure(config)

    def run(self, program: Program) -> Result:
        state = self._state.copy()
        clock = Clock(self.board.timing)
        for instruction in program:
            self._follow(instruction, state, clock)
        try:
            result = self.bridge.run(program)
        except BoardError:
            self._state.power_up()
            raise
        self._state = state
        self._now_s += result.cycles * self.board.timing.period_s
        return result

    def reset(self) -> None:
        self._state.power_up()
        self.bridge.reset()

    def safe(self) -> None:
        self._state.power_up()
        self.bridge.safe()

    def close(self) -> None:
        self._state.power_up()
        self.bridge.close()

    @property
    def pulses(self) -> NDArray[np.int64]:
        return self._state.pulses.copy()

    # -- following a program ------------------------------------------------------------------------------------------
    def _follow(self, instruction: Instruction, state: _State, clock: Clock) -> None:
        start = clock.now
        begin = clock.issue(instruction)
        period = self.board.timing.period_s
        if state.gate and not isinstance(instruction, Mvm):
            self._expose(state, self._relative(state.active[self._bl], state), (clock.now - start) * period)
        match instruction:
            case SpiWrite() | SpiRead():
                for chip, frame in zip(mask_indices(instruction.dac_mask), instruction.frames, strict=True):
                    self._frame(chip, frame, state)
                self._check_lines(state)
            case Shift():
                if instruction.bits != self.board.wiring.sr_bits:
                    raise ProtocolError(f"SHIFT of {instruction.bits} bits; this board's chain has {self.board.wiring.sr_bits}")
                state.chain = instruction.word
                self._check_lines(state)
            case OutputEnable():
                state.enabled = instruction.enable
                self._check_lines(state)
            case Gate():
                state.gate = instruction.connect
                if state.gate:
                    self._check_read(self._relative(state.active[self._bl], state))
            case Pulse():
                self._pulse(state.active[None], np.array([instruction.width * period]), np.array([self._now_s + begin * period]), state)
            case Pulses():
                flat = self._flat(instruction.codes, instruction.dac_mask, state)
                if len(flat):
                    starts = instruction.schedule(self.board.timing)[0]
                    self._check_range(flat, state)
                    self._pulse(flat, instruction.widths * period, self._now_s + (start + starts) * period, state)
                    state.buffer, state.active = flat[-1].copy(), flat[-1].copy()
            case Mvm():
                self._mvm(instruction, state, (clock.now - start) * period)

    def _frame(self, chip: int, frame: int, state: _State) -> None:
        if frame & dac.READ:
            return
        register, data = frame >> 16 & 0xF, frame & 0xFFFF
        channels = slice(DAC_CHANNELS * chip, DAC_CHANNELS * (chip + 1))
        if register == dac.TRIGGER and data == dac.TRIGGER_SOFT_RESET:
            state.buffer[channels] = state.active[channels] = -1
            state.waits_for_ldac[channels] = False
        elif register == dac.TRIGGER and data == dac.TRIGGER_LDAC:
            waiting = state.waits_for_ldac[channels]
            state.active[channels][waiting] = state.buffer[channels][waiting]
        elif register == dac.GAIN:
            expected = (dac.GAIN_REFDIV_EN if self.board.dac.ref_divide == 2 else 0) | (0xFF if self.board.dac.gain == 2 else 0)
            if data != expected:
                raise ProtocolError(f"DAC {chip}: GAIN = {data:#06x} sets another span than the board file ({expected:#06x})")
        elif register == dac.SYNC:
            state.waits_for_ldac[channels] = [bool(data >> c & 1) for c in range(DAC_CHANNELS)]
        elif register >= dac.DAC0:
            channel = DAC_CHANNELS * chip + register - dac.DAC0
            state.buffer[channel] = data
            if not state.waits_for_ldac[channel]:
                state.active[channel] = data
        elif register != dac.NOP:
            raise ProtocolError(f"DAC {chip}: writing register {register:#x} is not among the things that the interlock can follow")

    # -- voltages -------------------------------------------------------------------------------------------------------
    def _reference_v(self, state: _State) -> float:
        select = self.board.wiring.reference_select
        form = (
            state.enabled
            and state.chain is not None
            and not select.inhibited(state.chain)
            and select.code(state.chain) == self.board.wiring.reference_inputs["form"]
        )
        return self.board.wiring.vform_v if form else self.board.wiring.vcm_v

    def _relative(self, codes: NDArray[np.int64], state: _State) -> Volts:
        """Bit-line voltages (…, n_bl) relative to the source lines for codes (…, n_bl), as the muxes connect them, V."""
        inputs = self.board.wiring.bl_inputs
        source = self.board.wiring.bl_select.code(state.chain) if state.enabled and state.chain is not None else None
        if source == inputs["dac"]:
            if codes.min() < 0:
                raise ProtocolError("the bit lines would be connected to DACs whose output is unknown; initialise the board first")
            return codes * self._lsb_v - self._reference_v(state)
        level = {inputs["vcm"]: self.board.wiring.vcm_v, inputs["gnd"]: 0.0}.get(source)  # type: ignore[arg-type]
        return np.full(codes.shape, 0.0 if level is None else level - self._reference_v(state))

    def _check_range(self, flat: NDArray[np.int64], state: _State) -> None:
        """Absolute limits of every line, for codes (…, channels); unknown codes are nobody's business yet."""
        for name, columns, limit in (("BL", self._bl, self.board.limits.bl_v), ("WL", self._wl, self.board.limits.wl_v)):
            volts = flat[..., columns] * self._lsb_v
            self._refuse(name, volts, limit, "V", f"limits.{name.lower()}_v", known=flat[..., columns] >= 0)

    def _check_lines(self, state: _State) -> None:
        """After any change: lines within range, and a connected bit line within the read limit."""
        self._check_range(state.active, state)
        if state.gate:
            self._check_read(self._relative(state.active[self._bl], state))

    def _check_read(self, relative: Volts) -> None:
        limit = self.board.limits.read_v
        self._refuse("bias of connected BL", relative, (-limit, limit), "V", "limits.read_v")

    def _refuse(self, name: str, values: Volts, limit: Range, unit: str, key: str, known: NDArray[np.bool_] | None = None) -> None:
        if values.min(initial=limit[0]) >= limit[0] and values.max(initial=limit[1]) <= limit[1]:
            return
        bad = ~((values >= limit[0] - 1e-12) & (values <= limit[1] + 1e-12))  # NaN is bad
        if known is not None:
            bad &= known
        if bad.any():
            where = np.argwhere(bad)[0]
            raise LimitError(
                f"{name} {where[-1]}", float(values[tuple(where)]), limit, unit, source=f"{key} of board {self.board.name}",
                advice="nothing was sent to the board",
            )  # fmt: skip

    def _flat(self, codes: Codes, dac_mask: int, state: _State) -> NDArray[np.int64]:
        """All channels' codes (n, channels) while a block of codes (n, chips in mask, 8) is applied."""
        flat = np.repeat(state.active[None], len(codes), axis=0)
        channels, _ = self._channels(dac_mask)
        if not state.waits_for_ldac[channels].all():
            raise ProtocolError("a stream would update DAC channels one by one; set SYNC-EN on every channel first")
        flat[:, channels] = codes.reshape(len(codes), -1)
        return flat

    def _channels(self, dac_mask: int) -> tuple[NDArray[np.int64], bool]:
        """Flat channels of the DACs in a mask, and whether a word line is among them."""
        if dac_mask not in self._channels_of:
            channels = np.array([DAC_CHANNELS * d + c for d in mask_indices(dac_mask) for c in range(DAC_CHANNELS)], int)
            self._channels_of[dac_mask] = channels, bool(np.isin(self._wl, channels).any())
        return self._channels_of[dac_mask]

    def _mvm(self, mvm: Mvm, state: _State, duration_s: float) -> None:
        for word in mvm.positions:
            if state.chain is None or (word ^ state.chain) & ~self._adc_bits:
                state.chain = word
                self._check_lines(state)
            state.chain = word
        if not mvm.count:
            return
        channels, loads_wl = self._channels(mvm.dac_mask)
        if not state.waits_for_ldac[channels].all():
            raise ProtocolError("a stream would update DAC channels one by one; set SYNC-EN on every channel first")
        if loads_wl:
            flat = self._flat(mvm.codes, mvm.dac_mask, state)
            self._check_range(flat, state)
            relative = self._relative(flat[:, self._bl], state)
        else:
            # All bit lines share their limits, so the extreme codes of the block decide.
            extremes = np.array([mvm.codes.min(), mvm.codes.max()], np.int64)
            self._refuse("BL", extremes * self._lsb_v, self.board.limits.bl_v, "V", "limits.bl_v")
            relative = self._relative(extremes, state)
        if state.gate:
            self._check_read(relative)
            if np.abs(relative).max() > self.board.limits.read_disturb_v:
                volts = self._relative(self._flat(mvm.codes, mvm.dac_mask, state)[:, self._bl], state)
                self._expose(state, volts, duration_s / mvm.count)
        state.active[channels] = state.buffer[channels] = mvm.codes[-1].ravel()

    # -- doses ------------------------------------------------------------------------------------------------------------
    def _expose(self, state: _State, relative: Volts, each_s: float) -> None:
        """Count time under a read bias above the disturb level; `relative` (n_bl,) or (n, n_bl), `each_s` s each."""
        limits = self.board.limits
        state.exposure_s += (np.abs(np.atleast_2d(relative)) > limits.read_disturb_v).sum(axis=0) * each_s
        self._refuse("read exposure of BL", state.exposure_s, (0.0, limits.read_exposure_s), "s", "limits.read_exposure_s")

    def _pulse(self, flat: NDArray[np.int64], width_s: Volts, start_s: Volts, state: _State) -> None:
        """Check pulses that connect the lines at codes (n, channels) for `width_s` (n,) s from `start_s` (n,), and count them."""
        limits = self.board.limits
        if (flat[:, self._wl] < 0).any():
            raise ProtocolError("a pulse while the word lines' DACs are unknown; initialise the board first")
        reference = self._reference_v(state)
        relative = self._relative(flat[:, self._bl], state)
        gates = flat[:, self._wl] * self._lsb_v - reference
        driven = np.abs(relative) > limits.read_v
        forming = reference != self.board.wiring.vcm_v
        for kind, cells, limit in (
            ("form" if forming else "set", relative > limits.read_v, limits.form if forming else limits.set),
            ("reset", relative < -limits.read_v, limits.reset),
        ):
            entries = cells.any(axis=1)
            if entries.any():
                self._check_kind(kind, np.where(cells, np.abs(relative), 0.0)[entries], gates[entries], width_s[entries], limit)
        interval = np.diff(np.concatenate([[state.last_pulse_s], start_s]))
        self._refuse("interval before pulse", interval, (limits.pulse_interval_s, np.inf), "s", "limits.pulse_interval_s")
        state.last_pulse_s = float(start_s[-1])
        state.pulses += (gates > limits.wl_off_v).T.astype(np.int64) @ driven.astype(np.int64)
        if (worst := int(state.pulses.max())) > limits.pulses_per_cell:
            row, column = np.unravel_index(state.pulses.argmax(), state.pulses.shape)
            raise LimitError(
                f"pulses on cell (SL {row}, BL {column})", worst, limits.pulses_per_cell, source=f"limits of board {self.board.name}",
                advice="the cell does not follow; exclude it, or raise limits.pulses_per_cell in the board file",
            )  # fmt: skip

    def _check_kind(self, kind: str, amplitude: Volts, gates: Volts, width_s: Volts, limit: PulseLimits) -> None:
        self._refuse(f"{kind.upper()} amplitude on BL", amplitude, limit.amplitude_v, "V", f"limits.{kind}.amplitude_v")
        on = np.maximum(gates, 0.0)
        self._refuse(f"gate voltage during {kind.upper()} on WL", on, limit.gate_v, "V", f"limits.{kind}.gate_v")
        self._refuse(f"{kind.upper()} width of pulse", width_s, limit.width_s, "s", f"limits.{kind}.width_s")
