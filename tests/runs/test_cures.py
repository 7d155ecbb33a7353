"""Each cure undoes the trouble that it is for."""

import pytest
import torch
from torch import Tensor

from vae_lightning.runs.cures import CURES, Cure, have_ground


def bars(place: int, width: int = 6, height: int = 10) -> Tensor:
    """Two images with a white bar whose upper left corner lies there, on black."""
    images = torch.zeros(2, 1, 28, 28)
    images[:, :, place : place + height, place : place + width] = 1
    return images


@pytest.mark.parametrize(
    ("cure", "spoilt"),
    [
        (Cure(True, False, None), 1 - bars(9)),
        (Cure(False, True, None), 0.2 + 0.1 * bars(9)),
        (Cure(True, True, None), 0.8 - 0.5 * bars(9)),
    ],
)
def test_inverted_and_pale_images_are_put_right(cure, spoilt):
    assert torch.allclose(cure(spoilt), bars(9), atol=1e-5)


@pytest.mark.parametrize("ground", [0.0, 1.0])
def test_what_lies_aside_is_moved_to_the_middle_and_scaled_there_whatever_the_ground(ground):
    given = (ground - bars(1)).abs()
    for size in (1.0, 0.7, 1.5):
        ink = (Cure(False, False, size)(given) - ground).abs()[0, 0]
        rows, columns = (ink.sum(axis).nonzero().flatten().float() for axis in (1, 0))
        assert abs(rows.mean() - 13.5) <= 1
        assert abs(columns.mean() - 13.5) <= 1
        assert abs(len(rows) - 10 * size) <= 1
        assert abs(len(columns) - 6 * size) <= 1


def test_images_without_an_even_ground_have_nothing_to_be_moved():
    noise = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not have_ground(noise)
    assert have_ground(0.2 + 0.5 * bars(1))


def test_blank_images_stay_finite():
    for cure in CURES:
        assert cure(torch.zeros(1, 3, 9, 7)).isfinite().all()
        assert cure(torch.zeros(1, 3, 9, 7)).shape == (1, 3, 9, 7)
