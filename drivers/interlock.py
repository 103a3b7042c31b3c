"""The last thing before a bridge: reads every program as the chips will, and refuses what the board's limits forbid.

An `Interlock` is itself a `Bridge`. It follows the words, not the intentions of whoever wrote them: it keeps what the
DACs, the mux chain and the pulse gate will hold, and knows therefore what each line will carry at each connection and
each pulse. A refused program is refused whole, before any of it is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.board import Board
from drivers.dac import write_frame
from drivers.doses import Doses
from drivers.ledger import Ledger
from drivers.line_state import LineState
from drivers.pulse_limits import PulseVolts
from drivers.refusal import Volts, refuse
from firmware_bridge.bridge import Bridge, Identity, Result, SequencerConfig
from firmware_bridge.errors import BoardError, ProtocolError, asked_for
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import (
    End,
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
from firmware_bridge.journal import Resumed
from firmware_bridge.program import Clock, Program

_log = logging.getLogger(__name__)


@dataclass
class _Given:
    """How far a board has come. doses: over the life of its array. entries: programs that gave it any, of this run."""

    doses: Doses
    entries: int = 0
    last_pulse_cycle: int = -(1 << 62)

    def copy(self) -> _Given:
        """A snapshot that can be changed."""
        return _Given(self.doses.copy(), self.entries, self.last_pulse_cycle)


class _Channels(NamedTuple):
    """DAC channels that a stream loads."""

    flat: NDArray[np.intp]
    mask: int
    any_wl: bool
    """Whether a word line is among them."""


class Interlock:
    """Wraps `bridge`; same interface.

    Raises `LimitError` naming line, value and limit, or `ProtocolError` for what it cannot follow.

    A voltage at its limit passes although the DAC rounds it, by at most half a code.
    """

    def __init__(self, bridge: Bridge, board: Board, ledger: Ledger | None = None) -> None:
        """ledger: what the array was given before, and where what it is given now is written down. Without one, it
        counts from zero and forgets."""
        self.bridge, self._board = bridge, board
        self._ledger = ledger
        wiring = board.wiring
        self._bl, self._wl = np.array(wiring.bl_dac), np.array(wiring.wl_dac)
        self._bl_mask, self._n_dacs = wiring.dac_mask(wiring.bl_dac), wiring.n_dacs
        self._dac_channels, self._ldac_frame = wiring.dac_channels, write_frame(*board.dac.LDAC)
        self._channels_of: dict[int, _Channels] = {}
        self._lines = LineState(board)
        self._half_code_v = self._lines.lsb_v / 2
        before = Doses.none(board.shape) if ledger is None else ledger.others
        self._before, self._given = before, _Given(before)
        self._cycle = 0

    # -- Bridge ----------------------------------------------------------------------------------------------------
    def identify(self) -> Identity:
        """Who the board is."""
        return self.bridge.identify()

    def configure(self, config: SequencerConfig) -> None:
        if config.timing != self._board.timing:
            raise ProtocolError("the sequencer would run at another timing than the board file's; change it there")
        self.bridge.configure(config)

    def check(self, programs: Iterable[Program]) -> None:
        """Refuse programs that would be refused if they ran one after the other; send nothing."""
        lines, given, clock = self._lines.copy(), self._given.copy(), Clock(self._board.timing, self._cycle)
        for program in programs:
            self._follow_all(program, lines, given, clock)
            clock.issue(End())

    def run(self, program: Program) -> Result:
        lines, given, clock = self._lines.copy(), self._given.copy(), Clock(self._board.timing, self._cycle)
        self._follow_all(program, lines, given, clock)
        before = self._given
        self._write_down(given)
        self._given = given
        try:
            result = self.bridge.run(program)
        except Resumed:
            # Nothing was sent, and the lines of this board are not those of the run that goes on.
            self._given = before
            self._lines.power_up()
            raise
        except BaseException as error:
            _log.error("failed", extra={"fault": type(error).__name__, "reason": str(error)})
            # Nobody knows how far it came: all of its pulses count, and the last one may have been just now.
            self._cycle = given.last_pulse_cycle = clock.now
            self._lines.power_up()
            raise
        self._lines = lines
        self._cycle += result.cycles
        if _log.isEnabledFor(logging.DEBUG):
            pulses = int((given.doses.pulses - before.doses.pulses).sum())
            _log.debug("ran", extra={"instructions": len(program), "cycles": result.cycles, "pulses": pulses})
        return result

    def reset(self) -> None:
        self._lines.power_up()
        self.bridge.reset()

    def safe(self) -> None:
        self._lines.power_up()
        self.bridge.safe()

    def close(self) -> None:
        self._lines.power_up()
        try:
            self.bridge.close()
        finally:
            if self._ledger is not None:
                self._ledger.close()

    @property
    def board(self) -> Board:
        """The board description, with limits as they are now."""
        return self._board

    def tighten(self, **limits: Any) -> None:
        """Hold the board to closer limits from now on; see `drivers.board.Board.tightened`. There is no way back but
        to open the board anew."""
        self._board = self._board.tightened(**limits)

    @property
    def doses(self) -> Doses:
        """What the array has been given over its life, or may have been at an error, as far as the ledger knows it."""
        return self._given.doses.copy()

    @property
    def pulses(self) -> NDArray[np.int64]:
        """Programming pulses (n_sl, n_bl) that each cell was sent through this object, or may have been at an error."""
        return self._given.doses.pulses - self._before.pulses

    def _write_down(self, given: _Given) -> None:
        """What a program gives, before it is sent."""
        before, after = self._given.doses, given.doses
        if all(a is b for a, b in zip(before.arrays(), after.arrays(), strict=True)):
            return
        given.entries += 1
        if self._ledger is not None:
            self._ledger.record(given.entries, after - before)

    @property
    def codes(self) -> NDArray[np.int64]:
        """What the DACs' buffers hold, (channels · chips,), by all that was sent."""
        return self._lines.buffer.copy()

    # -- following a program ------------------------------------------------------------------------------------------
    def _follow_all(self, program: Program, lines: LineState, given: _Given, clock: Clock) -> None:
        try:
            for instruction in program:
                self._follow(instruction, lines, given, clock)
        except BoardError as error:
            _log.warning("refused", extra={"reason": str(error), "instructions": len(program)})
            if isinstance(error, ProtocolError):
                raise ProtocolError(f"{error}{asked_for()}; nothing was sent to the board") from error
            raise

    def _follow(self, instruction: Instruction, lines: LineState, given: _Given, clock: Clock) -> None:
        start = clock.now
        begin = clock.issue(instruction)
        duration_s = (clock.now - start) * self._board.timing.period_s
        if isinstance(instruction, Mvm):
            self._mvm(instruction, lines, given, duration_s)
            return
        if lines.gate and self._reach_v(lines) > self._board.limits.read_disturb_v:
            self._expose(given.doses, lines.relative_v(lines.active), duration_s)
        match instruction:
            case SpiWrite() | SpiRead():
                _refuse_crc(instruction)
                changes = [
                    lines.frame(chip, frame)
                    for chip, frame in zip(mask_indices(instruction.dac_mask), instruction.frames, strict=True)
                ]
                if any(changes):
                    self._check_lines(lines)
            case Shift():
                lines.shift(instruction.bits, instruction.word)
                self._check_lines(lines)
            case OutputEnable():
                lines.enable(instruction.enable)
                self._check_lines(lines)
            case Gate():
                lines.gate = instruction.connect
                if lines.gate and self._reach_v(lines) > self._board.limits.read_v:
                    self._check_read(lines.relative_v(lines.active))
            case Pulse():
                self._pulse(lines.active[None], np.array([instruction.width]), np.array([begin]), lines, given)
            case Pulses():
                self._pulses(instruction, start, lines, given)

    def _check_lines(self, lines: LineState) -> None:
        """After any change: lines within range, and a connected bit line within the read limit."""
        self._check_range(lines.active)
        if lines.gate and self._reach_v(lines) > self._board.limits.read_v:
            self._check_read(lines.relative_v(lines.active))

    @staticmethod
    def _reach_v(lines: LineState) -> float:
        """Bound on the magnitude of the bit lines' bias, were they connected."""
        if lines.reach_v is None:
            lines.reach_v = float(np.abs(lines.relative_v(lines.active)).max())
        return lines.reach_v

    def _channels(self, stream: Mvm | Pulses, lines: LineState) -> _Channels:
        """The channels that a stream loads; refuse what cannot be followed."""
        _refuse_crc(stream)
        if stream.ldac_frame != self._ldac_frame:
            raise ProtocolError(
                f"{stream.MNEMONIC}: ldac_frame = {stream.ldac_frame:#08x} is not LDAC ({self._ldac_frame:#08x})"
            )
        if stream.channels != self._dac_channels:
            raise ProtocolError(
                f"{stream.MNEMONIC}: codes for {stream.channels} channels of each DAC; this board's have "
                f"{self._dac_channels}"
            )
        if stream.dac_mask >> self._n_dacs:
            raise ProtocolError(
                f"{stream.MNEMONIC}: DAC mask {stream.dac_mask:#x} names DACs that the board does not have"
            )
        if stream.dac_mask not in self._channels_of:
            n = self._dac_channels
            flat = [n * d + c for d in mask_indices(stream.dac_mask) for c in range(n)]
            self._channels_of[stream.dac_mask] = _Channels(
                np.array(flat, np.intp), sum(1 << c for c in flat), not set(flat).isdisjoint(self._board.wiring.wl_dac)
            )
        channels = self._channels_of[stream.dac_mask]
        if ~lines.waits_for_ldac & channels.mask:
            raise ProtocolError(
                f"{stream.MNEMONIC} would update DAC channels one by one; set SYNC-EN on every channel first"
            )
        return channels

    def _mvm(self, mvm: Mvm, lines: LineState, given: _Given, duration_s: float) -> None:
        if not mvm.count:
            return
        channels = self._channels(mvm, lines)
        lines.scan(mvm.sr_bits, mvm.positions)
        reach_v = None if channels.any_wl else self._harmless_reach_v(mvm, lines)
        if reach_v is None:
            blocks = np.repeat(lines.active[None], mvm.count, axis=0)
            blocks[:, channels.flat] = mvm.codes.reshape(mvm.count, -1)
            self._check_range(blocks)
            if lines.gate:
                relative = lines.relative_v(blocks)
                self._check_read(relative)
                self._expose(given.doses, relative, duration_s / mvm.count)
        lines.stream(channels.flat, mvm.codes[-1].reshape(-1), reach_v)

    def _harmless_reach_v(self, mvm: Mvm, lines: LineState) -> float | None:
        """Reach of the block if even its extreme codes are harmless on every bit line; None to look closer."""
        limits = self._board.limits
        # Bit lines that the stream does not load keep what they have.
        if mvm.dac_mask & self._bl_mask != self._bl_mask or not lines.on_dacs:
            return None
        low, high = (code * lines.lsb_v for code in extremes(mvm.codes))
        reference_v = lines.reference_v
        reach_v = max(high - reference_v, reference_v - low)
        if low < limits.bl_v[0] or high > limits.bl_v[1] or reach_v > min(limits.read_v, limits.read_disturb_v):
            return None
        return reach_v

    # -- limits ------------------------------------------------------------------------------------------------------
    def _check_range(self, codes: NDArray[np.int64]) -> None:
        """Absolute limits of every line, for codes (…, channels); unknown ones matter once they are connected."""
        for name, columns, limit in (
            ("BL", self._bl, self._board.limits.bl_v),
            ("WL", self._wl, self._board.limits.wl_v),
        ):
            part = codes[..., columns]
            key = self._key(f"{name.lower()}_v")
            refuse(name, part * self._lines.lsb_v, limit, "V", key, slack=self._half_code_v, of=part >= 0)

    def _check_read(self, relative: Volts) -> None:
        limit = self._board.limits.read_v
        refuse("bias of connected BL", relative, (-limit, limit), "V", self._key("read_v"), slack=self._half_code_v)

    def _key(self, name: str) -> str:
        return f"limits.{name} of board {self._board.name}"

    # -- doses -------------------------------------------------------------------------------------------------------
    def _expose(self, doses: Doses, relative: Volts, each_s: float) -> None:
        """Count time under a read bias above the disturb level; `relative` (n_bl,) or (n, n_bl), `each_s` s each."""
        limits = self._board.limits
        disturbed = np.abs(np.atleast_2d(relative)) > limits.read_disturb_v + self._half_code_v
        if disturbed.any():
            doses.exposure_s = doses.exposure_s + disturbed.sum(axis=0) * each_s
            limit = (0.0, limits.read_exposure_s)
            refuse("read exposure of BL", doses.exposure_s, limit, "s", self._key("read_exposure_s"))

    def _pulses(self, pulses: Pulses, start: int, lines: LineState, given: _Given) -> None:
        if not pulses.count:
            return
        channels = self._channels(pulses, lines)
        codes = np.repeat(lines.active[None], pulses.count, axis=0)
        codes[:, channels.flat] = pulses.codes.reshape(pulses.count, -1)
        self._check_range(codes)
        self._pulse(codes, pulses.widths, start + pulses.schedule(self._board.timing).start, lines, given)
        lines.stream(channels.flat, pulses.codes[-1].reshape(-1))

    def _pulse(
        self,
        codes: NDArray[np.int64],
        width_cycles: NDArray[np.integer],
        start_cycle: NDArray[np.int64],
        lines: LineState,
        given: _Given,
    ) -> None:
        """Check pulses that connect lines at codes (n, channels) for cycles (n,) from others (n,) on; count them."""
        board, period_s = self._board, self._board.timing.period_s
        if lines.gate:
            raise ProtocolError("a pulse while the bit lines are connected; GATE 0 first")
        if (codes[:, self._wl] < 0).any():
            raise ProtocolError("a pulse while the word lines' DACs are unknown; initialise the board first")
        reference = lines.reference_v
        volts = PulseVolts(
            relative=lines.relative_v(codes),
            gates=codes[:, self._wl] * lines.lsb_v - reference,
            width_s=width_cycles * period_s,
            forming=reference != board.wiring.vcm_v,
            slack_v=self._half_code_v,
        )
        volts.check(board)
        interval_s = np.diff(start_cycle, prepend=given.last_pulse_cycle) * period_s
        limit = (board.limits.pulse_interval_s, np.inf)
        refuse("interval before pulse", interval_s, limit, "s", self._key("pulse_interval_s"))
        given.last_pulse_cycle = int(start_cycle[-1])
        pulse, bl = np.nonzero(volts.driven(board))
        across = volts.relative[pulse, bl]
        rows = volts.rows_on(board, pulse, across)
        given.doses.give(rows, bl, across**2 * volts.width_s[pulse], (across > 0) & volts.forming)
        given.doses.refuse_cells(board.limits, board.name)


def _refuse_crc(instruction: SpiWrite | SpiRead | Mvm | Pulses) -> None:
    # Outside CRC mode a chip takes the last 24 of the 32 bits: another frame than the one in the instruction.
    if instruction.crc:
        raise ProtocolError(f"{instruction.MNEMONIC} with CRC, but no DAC has been put into CRC mode")
