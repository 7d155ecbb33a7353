"""The constrained objective: its terms, its gradient, and the weight that follows from how the constraint is kept."""

import math

import pytest
import torch
from torch import nn

from vae_lightning.models.distributions import DiagonalNormal, UnitNormal, normal_image
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.objectives.geco import GECO
from vae_lightning.objectives.terms import Progress, Terms
from vae_lightning.training.finiteness import Skip

START = Progress(0)
VALUES = 2 * 3 * 4  # of an image


def output_of(mean: torch.Tensor, loc: torch.Tensor | None = None) -> VAEOutput:
    """A pass whose reconstructions have this mean [K, B, C, H, W]."""
    posterior = DiagonalNormal(torch.randn(mean.shape[1], 3) if loc is None else loc, torch.ones(mean.shape[1], 3))
    prior = UnitNormal(torch.zeros(3), torch.ones(3))
    return VAEOutput((Group(posterior, prior, torch.randn(mean.shape[0], mean.shape[1], 3)),), normal_image(mean, 0.3))


def batch(num_samples: int = 1, error: float | None = None) -> tuple[VAEOutput, torch.Tensor]:
    """Reconstructions that are all off by an error, or by random ones, and their images."""
    x = torch.rand(5, 2, 3, 4)
    off = torch.rand(num_samples, 5, 2, 3, 4) if error is None else torch.tensor(error)
    return output_of((x + off).expand(num_samples, 5, 2, 3, 4).clone()), x


def terms_of(error: float, objective: GECO) -> Terms:
    return objective(*batch(error=error), START)


def test_the_constraint_is_the_squared_error_less_what_is_tolerated():
    objective = GECO(tolerance=0.2, num_samples=4)
    output, x = batch(num_samples=4)
    squared = (output.likelihood.mean - x).square().sum((2, 3, 4)).mean(0)
    constraint = objective(output, x, START).extra["constraint"]
    torch.testing.assert_close(constraint, squared - 0.04 * VALUES)
    torch.testing.assert_close(terms_of(0.2, objective).extra["constraint"], torch.zeros(5), atol=1e-5, rtol=0)


def test_in_evaluation_the_loss_is_rate_and_weighted_constraint():
    objective = GECO(initial_lambda=3.0).eval()
    terms = objective(*batch(2), START)
    torch.testing.assert_close(terms.loss, terms.rate + 3 * terms.extra["constraint"])


def test_rate_and_distortion_are_the_plain_ones():
    output, x = batch(3)
    terms = GECO(initial_lambda=7.0)(output, x, START)
    (group,) = output.groups
    torch.testing.assert_close(terms.rate, 0.5 * group.posterior.mean.square().sum(1))
    torch.testing.assert_close(terms.distortion, -output.likelihood.log_prob(x).mean(0))
    assert list(terms.by_name()) == ["loss", "elbo", "rate", "distortion", "constraint"]


def test_in_training_the_loss_has_the_running_averages_value_and_the_batchs_gradient():
    objective, x = GECO(initial_lambda=2.0, averaging=0.9), torch.rand(5, 2, 3, 4)
    objective.after_step(terms_of(0.5, objective))
    mean = torch.rand(1, 5, 2, 3, 4, requires_grad=True)
    loc = torch.randn(5, 3, requires_grad=True)
    terms = objective(output_of(mean, loc), x, START)
    average = 0.9 * (0.25 - 0.01) * VALUES + 0.1 * terms.extra["constraint"].mean()
    weight = objective.log_lambda.exp()
    torch.testing.assert_close(terms.loss, terms.rate + weight * average)
    to_mean, to_loc = torch.autograd.grad(terms.loss.sum(), [mean, loc])
    torch.testing.assert_close(to_mean, 2 * weight * (mean - x))
    torch.testing.assert_close(to_loc, loc)


def test_the_average_starts_at_the_first_batch_and_moves_by_the_others():
    objective = GECO(tolerance=0.1, averaging=0.75)
    found = []
    for error in (0.3, 0.5, 0.1):
        objective.after_step(terms_of(error, objective))
        found.append(float(objective.average) / VALUES)
    first = 0.09 - 0.01
    second = 0.75 * first + 0.25 * (0.25 - 0.01)
    assert found == pytest.approx([first, second, 0.75 * second], rel=1e-4)


def test_the_average_has_all_batches_that_a_step_accumulates():
    objective = GECO(tolerance=0.1)
    for error in (0.5, 0.3):
        terms = terms_of(error, objective)
    objective.after_step(terms)
    assert float(objective.average) / VALUES == pytest.approx((0.25 + 0.09) / 2 - 0.01, rel=1e-4)
    objective.num_updates.zero_()
    objective.after_step(terms_of(0.2, objective))
    assert float(objective.average) / VALUES == pytest.approx(0.04 - 0.01, rel=1e-4)


@pytest.mark.parametrize(
    ("error", "change"), [(1.0, 0.05), (0.3, 0.05), (0.22, 0.0105), (0.2, 0.0), (0.1, -0.0375), (0.0, -0.05)]
)
def test_lambda_rises_where_the_error_is_too_large_and_falls_where_it_need_not_be_so_small(error, change):
    objective = GECO(tolerance=0.2, initial_lambda=5.0, step_size=0.05)
    for step in (1, 2):
        objective.after_step(terms_of(error, objective))
        expected = 5.0 * math.exp(step * change)
        assert objective.schedules(START)["lambda"] == pytest.approx(expected, rel=1e-4)


def test_lambda_keeps_its_bounds_where_the_tolerance_is_out_of_reach():
    objective = GECO(tolerance=0.01, step_size=10.0)
    for error, least, most in ((1.0, 0.99e6, 1.01e6), (0.0, 0.99e-6, 1.01e-6)):
        objective.num_updates.zero_()
        for _ in range(5):
            objective.after_step(terms_of(error, objective))
        assert least < objective.schedules(START)["lambda"] < most


def test_on_a_model_whose_rate_falls_with_the_error_it_ends_at_the_tolerance():
    objective, x = GECO(tolerance=0.3, averaging=0.5, step_size=0.04), torch.rand(5, 2, 3, 4)
    error = nn.Parameter(torch.tensor(0.9))
    optimizer = torch.optim.SGD([error], lr=0.004)
    for _ in range(500):
        loc = 3 * (1 - error).expand(5, 3)
        terms = objective(output_of((x + error).unsqueeze(0), loc), x, START)
        optimizer.zero_grad()
        terms.loss.mean().backward()
        optimizer.step()
        with torch.no_grad():
            objective.after_step(terms)
    torch.testing.assert_close(error.detach(), torch.tensor(0.3), atol=0.01, rtol=0)
    # d rate / d error = -27 * 0.7 there, and that of the constraint 48 * 0.3.
    assert objective.schedules(START)["lambda"] == pytest.approx(27 * 0.7 / (2 * VALUES * 0.3), rel=0.05)


def test_its_state_is_in_buffers_which_another_takes_over():
    objective, other = GECO(), GECO(initial_lambda=9.0)
    for error in (0.4, 0.2):
        objective.after_step(terms_of(error, objective))
    other.load_state_dict(objective.state_dict())
    for each in (objective, other):
        torch.manual_seed(1)
        each.after_step(terms_of(0.3, each))
    for name, value in objective.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert list(objective.parameters()) == []


def test_a_step_that_is_dropped_changes_nothing_of_it():
    objective = GECO()
    objective.after_step(terms_of(0.4, objective))
    trained = nn.ModuleDict({"layer": nn.Linear(1, 1), "objective": objective})
    optimizer = torch.optim.SGD(trained["layer"].parameters(), lr=0.1)
    watch = Skip(trained, max_skipped=5)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    for error, is_dropped in ((math.nan, True), (0.3, False)):
        watch.begin()
        terms = terms_of(error, objective)
        optimizer.zero_grad()
        watch.loss(terms.loss.mean() * trained["layer"](torch.ones(1)).sum()).backward()
        watch.gradient(optimizer)
        optimizer.step()
        objective.after_step(terms)
        watch.end(optimizer)
        unchanged = [torch.equal(value, objective.state_dict()[name]) for name, value in before.items()]
        assert all(unchanged) if is_dropped else not any(unchanged)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("tolerance", 0.0, "tolerance must be positive and finite, got 0.0"),
        ("tolerance", 1e200, "tolerance must be at most 1, the range of a pixel"),
        ("tolerance", math.nan, "tolerance must be positive and finite, got nan"),
        ("initial_lambda", -1.0, "initial_lambda must be positive and finite, got -1.0"),
        ("step_size", math.inf, "step_size must be positive and finite, got inf"),
        ("averaging", 1.0, r"averaging must lie in \[0, 1\), got 1.0"),
        ("num_samples", 0, "num_samples must be at least 1, got 0"),
    ],
)
def test_impossible_values_are_refused_by_name(name, value, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        GECO(**{name: value})


def test_a_likelihood_that_wants_to_be_trained_is_refused(error_of, tmp_path):
    scale = ("model/likelihood=gaussian", "model.likelihood.scale=learned")
    message = error_of("data=digits", "model=mlp", "objective=geco", *scale)
    assert message.startswith("objective: GECO does not train the likelihood's own log_scale; choose another")
    assert not list(tmp_path.iterdir())
