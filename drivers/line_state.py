"""What the DACs, the mux chain and the pulse gate hold while a program runs, and what the lines carry therefore."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.board import Board
from drivers.dac import FULL_SCALE, NOP, READ, write_frame
from firmware_bridge.errors import ProtocolError
from firmware_bridge.wiring import Wiring

Volts = NDArray[np.floating]

UNKNOWN = -1
"""In the place of a code."""


class LineState:
    """State of the chips, followed frame by frame. Raises `ProtocolError` for what it cannot follow.

    Arrays are replaced, never changed, so that `copy` costs next to nothing.

    Attributes
    ----------
    buffer, active: (channels · chips,) codes in the DACs' buffers and on their outputs, `UNKNOWN` where so.
    waits_for_ldac: bit channels · chip + channel is set where a buffer waits for LDAC.
    reach_v: bound on the bias of connected bit lines, V, if somebody has looked since the lines last changed.
    span_set: chips that have been set up since their last reset, so that a code means a voltage.
    chain: word on the shift-register chain, None where unknown; `enabled`: its outputs are driven.
    gate: bit lines connected.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        dac = board.dac
        self.lsb_v = dac.span_v / FULL_SCALE
        self._channels, self._setup = dac.CHANNELS, dict(dac.setup())
        self._all_channels = (1 << dac.CHANNELS) - 1
        self._reset, self._ldac = write_frame(*dac.RESET), write_frame(*dac.LDAC)
        self._sync = dac.WAIT_FOR_LDAC[0]
        self._bl = np.array(board.wiring.bl_dac)
        self._n_dacs, self._sr_bits = board.wiring.n_dacs, board.wiring.sr_bits
        self._not_adc = ~sum(1 << b for b in board.wiring.adc_select.bits())
        self._muxes_of: dict[int | None, _Muxes] = {}
        self.power_up()

    def copy(self) -> LineState:
        """A snapshot that can be changed."""
        snapshot = LineState.__new__(LineState)
        snapshot.__dict__.update(self.__dict__)
        return snapshot

    def power_up(self) -> None:
        """Everything unknown until the drivers have initialised it; bit lines disconnected."""
        self.buffer = self.active = np.full(self._channels * self._n_dacs, UNKNOWN)
        self.waits_for_ldac = 0
        self.reach_v: float | None = None
        self.span_set: frozenset[int] = frozenset()
        self._written: frozenset[tuple[int, int]] = frozenset()
        self.chain: int | None = None
        self.enabled = self.gate = False

    # -- DACs -----------------------------------------------------------------------------------------------------
    def frame(self, chip: int, frame: int) -> bool:
        """A DAC takes a frame; returns whether an output may have changed."""
        if chip >= self._n_dacs:
            raise ProtocolError(f"a frame for DAC {chip}; the board has {self._n_dacs}, counted from 0")
        if frame & READ:
            return False
        register, data = frame >> 16 & 0x7F, frame & 0xFFFF
        n, first = self._channels, self._channels * chip
        if n <= register < 2 * n:
            return self._write(chip, first + register - n, data)
        if frame == self._ldac:
            waits = self.waits_for_ldac >> first
            self._put([first + c for c in range(n) if waits >> c & 1])
            return True
        if frame == self._reset:
            self._put(slice(first, first + n), UNKNOWN)
            self.waits_for_ldac &= ~(self._all_channels << first)
            self.span_set -= {chip}
            self._written -= {(chip, r) for r in self._setup}
            return True
        if register in self._setup:
            if data != self._setup[register]:
                raise ProtocolError(
                    f"DAC {chip}: {data:#06x} in register {register:#x} sets it up in another way than the board file "
                    f"({self._setup[register]:#06x})"
                )
            self._written |= {(chip, register)}
            if all((chip, r) in self._written for r in self._setup):
                self.span_set |= {chip}
            return True
        if register == self._sync:
            self.waits_for_ldac &= ~(self._all_channels << first)
            self.waits_for_ldac |= (data & self._all_channels) << first
            return False
        if register != NOP:
            raise ProtocolError(f"DAC {chip}: the interlock cannot follow a write to register {register:#x}")
        return False

    def _write(self, chip: int, channel: int, code: int) -> bool:
        if chip not in self.span_set:
            raise ProtocolError(f"DAC {chip}: a code before it was set up; its span is unknown, initialise the board")
        if self.waits_for_ldac >> channel & 1:
            self.buffer = _set(self.buffer, channel, code)
            return False
        self._put(channel, code)
        return True

    def stream(self, channels: NDArray[np.intp], codes: NDArray[np.uint16], reach_v: float | None = None) -> None:
        """The vector (channels,) that a stream leaves on the outputs, and a bound on the bias that it means."""
        self.buffer, self.active = _set(self.buffer, channels, codes), _set(self.active, channels, codes)
        self.reach_v = reach_v

    def _put(self, where: int | slice | list[int] | NDArray[np.intp], codes: object = None) -> None:
        """New codes on outputs and in buffers; without any, those of the buffers."""
        if codes is not None:
            self.buffer = _set(self.buffer, where, codes)
        self.active = _set(self.active, where, self.buffer[where])
        self.reach_v = None

    # -- muxes ----------------------------------------------------------------------------------------------------
    def shift(self, bits: int, word: int) -> None:
        """A word for the chain."""
        if bits != self._sr_bits:
            raise ProtocolError(f"SHIFT of {bits} bits; this board's chain has {self._sr_bits}")
        if word != self.chain:
            self.chain, self.reach_v = word, None

    def scan(self, bits: int, words: tuple[int, ...]) -> None:
        """The words of an MVM, of which each may meet any of its vectors: they may move the ADC muxes only."""
        for word in words:
            if self.chain is None or (word ^ self.chain) & self._not_adc:
                raise ProtocolError(
                    f"MVM: mux word {word:#x} moves more than the ADC muxes; SHIFT a word that agrees in the rest first"
                )
        reach_v = self.reach_v
        self.shift(bits, words[-1])
        self.reach_v = reach_v

    def enable(self, on: bool) -> None:
        """Output enable of the chain."""
        if on and self.chain is None:
            raise ProtocolError("OUTPUT_ENABLE while the chain's outputs are undefined; SHIFT a word first")
        self.enabled, self.reach_v = on, None

    # -- voltages -------------------------------------------------------------------------------------------------
    @property
    def _muxes(self) -> _Muxes:
        """What the muxes select at the present word; all are released while it is not driven."""
        word = self.chain if self.enabled else None
        muxes = self._muxes_of.get(word)
        if muxes is None:
            muxes = self._muxes_of[word] = _Muxes.of(self._board.wiring, word)
        return muxes

    @property
    def reference_v(self) -> float:
        """Reference of the source lines, V."""
        return self._muxes.reference_v

    @property
    def on_dacs(self) -> bool:
        """Whether the bit-line muxes select the DACs. An inhibited group counts: it may be released at any time."""
        return self._muxes.on_dacs

    def relative_v(self, codes: NDArray[np.int64]) -> Volts:
        """Bit-line voltages (…, n_bl) relative to the source lines, V, for codes (…, channels) and muxes as they are.

        A line that floats is at 0. Raises `ProtocolError` for a line that would hang on an unknown DAC output.
        """
        muxes = self._muxes
        if muxes.on_dacs:
            bl = codes[..., self._bl]
            if bl.min(initial=0) < 0:
                line = int(np.argwhere(bl < 0)[0][-1])
                raise ProtocolError(
                    f"BL {line} would be connected to a DAC whose output is unknown; initialise the board"
                )
            return self.lsb_v * bl - muxes.reference_v
        relative = 0.0 if muxes.level_v is None else muxes.level_v - muxes.reference_v
        return np.full((*codes.shape[:-1], self._bl.size), relative)


class _Muxes(NamedTuple):
    """What a word on the chain selects."""

    reference_v: float
    on_dacs: bool
    level_v: float | None
    """Of bit lines that are not on their DACs; None: they float."""

    @classmethod
    def of(cls, wiring: Wiring, word: int | None) -> _Muxes:
        if word is None:
            return cls(wiring.vcm_v, False, None)
        select, inputs = wiring.reference_select, wiring.bl_inputs
        form = not select.inhibited(word) and select.code(word) == wiring.reference_inputs.form
        source = wiring.bl_select.code(word)
        level_v = {inputs.vcm: wiring.vcm_v, inputs.gnd: 0.0}.get(source)
        return cls(wiring.vform_v if form else wiring.vcm_v, source == inputs.dac, level_v)


def _set(array: NDArray, where: int | slice | list[int] | NDArray[np.intp], value: object) -> NDArray:
    """A copy of `array` with `value` at `where`."""
    array = array.copy()
    array[where] = value
    return array
