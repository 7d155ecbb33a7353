"""The rate that is held to a capacity: the equation, its gradient, and how the capacity grows."""

import math

import pytest
import torch

from tests.unchecked import unchecked
from vae_lightning.models.distributions import DiagonalNormal, UnitNormal, normal_image
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.objectives.capacity import Capacity
from vae_lightning.objectives.terms import Progress

X = torch.rand(5, 1, 2, 2)
HALF = Progress(4, 10)  # C is half of its last value


def output_of(loc: torch.Tensor) -> VAEOutput:
    """A pass whose rates are |loc|^2 / 2."""
    posterior = DiagonalNormal(loc, torch.ones_like(loc))
    prior = UnitNormal(torch.zeros(3), torch.ones(3))
    return VAEOutput((Group(posterior, prior, loc.unsqueeze(0)),), normal_image(X.unsqueeze(0).clone(), 0.3))


LOC = torch.tensor([[0.1, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [1, 1, 1]])  # rates 0.005, 0.5, 2, 4.5, 1.5


def terms_of(objective, loc=LOC, progress=HALF):
    return objective(output_of(loc), X, progress)


@pytest.mark.parametrize("max_capacity", [1.0, 8.0])
def test_of_the_batch_the_mean_loss_is_the_papers_and_so_is_its_gradient(max_capacity):
    loc = LOC.clone().requires_grad_()
    terms = terms_of(Capacity(max_capacity, gamma=7.0, rate_of="batch"), loc)
    deviation = (terms.rate.mean() - max_capacity / 2).abs()
    torch.testing.assert_close(terms.loss.mean(), terms.distortion.mean() + 7 * deviation)
    [found] = torch.autograd.grad(terms.loss.mean(), loc, retain_graph=True)
    [expected] = torch.autograd.grad(7 * deviation, loc)
    torch.testing.assert_close(found, expected)


def test_of_an_image_and_in_evaluation_it_is_each_images_own():
    for objective in (Capacity(4.0, gamma=7.0, rate_of="image"), Capacity(4.0, gamma=7.0, rate_of="batch").eval()):
        terms = terms_of(objective)
        torch.testing.assert_close(terms.loss, terms.distortion + 7 * (terms.rate - 2).abs())


@pytest.mark.parametrize("rate_of", ["batch", "image"])
def test_a_duplicated_batch_has_the_same_losses(rate_of):
    output, double = output_of(LOC), output_of(LOC)
    [group] = double.groups
    posterior = DiagonalNormal(LOC.repeat(2, 1), torch.ones(10, 3))
    x = X.repeat(2, 1, 1, 1)
    double = VAEOutput((Group(posterior, group.prior, group.z.repeat(1, 2, 1)),), normal_image(x.unsqueeze(0), 0.3))
    objective = Capacity(4.0, rate_of=rate_of)
    torch.testing.assert_close(objective(double, x, HALF).loss, objective(output, X, HALF).loss.repeat(2))


def test_the_capacity_rises_from_nothing_over_its_steps_or_the_whole_training():
    for objective, num_steps in ((Capacity(20.0), 10), (Capacity(20.0, capacity_steps=10), 999)):
        found = [objective.schedules(Progress(step, num_steps))["capacity"] for step in (0, 4, 9, 50)]
        assert found == [2.0, 10.0, 20.0, 20.0]
    assert Capacity(20.0).whole_training == "capacity_steps"
    assert Capacity(20.0, capacity_steps=10).whole_training == ""


def test_the_elbo_stays_plain_and_the_step_reads_the_buffer():
    objective = Capacity(4.0, gamma=7.0)
    terms = terms_of(objective)
    torch.testing.assert_close(terms.elbo, -(terms.distortion + terms.rate))
    objective.capacity_now.fill_(0.0)
    torch.testing.assert_close(objective.forward(output_of(LOC), X, HALF).loss, terms.distortion + 7 * terms.rate)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("max_capacity", -1.0, "max_capacity must be at least 0, got -1.0"),
        ("max_capacity", math.inf, "max_capacity must be finite, got inf"),
        ("gamma", -0.1, "gamma must be at least 0, got -0.1"),
        ("gamma", math.nan, "gamma must be at least 0, got nan"),
        ("capacity_steps", -1, "capacity_steps must be at least 0, got -1"),
        ("rate_of", "run", "rate_of must be one of image, batch; got run"),
        ("num_samples", 0, "num_samples must be at least 1, got 0"),
    ],
)
def test_impossible_values_are_refused_by_name(name, value, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        unchecked(Capacity)(**{name: value})
