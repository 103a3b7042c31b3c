"""A waveform of the pins, and beside it the frames that the drivers meant to send.

FILE.vcd is what the gateware did with its pins. FILE.json is written without a look at them: the frames that the
programs and the configuration ask for, by the meaning of the instructions. A decoder that reads the one must find the
other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from firmware_bridge.isa import SpiRead, SpiWrite, mask_indices
from firmware_bridge.mock.dac80508_sheet import crc8
from firmware_bridge.program import Program


class IntendedFrames:
    """A JSON list of ``{"chip": "dac0", "frame": "081234"}``, in time order for each chip; with CRC, 8 digits.

    A program that is refused on the way is listed in full, with the safe frames after it.
    """

    def __init__(self, vcd: Path, n_dacs: int) -> None:
        """Raises `OSError`."""
        self._file: TextIO = frames_file(vcd).open("w")
        self._n_dacs = n_dacs
        self._separator = "[\n"

    def program(self, program: Program) -> None:
        """All frames of a program, its streams spelled out."""
        for single in program.expanded():
            if isinstance(single, SpiWrite | SpiRead):
                frames = [f"{f << 8 | crc8(f):08x}" if single.crc else f"{f:06x}" for f in single.frames]
                self._add(zip(mask_indices(single.dac_mask), frames, strict=True))

    def safe(self, frames: tuple[int, ...]) -> None:
        """The safe frames, which go to every DAC."""
        for frame in frames:
            self._add((dac, f"{frame:06x}") for dac in range(self._n_dacs))

    def _add(self, frames: Iterable[tuple[int, str]]) -> None:
        for dac, frame in frames:
            self._file.write(self._separator + json.dumps({"chip": f"dac{dac}", "frame": frame}))
            self._separator = ",\n"

    def close(self) -> None:
        """Complete the list."""
        self._file.write("[]\n" if self._separator.startswith("[") else "\n]\n")
        self._file.close()


def frames_file(vcd: Path) -> Path:
    """FILE.json of FILE.vcd."""
    return vcd.with_suffix(".json")
