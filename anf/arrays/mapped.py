"""The base matrices of a flow in the cells of their arrays: a plan and a mapping taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from anf.arrays.mapping import Mapping as CellMapping
from anf.arrays.mapping import Matrix, Scaling
from anf.arrays.placement import Placement, PlacementError, Tile, avoid, place
from anf.flows.flow import Flow

Arrays = NDArray[np.float64]
"""Conductances (n_arrays, n_sl, n_bl) S."""


@dataclass(frozen=True)
class MappedLayer:
    """One layer in arrays: its tiles, each with its conductance per unit weight, (1, 1) or (n_rows, 1) S."""

    tiles: tuple[Tile, ...]
    scales_s: tuple[Matrix, ...]
    mapping: CellMapping

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return max(t.outputs.stop for t in self.tiles), max(t.inputs.stop for t in self.tiles)

    def write(self, weight: Matrix, arrays_s: Arrays) -> None:
        """Put a matrix (n_out, n_in) into its cells. Raises ValueError for weights outside the mapping."""
        for t, scale in zip(self.tiles, self.scales_s, strict=True):
            arrays_s[t.array][t.cells] = self.mapping.conductance_s(weight[t.outputs, t.inputs], scale)

    def read(self, arrays_s: Arrays) -> Matrix:
        """The matrix (n_out, n_in) that the cells stand for."""
        weight = np.empty(self.shape)
        for t, scale in zip(self.tiles, self.scales_s, strict=True):
            weight[t.outputs, t.inputs] = self.mapping.weight(arrays_s[t.array][t.cells], scale)
        return weight

    def touched(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The weights (n_out, n_in) that any of these cells (n_arrays, n_sl, n_bl) belongs to."""
        weights = np.zeros(self.shape, bool)
        for t in self.tiles:
            weights[t.outputs, t.inputs] = self.mapping.touched(cells[t.array][t.cells])
        return weights


@dataclass(frozen=True)
class MappedFlow:
    """All base layers of a flow in arrays."""

    placement: Placement
    layers: Mapping[str, MappedLayer]

    @classmethod
    def of(cls, weights: Mapping[str, Matrix], placement: Placement) -> MappedFlow:
        """Layers with the scales that fit `weights`.

        A tile that is all zero has the scale of its layer. Raises ValueError for a layer that is all zero or not
        finite, `PlacementError` for one that is not in the plan or has another shape there.
        """
        mapping, scaling = placement.cells, placement.scaling
        layers: dict[str, MappedLayer] = {}
        for name, weight in weights.items():
            tiles = placement.of_layer(name)
            whole = mapping.scale_s(weight)
            scales = tuple(
                mapping.scale_s(part, scaling) if (part := weight[t.outputs, t.inputs]).any() else whole for t in tiles
            )
            layer = MappedLayer(tiles, scales, mapping)
            if layer.shape != weight.shape:
                raise ValueError(f"layer {name} is {weight.shape} here and {layer.shape} in the plan: plan it anew")
            layers[name] = layer
        return cls(placement, layers)

    def targets_s(self, weights: Mapping[str, Matrix]) -> Arrays:
        """Target conductances (n_arrays, n_sl, n_bl) S; NaN in cells that hold no weight."""
        arrays = np.full((self.placement.n_arrays, *self.placement.shape), np.nan)
        for name, layer in self.layers.items():
            layer.write(weights[name], arrays)
        return arrays

    def weights(self, arrays_s: Arrays) -> dict[str, Matrix]:
        """The matrices that conductances stand for, by layer."""
        return {name: layer.read(arrays_s) for name, layer in self.layers.items()}

    def lacking(
        self, weights: Mapping[str, Matrix], arrays_s: Arrays, failed: NDArray[np.bool_]
    ) -> dict[str, torch.Tensor]:
        """What the weights lack that sit in any of the `failed` cells (n_arrays, n_sl, n_bl), by layer (n_out, n_in)
        float32; zero for all other weights."""
        held = self.weights(arrays_s)
        return {
            name: torch.from_numpy(np.where(layer.touched(failed), weights[name] - held[name], 0.0)).float()
            for name, layer in self.layers.items()
        }


def base_weights(flow: Flow) -> dict[str, Matrix]:
    """The base matrices of a flow (n_out, n_in), by layer."""
    return {name: layer.weight.detach().double().numpy() for name, layer in flow.base_layers().items()}


def map_flow(
    flow: Flow,
    shape: tuple[int, int],
    *,
    mapping: str = "affine",
    scaling: Scaling = "output",
    faults: Sequence[Arrays] = (),
    max_arrays: int | None = None,
    placement: Placement | None = None,
) -> MappedFlow:
    """Plan where the base matrices of a flow go in arrays of `shape`, unless there is a `placement`, and map them.

    faults: of the first arrays, as `anf.arrays.placement.place` has them.
    Raises `PlacementError` if more than `max_arrays` are needed, ValueError for weights that cannot be mapped.
    """
    weights = base_weights(flow)
    if placement is None:
        shapes = {name: (weight.shape[0], weight.shape[1]) for name, weight in weights.items()}
        placement = place(shapes, shape, mapping=mapping, scaling=scaling, faults=faults, max_arrays=max_arrays)
        if len(faults):
            placement = avoid(placement, MappedFlow.of(weights, placement).targets_s(weights), faults)
    elif placement.shape != shape:
        raise PlacementError(f"the plan is for arrays of {placement.shape}, these are {shape}: plan anew")
    placement.refuse_more_than(max_arrays)
    return MappedFlow.of(weights, placement)
