"""The LoRA-mixer: symmetry, eqs 13-20 spelled out, and what an array has to hold and to do."""

from __future__ import annotations

import pytest
import torch

from anf.flows.activation import even_part, odd_part
from anf.flows.mixer import Mixer, MixerConfig


def network(config: MixerConfig, shape=(4, 4)) -> Mixer:
    generator = torch.Generator().manual_seed(4)
    grid = (shape[0] // config.patch, shape[1] // config.patch)
    mixer = Mixer(grid, config.patch**2 // 2, 3, config, odd=2, even=2, generator=generator).double()
    with torch.no_grad():
        for p in mixer.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return mixer


def odd(z: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    return (torch.tanh(z + shift) + torch.tanh(z - shift)) / 2


def even(z: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    return (torch.tanh(z + shift) - torch.tanh(z - shift)) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("part", "definition"), [(odd_part, odd), (even_part, even)])
def test_the_parts_of_tanh_are_what_their_definition_says_even_where_it_saturates(part, definition, dtype):
    z = torch.linspace(-50, 50, 2001, dtype=torch.float64).expand(5, -1)
    shift = torch.tensor([-7.0, -0.7, 0.0, 1e-3, 30.0], dtype=torch.float64)[:, None]
    eps = torch.finfo(dtype).eps
    computed = part(z.to(dtype), shift.to(dtype)).double()
    # tanh itself varies by eps |z| when its argument is rounded.
    torch.testing.assert_close(
        computed, definition(z.to(dtype).double(), shift.to(dtype).double()), rtol=0, atol=50 * eps
    )


def test_the_parts_know_their_symmetry_to_the_last_bit():
    z, shift = torch.randn(1000, generator=torch.Generator().manual_seed(0)), torch.tensor(0.7)
    assert torch.equal(odd_part(-z, shift), -odd_part(z, shift))
    assert torch.equal(even_part(-z, shift), even_part(z, shift))


@pytest.mark.parametrize("part", [odd_part, even_part])
def test_gradients_of_the_parts_agree_with_finite_differences(part):
    z = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(part, (z, shift))


def test_the_gain_is_a_factor_with_a_gradient_of_its_own():
    z, shift = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(1, 1, dtype=torch.float64)
    gain = torch.randn(3, 1, dtype=torch.float64)
    torch.testing.assert_close(odd_part(z, shift, gain), gain * odd_part(z, shift))
    assert torch.autograd.gradcheck(odd_part, (z.requires_grad_(), shift.requires_grad_(), gain.requires_grad_()))


def test_odd_outputs_are_odd_and_even_outputs_even_to_the_last_bit():
    mixer = network(MixerConfig(heads=2, channels=6, blocks=2))
    frozen = torch.randn(8, 5, dtype=torch.float64)
    (odd, even), (odd_flipped, even_flipped) = mixer(frozen, 1), mixer(-frozen, 1)
    assert odd.abs().min() > 0
    assert even.std() > 0
    assert torch.equal(odd_flipped, -odd)
    assert torch.equal(even_flipped, even)


def test_mixer_is_equations_13_to_20_token_by_token():
    """The same numbers from loops over tokens, channels and pixels, with the (S, C) matrices of the paper."""
    config = MixerConfig(patch=2, channels=3, token_hidden=5, channel_hidden=4, features=2, even=2)
    mixer, step = network(config), 2
    block = mixer.blocks[0]
    frozen = torch.randn(8, 1, dtype=torch.float64)
    x = torch.stack([mixer.embed.weight @ frozen[2 * s : 2 * s + 2, 0] for s in range(4)])  # eq 13
    u = x.clone()
    for c in range(3):  # eq 14
        shift = block.token_bias[:, 0] + block.token_time[step, c]
        u[:, c] += block.w2[0].weight @ (block.token_gain_time[step, c] * odd(block.w1[0].weight @ x[:, c], shift))
    y = u.clone()
    for s in range(4):  # eq 15
        shift = block.channel_bias[:, 0] + block.channel_time[step]
        y[s] += block.w4.weight @ (block.channel_gain_time[step] * odd(block.w3.weight @ u[s], shift))
    s_odd, s_even = mixer(frozen, step)
    for s in range(4):  # eqs 16 - 20
        embedded = (mixer.output.weight @ y[s]).reshape(2, 2)
        for pixel in range(2):
            shift = mixer.output_bias[:, 0] + mixer.output_time[step]
            out = mixer.pixel.weight @ (mixer.output_gain_time[step] * odd(embedded[pixel], shift))
            torch.testing.assert_close(s_odd[:, 2 * s + pixel, 0], mixer.odd_gain_time[step] * out[:2])
            parts = even(out[2:], mixer.even_time[step])
            expected = mixer.even_gain_time[step] @ parts + mixer.even_mean_time[step]
            torch.testing.assert_close(s_even[:, 2 * s + pixel, 0], expected)


def test_a_single_patch_needs_no_token_mixing():
    mixer = network(MixerConfig(patch=4, channels=6))
    assert set(mixer.vectors()) == {"embed", "blocks.0.w3", "blocks.0.w4", "output", "pixel"}


def test_odd_patches_and_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="patch = 3: must be even"):
        MixerConfig(patch=3)
    with pytest.raises(ValueError, match="heads = 3: must divide channels = 8"):
        MixerConfig(heads=3, channels=8)
