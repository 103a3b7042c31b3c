"""Arrays of the model, for training that knows them: differentiable, seeded, all tiles of a layer as one product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from anf.arrays.drive import Drive
from anf.arrays.mapped import Arrays, MappedLayer
from drivers.ads8324 import lsb_v
from drivers.board import Board


class ArrayNoise(BaseModel):
    """What a simulated array adds to a product. The defaults are those of the default board and device model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: float = Field(
        0.002, ge=0, description="white read noise of a cell per conversion, relative to its conductance"
    )
    converter_v: float = Field(1.6e-4, ge=0, description="noise of amplifier, DACs and ADC at the ADC, V rms")
    quantise: bool = Field(True, description="round to DAC and ADC codes (straight-through gradient)")

    @classmethod
    def off(cls) -> ArrayNoise:
        """An exact product."""
        return cls(read=0.0, converter_v=0.0, quantise=False)


@dataclass(frozen=True)
class Converters:
    """The board around an array. input_v: full-scale input. dac_step_v, adc_step_v: a code. rf_ohm: of amplifiers."""

    input_v: float
    rf_ohm: float
    dac_step_v: float
    adc_step_v: float

    @classmethod
    def of(cls, board: Board) -> Converters:
        """Those of a board description."""
        return cls(board.levels.input_v, board.tia.rf_ohm, board.dac.span_v / 65536, lsb_v(board.adc.vref_v))


class SimulatedEngine:
    """x (N, n_in) -> x Wᵀ (N, n_out) on a model of arrays with the given conductances (n_arrays, n_sl, n_bl) S.

    Every tile is driven, read and converted by itself, as on a board. Noise that is independent from cell to cell adds
    up to Gaussian noise of variance Σ (v r G)² in each output, which is drawn anew from `generator` at each call.
    patch: weights (n_out, n_in) that are added digitally.
    """

    def __init__(
        self,
        layer: MappedLayer,
        arrays_s: Arrays,
        noise: ArrayNoise,
        generator: torch.Generator,
        converters: Converters,
        drive: Drive | None = None,
        patch: torch.Tensor | None = None,
    ) -> None:
        self.drive, self._patch = drive or Drive(), patch
        self._mapping, self._noise, self._generator = layer.mapping, noise, generator
        self._converters, self._n_out, self._n_in = converters, *layer.shape
        tiles, n = layer.tiles, len(layer.tiles)
        shape = max(len(t.sl) for t in tiles), max(len(t.bl) for t in tiles)
        n_rows, n_columns = max(t.n_rows for t in tiles), max(t.n_columns for t in tiles)
        conductance, scale = np.zeros((n, *shape)), np.ones((n, 1, n_rows))
        # Where a smaller tile has no input it gets a zero, and what it has no output for goes to a place of its own.
        source = np.full((n, n_columns), self._n_in)
        target = np.full((n, n_rows), self._n_out)
        for i, (t, s) in enumerate(zip(tiles, layer.scales_s, strict=True)):
            conductance[i, : len(t.sl), : len(t.bl)] = arrays_s[t.array][t.cells]
            scale[i, 0, : t.n_rows] = s[:, 0]
            source[i, : t.n_columns] = np.arange(t.column, t.column + t.n_columns)
            target[i, : t.n_rows] = np.arange(t.row, t.row + t.n_rows)
        self._conductance_s = torch.from_numpy(conductance).float().transpose(1, 2).contiguous()
        self._per_code = converters.adc_step_v / converters.rf_ohm
        self._variance = (noise.read * self._conductance_s) ** 2
        self._per_scale = torch.from_numpy(1 / scale).float()
        self._one = n == 1
        self._source, self._target = torch.from_numpy(source).reshape(-1), torch.from_numpy(target).reshape(-1)
        self._n_tiles, self._n_columns, self._n_rows = n, n_columns, n_rows

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        product = self._multiply(x)
        return product if self._patch is None else product + x @ self._patch.to(x.dtype).T

    def _multiply(self, x: torch.Tensor) -> torch.Tensor:
        if self._one:
            return self._tiles(x[None]).squeeze(0)
        n = len(x)
        padded = torch.cat([x, x.new_zeros(n, 1)], 1)[:, self._source]
        parts = self._tiles(padded.reshape(n, self._n_tiles, self._n_columns).transpose(0, 1))
        out = x.new_zeros(n, self._n_out + 1)
        return out.index_add(1, self._target, parts.transpose(0, 1).reshape(n, -1))[:, : self._n_out]

    def _tiles(self, x: torch.Tensor) -> torch.Tensor:
        """x (tiles, N, n_columns) -> products (tiles, N, n_rows)."""
        u, unit = self.drive.scale(x)
        parts = [weight * self._read(part) for part, weight in self.drive.split(u)]
        return (parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)) * (unit * self._per_scale)

    def _read(self, u: torch.Tensor) -> torch.Tensor:
        """Drives (tiles, N, n_columns) in [−1, 1] -> S of weights times drives (tiles, N, n_rows)."""
        noise, c = self._noise, self._converters
        lines = self._mapping.drive(u)
        if noise.quantise:
            lines = _rounded(lines, c.dac_step_v / c.input_v)
        current = torch.bmm(lines, self._conductance_s)
        floor = noise.converter_v / (c.rf_ohm * c.input_v)
        if noise.read or floor:
            with torch.no_grad():
                sigma = torch.bmm(lines.square(), self._variance).add_(floor**2).sqrt_()
                sigma *= torch.randn(sigma.shape, generator=self._generator, dtype=sigma.dtype)
            current = current + sigma
        if noise.quantise:
            current = _rounded(current, self._per_code / c.input_v)
        return self._mapping.collect(current, lines)


def _rounded(x: torch.Tensor, step: float) -> torch.Tensor:
    """x to multiples of `step`, with the gradient of x."""
    if not x.requires_grad:
        return (x / step).round_().mul_(step)
    return x + ((x.detach() / step).round_() * step - x.detach())
