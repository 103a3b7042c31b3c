"""Products by other simulators of analog arrays, for the same benchmark: `pip install -r
benchmarks/peers/requirements.txt` gets them. None is needed by anything else. CrossSim is not on PyPI, so not here.

`PEERS`: by name, (side, seed) -> x (n, side) -> product (n, side), in tiles of 32 × 32 with 8-bit inputs, 10-bit
outputs and the noise that the simulator has when it is evaluated. Each raises ImportError where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

TILE = 32
INPUT_STEP, OUTPUT_STEP, OUTPUT_NOISE = 1 / 254, 1 / 1022, 0.01
"""Of full scale."""
Product = Callable[[torch.Tensor], torch.Tensor]


def _matrix(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (side, side)).astype(np.float32)


def aihwkit(side: int, seed: int) -> Product:
    """IBM's toolkit, its tile in torch: quantised inputs and outputs, noise at the outputs."""
    from aihwkit.nn import AnalogLinear
    from aihwkit.simulator.configs import TorchInferenceRPUConfig

    config = TorchInferenceRPUConfig()
    config.mapping.max_input_size = config.mapping.max_output_size = TILE
    config.forward.inp_res, config.forward.out_res = INPUT_STEP, OUTPUT_STEP
    config.forward.out_noise = OUTPUT_NOISE
    layer = AnalogLinear(side, side, bias=False, rpu_config=config)
    layer.set_weights(torch.from_numpy(_matrix(side, seed)))
    return layer.eval()


def aihwkit_lightning(side: int, seed: int) -> Product:
    """Its quick sibling, which has no noise when it is evaluated, and cuts a matrix along its inputs only."""
    from aihwkit_lightning.nn import AnalogLinear
    from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig

    config = TorchInferenceRPUConfig()
    config.mapping.max_input_size = TILE
    config.forward.inp_res, config.forward.out_res, config.forward.out_bound = 254, 1022, 10.0
    config.pre_post.input_range.enable = True
    layer = AnalogLinear(side, side, bias=False, rpu_config=config)
    layer.set_weights(torch.from_numpy(_matrix(side, seed)))
    return layer.eval()


PEERS: dict[str, Callable[[int, int], Product]] = {"aihwkit": aihwkit, "aihwkit-lightning": aihwkit_lightning}
