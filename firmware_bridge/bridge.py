"""The `Bridge`: what carries a program to a board and brings its words back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.isa import Words
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming


@dataclass(frozen=True)
class Identity:
    """What a board says of itself when it is asked.

    `program_words` and `result_words` are the capacities of its memories: a longer program must be cut by the caller.
    """

    kind: str
    serial: str
    isa_version: int
    isa_hash: int
    n_dacs: int
    n_adcs: int
    sr_bits: int
    program_words: int
    result_words: int


@dataclass(frozen=True)
class Result:
    """What a program brought back: result words (n,) in the order pushed, and its exact duration in clock cycles."""

    words: Words
    cycles: int


class SequencerConfig(BaseModel):
    """What a driver writes to the sequencer's registers before the first program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timing: SequencerTiming = SequencerTiming()
    safe_wait_cycles: int = Field(default=0, ge=0)
    """Wait before the safe frames: the DACs may be in a reset that somebody else has just begun."""
    safe_frames: tuple[int, ...] = ()
    """Frames that `safe()` sends to every DAC, in order, once bit lines are disconnected and muxes released."""


class Bridge(Protocol):
    """Executes programs: the mock, the Verilated gateware, PYNQ on the board, or a remote end of any of them."""

    def identify(self) -> Identity:
        """Kind, serial number, versions and capacities."""

    def configure(self, config: SequencerConfig) -> None:
        """Write the sequencer's registers."""

    def run(self, program: Program) -> Result:
        """Execute a program. Raises `ProtocolError` or `TimingViolation` if a chip refuses; outputs are safe then."""

    def reset(self) -> None:
        """Power-cycle the converters and registers (not the array): as after power-up."""

    def safe(self) -> None:
        """Bit lines disconnected, muxes released, DACs sent their safe frames; at any time, any number of times."""

    def close(self) -> None:
        """Make safe and let go of the board."""
