"""Layers as matrices, against torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anf.arrays.mapped import MappedFlow
from anf.arrays.placement import place
from anf.arrays.simulated import ArrayNoise, Converters, SimulatedEngine
from anf.flows.matrix_form import matrix_form
from drivers.board import load_board

IMAGE, TOKENS = (2, 3, 12, 9), (2, 7, 5)

LAYERS = {
    "3×3 convolution": (nn.Conv2d(3, 8, 3, padding=1, bias=False), IMAGE),
    "patch embedding": (nn.Conv2d(3, 8, 3, stride=3, bias=False), IMAGE),
    "dilated strided convolution": (nn.Conv2d(3, 4, (3, 2), (2, 1), padding=(1, 0), dilation=2, bias=False), IMAGE),
    "transposed convolution": (nn.ConvTranspose2d(3, 8, 3, stride=3, bias=False), IMAGE),
    "overlapping transposed convolution": (
        nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1, bias=False), IMAGE
    ),
    "per-pixel FC": (nn.Linear(5, 6, bias=False), (2, 4, 4, 5)),
    "channel mixing": (nn.Linear(5, 6, bias=False), TOKENS),
}  # fmt: skip


def inputs(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_matrix_times_its_vectors(name: str) -> None:
    layer, shape = LAYERS[name]
    x = inputs(shape)
    form = matrix_form(layer.double())
    assert form.vectors(x).shape[1] == form.matrix.shape[1]
    torch.testing.assert_close(form(x), layer(x), rtol=1e-12, atol=1e-12)


def test_token_mixing_takes_a_vector_for_each_channel() -> None:
    layer, x = nn.Linear(7, 4, bias=False).double(), inputs(TOKENS)
    form = matrix_form(layer, axis=1)
    assert form.vectors(x).shape == (10, 7)
    torch.testing.assert_close(form(x), layer(x.transpose(1, 2)).transpose(1, 2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["3×3 convolution", "overlapping transposed convolution"])
def test_a_layer_goes_through_arrays(name: str) -> None:
    layer, shape = LAYERS[name]
    x = inputs(shape).float()
    form = matrix_form(layer.float())
    weight = form.matrix.detach().double().numpy()
    mapped = MappedFlow.of({"w": weight}, place({"w": weight.shape}, (16, 16)))
    engine = SimulatedEngine(
        mapped.layers["w"], mapped.targets_s({"w": weight}), ArrayNoise.off(), torch.Generator(),
        Converters.of(load_board()),
    )  # fmt: skip
    torch.testing.assert_close(form(x, engine), layer(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding_mode="circular")],
)
def test_convolutions_without_a_form_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="only one group and zero padding"):
        matrix_form(layer)


def test_layers_without_a_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match="ReLU has no matrix form"):
        matrix_form(nn.ReLU())
