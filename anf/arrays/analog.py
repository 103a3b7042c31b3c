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
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from anf.arrays.boards import Boards
from anf.arrays.drive import Drive
from anf.arrays.mapped import Arrays, MappedFlow, MappedLayer, base_weights, map_flow
from anf.arrays.placement import Placement
from anf.arrays.simulated import ArrayNoise, Converters, SimulatedEngine
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from calibration.write_verify import Snapshot, WriteVerifyConfig, WriteVerifyResult, program
from drivers.crossbar import Crossbar
from drivers.self_test import SelfTestError

Progress = Callable[[int, Snapshot], None]
"""progress(array, where it stands) after each cycle of write-verify."""


DRIFT_LIMIT_S = 2e-6
"""Rms change of an array since its read-back beyond which it is not sampled with, S: four times what programming leaves
(0.5 µS), ten times what write-verify aims at."""


class ArrayDrifted(SelfTestError):
    """An array is not any more what was read back."""


@dataclass(frozen=True)
class Deployment:
    """A flow's base matrices in arrays.

    boards: that hold them, in turn if there are fewer.
    measured_s: (n_arrays, n_sl, n_bl) conductances read back after programming, S.
    programming: result of write-verify, by array.
    drives: how inputs become voltages, by layer; those that are not named are driven at each vector's full scale.
    patches: by layer, what weights lack whose cells could not be programmed, (n_out, n_in), zero for all others: added
        digitally.
    """

    boards: Boards
    mapped: MappedFlow
    measured_s: Arrays
    programming: tuple[WriteVerifyResult, ...]
    drives: Mapping[str, Drive] = field(default_factory=dict)
    patches: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def crossbars(self) -> tuple[Crossbar, ...]:
        """The boards."""
        return self.boards.crossbars

    @property
    def time_shared(self) -> bool:
        """Whether boards are filled anew while products are taken."""
        return self.placement.n_arrays > len(self.crossbars)

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
                self.boards, layer, weights[name], column_s, self.drives.get(name), self.patches.get(name)
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

    def read_again(self, read_repeats: int = 16) -> Deployment:
        """The arrays that boards hold now as they are now; nothing is programmed. What has drifted can be made up for
        by tuning the digital part against it (`anf.arrays.tuning`)."""
        measured_s = self.measured_s.copy()
        for k in self.boards.held:
            measured_s[k] = self.boards.read(k, read_repeats)
        return replace(self, measured_s=measured_s)

    def drift_s(self, now: Deployment) -> NDArray[np.float64]:
        """Rms change of the cells with a weight from this read-back to another, S, by array."""
        held = self.placement.occupied >= 0
        change = np.where(held, now.measured_s - self.measured_s, 0.0)
        return np.sqrt((change**2).sum(axis=(1, 2)) / held.sum(axis=(1, 2)))

    def refuse_drifted(self, now: Deployment, limit_s: float = DRIFT_LIMIT_S) -> None:
        """Raises `ArrayDrifted`, with the outputs safe, for an array that has changed by more than `limit_s` rms since
        this read-back."""
        drift_s = self.drift_s(now)
        if drift_s[worst := int(drift_s.argmax())] > limit_s:
            for crossbar in self.crossbars:
                crossbar.safe()
            raise ArrayDrifted(
                f"array {worst}", "what was read back", f"changed by {drift_s[worst] * 1e6:.2f} µS rms",
                f"±{limit_s * 1e6:g} µS",
                "program it again; if that goes on, look for the cause (xbar characterise retention, read-disturb)",
            )  # fmt: skip

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
    time_shared: bool = False,
    drives: Mapping[str, Drive] | None = None,
    progress: Progress | None = None,
) -> Deployment:
    """Program the base weights of a flow into arrays and read them back.

    mapped: where they go and how; without it, as `map_flow` has it. `read_repeats` passes average the read-back: what
    the digital part is tuned against should not carry the noise of one read. patched: add digitally what the weights
    lack whose cells could not be programmed: two numbers for each, where LoRA would need a rank. time_shared: with
    fewer boards than arrays, fill them in turn, each time that an array is to be read; all configurations of a run must
    then be drawn in one batch (docs/decisions/0087).

    Raises `PlacementError` (more tiles than arrays), ValueError (weights that cannot be mapped) before anything is
    pulsed, `BoardError` from the board.
    """
    limit = None if time_shared else len(crossbars)
    mapped = mapped or map_flow(flow, crossbars[0].shape, max_arrays=limit)
    mapped.placement.refuse_more_than(limit)
    weights = base_weights(flow)
    boards = Boards(crossbars[: mapped.placement.n_arrays], mapped.targets_s(weights), config)
    results, read = [], []
    for k in range(mapped.placement.n_arrays):
        results.append(boards.fill(k, None if progress is None else partial(progress, k)))
        read.append(boards.read(k, read_repeats))
    measured_s = np.stack(read)
    failed = np.stack([r.failure > 0 for r in results])
    patches = mapped.lacking(weights, measured_s, failed) if patched else {}
    return Deployment(boards, mapped, measured_s, tuple(results), drives or {}, patches)


@dataclass
class Transcript:
    """What an engine has had executed. drives: bit-line vectors, summed over tiles and slices. cycles: of the boards'
    clocks, summed over boards, with the offsets that were measured on the way. filling_cycles: besides, to fill boards
    that held another array. cells_j: energy in the cells of the bit lines that were driven, Σ v² G t with every row on,
    J."""

    drives: int = 0
    cycles: int = 0
    filling_cycles: int = 0
    cells_j: float = 0.0


class CrossbarEngine:
    """x (N, n_in) -> x Wᵀ (N, n_out) through `Crossbar.measure`: one block of vectors per array, boards side by side,
    and the arrays of one board in turn.

    Differentiable straight through: the gradient is that of the weights as they were read back.
    column_s: conductance of each bit line, all rows on, (n_arrays, n_bl) S. patch: weights (n_out, n_in) that are added
    digitally.
    """

    def __init__(
        self,
        boards: Boards,
        layer: MappedLayer,
        weight: torch.Tensor,
        column_s: NDArray[np.float64],
        drive: Drive | None = None,
        patch: torch.Tensor | None = None,
    ) -> None:
        self.drive, self.transcript, self._patch = drive or Drive(), Transcript(), patch
        self._column_s = column_s
        self._boards, self._layer, self._weight = boards, layer, weight
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
        turns = self._boards.in_turn(self._own)

        def of_board(arrays: list[int]) -> list[tuple[list[NDArray[np.float64]], Transcript]]:
            return [self._read(k, [drives[i] for i in self._own[k]]) for k in arrays]

        if len(turns) == 1:
            results = [of_board(turns[0])]
        else:
            with ThreadPoolExecutor(len(turns)) as pool:
                results = list(pool.map(of_board, turns))
        found = {k: one for arrays, of in zip(turns, results, strict=True) for k, one in zip(arrays, of, strict=True)}
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
        mapping, crossbar = self._layer.mapping, self._boards.crossbar_of(array)
        before = crossbar.cycles
        self._boards.holding(array)
        filling_cycles = crossbar.cycles - before
        tiles = [self._layer.tiles[i] for i in self._own[array]]
        n, input_v = len(drives[0][0][0]), crossbar.board.levels.input_v
        rows = [(t, lines, weight) for t, slices in zip(tiles, drives, strict=True) for lines, weight in slices]
        volts = np.zeros((len(rows), n, crossbar.shape[1]))
        for block, (t, lines, _) in zip(volts, rows, strict=True):
            block[:, t.bl] = input_v * lines
        readout = crossbar.measure(volts.reshape(-1, crossbar.shape[1]))
        current = readout.current_a.reshape(len(rows), n, -1)
        power_w = float(np.einsum("rnb,rnb->b", volts, volts) @ self._column_s[array])
        spent = Transcript(
            len(rows) * n, readout.cycles, filling_cycles, power_w * readout.board_time_s / max(1, len(rows) * n)
        )
        products = [
            weight / input_v * mapping.collect(i[:, t.sl], v[:, t.bl])
            for (t, _, weight), i, v in zip(rows, current, volts, strict=True)
        ]
        per_tile = len(drives[0])
        return [np.sum(products[k : k + per_tile], axis=0) for k in range(0, len(products), per_tile)], spent

    def _add(self, spent: Transcript) -> None:
        self.transcript.drives += spent.drives
        self.transcript.cycles += spent.cycles
        self.transcript.filling_cycles += spent.filling_cycles
        self.transcript.cells_j += spent.cells_j
