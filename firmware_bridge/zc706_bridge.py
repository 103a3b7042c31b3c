"""The `zc706` bridge: the gateware in the fabric of the board that this Python runs on, through pynq.

Only what pynq 3.0 to 4.0 share is used: `Overlay`, `ip_dict`, `DefaultIP` with `bindto`, its 32-bit accesses, and
`allocate`. pynq is imported when a board is opened, and not before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import BoardError
from firmware_bridge.exclusive import Exclusive
from firmware_bridge.gateware import REGISTERS
from firmware_bridge.gateware_client import Buffer, GatewareBridge
from firmware_bridge.wiring import Wiring

VLNV = "xilinx.com:module_ref:xbar_top:1.0"
"""What a block design calls the gateware's top module."""
BITSTREAM = Path(__file__).parent / "overlay" / "xbar.bit"
"""Where the build in `overlay/` leaves the bitstream; its .hwh lies beside it."""
FPGA_STATE = Path("/sys/class/fpga_manager/fpga0/state")
"""Where Linux says whether the fabric holds a bitstream."""
POLL_S = 50e-6
"""Pause between two looks at a gateware that is busy."""
KICKS = 4
"""Signs of life within the time that the watchdog allows."""


class Zc706Unavailable(BoardError):
    """What is missing to reach the gateware, and what to do."""


class IpCore(Protocol):
    """What this bridge uses of pynq's `DefaultIP`."""

    def read(self, offset: int) -> int:
        """Word at a byte offset."""

    def write(self, offset: int, value: int) -> None:
        """Write a word to a byte offset."""


@cache
def driver() -> Any:
    """The class that pynq binds to the gateware; made once, for pynq keeps a register of them."""
    from pynq import DefaultIP

    class Gateware(DefaultIP):
        """The gateware's registers. For a look by hand: `register_map`; everything else is the bridge's."""

        bindto = [VLNV]  # noqa: RUF012 (pynq's name)

        def __init__(self, description: dict[str, Any]) -> None:
            # A module reference carries no registers in its .hwh.
            super().__init__({"fullpath": "xbar", **description, "registers": register_description()})

    return Gateware


def register_description() -> dict[str, dict[str, Any]]:
    """The registers as pynq describes those of an IP core; the names of a row are numbered."""
    access = {"r": "read-only", "w": "write-only", "rw": "read-write"}
    return {
        r.name if r.repeat == 1 else f"{r.name}_{i}": {
            "address_offset": 4 * (r.address + i), "size": 32, "access": access[r.access], "description": r.doc,
            "fields": {},
        }
        for r in REGISTERS
        for i in range(r.repeat)
    }  # fmt: skip


class PynqBus:
    """Accesses through an IP core that pynq has bound, buffers from its `allocate`."""

    def __init__(self, ip: IpCore) -> None:
        self._ip = ip

    def read(self, address: int) -> int:
        return int(self._ip.read(address))

    def write(self, address: int, word: int) -> None:
        self._ip.write(address, int(word))

    def allocate(self, n_words: int) -> Buffer:
        from pynq import allocate

        buffer: Buffer = allocate(shape=(n_words,), dtype=np.uint32)
        return buffer

    def wait(self) -> None:
        time.sleep(POLL_S)


class Zc706Bridge(GatewareBridge):
    """A `Bridge` to the gateware in the fabric. While it is configured, a thread tells the watchdog that this process
    lives; outputs are safe within `SequencerConfig.watchdog_cycles` of its end, whatever ends it."""

    def __init__(self, ip: IpCore, wiring: Wiring, *, serial: str = "zc706", lock: Exclusive | None = None) -> None:
        """lock: what keeps other processes from the fabric; let go of when this is closed."""
        self._life: _SignsOfLife | None = None
        self._lock = lock
        super().__init__(PynqBus(ip), wiring, kind="zc706", serial=serial)

    @classmethod
    def open(cls, wiring: Wiring, address: str = "zc706") -> Zc706Bridge:
        """Load a bitstream, which is the power-up of the gateware, and find the gateware in it.

        address: ``zc706[:PATH][?loaded]``; PATH is of the .bit file, its .hwh beside it. With ``?loaded`` the fabric
            already holds it and keeps what it holds, latched limits included.

        Raises `Zc706Unavailable` if pynq, a device, the bitstream or the gateware in it is missing, and `BoardInUse` if
        another process has the fabric: to load it would take the gateware away from under that.
        """
        named, mark, option = address.removeprefix("zc706").removeprefix(":").partition("?")
        if mark and option != "loaded":
            raise Zc706Unavailable(f"?{option} is unknown; there is zc706[:PATH][?loaded]")
        path = Path(named) if named else BITSTREAM
        if option and FPGA_STATE.is_file() and (state := FPGA_STATE.read_text().strip()) != "operating":
            # An access to a fabric that holds nothing stops the processor for good.
            raise Zc706Unavailable(f"the fabric holds no bitstream: its state is {state!r}; open it without ?loaded")
        try:
            driver()
        except ImportError as error:
            raise Zc706Unavailable(
                f"pynq is not installed here ({error}): run this on the board, with its image's own Python, or "
                "pip install 'xbar[board]'; from another machine use tcp://… with `xbar serve` on the board"
            ) from error
        if not path.is_file():
            raise Zc706Unavailable(
                f"there is no bitstream {path}: build it as firmware_bridge/overlay/README.md says, or name one as "
                "zc706:/path/xbar.bit"
            )
        # One fabric, whatever the bitstream.
        lock = Exclusive.device("zc706", "the fabric of this board (zc706)")
        try:
            return cls(cls._core(path, download=not option), wiring, lock=lock)
        except BaseException:
            lock.close()
            raise

    @staticmethod
    def _core(path: Path, *, download: bool) -> IpCore:
        """The gateware in a bitstream, which is loaded."""
        from pynq import Overlay

        try:
            overlay = Overlay(str(path), download=download)
        except (RuntimeError, OSError) as error:
            raise Zc706Unavailable(f"pynq cannot load {path}: {error}; is this the board, and are you root?") from error
        names = [name for name, ip in overlay.ip_dict.items() if ip.get("type") == VLNV]
        if len(names) != 1:
            found = ", ".join(sorted({str(ip.get("type")) for ip in overlay.ip_dict.values()})) or "nothing"
            raise Zc706Unavailable(f"{path} holds {len(names)} cores {VLNV}, one is needed; it has {found}")
        core = overlay
        for part in names[0].split("/"):
            core = getattr(core, part)
        return core

    def configure(self, config: SequencerConfig) -> None:
        super().configure(config)
        self._end_signs()
        if config.watchdog_cycles:
            period_s = config.watchdog_cycles * config.timing.period_s / KICKS
            self._life = _SignsOfLife(lambda: self._write("WATCHDOG", config.watchdog_cycles), period_s)

    def close(self) -> None:
        self._end_signs()
        try:
            super().close()
        finally:
            if self._lock is not None:
                self._lock.close()

    def _end_signs(self) -> None:
        if self._life is not None:
            self._life.end()
            self._life = None


class _SignsOfLife:
    """Calls `give` every `period_s` until it is ended, or the process is."""

    def __init__(self, give: Callable[[], None], period_s: float) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(give, period_s), name="watchdog", daemon=True)
        self._thread.start()

    def _run(self, give: Callable[[], None], period_s: float) -> None:
        while not self._ended.wait(period_s):
            give()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
