"""The activations and their gradients, whole and of the field alone."""

from __future__ import annotations

import pytest
import torch

from anf.flows.activation import even_part, field_alone, odd_part
from anf.flows.layers import BaseLinear, side_by_side


@pytest.mark.parametrize("part", [odd_part, even_part])
def test_the_gradient_of_the_field_is_the_same_alone_and_with_those_of_the_parameters(part) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 4, 8, generator=generator, requires_grad=True)
    shift = torch.randn(4, 1, generator=generator, requires_grad=True)
    value = part(z, shift)
    upstream = torch.randn(value.shape, generator=generator)
    with field_alone():
        (alone,) = torch.autograd.grad(value, z, upstream, retain_graph=True)
    whole, of_shift = torch.autograd.grad(value, (z, shift), upstream)
    torch.testing.assert_close(alone, whole, rtol=1e-5, atol=1e-6)
    assert of_shift.abs().max() > 0


def test_a_layer_with_an_engine_stands_side_by_side_with_digital_ones_and_gives_the_same() -> None:
    generator = torch.Generator().manual_seed(1)
    layers = [BaseLinear(5, 3, f"w{i}", generator) for i in range(2)]
    x = torch.randn(6, 2, 7, generator=generator).transpose(0, 1)[:, :5]
    digital = side_by_side(layers, x)
    layers[1].engine = lambda vectors: vectors @ layers[1].weight.T
    torch.testing.assert_close(side_by_side(layers, x), digital)
