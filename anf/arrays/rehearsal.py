"""What a plan will take, before anything real is programmed: a rehearsal of it on mock boards.

Programming, its failures and its time are those of write-verify on the mock, and the time of a product is what the
sequencer takes for a block of them: all from executed programs. What is rehearsed on a few arrays is scaled to all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from anf.arrays.mapped import MappedFlow, MappedLayer, base_weights
from anf.flows.deployed import deployed
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from calibration.write_verify import program
from drivers.board import Board
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar

Progress = Callable[[int, int], None]

LARGEST = 4
"""Arrays that are rehearsed: enough for a yield of a few thousand cells to half a percent."""
BATCH = 256
"""Configurations drawn together, whose products share programs."""


@dataclass(frozen=True)
class Rehearsal:
    """What was seen on `arrays` mock arrays, and what follows for the whole plan.

    cells, programmed: cells with a weight on those arrays, and how many of them write-verify reached.
    error_s: rms of what they missed their targets by, S. pulses: per cell with a weight.
    programming_s: board time to program an array, s. vector_s: board time of one product, s.
    board_s: time of a configuration, summed over boards; elapsed_s: with boards side by side, s. Both without
    reprogramming.
    reprogramming_s: time of a configuration that goes into filling arrays anew, where they are time-shared, s.
    cells_j: energy of a configuration in the cells of all driven bit lines, J.
    """

    arrays: int
    cells: int
    programmed: int
    error_s: float
    pulses: float
    programming_s: float
    vector_s: float
    board_s: float
    elapsed_s: float
    reprogramming_s: float
    cells_j: float


def rehearse(
    flow: Flow,
    mapped: MappedFlow,
    board: Board,
    *,
    n_boards: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Rehearsal:
    """Program the first arrays of a plan on mock boards with seeds from `seed` on, and time their products.

    n_boards: arrays that there are, None for as many as the plan has. With fewer, array k goes to board k mod n_boards,
    and all arrays are filled anew in each step of every batch of `BATCH` configurations.
    """
    targets, placement = mapped.targets_s(base_weights(flow)), mapped.placement
    n_boards = min(n_boards or placement.n_arrays, placement.n_arrays)
    results, vector_s, column_s = [], 0.0, np.empty((0, board.shape[1]))
    for k in range(min(LARGEST, placement.n_arrays)):
        with open_crossbar("mock", board=board, seed=seed + k) as crossbar:
            results.append(program(crossbar, targets[k]))
            column_s = np.vstack([column_s, results[-1].g_read_s.sum(axis=0)])
            vector_s = _time_of_a_vector(crossbar)
        if progress is not None:
            progress(k + 1, min(LARGEST, placement.n_arrays))
    held = [np.isfinite(r.g_target_s) for r in results]
    converged = np.concatenate([r.converged[h] for r, h in zip(results, held, strict=True)])
    error = np.concatenate([(r.g_read_s - r.g_target_s)[r.converged] for r in results])
    programming_s = float(np.mean([r.board_time_s for r in results]))
    rounds = placement.rounds(n_boards)
    filling_s = flow.steps * rounds * programming_s / BATCH if rounds > 1 else 0.0
    vectors = flow.vectors_per_sample()
    summed = elapsed = 0.0
    for name, layer in mapped.layers.items():
        per_board = np.bincount([t.array % n_boards for t in layer.tiles], minlength=n_boards)
        summed += vectors[name] * vector_s * float(per_board.sum())
        elapsed += vectors[name] * vector_s * float(per_board.max())
    return Rehearsal(
        arrays=len(results),
        cells=len(converged),
        programmed=int(converged.sum()),
        error_s=float(np.sqrt(np.mean(error**2))) if error.size else float("nan"),
        pulses=float(np.mean(np.concatenate([r.pulses[h] for r, h in zip(results, held, strict=True)]))),
        programming_s=programming_s,
        vector_s=vector_s,
        board_s=summed,
        elapsed_s=elapsed,
        reprogramming_s=filling_s,
        cells_j=_cell_energy_j(flow, mapped, column_s, vector_s * board.levels.input_v**2, seed),
    )


def _time_of_a_vector(crossbar: Crossbar) -> float:
    """Board time of one product in a block, s."""
    block = np.zeros((BATCH, crossbar.shape[1]))
    crossbar.measure(block)  # sets the rows up and measures offsets, once
    return crossbar.measure(block).board_time_s / BATCH


def _cell_energy_j(flow: Flow, mapped: MappedFlow, column_s: NDArray[np.float64], scale_v2s: float, seed: int) -> float:
    """Energy of a configuration in the cells, J: Σ v² G t over the bit lines that its vectors drive, with every row on.

    column_s: of the bit lines of the arrays that were programmed, (k, n_bl) S; their mean stands for the others.
    """
    typical = column_s.mean(axis=0)
    energy = 0.0
    n = 16

    def recording(layer: MappedLayer, weight: torch.Tensor) -> Engine:
        def product(x: torch.Tensor) -> torch.Tensor:
            nonlocal energy
            vectors = x.detach().double().numpy()
            for t in layer.tiles:
                part = vectors[:, t.inputs]
                peak = np.abs(part).max(axis=1, keepdims=True)
                lines = layer.mapping.drive(part / np.where(peak > 0, peak, 1.0))
                bit_s = column_s[t.array] if t.array < len(column_s) else typical
                energy += scale_v2s * float((lines**2 @ bit_s[list(t.bl)]).sum()) / n
            return x @ weight.T

        return product

    engines = {name: recording(mapped.layers[name], base.weight.detach()) for name, base in flow.base_layers().items()}
    with deployed(flow, {}, engines):
        flow.sample(n, torch.Generator().manual_seed(seed))
    return energy
