"""pynq's own `MMIO`, `DefaultIP`, `allocate` and `Overlay` over the Verilated gateware: the device, and memory that is
not coherent with it, as a Zynq-7000's caches are not."""

from __future__ import annotations

import ctypes
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.gateware import ADDRESS, Control, Status
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.rtl_bridge import BoardPins
from firmware_bridge.rtl_model import GatewareModel
from firmware_bridge.zc706_bridge import VLNV, Zc706Bridge, driver

with warnings.catch_warnings():
    # Off the board pynq warns of the machine that it finds itself on, several times.
    warnings.simplefilter("ignore")
    from pynq.buffer import PynqBuffer
    from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
    from pynq.pl_server.device import Device
    from pynqmetadata.frontends import Metadata

BASE, RANGE = 0x43C0_0000, 0x1_0000
"""Where a block design puts the registers."""
SLCR = 0xF800_0000
"""Registers of a Zynq-7000's clocks, which pynq sets when it loads a bitstream."""
STATUS = 4 * ADDRESS["STATUS"]


class StageDevice(Device):
    """A pynq device whose fabric is the Verilated gateware, with a mock board at its pins.

    Time passes when somebody asks whether the gateware is idle: as much as it takes.
    """

    def __init__(self, board: MockBoard) -> None:
        super().__init__("stage")
        self.name = "stage"
        self.capabilities = {"REGISTER_RW": True}
        self.arch = "armv7l"
        # Its PLLs at 20 times 50 MHz.
        self.slcr = dict.fromkeys((SLCR + 0x100, SLCR + 0x104, SLCR + 0x108), 20 << 12)
        self.pins = BoardPins(board)
        self.model = GatewareModel(self.pins)
        self.accesses = self.downloads = 0
        self.ready = True
        self._lock = threading.RLock()  # signs of life come from another thread
        self.timestamp = ""
        self.bitfile_name = ""

    # -- registers: what pynq's MMIO asks of a device ----------------------------------------------------------------
    def read_registers(self, address: int, length: int) -> bytes:
        assert length == 4
        if address >= SLCR:
            return self.slcr.get(address, 0).to_bytes(4, "little")
        with self._lock:
            self.accesses += 1
            word = self.model.read(address - BASE)
            if address - BASE == STATUS and word & Status.BUSY and self.ready:
                self.model.wait()
        return word.to_bytes(4, "little")

    def write_registers(self, address: int, data: bytes) -> None:
        assert len(data) == 4
        if address >= SLCR:
            self.slcr[address] = int.from_bytes(data, "little")
            return
        with self._lock:
            self.accesses += 1
            self.model.write(address - BASE, int.from_bytes(data, "little"))

    # -- memory: what pynq's allocate asks ---------------------------------------------------------------------------
    @property
    def default_memory(self) -> StageDevice:
        return self

    def allocate(self, shape: tuple[int, ...], dtype: Any, **options: Any) -> PynqBuffer:
        words = self.model.allocate(int(np.prod(shape)))
        return PynqBuffer(shape, dtype, device=self, bo=words, device_address=words.device_address, **options)

    def flush(self, bo: Any, offset: int, pointer: int, size: int) -> None:
        ctypes.memmove(bo.ctypes.data + offset, pointer, size)

    def invalidate(self, bo: Any, offset: int, pointer: int, size: int) -> None:
        ctypes.memmove(pointer, bo.ctypes.data + offset, size)

    # -- bitstreams: what pynq's Overlay asks ------------------------------------------------------------------------
    def get_bitfile_metadata(self, bitfile_name: str) -> Any:
        return RuntimeMetadataParser(Metadata(input=Path(bitfile_name).with_suffix(".hwh")))

    def download(self, bitstream: Any, parser: Any) -> None:
        self.downloads += 1
        self.post_download(bitstream, parser)


class StageBridge(Zc706Bridge):
    """The real bridge with a hand on the power switch: `reset` is a power cycle of the chips, as the mock's."""

    def __init__(self, board: MockBoard) -> None:
        self.board = board
        self.stage = StageDevice(board)
        Device.active_device = self.stage
        self.ip = driver()({"phys_addr": BASE, "addr_range": RANGE, "type": VLNV, "device": self.stage})
        super().__init__(self.ip, board.wiring)
        self._show_answers()

    def configure(self, config: SequencerConfig) -> None:
        super().configure(config)
        self.stage.pins.configure(config)

    def reset(self) -> None:
        self._write("CONTROL", Control.RESET)
        self.board.power_up(self._cycle * self.stage.pins.period_s)
        self._show_answers()

    def _show_answers(self) -> None:
        for d, dac in enumerate(self.board.dacs):
            self.stage.model.show(d, dac.sdo_word(32))
