"""Circulant token mixing: commutes with translations, is a plain matrix to an array, and grows with the lattice."""

from __future__ import annotations

import torch

from anf.flows.circulant import Circulant, circulant_linear, enlarge_kernel

GRID = (3, 4)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def translated(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(*GRID, -1).roll((1, 2), (0, 1)).reshape(x.shape)


def test_the_matrix_commutes_with_translations_of_the_tokens():
    layer = circulant_linear(GRID, "w", generator())
    x = torch.randn(1, 12, 5, generator=generator())
    torch.testing.assert_close(layer.columns(translated(x[0])[None])[0], translated(layer.columns(x)[0]))


def test_what_is_free_is_one_number_per_offset_and_the_array_sees_the_whole_matrix():
    layer = circulant_linear(GRID, "w", generator())
    assert sum(p.numel() for p in layer.parameters()) == 12
    assert layer.weight.shape == (12, 12)
    assert all(len(set(layer.weight[:, place].tolist())) == 12 for place in range(12))


def test_the_nearest_circulant_of_a_circulant_is_itself_and_of_any_matrix_the_mean_over_places():
    circulant = Circulant(GRID)
    kernel = torch.randn(12, generator=generator())
    torch.testing.assert_close(circulant.right_inverse(circulant(kernel)), kernel)
    other = torch.randn(12, 12, generator=generator())
    error = other - circulant(circulant.right_inverse(other))
    # Orthogonal to every circulant: to the one that has a single offset.
    for offset in range(12):
        assert abs(float((error * (circulant.index == offset)).sum())) < 1e-5


def test_an_enlarged_kernel_gives_the_same_product_for_a_field_that_repeats():
    """On a field of twice the period each offset meets the same neighbours."""
    for grid in ((3, 3), (4, 4), (2, 3)):
        larger = (2 * grid[0], 2 * grid[1])
        kernel = torch.randn(grid[0] * grid[1], generator=generator(), dtype=torch.float64)
        small, big = (
            Circulant(g).double()(k) for g, k in ((grid, kernel), (larger, enlarge_kernel(kernel, grid, larger)))
        )
        x = torch.randn(*grid, generator=generator(), dtype=torch.float64)
        expected = (small @ x.reshape(-1)).reshape(grid).tile(2, 2)
        torch.testing.assert_close((big @ x.tile(2, 2).reshape(-1)).reshape(larger), expected)
