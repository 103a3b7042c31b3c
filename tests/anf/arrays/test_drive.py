"""Input vectors as voltages."""

import pytest
import torch

from anf.arrays.drive import Drive

X = torch.tensor([[0.5, -2.0, 1.0], [0.0, 0.0, 0.0]])


def test_by_itself_every_vector_is_driven_at_its_own_full_scale() -> None:
    u, unit = Drive().scale(X)
    assert u.tolist() == [[0.25, -1.0, 0.5], [0.0, 0.0, 0.0]]
    torch.testing.assert_close(u * unit, X)


def test_beyond_a_calibrated_range_inputs_are_clipped_and_counted() -> None:
    drive = Drive(full_scale=1.0)
    u, unit = drive.scale(X)
    assert unit == 1.0
    assert u.tolist() == [[0.5, -1.0, 1.0], [0.0, 0.0, 0.0]]
    drive.scale(X[:, :1])
    assert (drive.clipped, drive.driven, drive.clipped_fraction) == (1, 8, 0.125)


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_slices_add_up_to_the_drive_and_stay_within_full_scale(slices: int) -> None:
    u = 2 * torch.rand(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    drive = Drive(slices=slices, bits=3)
    parts = drive.split(u)
    assert [weight for _, weight in parts] == [(1 / 16) ** k for k in range(slices)]
    assert all(part.abs().max() <= 1 for part, _ in parts)
    assert all(torch.equal(part, (8 * part).round() / 8) for part, _ in parts[:-1])
    torch.testing.assert_close(sum(weight * part for part, weight in parts), u)


def test_the_gradient_of_sliced_drives_is_that_of_the_drive() -> None:
    u = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    sum(weight * part for part, weight in Drive(slices=2).split(u)).sum().backward()
    torch.testing.assert_close(u.grad, torch.ones(5, 3))


@pytest.mark.parametrize("bad", [{"full_scale": 0.0}, {"full_scale": float("nan")}, {"slices": 0}, {"bits": 0}])
def test_impossible_drives_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        Drive(**bad)
