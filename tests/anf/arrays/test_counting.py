"""Weights and MACs, against what executes them."""

import pytest
import torch

from anf.arrays.counting import LayerCount, PublishedMixer, count, totals
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig


def test_the_vectors_counted_are_those_that_reach_the_layers() -> None:
    flow = MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=3, mixer=MixerConfig(channels=6, heads=2, blocks=2)))
    flow.add_lora(2)
    seen = dict.fromkeys(flow.base_layers(), 0)

    def counting(name: str, weight: torch.Tensor):
        def engine(x: torch.Tensor) -> torch.Tensor:
            seen[name] += len(x)
            return x @ weight.T

        return engine

    for name, layer in flow.base_layers().items():
        layer.engine = counting(name, layer.weight)
    n = 5
    flow.sample(n, torch.Generator().manual_seed(0))
    layers = count(flow)
    assert {c.name: n * c.vectors for c in layers} == seen
    ranks = {c.name: c.rank for c in layers}
    assert ranks["embed"] == 0
    assert ranks["blocks.1.w3"] == 2
    assert sum(c.weights for c in layers) == sum(layer.weight.numel() for layer in flow.base_layers().values())


def test_lora_counts_both_of_its_matrices() -> None:
    layer = LayerCount("w", n_out=7, n_in=5, vectors=30, uses=10, rank=2)
    assert (layer.lora_weights, layer.lora_macs) == (2 * 7 + 2 * 5, 30 * 24)
    assert totals([layer]).analog_weights == pytest.approx(35 / (35 + 24))


def test_one_product_needs_an_array_for_each_tile() -> None:
    assert LayerCount("w", n_out=33, n_in=64, vectors=1, uses=1).tiles((32, 32)) == 4


def modules(mixer: PublishedMixer) -> list[tuple[torch.nn.Module, torch.Tensor]]:
    """The matrices of the published network as torch has them, each with an input of one configuration."""
    d, p, side, tokens = mixer.width, mixer.patch, mixer.side, (mixer.side // mixer.patch) ** 2
    pixels, features = torch.ones(side * side, 2 * d), torch.ones(tokens, d)
    blocks = [
        (torch.nn.Linear(n_in, n_out, bias=False), x)
        for n_in, n_out, x in (
            (tokens, d, torch.ones(d, tokens)), (d, tokens, torch.ones(d, d)), (d, d, features), (d, d, features)
        )
    ]  # fmt: skip
    return [
        (torch.nn.Conv2d(1, d, 3, padding=1, bias=False), torch.ones(1, 1, side, side)),
        (torch.nn.Conv2d(d, d, p, p, bias=False), torch.ones(1, d, side, side)),
        *(blocks * mixer.blocks),
        (torch.nn.ConvTranspose2d(d, 2 * d, p, p, bias=False), torch.ones(1, d, side // p, side // p)),
        (torch.nn.Linear(2 * d, d, bias=False), pixels),
        (torch.nn.Linear(d, d, bias=False), pixels[:, :d]),
        (torch.nn.Linear(d, 2, bias=False), pixels[:, :d]),
    ]


def test_the_published_network_has_the_weights_and_macs_of_its_torch_modules() -> None:
    mixer = PublishedMixer(side=12, patch=3, width=8, blocks=2, rank=2)
    layers, expected = mixer.count("physical"), modules(mixer)
    assert [c.weights for c in layers] == [sum(w.numel() for w in m.parameters()) for m, _ in expected]
    # With all ones everywhere and no padding, an output is the number of its products. The padded convolution counts
    # its products with zeros, as an array does.
    for counted, (module, x) in zip(layers[1:], expected[1:], strict=True):
        for w in module.parameters():
            torch.nn.init.ones_(w)
        assert counted.macs == mixer.steps * int(module(x).sum())


def test_counted_at_output_pixels_the_transposed_convolution_has_p_squared_times_its_macs() -> None:
    mixer = PublishedMixer(side=12, patch=3, width=8, blocks=1, rank=1)
    physical, counted = mixer.count("physical"), mixer.count("output pixels")
    changed = [(a, b) for a, b in zip(physical, counted, strict=True) if a != b]
    assert [(a.name, b.macs // a.macs, b.vectors == a.vectors) for a, b in changed] == [("output", 9, True)]


def test_a_patch_that_does_not_tile_the_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of patch = 3"):
        PublishedMixer(side=4, patch=3, width=8, blocks=1, rank=1).count("physical")
