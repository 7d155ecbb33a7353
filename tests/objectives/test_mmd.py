"""The discrepancy of latents from the prior against closed forms, and what it takes of a batch."""

import math

import pytest
import torch

from tests.objectives.batches import any_pass, passed
from tests.oracles import TwoGroups
from vae_lightning.noise import Fresh
from vae_lightning.objectives.mmd import PriorDiscrepancy, mmd

KERNELS = ("imq", "rbf")


def by_pairs(z, other, kernel, c):
    def mean(a, b):
        squares = [float((one - two).square().sum()) / c for one in a for two in b]
        return sum(1 / (1 + s) if kernel == "imq" else math.exp(-s) for s in squares) / len(squares)

    return mean(z, z) + mean(other, other) - 2 * mean(z, other)


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_the_mean_over_all_pairs(kernel):
    z, other = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 3).double() + 1
    expected = sum(by_pairs(z[k], other[k], kernel, 6.0) for k in range(2)) / 2
    assert float(mmd(z, other, kernel)) == pytest.approx(expected)
    assert float(mmd(z, other, kernel, 2.5)) != pytest.approx(expected)
    assert float(mmd(z, z, kernel)) == pytest.approx(0, abs=1e-12)
    assert float(mmd(z, z + 1e6, kernel)) > 0.3


def test_of_two_normal_distributions_it_is_the_closed_form():
    """E exp(-s / C) of x ~ N(m, a I) and y ~ N(0, b I) is (1 + 2 v / C)^(-D/2) exp(-|m|^2 / (C + 2 v)), v = a + b."""
    generator = torch.Generator().manual_seed(0)
    count, dims, c, shift, spread = 3000, 2, 4.0, 0.7, 0.5

    def expected(v, squared=0.0):
        return (1 + 2 * v / c) ** (-dims / 2) * math.exp(-squared / (c + 2 * v))

    z = shift + spread * torch.randn(1, count, dims, generator=generator)
    exact = expected(2 * spread**2) + expected(2.0) - 2 * expected(1 + spread**2, dims * shift**2)
    found = float(mmd(z, torch.randn(1, count, dims, generator=generator), "rbf"))
    assert found == pytest.approx(exact, abs=0.012)
    assert exact > 0.1


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_the_same_for_repeated_sets_and_never_negative(kernel):
    z, other = torch.randn(1, 8, 3), torch.randn(1, 8, 3)
    repeated = mmd(z.repeat(1, 2, 1), other.repeat(1, 2, 1), kernel)
    torch.testing.assert_close(repeated, mmd(z, other, kernel))
    assert all(float(mmd(torch.randn(1, 3, 3), torch.randn(1, 3, 3), kernel)) >= 0 for _ in range(20))


def test_a_large_mean_costs_no_digits():
    z, other = torch.randn(1, 6, 2), torch.randn(1, 6, 2)
    torch.testing.assert_close(mmd(z + 4096, other + 4096, "imq"), mmd(z, other, "imq"), atol=1e-3, rtol=1e-3)


def test_in_evaluation_it_moves_no_generator_and_repeats_itself():
    output, _ = any_pass(num_samples=2)
    discrepancy = PriorDiscrepancy().eval()
    before = torch.get_rng_state()
    values = [discrepancy(output) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*values)
    assert values[0].shape == (5,)
    discrepancy.train()
    assert not torch.equal(discrepancy(output), discrepancy(output))


def test_latents_of_the_prior_are_near_it_and_others_are_not():
    torch.manual_seed(0)
    wide, narrow = (passed(torch.zeros(500, 2), torch.full((500, 2), s), torch.randn(1, 500, 2))[0] for s in (1.0, 0.1))
    near, far = (float(PriorDiscrepancy()(each)[0]) for each in (wide, narrow))
    assert 0 < near < 0.01 < 0.1 < far


def test_of_several_groups_each_is_held_against_its_own_prior():
    """The exact posterior of images that the model makes has the prior as its aggregate; a wider one has not."""
    torch.manual_seed(0)
    found = []
    for width in (1.0, 3.0):
        model = TwoGroups(width)
        x = model.images(800)
        output = model(x, Fresh(1, 800, x.device))
        found.append(float(PriorDiscrepancy()(output)[0]))
    exact, wide = found
    assert exact < 0.01
    assert wide > 2 * exact


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_bandwidth_is_refused(value):
    with pytest.raises(ValueError, match=f"^bandwidth must be positive and finite, .* got {value}"):
        PriorDiscrepancy(bandwidth=value)
