"""Gathering rows, and its gradient."""

from __future__ import annotations

import pytest
import torch

from anf.lattice.gather import gather


def test_rows_and_gradients_are_those_of_indexing():
    index = torch.tensor([3, 0, 1, 2, 1, 3, 0, 2])
    x = torch.randn(4, 2, 5, requires_grad=True)
    weight = torch.randn(8, 2, 5)
    for dim in (0, 1):
        turned, weighted = x.transpose(0, dim), weight.transpose(0, dim)
        y, expected = gather(index, dim)(turned), x[index].transpose(0, dim)
        assert torch.equal(y, expected)
        gradients = [torch.autograd.grad((out * weighted).sum(), x)[0] for out in (y, expected)]
        torch.testing.assert_close(*gradients)


def test_an_order_that_changes_nothing_costs_nothing():
    x = torch.randn(4, 3)
    assert gather(torch.arange(4))(x) is x


def test_rows_taken_unequally_often_are_refused():
    with pytest.raises(ValueError, match="rows 1 to 2 times"):
        gather(torch.tensor([0, 1, 1]))
