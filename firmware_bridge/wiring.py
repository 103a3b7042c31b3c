"""Which pin drives which line: the netlist between the converters, the muxes and the array.

Part of the board description; the mock board is built from the same table, as the printed board is built from one
schematic.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from firmware_bridge.isa import MAX_DACS, Channels

DacChannel = Annotated[int, Field(ge=0)]
"""Flat: channels · chip + channel."""
Adc = Annotated[int, Field(ge=0, lt=32)]
MuxInput = Annotated[int, Field(ge=0, le=7)]


class BlInputs(BaseModel):
    """Which inputs of the bit-line muxes the DACs, the common mode and ground are wired to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dac: MuxInput = 0
    vcm: MuxInput = 1
    gnd: MuxInput = 2


class ReferenceInputs(BaseModel):
    """Which inputs of the reference mux the common mode and the forming level are wired to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vcm: MuxInput = 0
    form: MuxInput = 1


class SelectBits(BaseModel):
    """Where CD4051B muxes take A, B, C (three bits from `lsb`) and INH (bit `inhibit`, None: not on the chain)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lsb: int = Field(ge=0)
    inhibit: int | None = Field(default=None, ge=0)

    def bits(self) -> list[int]:
        """Positions on the chain that the group uses."""
        return [self.lsb, self.lsb + 1, self.lsb + 2] + ([] if self.inhibit is None else [self.inhibit])

    def code(self, outputs: int) -> int:
        """Select code that the chain's outputs apply."""
        return outputs >> self.lsb & 7

    def inhibited(self, outputs: int) -> bool:
        """Whether the chain's outputs inhibit the group."""
        return self.inhibit is not None and bool(outputs >> self.inhibit & 1)

    def word(self, code: int, inhibited: bool = False) -> int:
        """Bits on the chain that select `code`."""
        return code << self.lsb | (0 if self.inhibit is None else int(inhibited) << self.inhibit)


class Wiring(BaseModel):
    """The netlist. Lines are counted from 0; a flat DAC channel is dac_channels · chip + channel.

    Every bit line goes through a CD4051B that connects it to its DAC channel, the common mode or ground, followed by
    a buffer; the INH pins of all these muxes are the sequencer's pulse gate. Every source line ends at the virtual
    ground of its own transimpedance amplifier; a mux moves the amplifiers' common reference between the mid-rail
    common mode and the forming level. Each ADC sits behind a mux that picks one of its amplifiers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dac_channels: Channels = Field(8, description="channels of each DAC")
    bl_dac: tuple[DacChannel, ...] = Field(min_length=1, description="flat DAC channel of each bit line")
    wl_dac: tuple[DacChannel, ...] = Field(min_length=1, description="flat DAC channel of each word line")
    sl_adc: tuple[Adc, ...] = Field(min_length=1, description="ADC of each source line")
    sl_mux: tuple[MuxInput, ...] = Field(description="mux input of each source line in front of its ADC")
    sr_devices: int = Field(ge=1, le=31, description="SN74HC595 in the chain")
    bl_select: SelectBits
    reference_select: SelectBits
    adc_select: SelectBits
    bl_inputs: BlInputs = BlInputs()
    reference_inputs: ReferenceInputs = ReferenceInputs()
    vcm_v: float = Field(ge=0, description="common mode: reference of the amplifiers and zero of every read voltage, V")
    vform_v: float = Field(ge=0, description="reference of the amplifiers while forming, V")

    @model_validator(mode="after")
    def _one_line_per_pin(self) -> Wiring:
        if not len(self.wl_dac) == len(self.sl_adc) == len(self.sl_mux):
            raise ValueError(
                f"wl_dac has {len(self.wl_dac)} entries, sl_adc {len(self.sl_adc)}, sl_mux {len(self.sl_mux)}; "
                "each row has one of each"
            )
        for name, pins in (
            ("DAC channel", (*self.bl_dac, *self.wl_dac)),
            ("ADC input", tuple(zip(self.sl_adc, self.sl_mux, strict=True))),
            ("shift-register bit", tuple(b for s in self.selects for b in s.bits())),
            ("bit-line mux input", tuple(self.bl_inputs.model_dump().values())),
            ("reference mux input", tuple(self.reference_inputs.model_dump().values())),
        ):
            pin, times = Counter(pins).most_common(1)[0]
            if times > 1:
                raise ValueError(f"{name} {pin} is used {times} times; each may drive one line only")
        there_are = MAX_DACS * self.dac_channels
        for line, channels in (("bl_dac", self.bl_dac), ("wl_dac", self.wl_dac)):
            if (beyond := max(channels)) >= there_are:
                raise ValueError(
                    f"{line} has DAC channel {beyond}; {MAX_DACS} DACs of {self.dac_channels} channels "
                    f"(dac_channels) have 0 … {there_are - 1}"
                )
        if (worst := max(b for s in self.selects for b in s.bits())) >= self.sr_bits:
            raise ValueError(f"shift-register bit {worst} is beyond the chain of {self.sr_devices} × 8 bits")
        return self

    @property
    def selects(self) -> tuple[SelectBits, ...]:
        """All mux groups on the chain."""
        return (self.bl_select, self.reference_select, self.adc_select)

    @property
    def n_bl(self) -> int:
        return len(self.bl_dac)

    @property
    def n_sl(self) -> int:
        return len(self.sl_adc)

    @property
    def n_dacs(self) -> int:
        return max(*self.bl_dac, *self.wl_dac) // self.dac_channels + 1

    @property
    def n_channels(self) -> int:
        """Channels of all DACs."""
        return self.dac_channels * self.n_dacs

    def dac_mask(self, channels: tuple[int, ...]) -> int:
        """Mask of the DACs that have any of these flat channels."""
        return sum(1 << d for d in {c // self.dac_channels for c in channels})

    @property
    def n_adcs(self) -> int:
        return max(self.sl_adc) + 1

    @property
    def sr_bits(self) -> int:
        return 8 * self.sr_devices

    @property
    def positions(self) -> tuple[int, ...]:
        """Mux inputs that must be visited to read every source line, ascending."""
        return tuple(sorted(set(self.sl_mux)))

    def mux_word(
        self,
        *,
        bl: Literal["dac", "vcm", "gnd"] = "dac",
        reference: Literal["vcm", "form"] = "vcm",
        adc_input: int | None = None,
    ) -> int:
        """Word for the chain: where bit lines and amplifiers' reference go, and which input the ADCs see, if any."""
        return (
            self.bl_select.word(getattr(self.bl_inputs, bl))
            | self.reference_select.word(getattr(self.reference_inputs, reference))
            | self.adc_select.word(adc_input or 0, inhibited=adc_input is None)
        )
