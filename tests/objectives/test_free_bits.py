"""Rates that cost nothing below a floor: the equation, its gradient, and what a part of the rate is."""

import math

import pytest
import torch

from tests.unchecked import unchecked
from vae_lightning.models.distributions import DiagonalNormal, NormalMixture, UnitNormal, normal_image
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.free_bits import FreeBits
from vae_lightning.objectives.terms import Progress

START = Progress(0)
NUM_IMAGES = 6


def output_of(*locs: torch.Tensor, prior=None, copies: int = 1) -> VAEOutput:
    """A pass with a group of latents for each of the means, whose rates are squares / 2 under N(0, I)."""
    groups = []
    for loc in locs:
        loc = loc.repeat(copies, 1)
        unit = UnitNormal(torch.zeros(loc.shape[1]), torch.ones(loc.shape[1]))
        groups.append(Group(DiagonalNormal(loc, torch.ones_like(loc)), prior or unit, loc.unsqueeze(0)))
    return VAEOutput(tuple(groups), normal_image(torch.zeros(1, NUM_IMAGES * copies, 1, 2, 2), 0.3))


def images(copies: int = 1) -> torch.Tensor:
    return torch.rand(NUM_IMAGES, 1, 2, 2, generator=torch.Generator().manual_seed(0)).repeat(copies, 1, 1, 1)


def locs() -> tuple[torch.Tensor, torch.Tensor]:
    """Two groups, of dimensions that are far above, about and below half a nat."""
    torch.manual_seed(0)
    scales = torch.tensor([3.0, 1.0, 0.1]), torch.tensor([0.2, 0.05])
    first, second = (torch.randn(NUM_IMAGES, len(each)) * each for each in scales)
    return first.requires_grad_(), second.requires_grad_()


def parts_of(per: str, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    squares = [first.square() / 2, second.square() / 2]
    if per == "dimension":
        return torch.cat(squares, 1)
    groups = torch.stack([each.sum(1) for each in squares], 1)
    return groups if per == "group" else groups.sum(1, keepdim=True)


@pytest.mark.parametrize("per", ["dimension", "group", "image"])
@pytest.mark.parametrize("free_nats", [0.3, 7.0])
def test_of_the_batch_the_mean_loss_is_the_papers_and_so_is_its_gradient(per, free_nats):
    means = locs()
    terms = FreeBits(free_nats, per)(output_of(*means), images(), START)
    floors = parts_of(per, *means).mean(0).clamp(min=free_nats).sum()
    torch.testing.assert_close(terms.loss.mean(), terms.distortion.mean() + floors)
    found = torch.autograd.grad(terms.loss.mean(), means, retain_graph=True)
    expected = torch.autograd.grad(floors, means, materialize_grads=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("per", ["dimension", "group", "image"])
def test_of_an_image_and_in_evaluation_it_is_each_images_own(per):
    means = locs()
    for objective in (FreeBits(0.3, per, rate_of="image"), FreeBits(0.3, per).eval()):
        terms = objective(output_of(*means), images(), START)
        floors = parts_of(per, *means).clamp(min=0.3).sum(1)
        torch.testing.assert_close(terms.loss, terms.distortion + floors)


@pytest.mark.parametrize("per", ["dimension", "group", "image"])
@pytest.mark.parametrize("rate_of", ["batch", "image"])
def test_a_duplicated_batch_has_the_same_losses(per, rate_of):
    means, objective = locs(), FreeBits(0.3, per, rate_of)
    single = objective(output_of(*means), images(), START).loss
    double = objective(output_of(*means, copies=2), images(2), START).loss
    torch.testing.assert_close(double, single.repeat(2))


@pytest.mark.parametrize("per", ["dimension", "group", "image"])
def test_without_free_nats_it_is_the_elbo(per):
    found, expected = (each(output_of(*locs()), images(), START) for each in (FreeBits(0.0, per), ELBO()))
    torch.testing.assert_close(found.loss, expected.loss)
    assert torch.equal(found.elbo, expected.elbo)


def test_under_a_mixture_a_dimension_above_the_floor_has_its_share_of_the_whole_rate():
    prior = NormalMixture(torch.zeros(2), torch.tensor([[2.0, 2, 2], [-2, -2, -2]]), torch.ones(2, 3))
    loc = torch.full((NUM_IMAGES, 3), 6.0, requires_grad=True)  # in the tail: all marginal rates are large
    output = output_of(loc, prior=prior)
    found, expected = FreeBits(0.1)(output, images(), START), ELBO()(output, images(), START)
    torch.testing.assert_close(found.loss, expected.loss)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("free_nats", -1.0, "free_nats must be at least 0, got -1.0"),
        ("free_nats", math.nan, "free_nats must be at least 0, got nan"),
        ("free_nats", math.inf, "free_nats must be finite, got inf"),
        ("per", "pixel", "per must be one of dimension, group, image; got pixel"),
        ("rate_of", "run", "rate_of must be one of batch, image; got run"),
        ("num_samples", 0, "num_samples must be at least 1, got 0"),
    ],
)
def test_impossible_values_are_refused_by_name(name, value, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        unchecked(FreeBits)(**{name: value})
