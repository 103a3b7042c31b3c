"""Arrays that exist in the model only: conductances with the errors that programming, wires and time leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from anf.arrays.drive import Drive
from anf.arrays.mapped import Arrays, MappedFlow, base_weights, map_flow
from anf.arrays.simulated import ArrayNoise, Converters, SimulatedEngine
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from drivers.board import Board
from firmware_bridge.mock.array_params import FaultParams, RelaxationParams, RetentionParams, WireParams
from firmware_bridge.mock.irdrop import Wires, transfer_matrix

EngineFactory = Callable[[ArrayNoise, torch.Generator], dict[str, Engine]]


class ArrayErrors(BaseModel):
    """How arrays of the model differ from their targets. The default is the paper's programming error alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    programming_s: float = Field(
        0.54e-6, ge=0, description="standard deviation of programmed conductances, S (paper, Fig. 2g)"
    )
    stuck_high: float = Field(0.0, ge=0, le=1, description="share of cells stuck at `stuck_high_s`")
    stuck_low: float = Field(0.0, ge=0, le=1, description="share of cells stuck at `stuck_low_s`")
    stuck_high_s: float = Field(300e-6, gt=0, description="S (device model)")
    stuck_low_s: float = Field(1e-6, gt=0, description="S (device model)")
    wires: WireParams | None = Field(None, description="resistances of the lines: exact IR drop")
    elapsed_s: float = Field(0.0, ge=0, description="time since programming, s: relaxation and loss of retention")

    @classmethod
    def off(cls) -> ArrayErrors:
        """Arrays that hold what they should."""
        return cls(programming_s=0.0)

    @classmethod
    def all(cls, elapsed_s: float = 1e4) -> ArrayErrors:
        """Programming errors, the stuck cells of the device model, and `elapsed_s` of relaxation and loss.

        Wires are left out: what write-verify aims at is the conductance that the lines see, so that on a programmed
        array IR drop is part of the target.
        """
        faults = FaultParams()
        return cls(
            stuck_high=faults.stuck_high_fraction, stuck_low=faults.stuck_low_fraction,
            stuck_high_s=faults.stuck_high_s, stuck_low_s=faults.stuck_low_s, elapsed_s=elapsed_s,
        )  # fmt: skip


@dataclass(frozen=True)
class ModelledArrays:
    """Arrays of the model that hold a flow. conductance_s: as the lines see it, (n_arrays, n_sl, n_bl) S. drives,
    patches: as those of a `Deployment`."""

    mapped: MappedFlow
    conductance_s: Arrays
    converters: Converters
    drives: Mapping[str, Drive]
    patches: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def patched(self) -> int:
        """Number of weights that are added to digitally."""
        return sum(int((patch != 0).sum()) for patch in self.patches.values())

    def simulated(self, noise: ArrayNoise, generator: torch.Generator) -> dict[str, Engine]:
        """Engines of all layers: differentiable, with fresh noise from `generator` at every call."""
        return {
            name: SimulatedEngine(
                layer,
                self.conductance_s,
                noise,
                generator,
                self.converters,
                self.drives.get(name),
                self.patches.get(name),
            )
            for name, layer in self.mapped.layers.items()
        }


def model_arrays(
    flow: Flow,
    board: Board,
    *,
    errors: ArrayErrors | None = None,
    seed: int,
    mapped: MappedFlow | None = None,
    drives: Mapping[str, Drive] | None = None,
    patched: bool = False,
) -> ModelledArrays:
    """Arrays of the model that hold a flow. Equal seeds give equal errors; growing `elapsed_s` alone moves the same
    cells on. patched: add digitally what weights in stuck cells lack, as `deploy` does.

    Raises ValueError for weights that cannot be mapped.
    """
    errors = errors or ArrayErrors()
    mapped = mapped or map_flow(flow, board.shape)
    weights = base_weights(flow)
    target = mapped.targets_s(weights)
    draws = np.random.default_rng(seed)
    error, tendency, fate = draws.normal(size=target.shape), draws.normal(size=target.shape), draws.random(target.shape)
    # An empty cell is left as the chip came, at the lower end of the range: it only loads the lines.
    held = np.nan_to_num(target, nan=next(iter(mapped.layers.values())).mapping.low_s)
    g = held + errors.programming_s * error
    g = drifted(g, tendency, errors.elapsed_s)
    high, low = fate < errors.stuck_high, fate > 1 - errors.stuck_low
    g = np.where(high, errors.stuck_high_s, np.where(low, errors.stuck_low_s, g))
    if errors.wires is not None:
        rows = np.arange(board.shape[0])
        wires = Wires.draw(errors.wires, *board.shape, np.random.default_rng([seed, 1]))
        g = np.stack([transfer_matrix(array, rows, wires) for array in g])
    patches = mapped.lacking(weights, g, high | low) if patched else {}
    return ModelledArrays(mapped, g, Converters.of(board), drives or {}, patches)


def drifted(
    conductance_s: Arrays,
    tendency: Arrays,
    elapsed_s: float,
    relaxation: RelaxationParams | None = None,
    retention: RetentionParams | None = None,
) -> Arrays:
    """Conductances `elapsed_s` after programming: relaxation along each cell's `tendency` (a unit normal), and loss.

    The laws and parameters are those of the device model (docs/device-model.md).
    """
    relaxation, retention = relaxation or RelaxationParams(), retention or RetentionParams()
    relaxed = (relaxation.mean_s + relaxation.sigma_s * tendency) * np.log1p(elapsed_s / relaxation.t0_s)
    kept = 1 - retention.loss_per_decade * np.log10(1 + elapsed_s / retention.start_s)
    return np.maximum((conductance_s + relaxed) * kept, 0.0)
