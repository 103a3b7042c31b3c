"""The Verilated gateware from Python: its bus, its clock, and the events at its pins."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_double,
    c_int,
    c_int32,
    c_uint32,
    c_uint64,
    c_void_p,
)
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from firmware_bridge.gateware import N_ADCS, N_DACS
from firmware_bridge.isa import mask_indices
from firmware_bridge.rtl_build import build
from firmware_bridge.timing import SequencerTiming

CHUNK_TICKS = 1_000_000
"""Cycles simulated one by one between two looks at the keyboard."""

_Frames = CFUNCTYPE(c_int, c_uint32, c_uint64)
_Latch = CFUNCTYPE(c_int, c_uint64)
_Level = CFUNCTYPE(c_int, c_int, c_uint64)
_Pulse = CFUNCTYPE(c_int, c_uint64, c_uint64)
_Sample = CFUNCTYPE(c_int, c_uint32, c_uint64, c_uint64)


class _Shared(Structure):
    """`Shared` of chips.h."""

    _fields_ = (
        ("frame", c_uint32 * 8 * N_DACS),
        ("sdo", c_uint32 * N_DACS),
        ("chain", c_uint32 * 8),
        ("chain_timing", c_uint32 * 4),
        ("adc_timing", c_uint32 * 2),
        ("code", c_int32 * N_ADCS),
        ("ticks", c_uint64),
    )


class _Callbacks(Structure):
    _fields_ = (
        ("frames", _Frames), ("latch", _Latch), ("output_enable_n", _Level), ("gate", _Level), ("pulse", _Pulse),
        ("sample", _Sample),
    )  # fmt: skip


FIRST_BUFFER, PAGE = 0x10000000, 4096
"""Where the device addresses of buffers begin, and what they are multiples of."""


class WriteOrder(IntEnum):
    """`Order` of axi.h: which of a write's two halves comes first."""

    TOGETHER = 0
    ADDRESS_FIRST = 1
    DATA_FIRST = 2


class ModelBuffer(np.ndarray[tuple[int], np.dtype[np.uint32]]):
    """Words that the model's master reads and writes in place."""

    device_address: int = 0

    def flush(self) -> None:
        """Nothing: there is no cache in between."""

    def invalidate(self) -> None:
        """Nothing: there is no cache in between."""


class PinFrame(tuple[int, ...]):
    """What a DAC's pins showed while CS was low: word, bits, and cycles of CS setup, SCLK high and low (0: uneven),
    hold after the last edge, CS high before; whether SDO was captured."""

    __slots__ = ()


class Pins(Protocol):
    """What stands at the gateware's pins. Cycles are board time; an exception stops the gateware."""

    def on_frames(self, frames: dict[int, PinFrame], cycle: int) -> dict[int, int]:
        """Chip selects have risen, by DAC. Returns what each shifts out next, left-aligned in 32 bits."""

    def on_latch(self, word: int, bits: int, timing: tuple[int, ...], cycle: int) -> None:
        """RCLK has risen after `bits` bits; timing: cycles of SRCLK high, low, last SRCLK fall to RCLK rise."""

    def on_output_enable_n(self, level: bool, cycle: int) -> None:
        """OE̅ has changed."""

    def on_gate(self, connect: bool, cycle: int) -> None:
        """GATE has changed the pulse gate."""

    def on_pulse(self, width: int, cycle: int) -> None:
        """A pulse of `width` cycles, begun at `cycle`, is over."""

    def on_sample(self, adcs: list[int], timing: tuple[int, ...], start: int, cycle: int) -> list[int]:
        """The windows of conversions begun at `start` close; timing: cycles of DCLOCK high, low. Returns codes."""


class GatewareModel:
    """One Verilated gateware with chips at its pins. Raises `RtlUnavailable` if it cannot be built."""

    def __init__(self, pins: Pins, library: Path | None = None) -> None:
        """library: the gateware and its chips, by default those that Verilator elaborates."""
        self._handle: c_void_p | None = None
        self._library = ctypes.CDLL(str(library or build()))
        for name, result, arguments in (
            ("xb_shared_size", c_uint64, ()),
            ("xb_open", c_void_p, (c_void_p, c_void_p)),
            ("xb_close", None, (c_void_p,)),
            ("xb_write", c_int, (c_void_p, c_uint32, c_uint32, c_uint32, c_int)),
            ("xb_read", c_int, (c_void_p, c_uint32, POINTER(c_uint32))),
            ("xb_buffer", None, (c_void_p, c_uint32, c_uint32, c_void_p)),
            ("xb_stall", None, (c_void_p, c_uint32)),
            ("xb_clock", None, (c_void_p, c_uint32)),
            ("xb_irq", c_int, (c_void_p,)),
            ("xb_pass", c_int, (c_void_p, c_uint64)),
            ("xb_run", c_int, (c_void_p, c_uint64)),
            ("xb_skip_waits", None, (c_void_p, c_int)),
            ("xb_trace", c_int, (c_void_p, c_char_p, c_double, c_int, c_int)),
        ):
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        assert self._library.xb_shared_size() == ctypes.sizeof(_Shared)
        self._pins = pins
        self._shared = _Shared()
        self._refusal: BaseException | None = None
        frame_rows = self._shared.frame
        # ctypes keeps no reference to callbacks; this object does.
        self._callbacks = _Callbacks(
            _Frames(self._guard(self._frames)),
            _Latch(self._guard(self._latch)),
            _Level(self._guard(lambda level, cycle: pins.on_output_enable_n(bool(level), cycle))),
            _Level(self._guard(lambda level, cycle: pins.on_gate(bool(level), cycle))),
            _Pulse(self._guard(pins.on_pulse)),
            _Sample(self._guard(self._sample)),
        )
        self._frame_rows = [frame_rows[d] for d in range(N_DACS)]
        self._buffers: list[ModelBuffer] = []
        self._free = FIRST_BUFFER
        self._handle = c_void_p(self._library.xb_open(byref(self._shared), byref(self._callbacks)))
        self.set_clock(SequencerTiming().clock_hz)

    def close(self) -> None:
        """Free the model."""
        if self._handle is not None:
            self._library.xb_close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.close()

    # -- RegisterBus ----------------------------------------------------------------------------------------------
    # All that lets time pass raises what a chip at the pins has raised.
    def write(self, address: int, word: int, *, strobes: int = 0xF, order: WriteOrder = WriteOrder.TOGETHER) -> None:
        """Write a word to a byte address; `strobes` and `order` are AXI's."""
        self._check(self._library.xb_write(self._handle, address, word, strobes, order))

    def read(self, address: int) -> int:
        """Word at a byte address."""
        word = c_uint32()
        self._check(self._library.xb_read(self._handle, address, byref(word)))
        return word.value

    def allocate(self, n_words: int) -> ModelBuffer:
        """Memory that the gateware's master reaches."""
        buffer = np.zeros(n_words, np.uint32).view(ModelBuffer)
        buffer.device_address = self._free
        self._buffers.append(buffer)
        self._library.xb_buffer(self._handle, self._free, buffer.nbytes, buffer.ctypes.data)
        self._free += -(-buffer.nbytes // PAGE) * PAGE
        return buffer

    def wait(self) -> None:
        """Run until the gateware is idle, or a look at the keyboard, or a sign of life to the watchdog, is due."""
        self._check(self._library.xb_run(self._handle, CHUNK_TICKS))

    # -- beside the bus ---------------------------------------------------------------------------------------------
    def let_pass(self, cycles: int) -> None:
        """Clock cycles in which the host is silent."""
        self._check(self._library.xb_pass(self._handle, cycles))

    def stall(self, seed: int) -> None:
        """From now on the memory is ready only now and then; 0: always again."""
        self._library.xb_stall(self._handle, seed)

    def set_clock(self, clock_hz: float) -> None:
        """What the gateware is told that its clock is."""
        self._library.xb_clock(self._handle, round(clock_hz))

    @property
    def interrupt(self) -> bool:
        """Level of the interrupt."""
        return bool(self._library.xb_irq(self._handle))

    def _check(self, status: int) -> None:
        if status == 2:
            assert self._refusal is not None
            refusal, self._refusal = self._refusal, None
            raise refusal

    @property
    def ticks(self) -> int:
        """Clock cycles simulated so far one by one, those of the host's bus included and those passed over not."""
        return int(self._shared.ticks)

    def skip_waits(self, skips: bool) -> None:
        """Whether the cycles of a WAIT in which nothing moves are passed over, as they are at first, or ticked."""
        self._library.xb_skip_waits(self._handle, skips)

    def show(self, dac: int, word: int) -> None:
        """What a DAC shifts out in its next frame, left-aligned in 32 bits."""
        self._shared.sdo[dac] = word

    def trace(self, path: Path, period_s: float, n_dacs: int, n_adcs: int) -> None:
        """Record the pins of so many chips as a VCD file from now on. Raises `OSError`."""
        if self._library.xb_trace(self._handle, os.fsencode(path), period_s * 1e9, n_dacs, n_adcs):
            raise OSError(f"{path}: the waveform cannot be written there")

    def end_trace(self) -> None:
        """End the waveform. Raises `OSError` if it is not complete."""
        if self._library.xb_trace(self._handle, None, 0.0, 0, 0):
            raise OSError("the waveform is not complete; is the disk full?")

    # -- events -------------------------------------------------------------------------------------------------------
    def _guard(self, event: Callable[..., Any]) -> Callable[..., int]:
        # An exception cannot cross the C++ loop: keep it and stop the loop.
        def guarded(*arguments: int) -> int:
            try:
                event(*arguments)
            except BaseException as error:
                # An access is carried to its end: what follows from the first one is not news.
                self._refusal = self._refusal or error
                return 1
            return 0

        return guarded

    def _frames(self, mask: int, cycle: int) -> None:
        frames = {d: PinFrame(self._frame_rows[d]) for d in mask_indices(mask)}
        for dac, word in self._pins.on_frames(frames, cycle).items():
            self._shared.sdo[dac] = word

    def _latch(self, cycle: int) -> None:
        bits, *timing = self._shared.chain_timing
        self._pins.on_latch(int.from_bytes(bytes(self._shared.chain), "little"), bits, tuple(timing), cycle)

    def _sample(self, mask: int, start: int, cycle: int) -> None:
        adcs = mask_indices(mask)
        codes = self._pins.on_sample(adcs, tuple(self._shared.adc_timing), start, cycle)
        for adc, code in zip(adcs, codes, strict=True):
            self._shared.code[adc] = code
