"""Gaussian and Laplace likelihoods: their densities, one scale for all pixels and one for each."""

import math

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from vae_lightning.building.declared import declared
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.likelihoods.laplace import LaplaceLikelihood

KINDS = [GaussianLikelihood, LaplaceLikelihood]
SCALES = ["optimal", "learned", "per_pixel", 0.3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_density_of_a_pixel_integrates_to_one(kind, scale):
    likelihood = kind(scale, initial_scale=0.2).eval()
    channels = likelihood.decoder_shape((1, 1, 1))[0]
    decoded = torch.linspace(-2, 1, channels, dtype=torch.float64).view(1, channels, 1, 1).requires_grad_()
    grid = torch.linspace(-30, 30, 600_001, dtype=torch.float64).view(-1, 1, 1, 1)
    density = likelihood(decoded).log_prob(grid).exp()
    assert float(torch.trapezoid(density, grid.flatten()).detach()) == pytest.approx(1, abs=1e-6)


def test_the_optimal_scale_of_a_laplace_distribution_is_the_mean_absolute_error():
    decoded, x = torch.randn(1, 8, 3, 4, 4), torch.rand(8, 3, 4, 4)
    optimal = LaplaceLikelihood("optimal")
    best = optimal(decoded, x).log_prob(x).mean()
    scale = float((torch.sigmoid(decoded[0]) - x).abs().mean())
    assert float(optimal.deviation) == pytest.approx(scale)
    assert float(best) == pytest.approx(-48 * (math.log(2 * scale) + 1), rel=1e-5)
    for other in (0.8 * scale, 0.95 * scale, 1.05 * scale, 1.2 * scale):
        assert LaplaceLikelihood(other)(decoded).log_prob(x).mean() < best


def test_the_optimal_scale_has_the_gradient_of_the_log_of_the_error():
    decoded, x = torch.randn(1, 4, 1, 3, 3, requires_grad=True), torch.rand(4, 1, 3, 3)
    (actual,) = torch.autograd.grad(-LaplaceLikelihood()(decoded, x).log_prob(x).sum(), decoded)
    error = (torch.sigmoid(decoded[0]) - x).abs().mean()
    (expected,) = torch.autograd.grad(x.numel() * error.log(), decoded)
    torch.testing.assert_close(actual, expected)


def test_evaluation_goes_by_a_running_average_that_checkpoints_hold():
    likelihood = LaplaceLikelihood("optimal", initial_scale=5.0, averaging=0.9)
    x = torch.full((4, 1, 2, 2), 0.7)
    for _ in range(3):
        likelihood(torch.zeros(1, 4, 1, 2, 2), x)
    likelihood.eval()
    assert torch.equal(
        likelihood(torch.zeros(1, 4, 1, 2, 2), 1 - x).base_dist.scale[0, 0, 0, 0, 0], likelihood.deviation
    )
    torch.testing.assert_close(likelihood.state_dict()["deviation"], torch.tensor(0.2))
    resumed = LaplaceLikelihood("optimal")
    resumed.load_state_dict(likelihood.state_dict())
    assert torch.equal(resumed.deviation, likelihood.deviation)


def test_runs_of_before_find_what_they_have_stored():
    assert list(GaussianLikelihood("optimal").state_dict()) == ["variance", "num_updates"]
    assert float(GaussianLikelihood("optimal", initial_scale=0.1).variance) == float(torch.tensor(0.1**2))
    assert list(GaussianLikelihood("learned").state_dict()) == ["log_scale"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_scale_for_each_pixel_begins_where_it_is_told_and_has_a_floor(kind):
    likelihood = kind("per_pixel", initial_scale=0.25, minimum_scale=0.01)
    assert likelihood.decoder_shape((3, 4, 5)) == (6, 4, 5)
    mean = torch.rand(3, 4, 5).clamp(0.01, 0.99)
    start = likelihood(likelihood.decoder_output(mean))
    torch.testing.assert_close(start.mean, mean)
    torch.testing.assert_close(start.base_dist.scale, torch.full((3, 4, 5), 0.25))
    narrow = likelihood(torch.full((6, 4, 5), -1e4)).base_dist.scale
    assert torch.equal(narrow, torch.full((3, 4, 5), 0.01))
    assert float(kind("per_pixel", initial_scale=1e4)(torch.zeros(2, 1, 1)).base_dist.scale) == pytest.approx(1e4)
    assert list(likelihood.parameters()) == list(likelihood.state_dict()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extremes_are_finite_and_everything_has_a_gradient(kind, scale, dtype):
    likelihood = kind(scale)
    decoded = torch.tensor([-1e4, -3.0, 0.1, 1e4], dtype=dtype).repeat(16).view(1, 2, 2, 4, 4).requires_grad_()
    x = torch.zeros(2, 1 if scale == "per_pixel" else 2, 4, 4)
    x[..., 1::2] = 1.0
    nats = likelihood(decoded, x).log_prob(x)
    assert nats.dtype == torch.float32
    assert bool(nats.isfinite().all())
    nats.sum().backward()
    assert bool(decoded.grad.isfinite().all())
    assert bool((decoded.grad[..., 1:3] != 0).all())
    assert all(float(parameter.grad) != 0 for parameter in likelihood.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_branches_on_data_and_no_half_precision_comes_in(kind):
    def nats_and_gradient(decoded, x):
        nats = kind("per_pixel")(decoded).log_prob(x)
        return nats, *torch.autograd.grad(nats.sum(), decoded)

    decoded, x = torch.randn(2, 3, 2, 4, 4, requires_grad=True), torch.rand(3, 1, 4, 4)
    expected = nats_and_gradient(decoded, x)
    traced = make_fx(nats_and_gradient)(torch.zeros_like(decoded, requires_grad=True), torch.zeros_like(x))
    torch.testing.assert_close(traced(decoded, x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(nats_and_gradient(decoded, x), expected, atol=0, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_impossible_values_are_refused_by_name(kind):
    for arguments in (
        {"scale": 0.0},
        {"scale": math.nan},
        {"initial_scale": math.inf},
        {"minimum_scale": 0.0},
        {"averaging": 1.0},
    ):
        with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must"):
            kind(**arguments)
    with pytest.raises(ValueError, match=r"^initial_scale must be above minimum_scale, 0\.1, got 0\.1"):
        kind("per_pixel", initial_scale=0.1, minimum_scale=0.1)
    names = declared(f"{kind.__module__}.{kind.__name__}").parameters
    assert set(names) == {"scale", "initial_scale", "minimum_scale", "averaging"}
    assert "per_pixel" in str(names["scale"].annotation)  # which a config is held to before torch is imported
