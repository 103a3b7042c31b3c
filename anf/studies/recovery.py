"""What LoRA on a small share of the weights wins back of what arrays cost: stuck cells, programming errors of any size,
and time."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
import xarray as xr

from anf.arrays.adaptation import Adapted, adapt
from anf.arrays.array_model import ArrayErrors, ModelledArrays, model_arrays
from anf.arrays.simulated import ArrayNoise
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.flows.flow import Flow
from anf.lattice.actions import Phi4
from anf.samplers.proposals import propose
from anf.training.loop import TrainingConfig
from drivers.board import Board

ACTION = Phi4(-4.0, 5.5, (6, 6))
SIGMAS_S = (0.0, 0.27e-6, 0.54e-6, 0.8e-6, 1.2e-6, 2e-6)
"""Standard deviations of programmed conductances, S; 0.54 µS is the paper's."""
TIMES_S = (0.0, 1e2, 1e4, 1e6)
"""Since programming, s."""
STUCK = 0.01
"""Share of stuck cells, half of them high."""
CHIPS = 4
PROPOSALS = 8192
SHARE = 0.095
"""Of LoRA in all weights, at most; the maps of a site and the spectrum of the base are trained besides."""
TRAINING = TrainingConfig(steps=150, batch=256, learning_rate=1e-2)
STAGES = ("as programmed", "adapted")
TIME_STAGES = ("adapted at once", "adapted again")


def sweep(board: Board, seed: int, progress: Callable[[int, int], None]) -> xr.Dataset:
    """ESS ``(sigma, chip, stage)`` of the shipped mixer for φ⁴ on 6 × 6, its matrices in modelled arrays with stuck
    cells and a programming error of σ, and ``(time, chip, time_stage)`` at the paper's σ while the arrays drift and
    nothing is programmed anew: with what was adapted right after programming, and adapted again to a new read-back."""
    exact, _ = load_flow(shipped(ACTION, "mixer"), ACTION)
    digital = propose(exact, ACTION, PROPOSALS, seed=seed).ess
    by_sigma = np.full((len(SIGMAS_S), CHIPS, len(STAGES)), np.nan)
    by_time = np.full((len(TIMES_S), CHIPS, len(TIME_STAGES)), np.nan)
    share, total = 0.0, CHIPS * (len(SIGMAS_S) + len(TIMES_S))
    for chip in range(CHIPS):
        for i, sigma in enumerate(SIGMAS_S):
            progress(chip * (len(SIGMAS_S) + len(TIMES_S)) + i, total)
            found, _ = _adapted(exact, _arrays(exact, board, sigma, 0.0, seed + chip), seed + chip)
            by_sigma[i, chip] = found.ess_before, found.ess_after
            share = max(share, found.share)
        at_once: Flow | None = None
        for i, time in enumerate(TIMES_S):
            progress(chip * (len(SIGMAS_S) + len(TIMES_S)) + len(SIGMAS_S) + i, total)
            arrays = _arrays(exact, board, ArrayErrors().programming_s, time, seed + chip)
            found, again = _adapted(exact, arrays, seed + chip)
            at_once = at_once or again
            by_time[i, chip] = _ess(at_once, arrays, seed + chip), found.ess_after
            share = max(share, found.share)
    progress(1, 1)
    unit = {"units": "1"}
    return xr.Dataset(
        {
            "ess": (
                ("sigma", "chip", "stage"), by_sigma, unit | {"long_name": "ESS per proposal against errors"},
            ),
            "ess_later": (
                ("time", "chip", "time_stage"), by_time, unit | {"long_name": "ESS per proposal against time"},
            ),
        },
        coords={
            "sigma": ("sigma", list(SIGMAS_S), {"units": "S"}), "time": ("time", list(TIMES_S), {"units": "s"}),
            "chip": np.arange(CHIPS), "stage": list(STAGES), "time_stage": list(TIME_STAGES),
        },
        attrs={"ess_digital": digital, "share": share, "stuck": STUCK, "steps": TRAINING.steps},
    )  # fmt: skip


def _arrays(flow: Flow, board: Board, sigma_s: float, elapsed_s: float, seed: int) -> ModelledArrays:
    errors = ArrayErrors(programming_s=sigma_s, stuck_high=STUCK / 2, stuck_low=STUCK / 2, elapsed_s=elapsed_s)
    return model_arrays(flow, board, errors=errors, seed=seed)


def _adapted(exact: Flow, arrays: ModelledArrays, seed: int) -> tuple[Adapted, Flow]:
    flow = copy.deepcopy(exact)
    config = TRAINING.model_copy(update={"seed": seed})
    return adapt(flow, ACTION, config, arrays=arrays, share=SHARE, proposals=PROPOSALS), flow


def _ess(flow: Flow, arrays: ModelledArrays, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    with deployed(flow, {}, arrays.simulated(ArrayNoise(), generator)):
        return propose(flow, ACTION, PROPOSALS, seed=seed).ess
