"""The `Bridge`: what carries a program to a board and brings its words back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firmware_bridge.errors import ProtocolError
from firmware_bridge.frozen import FrozenModel
from firmware_bridge.isa import MAX_DACS, Channels, Words
from firmware_bridge.program import Program
from firmware_bridge.singles import MAX_CHAIN_BITS, MAX_WIDTH
from firmware_bridge.timing import SequencerTiming

BRDCAST = {8: 0x6, 16: 0xF}
"""Register that loads all channels of a DAC at once, by their number: that of the DAC80508, and of the DAC81416."""
MAX_CODE = 0xFFFF
MAX_CHANNELS = 16 * MAX_DACS
MAX_FIXED = 8
ANY_REGISTER = (1 << 32) - 1
MAX_CYCLES = (1 << 32) - 1
"""What a register of the sequencer can hold."""


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
    dac_channels: int


@dataclass(frozen=True)
class Result:
    """What a program brought back: result words (n,) in the order pushed, and its exact duration in clock cycles."""

    words: Words
    cycles: int


def _ordered(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[0] > pair[1]:
        raise ValueError(f"({pair[0]}, {pair[1]}) runs backwards; write (low, high)")
    return pair


Code = Annotated[int, Field(ge=0, le=MAX_CODE)]
DacRegister = Annotated[int, Field(ge=0, le=0x7F)]
Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]


class SequencerLimits(FrozenModel):
    """What the sequencer refuses, whatever a program says; by default nothing. Rules: `firmware_bridge.limit_check`."""

    dac_channels: Channels = 8
    """Channels of each DAC; their registers begin at this address."""
    code: tuple[Annotated[tuple[Code, Code], AfterValidator(_ordered)], ...] = Field(
        default=(), max_length=MAX_CHANNELS
    )
    """(low, high), both allowed, of DAC channel dac_channels · chip + channel; channels beyond the end are free."""
    fixed: tuple[tuple[DacRegister, Code], ...] = Field(default=(), max_length=MAX_FIXED)
    """(register, value): the only value that a register of a DAC may be given."""
    registers: int = Field(default=ANY_REGISTER, ge=0, le=ANY_REGISTER)
    """Bit r: register r of a DAC may be written; with all of them set, those beyond too."""
    pulse_width: Annotated[tuple[Width, Width], AfterValidator(_ordered)] = (1, MAX_WIDTH)
    """(low, high) in cycles, both allowed."""
    pulse_interval: int = Field(default=0, ge=0, le=MAX_CYCLES)
    """Least number of cycles, of those in which the sequencer is busy, between the starts of two pulses."""
    sr_bits: int = Field(default=0, ge=0, le=MAX_CHAIN_BITS)
    """The only length of a SHIFT; 0 for any."""

    @cached_property
    def register_mask(self) -> int:
        """`registers`, without BRDCAST where any channel is limited: it would reach all of them."""
        limited = any(pair != (0, MAX_CODE) for pair in self.code)
        return self.registers & ~(1 << BRDCAST[self.dac_channels] if limited else 0)


class SequencerConfig(BaseModel):
    """What a driver writes to the sequencer's registers before the first program.

    The first configuration latches `limits`: they hold until power-up, whoever comes later.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timing: SequencerTiming = SequencerTiming()
    safe_wait_cycles: int = Field(default=0, ge=0)
    """Wait before the safe frames: the DACs may be in a reset that somebody else has just begun."""
    safe_frames: tuple[int, ...] = ()
    """Frames that `safe()` sends to every DAC, in order, once bit lines are disconnected and muxes released."""
    watchdog_cycles: int = Field(default=0, ge=0, le=MAX_CYCLES)
    """Silence of the host, in cycles, after which the gateware makes the outputs safe by itself; 0 for never. The mock
    has no host that could fall silent."""
    limits: SequencerLimits = SequencerLimits()


class Bridge(Protocol):
    """Executes programs: the mock, the Verilated gateware, PYNQ on the board, or a remote end of any of them."""

    def identify(self) -> Identity:
        """Kind, serial number, versions and capacities."""

    def configure(self, config: SequencerConfig) -> None:
        """Write the sequencer's registers.

        Raises `ProtocolError` for limits other than those of the first configuration.
        """

    def run(self, program: Program) -> Result:
        """Execute a program.

        Raises `ProtocolError` before the first `configure`, `LimitError` at the first word that breaks a limit of the
        sequencer, and `ProtocolError` or `TimingViolation` if a chip refuses. Outputs are safe then; what stands
        before the refused word has been executed.
        """

    def reset(self) -> None:
        """Power-cycle the converters and registers (not the array): as after power-up. Latched limits stay."""

    def safe(self) -> None:
        """Bit lines disconnected, muxes released, DACs sent their safe frames; at any time, any number of times."""

    def close(self) -> None:
        """Make safe and let go of the board."""


def latch(held: SequencerLimits | None, limits: SequencerLimits) -> None:
    """Raise `ProtocolError` if a board that holds `held`, None before the first, cannot take `limits`."""
    if held is None or held == limits:
        return
    holds, wanted = _as_held(held), _as_held(limits)
    for name, value in wanted.items():
        if holds[name] != value:
            # A pair of codes for each channel helps nobody.
            is_, was = ("", "") if name == "code" else (f" = {value}", f", {holds[name]}")
            raise ProtocolError(
                f"limits.{name}{is_} differs from what the board holds since it was first configured{was}; use the "
                "same board file, or power-cycle the board to change it"
            )


def _as_held(limits: SequencerLimits) -> dict[str, object]:
    """Limits as the sequencer holds them: for every channel, and without what they exclude."""
    free = ((0, MAX_CODE),) * (MAX_CHANNELS - len(limits.code))
    held = {name: getattr(limits, name) for name in SequencerLimits.model_fields}
    return held | {"code": (*limits.code, *free), "registers": limits.register_mask}


NOT_CONFIGURED = "the sequencer has not been configured, so that it has no limits yet; configure() first"
