"""ESS against the programming error of the arrays, before and after LoRA and the rest of the digital part is tuned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from time import process_time

import numpy as np
import torch
import xarray as xr

from anf.arrays.adaptation import weights
from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.arrays.simulated import ArrayNoise
from anf.arrays.tuning import Tuning, tune
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice.actions import Phi4
from anf.samplers.proposals import propose
from anf.training.loop import group_sizes
from drivers.board import Board

SIGMAS_S = (0.0, 0.2e-6, 0.4e-6, 0.54e-6, 0.8e-6)
"""Standard deviations of programmed conductances, S; 0.54 µS is the paper's."""
CHIPS = 2
PROPOSALS = 8192
TUNING = Tuning(steps=200)
STAGES = ("as programmed", "with LoRA")
ACTION = Phi4(-4.0, 5.5, (4, 4))


def sweep(board: Board, seed: int, progress: Callable[[int, int], None]) -> xr.Dataset:
    """ESS ``(sigma, chip, stage)`` of the shipped mixer for φ⁴ on 4 × 4, its matrices in arrays with a programming
    error of σ that are read with noise: without and with LoRA tuned against them; and with digital layers."""
    exact, _ = load_flow(shipped(ACTION, "mixer"), ACTION)
    digital = propose(exact, ACTION, PROPOSALS, seed=seed).ess
    found = np.full((len(SIGMAS_S), CHIPS, len(STAGES)), np.nan)
    seconds = np.full((len(SIGMAS_S), CHIPS), np.nan)
    for i, sigma in enumerate(SIGMAS_S):
        for chip in range(CHIPS):
            progress(i * CHIPS + chip, len(SIGMAS_S) * CHIPS)
            flow = copy.deepcopy(exact)
            arrays = model_arrays(flow, board, errors=ArrayErrors(programming_s=sigma), seed=seed + chip)
            generator = torch.Generator().manual_seed(seed + chip)

            def ess() -> float:
                with deployed(flow, {}, arrays.simulated(ArrayNoise(), generator)):  # noqa: B023 (called at once)
                    return propose(flow, ACTION, PROPOSALS, seed=seed + chip).ess  # noqa: B023

            found[i, chip, 0] = ess()
            start = process_time()
            tune(flow, ACTION, arrays.simulated, TUNING, seed=seed + chip)
            seconds[i, chip] = process_time() - start
            found[i, chip, 1] = ess()
    progress(1, 1)
    dims = ("sigma", "chip")
    return xr.Dataset(
        {
            "ess": ((*dims, "stage"), found, {"units": "1", "long_name": "effective sample size per proposal"}),
            "tuning_s": (dims, seconds, {"units": "s", "long_name": "CPU time of tuning"}),
        },
        coords={"sigma": list(SIGMAS_S), "chip": np.arange(CHIPS), "stage": list(STAGES)},
        attrs={"ess_digital": digital, "lora_share": group_sizes(flow)["lora"] / weights(flow)},
    )
