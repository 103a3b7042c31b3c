"""Base weights on arrays: from a flow to programmed conductances, and engines that multiply with them.

`deploy` places the base matrices of a flow on arrays, programs them by write-verify, and reads back what the arrays
really hold. The `Deployment` then gives the same layers two ways: `crossbar()` sends every product through
`Crossbar.mvm`; `simulated()` is a differentiable model of the same arrays, for tuning the digital part. Digital layers
have no engine at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from anf.arrays.drive import Drive
from anf.arrays.mapped import Arrays, MappedFlow, MappedLayer, base_weights, map_flow
from anf.arrays.placement import Placement
from anf.arrays.simulated import ArrayNoise, Converters, SimulatedEngine
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from calibration.write_verify import WriteVerifyConfig, WriteVerifyResult, program
from drivers.crossbar import Crossbar

Progress = Callable[[int, int, int], None]
"""progress(array, cells done, cells in all) after each cycle of write-verify."""


@dataclass(frozen=True)
class Deployment:
    """A flow's base matrices in arrays.

    measured_s: (n_arrays, n_sl, n_bl) conductances read back after programming, S.
    programming: result of write-verify, by array.
    drives: how inputs become voltages, by layer; those that are not named are driven at each vector's full scale.
    patches: by layer, what weights lack whose cells could not be programmed, (n_out, n_in), zero for all others: added
        digitally.
    """

    crossbars: tuple[Crossbar, ...]
    mapped: MappedFlow
    measured_s: Arrays
    programming: tuple[WriteVerifyResult, ...]
    drives: Mapping[str, Drive] = field(default_factory=dict)
    patches: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def patched(self) -> int:
        """Number of weights that are added to digitally."""
        return sum(int((patch != 0).sum()) for patch in self.patches.values())

    @property
    def placement(self) -> Placement:
        """Which weight sits where."""
        return self.mapped.placement

    def effective_weights(self) -> dict[str, torch.Tensor]:
        """The weights that the arrays hold, as read back, by layer (n_out, n_in) float32."""
        return {name: torch.from_numpy(w).float() for name, w in self.mapped.weights(self.measured_s).items()}

    def crossbar(self) -> dict[str, CrossbarEngine]:
        """Engines that multiply on the arrays, by layer."""
        weights, column_s = self.effective_weights(), self.measured_s.sum(axis=1)
        return {
            name: CrossbarEngine(
                self.crossbars, layer, weights[name], column_s, self.drives.get(name), self.patches.get(name)
            )
            for name, layer in self.mapped.layers.items()
        }

    def simulated(self, noise: ArrayNoise, generator: torch.Generator) -> dict[str, Engine]:
        """Engines that model the arrays as read back, by layer: differentiable, with fresh noise from `generator` at
        every call. A read-back sees the array through its lines, so that it holds the IR drop."""
        converters = Converters.of(self.crossbars[0].board)
        return {
            name: SimulatedEngine(
                layer, self.measured_s, noise, generator, converters, self.drives.get(name), self.patches.get(name)
            )
            for name, layer in self.mapped.layers.items()
        }

    def read_again(self, read_repeats: int = 16) -> tuple[Deployment, float]:
        """The arrays as they are now, without programming anything, and the rms change of programmed cells since the
        last read-back, S. What has drifted is then made up for by tuning the digital part (`anf.arrays.tuning`)."""
        now = replace(self, measured_s=_read(self.crossbars, read_repeats))
        held = self.placement.occupied >= 0
        return now, float(np.sqrt(np.mean((now.measured_s - self.measured_s)[held] ** 2)))

    @property
    def cycles(self) -> int:
        """Clock cycles that all boards have spent so far."""
        return sum(c.cycles for c in self.crossbars)

    @property
    def board_time_s(self) -> float:
        """Time that the boards have spent so far, summed over boards, s."""
        return sum(c.board_time_s for c in self.crossbars)


def survey(
    crossbars: Sequence[Crossbar], level_s: float = 50e-6, config: WriteVerifyConfig | None = None
) -> tuple[Arrays, ...]:
    """Faulty cells of each array, as `mapped.map_flow` takes them: programs every cell to `level_s`, and gives the
    conductance (n_sl, n_bl) S of those that could not be, NaN for the others.

    What the arrays held before is lost. Raises `BoardError` from the board.
    """
    found = []
    for crossbar in crossbars:
        result = program(crossbar, np.full(crossbar.shape, level_s), config=config or WriteVerifyConfig())
        found.append(np.where(result.failure > 0, result.g_read_s, np.nan))
    return tuple(found)


def deploy(
    flow: Flow,
    crossbars: Sequence[Crossbar],
    *,
    mapped: MappedFlow | None = None,
    config: WriteVerifyConfig | None = None,
    read_repeats: int = 16,
    patched: bool = False,
    progress: Progress | None = None,
) -> Deployment:
    """Program the base weights of a flow into arrays and read them back.

    mapped: where they go and how; without it, as `map_flow` has it. `read_repeats` passes average the read-back: what
    the digital part is tuned against should not carry the noise of one read. patched: add digitally what the weights
    lack whose cells could not be programmed: two numbers for each, where LoRA would need a rank.

    Raises `PlacementError` (more tiles than arrays), ValueError (weights that cannot be mapped) before anything is
    pulsed, `BoardError` from the board.
    """
    mapped = mapped or map_flow(flow, crossbars[0].shape, max_arrays=len(crossbars))
    weights = base_weights(flow)
    targets = mapped.targets_s(weights)
    used = tuple(crossbars[: mapped.placement.n_arrays])
    results = []
    for i, (crossbar, target) in enumerate(zip(used, targets, strict=True)):
        report = None if progress is None else _report(progress, i)
        results.append(program(crossbar, target, config=config or WriteVerifyConfig(), progress=report))
    measured_s = _read(used, read_repeats)
    failed = np.stack([r.failure > 0 for r in results])
    patches = mapped.lacking(weights, measured_s, failed) if patched else {}
    return Deployment(used, mapped, measured_s, tuple(results), patches=patches)


def _read(crossbars: Sequence[Crossbar], repeats: int) -> Arrays:
    return np.stack([crossbar.read_conductance(repeats=repeats) for crossbar in crossbars])


def _report(progress: Progress, array: int) -> Callable[..., None]:
    return lambda cycle, n_done, n_total, g_read_s: progress(array, n_done, n_total)


@dataclass
class Transcript:
    """What an engine has had executed. drives: bit-line vectors, summed over tiles and slices. cycles: of the boards'
    clocks, summed over boards, with the offsets that were measured on the way. cells_j: energy in the cells of the bit
    lines that were driven, Σ v² G t with every row on, J."""

    drives: int = 0
    cycles: int = 0
    cells_j: float = 0.0


class CrossbarEngine:
    """x (N, n_in) -> x Wᵀ (N, n_out) through `Crossbar.mvm`: one block of vectors per array, arrays side by side.

    Differentiable straight through: the gradient is that of the weights as they were read back.
    column_s: conductance of each bit line, all rows on, (n_arrays, n_bl) S. patch: weights (n_out, n_in) that are added
    digitally.
    """

    def __init__(
        self,
        crossbars: Sequence[Crossbar],
        layer: MappedLayer,
        weight: torch.Tensor,
        column_s: NDArray[np.float64],
        drive: Drive | None = None,
        patch: torch.Tensor | None = None,
    ) -> None:
        self.drive, self.transcript, self._patch = drive or Drive(), Transcript(), patch
        self._column_s = column_s
        self._crossbars, self._layer, self._weight = tuple(crossbars), layer, weight
        self._own = {
            k: [i for i, t in enumerate(layer.tiles) if t.array == k] for k in sorted({t.array for t in layer.tiles})
        }

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        product = torch.from_numpy(self._multiply(x.detach().double())).to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            linear = x @ self._weight.to(x.dtype).T
            product = linear + (product - linear).detach()
        return product if self._patch is None else product + x @ self._patch.to(x.dtype).T

    def _multiply(self, x: torch.Tensor) -> NDArray[np.float64]:
        tiles, n = self._layer.tiles, len(x)
        drives, units = [], []
        for t in tiles:
            u, unit = self.drive.scale(x[:, t.inputs])
            drives.append([(self._layer.mapping.drive(part.numpy()), weight) for part, weight in self.drive.split(u)])
            units.append(unit)
        out = np.zeros((n, self._weight.shape[0]))
        if len(self._own) == 1:
            found = {k: self._read(k, [drives[i] for i in own]) for k, own in self._own.items()}
        else:
            with ThreadPoolExecutor(len(self._own)) as pool:
                futures = {k: pool.submit(self._read, k, [drives[i] for i in own]) for k, own in self._own.items()}
            found = {k: future.result() for k, future in futures.items()}
        for k, own in self._own.items():
            products, spent = found[k]
            self._add(spent)
            for i, product in zip(own, products, strict=True):
                out[:, tiles[i].outputs] += product * (np.asarray(units[i]) / self._layer.scales_s[i][:, 0])
        return out

    def _read(
        self, array: int, drives: list[list[tuple[NDArray[np.float64], float]]]
    ) -> tuple[list[NDArray[np.float64]], Transcript]:
        """Scaled products of the tiles in one array, each (N, n_rows) S, from the drives of their slices."""
        crossbar, mapping = self._crossbars[array], self._layer.mapping
        tiles = [self._layer.tiles[i] for i in self._own[array]]
        n, input_v = len(drives[0][0][0]), crossbar.board.levels.input_v
        rows = [(t, lines, weight) for t, slices in zip(tiles, drives, strict=True) for lines, weight in slices]
        volts = np.zeros((len(rows), n, crossbar.shape[1]))
        for block, (t, lines, _) in zip(volts, rows, strict=True):
            block[:, t.bl] = input_v * lines
        readout = crossbar.measure(volts.reshape(-1, crossbar.shape[1]))
        current = readout.current_a.reshape(len(rows), n, -1)
        power_w = float(np.einsum("rnb,rnb->b", volts, volts) @ self._column_s[array])
        spent = Transcript(len(rows) * n, readout.cycles, power_w * readout.board_time_s / max(1, len(rows) * n))
        products = [
            weight / input_v * mapping.collect(i[:, t.sl], v[:, t.bl])
            for (t, _, weight), i, v in zip(rows, current, volts, strict=True)
        ]
        per_tile = len(drives[0])
        return [np.sum(products[k : k + per_tile], axis=0) for k in range(0, len(products), per_tile)], spent

    def _add(self, spent: Transcript) -> None:
        self.transcript.drives += spent.drives
        self.transcript.cycles += spent.cycles
        self.transcript.cells_j += spent.cells_j
