"""Read noise of a layer to train against is that of its cells."""

from __future__ import annotations

import torch

from anf.training.noise import TrainingNoise, noisy_engine


def test_read_noise_of_independent_cells_adds_up_to_the_norm_of_the_input():
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.3, 0.1]])
    x = torch.tensor([[3.0, 0.0, 4.0]]).expand(200_000, 3)
    product = noisy_engine(weight, TrainingNoise(read=0.01), torch.Generator().manual_seed(0))
    noise = product(x) - x @ weight.T
    # 0.01 of the largest |weight| = 2 per cell, and |x| = 5. The standard deviation is known to 1/sqrt(2 n).
    torch.testing.assert_close(noise.std(0), torch.full((2,), 0.1), rtol=5 / 400_000**0.5, atol=0)
    assert noise.mean(0).abs().max() < 5 * 0.1 / 200_000**0.5
