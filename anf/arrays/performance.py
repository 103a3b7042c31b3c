"""Time and energy of a configuration, by the paper's estimate and by readings of it (Methods, "Hardware performance
estimation").

Every number of the estimate is a field of `Assumptions`, with its source. `READINGS` are sets of them: the text taken
literally, what comes nearest to the printed factors, and the arithmetic put right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from anf.arrays.counting import LayerCount, PublishedMixer

PAPER = "paper, Methods"


class Assumptions(BaseModel):
    """What the estimate rests on. The defaults are the text, taken literally."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell_j: float = Field(2.0e-15, gt=0, description=f"a cell per multiplication, J ({PAPER})")
    dac_j: float = Field(0.227e-12, ge=0, description=f"DAC per input and operation, J ({PAPER})")
    tia_j: float = Field(3e-12, ge=0, description=f"amplifier per output and operation, J ({PAPER})")
    adc_j: float = Field(11.3e-12, ge=0, description=f"ADC per output and operation, J ({PAPER})")
    digital_mac_j: float = Field(549e-15, gt=0, description=f"digital MAC, J ({PAPER}: that of the GPU)")
    pulse_s: float = Field(10e-9, gt=0, description=f"read pulse, s ({PAPER})")
    mux_s: float = Field(6.1e-9, ge=0, description=f"MUX decoder, s ({PAPER})")
    adc_s: float = Field(0.8e-9, ge=0, description=f"ADC, s ({PAPER})")
    adc_instances: int = Field(2, ge=1, description=f"conversions one after the other ({PAPER}: two instances)")
    adder_s: float = Field(0.19e-9, ge=0, description=f"shifter and adder, s ({PAPER})")
    array: tuple[int, int] = Field((32, 32), description=f"source lines, bit lines ({PAPER})")
    array_mm2: float = Field(0.01, gt=0, description=f"area of an array, mm² ({PAPER})")
    digital_flops_per_mm2: float = Field(0.14e12, gt=0, description=f"GPU, FLOP/s/mm² ({PAPER}: RTX 5090)")
    flops_per_mac: Literal[1, 2] = Field(
        1, description="FLOPs of the GPU in a MAC; the text divides by its FLOPs as if 1, GPUs are rated with 2"
    )
    area_share: float = Field(
        1.0, gt=0, le=1, description="part of the unit area that each of the hybrid's two parts has; 0.5 shares it"
    )
    time_per: Literal["mac", "array operation"] = Field(
        "mac", description="analog time by MACs of full arrays (the text), or by operations of arrays, full or not"
    )
    periphery_per: Literal["vector", "layer"] = Field(
        "vector", description="DAC, TIA and ADC for each input vector (the text), or once in each use of a layer"
    )
    converted: Literal["vector", "tile"] = Field(
        "vector", description="conversions: lengths of the input and output vector (the text), or those of every tile"
    )

    @property
    def operation_s(self) -> float:
        """One operation of an array, s."""
        return self.pulse_s + self.mux_s + self.adc_instances * self.adc_s + self.adder_s

    @property
    def analog_macs_per_s_mm2(self) -> float:
        """Rate of full arrays, MAC/s/mm²."""
        return self.array[0] * self.array[1] / self.operation_s / self.array_mm2

    @property
    def digital_macs_per_s_mm2(self) -> float:
        """Rate of the GPU, MAC/s/mm²."""
        return self.digital_flops_per_mm2 / self.flops_per_mac


def read_energy_j(read_v: float = 0.2, conductance_s: float = 50e-6, pulse_s: float = 10e-9) -> float:
    """V² G t of a cell, J: 20 fJ at the values of the paper, which prints 2.0 fJ."""
    return read_v**2 * conductance_s * pulse_s


@dataclass(frozen=True)
class Estimate:
    """One configuration, on 1 mm². Energies in J; `periphery_j` are DACs, amplifiers and ADCs."""

    time_s: float
    digital_only_s: float
    cells_j: float
    periphery_j: float
    lora_j: float
    digital_only_j: float

    @property
    def speedup(self) -> float:
        """Against the digital-only solver on the same area."""
        return self.digital_only_s / self.time_s

    @property
    def energy_j(self) -> float:
        """Energy of a configuration on arrays, J."""
        return self.cells_j + self.periphery_j + self.lora_j

    @property
    def efficiency(self) -> float:
        """MACs per joule against the digital-only solver."""
        return self.digital_only_j / self.energy_j

    @property
    def energy_saved(self) -> float:
        """Fraction of the digital-only solver's energy."""
        return 1 - 1 / self.efficiency


def estimate(layers: Sequence[LayerCount], assumed: Assumptions) -> Estimate:
    """Each layer takes the slower of its analog and its digital part, and layers follow one another."""
    digital_rate = assumed.digital_macs_per_s_mm2
    macs = sum(c.macs + c.lora_macs for c in layers)
    return Estimate(
        time_s=sum(
            max(_analog_s(c, assumed), c.lora_macs / (digital_rate * assumed.area_share)) for c in layers
        ),
        digital_only_s=macs / digital_rate,
        cells_j=assumed.cell_j * sum(c.macs for c in layers),
        periphery_j=sum(_periphery_j(c, assumed) for c in layers),
        lora_j=assumed.digital_mac_j * sum(c.lora_macs for c in layers),
        digital_only_j=assumed.digital_mac_j * macs,
    )  # fmt: skip


def _analog_s(layer: LayerCount, assumed: Assumptions) -> float:
    if assumed.time_per == "mac":
        return layer.macs / (assumed.analog_macs_per_s_mm2 * assumed.area_share)
    arrays = assumed.area_share / assumed.array_mm2
    return layer.vectors * layer.tiles(assumed.array) * assumed.operation_s / arrays


def _periphery_j(layer: LayerCount, assumed: Assumptions) -> float:
    rows, columns = assumed.array if assumed.converted == "tile" else (layer.n_out, layer.n_in)
    inputs, outputs = layer.n_in * -(-layer.n_out // rows), layer.n_out * -(-layer.n_in // columns)
    times = layer.vectors if assumed.periphery_per == "vector" else layer.uses
    return times * (assumed.dac_j * inputs + (assumed.tia_j + assumed.adc_j) * outputs)


@dataclass(frozen=True)
class Reading:
    """A way to read the estimate: how the transposed convolution is counted, and the assumptions."""

    name: str
    transposed: Literal["physical", "output pixels"]
    assumed: Assumptions

    def of(self, mixer: PublishedMixer) -> Estimate:
        """The estimate of a network of the published kind."""
        return estimate(mixer.count(self.transposed), self.assumed)


LITERAL = Reading("literal", "output pixels", Assumptions())
NEAREST = Reading(
    "nearest to print", "output pixels", Assumptions(area_share=0.5, periphery_per="layer", converted="tile")
)
CORRECTED = Reading(
    "corrected",
    "physical",
    Assumptions(
        cell_j=read_energy_j(), flops_per_mac=2, area_share=0.5, time_per="array operation", converted="tile"
    ),
)  # fmt: skip
READINGS = (LITERAL, NEAREST, CORRECTED)


def implied_analog_mac_j(macs_fraction: float, efficiency: float, assumed: Assumptions) -> float:
    """Energy of an analog MAC, J, that makes a share of analog MACs yield an efficiency, whatever the network.

    From ``1 / efficiency = (1 - f) + f · a / digital``: two printed numbers give the third.
    """
    return assumed.digital_mac_j * (1 / efficiency - (1 - macs_fraction)) / macs_fraction


def implied_speedup(macs_fraction: float, assumed: Assumptions) -> float:
    """Speed-up that follows from a share of analog MACs alone, if no analog layer hides behind its LoRA."""
    hybrid = macs_fraction / assumed.analog_macs_per_s_mm2 + (1 - macs_fraction) / assumed.digital_macs_per_s_mm2
    return assumed.area_share / (assumed.digital_macs_per_s_mm2 * hybrid)
