"""Base weights on arrays: from a flow to programmed conductances, and engines that multiply with them.

`deploy` places the base matrices of a flow on arrays, programs them by write-verify, and reads back what the arrays
really hold. The `Deployment` then gives the same layers two ways: `crossbar()` sends every product through
`Crossbar.mvm`; `simulated()` is a differentiable model of the same arrays, for tuning the digital part. Digital layers
have no engine at all.

Input scaling. Each input vector is driven at full scale, ``v = v_max · x / max|x|``, and its product is scaled back
digitally. The array is linear, so this costs nothing, never clips, and gives every vector the same signal over the
converters' noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from anf.flow import Flow
from anf.layers import Engine
from anf.mapping import AffineMapping
from anf.placement import Placement, Tile, place
from calibration.write_verify import WriteVerifyConfig, WriteVerifyResult, program
from drivers.ads8324 import lsb_v
from drivers.crossbar import Crossbar

Progress = Callable[[int, int, int], None]
"""progress(array, cells done, cells in all) after each cycle of write-verify."""


class ArrayNoise(BaseModel):
    """What a simulated array adds to a product. The defaults are those of the default board and device model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: float = Field(
        0.002, ge=0, description="white read noise of a cell per conversion, relative to its conductance"
    )
    converter_v: float = Field(1.6e-4, ge=0, description="noise of amplifier, DACs and ADC at the ADC, V rms")
    quantise: bool = Field(True, description="round to ADC codes (straight-through gradient)")

    @classmethod
    def off(cls) -> ArrayNoise:
        """An exact product."""
        return cls(read=0.0, converter_v=0.0, quantise=False)


@dataclass(frozen=True)
class Deployment:
    """A flow's base matrices in arrays.

    measured_s: (n_arrays, n_sl, n_bl) conductances read back after programming, S.
    scale_s: conductance per unit weight, by layer, S.
    programming: result of write-verify, by array.
    """

    crossbars: tuple[Crossbar, ...]
    placement: Placement
    mapping: AffineMapping
    scale_s: Mapping[str, float]
    measured_s: NDArray[np.float64]
    programming: tuple[WriteVerifyResult, ...]

    def effective_weights(self) -> dict[str, torch.Tensor]:
        """The weights that the arrays hold, as read back, by layer (n_out, n_in) float32."""
        return {
            name: torch.from_numpy(self.mapping.weight(self.placement.extract(self.measured_s, name), scale)).float()
            for name, scale in self.scale_s.items()
        }

    def crossbar(self) -> dict[str, Engine]:
        """Engines that multiply on the arrays, by layer."""
        weights = self.effective_weights()
        return {
            name: CrossbarEngine(self.crossbars, self.placement.of_layer(name), self.mapping, scale, weights[name])
            for name, scale in self.scale_s.items()
        }

    def simulated(self, noise: ArrayNoise, generator: torch.Generator) -> dict[str, Engine]:
        """Engines that model the arrays as read back, by layer: differentiable, with fresh noise from `generator` at
        every call."""
        board = self.crossbars[0].board
        return {
            name: SimulatedEngine(
                torch.from_numpy(self.placement.extract(self.measured_s, name)).float(),
                self.mapping, scale, noise, generator,
                input_v=board.levels.input_v, rf_ohm=board.tia.rf_ohm, adc_lsb_v=lsb_v(board.adc.vref_v),
            )
            for name, scale in self.scale_s.items()
        }  # fmt: skip

    @property
    def cycles(self) -> int:
        """Clock cycles that all boards have spent so far."""
        return sum(c.cycles for c in self.crossbars)

    @property
    def board_time_s(self) -> float:
        """Time that the boards have spent so far, summed over boards, s."""
        return sum(c.board_time_s for c in self.crossbars)


def plan(flow: Flow, shape: tuple[int, int], *, max_arrays: int | None = None) -> Placement:
    """Where the base matrices of a flow go. Raises ValueError if they need more than `max_arrays`."""
    shapes = {name: (layer.weight.shape[0], layer.weight.shape[1]) for name, layer in flow.base_layers().items()}
    return place(shapes, shape, max_arrays=max_arrays)


def deploy(
    flow: Flow,
    crossbars: Sequence[Crossbar],
    *,
    mapping: AffineMapping | None = None,
    config: WriteVerifyConfig | None = None,
    read_repeats: int = 16,
    progress: Progress | None = None,
) -> Deployment:
    """Program the base weights of a flow into arrays and read them back.

    `read_repeats` passes average the read-back: what the digital part is tuned against should not carry the noise of
    one read.

    Raises ValueError (more tiles than arrays, weights that cannot be mapped) before anything is pulsed, `BoardError`
    from the board.
    """
    mapping = mapping or AffineMapping()
    placement = plan(flow, crossbars[0].shape, max_arrays=len(crossbars))
    weights = {name: layer.weight.detach().double().numpy() for name, layer in flow.base_layers().items()}
    scale_s = {name: mapping.scale_s(weight) for name, weight in weights.items()}
    targets = placement.assemble({n: mapping.conductance_s(w, scale_s[n]) for n, w in weights.items()})
    used = tuple(crossbars[: placement.n_arrays])
    results = []
    for i, (crossbar, target) in enumerate(zip(used, targets, strict=True)):
        report = None if progress is None else _report(progress, i)
        results.append(program(crossbar, target, config=config or WriteVerifyConfig(), progress=report))
    measured = np.stack([crossbar.read_conductance(repeats=read_repeats) for crossbar in used])
    return Deployment(used, placement, mapping, scale_s, measured, tuple(results))


def _report(progress: Progress, array: int) -> Callable[..., None]:
    return lambda cycle, n_done, n_total, g_read_s: progress(array, n_done, n_total)


class CrossbarEngine:
    """x (N, n_in) -> x Wᵀ (N, n_out) through `Crossbar.mvm`, one drive of the bit lines per tile and vector.

    Differentiable straight through: the gradient is that of the weights as they were read back.
    """

    def __init__(
        self,
        crossbars: Sequence[Crossbar],
        tiles: Sequence[Tile],
        mapping: AffineMapping,
        scale_s: float,
        weight: torch.Tensor,
    ) -> None:
        self._crossbars, self._tiles = tuple(crossbars), tuple(tiles)
        self._mapping, self._scale_s, self._weight = mapping, scale_s, weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        product = torch.from_numpy(self._multiply(x.detach().double().numpy())).to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            linear = x @ self._weight.to(x.dtype).T
            return linear + (product - linear).detach()
        return product

    def _multiply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros((len(x), self._weight.shape[0]))
        for tile in self._tiles:
            crossbar = self._crossbars[tile.array]
            part = x[:, tile.inputs]
            peak = np.abs(part).max(axis=1, keepdims=True)
            peak[peak == 0] = 1.0
            volts = np.zeros((len(x), crossbar.shape[1]))
            volts[:, tile.bit_lines] = part * (crossbar.board.levels.input_v / peak)
            current = crossbar.mvm(volts)[:, tile.source_lines]
            current -= self._mapping.centre_s * volts.sum(axis=1, keepdims=True)
            out[:, tile.outputs] += current * (peak / (crossbar.board.levels.input_v * self._scale_s))
        return out


class SimulatedEngine:
    """x (N, n_in) -> x Wᵀ (N, n_out) on a model of an array with the given conductances (n_out, n_in) S.

    Cell noise that is independent from cell to cell adds up to Gaussian noise of variance Σ (v r G)² in each output.
    """

    def __init__(
        self,
        conductance_s: torch.Tensor,
        mapping: AffineMapping,
        scale_s: float,
        noise: ArrayNoise,
        generator: torch.Generator,
        *,
        input_v: float,
        rf_ohm: float,
        adc_lsb_v: float,
    ) -> None:
        self._conductance_s, self._scale_s, self._noise, self._generator = conductance_s, scale_s, noise, generator
        self._weight = (conductance_s - mapping.centre_s) / scale_s
        self._input_v, self._lsb_a = input_v, adc_lsb_v / rf_ohm
        self._converter_a = noise.converter_v / rf_ohm

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        weight = self._weight.to(x.dtype)
        product = x @ weight.T
        if self._noise == ArrayNoise.off():
            return product
        # What the converters add is in amperes at full-scale input; a unit of x is input_v / peak volts.
        per_ampere = x.detach().abs().amax(-1, keepdim=True) / (self._input_v * self._scale_s)
        g = self._conductance_s.to(x.dtype)
        cells = (self._noise.read / self._scale_s) ** 2 * (x.detach().square() @ g.square().T)
        sigma = (cells + (self._converter_a * per_ampere) ** 2).sqrt()
        product = product + sigma * torch.randn(product.shape, generator=self._generator, dtype=x.dtype)
        if self._noise.quantise:
            step = (self._lsb_a * per_ampere).clamp_min(torch.finfo(x.dtype).tiny)
            product = product + ((product / step).round() * step - product).detach()
        return product
