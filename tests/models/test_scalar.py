"""The grid of levels: every code there is, and which vector gets which."""

import math

import pytest
import torch

from vae_lightning.models.quantizers.scalar import ScalarQuantizer


@torch.no_grad()
@pytest.mark.parametrize("levels", [[3], [4, 3], [8, 5, 5, 5]])
def test_codes_and_their_vectors_are_one_to_one(levels):
    made = ScalarQuantizer(levels)
    assert made.num_codes == math.prod(levels)
    grid = made.vectors_of(torch.arange(made.num_codes).unsqueeze(1)).squeeze(1)
    assert [len(column.unique()) for column in grid.T] == levels
    assert len(grid.unique(dim=0)) == made.num_codes
    assert float(grid.abs().max()) <= 1
    assert float(made.nats().sum()) == pytest.approx(math.log(made.num_codes), rel=1e-6)


@torch.no_grad()
def test_a_dimension_is_rounded_by_itself_and_further_out_is_the_outermost_level():
    made = ScalarQuantizer([5, 3])
    vectors = torch.stack([torch.linspace(-4, 4, 200), torch.zeros(200)], 1).unsqueeze(0)
    seen = made(vectors)
    first, second = seen.vectors[0].T
    assert first.unique().tolist() == [-1, -0.5, 0, 0.5, 1]
    assert bool((first.diff() >= 0).all())
    assert second.unique().tolist() == [0]
    assert seen.penalty is None
    assert torch.equal(made.vectors_of(seen.indices), seen.vectors)
    extremes = made(torch.tensor([[[1e30, -1e30]]])).vectors
    assert extremes.flatten().tolist() == [1, -1]


def test_nothing_is_learned():
    made = ScalarQuantizer([5, 3])
    assert list(made.parameters()) == []
    assert made.state_dict() == {}


@pytest.mark.parametrize("levels", [[], [1], [8, 2], [-3], [1024, 1025]])
def test_impossible_levels_are_refused(levels):
    with pytest.raises(ValueError, match=r"^levels must be a list of numbers, each at least 3"):
        ScalarQuantizer(levels)
