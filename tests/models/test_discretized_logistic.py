"""The discretized logistic distribution, by its properties."""

import math

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from vae_lightning.models.likelihoods.discretized_logistic import DiscretizedLogistic, DiscretizedLogisticImage
from vae_lightning.models.parts import Likelihood

LEVELS = torch.arange(256) / 255


def log_probs(distribution: DiscretizedLogisticImage) -> Tensor:
    """Of all levels, of a distribution of one pixel an image: [256, *KB]."""
    shape = distribution.batch_shape
    return torch.stack([distribution.log_prob(level.expand(*shape, 1, 1, 1)) for level in LEVELS])


def pixels(loc: Tensor, log_scale: float) -> DiscretizedLogisticImage:
    loc = loc.view(-1, 1, 1, 1)
    return DiscretizedLogisticImage(loc, torch.full_like(loc, log_scale))


@pytest.mark.parametrize("log_scale", [-100.0, -7.0, -5.0, -2.0, 0.0, 3.0, 100.0])
def test_the_levels_of_a_pixel_have_a_probability_of_one_together(log_scale):
    distribution = pixels(
        torch.cat([torch.linspace(-1.1, 1.1, 500), torch.tensor([-100.0, -3.0, 7.0, 100.0])]), log_scale
    )
    nats = log_probs(distribution)
    assert nats.isfinite().all()
    torch.testing.assert_close(nats.exp().sum(0), torch.ones(504), atol=1e-5, rtol=0)


def test_a_bin_has_the_integral_of_the_density():
    loc, scale = 0.1, 0.2
    for level in (1, 100, 254):
        grid = torch.linspace(2 * level - 256, 2 * level - 254, 1001, dtype=torch.float64) / 255
        t = (grid - loc) / scale
        density = (-t).exp() / (scale * (1 + (-t).exp()) ** 2)
        nats = pixels(torch.tensor(loc), math.log(scale)).log_prob(torch.full((1, 1, 1, 1), level / 255))
        assert float(nats.exp()) == pytest.approx(float(torch.trapezoid(density, grid)), rel=1e-4)


def test_black_and_white_take_the_tails():
    distribution = pixels(torch.tensor([-5.0, 5.0]), 0.0)
    nats = distribution.log_prob(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    expected = torch.sigmoid(torch.tensor(5 - 254 / 255)).log()
    torch.testing.assert_close(nats, expected.expand(2))


@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -1.0, 2.0])
def test_the_mean_is_that_of_the_levels_to_half_of_one(log_scale):
    distribution = pixels(torch.linspace(-2, 2, 401), log_scale)
    expected = (log_probs(distribution).exp() * LEVELS[:, None]).sum(0)
    torch.testing.assert_close(distribution.mean.flatten(), expected, atol=0.5 / 255, rtol=0)


def check_all_is_finite(likelihood: Likelihood, decoded: Tensor, x: Tensor) -> None:
    """Log-probabilities, the mean and the gradients to what the decoder has put out, in float32 at least."""
    distribution = likelihood(decoded)
    nats = distribution.log_prob(x)
    (nats.sum() + distribution.mean.sum()).backward()
    expected = torch.float64 if decoded.dtype == torch.float64 else torch.float32
    assert nats.dtype == distribution.mean.dtype == expected
    assert nats.isfinite().all()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


@pytest.mark.parametrize("loc", [-100.0, 100.0])
@pytest.mark.parametrize("log_scale", [-100.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_extreme_outputs_have_finite_log_probabilities_and_gradients(loc, log_scale, dtype):
    decoded = torch.tensor([loc, log_scale], dtype=dtype).view(2, 1, 1).expand(3, 2, 16, 16).clone().requires_grad_()
    x = (torch.arange(256) / 255).view(1, 1, 16, 16).expand(3, 1, 16, 16)
    check_all_is_finite(DiscretizedLogistic(), decoded, x)


def test_gradients_are_those_of_differences():
    decoded = torch.randn(4, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randint(0, 256, (4, 1, 4, 4)) / 255
    x[0] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    assert torch.autograd.gradcheck(lambda given: DiscretizedLogistic()(given).log_prob(x), decoded)


def test_samples_and_images_are_batched_in_any_memory_format():
    decoded, x = torch.randn(5, 3, 6, 4, 7), torch.randint(0, 256, (3, 3, 4, 7)) / 255
    likelihood = DiscretizedLogistic()
    distribution = likelihood(decoded)
    assert distribution.batch_shape == (5, 3)
    assert distribution.event_shape == (3, 4, 7)
    nats = distribution.log_prob(x)
    one_by_one = [[float(likelihood(decoded[k, b]).log_prob(x[b])) for b in range(3)] for k in range(5)]
    torch.testing.assert_close(nats, torch.tensor(one_by_one))
    last = decoded.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (5, 3))
    torch.testing.assert_close(likelihood(last).log_prob(x.to(memory_format=torch.channels_last)), nats)
    torch.testing.assert_close(likelihood(last).mean, distribution.mean)


def test_values_between_levels_count_as_the_nearest():
    distribution = pixels(torch.tensor(0.3), -3.0)
    between = distribution.log_prob(torch.full((1, 1, 1, 1), 100.4 / 255))
    assert torch.equal(between, distribution.log_prob(torch.full((1, 1, 1, 1), 100 / 255)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_decoder_can_start_at_any_mean_image(dtype):
    mean = torch.rand(3, 5, 6, dtype=dtype)
    mean[0, 0], mean[1, 0] = 0.0, 1.0
    likelihood = DiscretizedLogistic()
    decoded = likelihood.decoder_output(mean)
    assert decoded.shape == likelihood.decoder_shape((3, 5, 6)) == (6, 5, 6)
    torch.testing.assert_close(likelihood(decoded).mean, mean, atol=1.1e-3, rtol=0)


def test_under_autocast_it_is_as_exact_as_without():
    decoded, x = torch.randn(2, 3, 2, 4, 4), torch.randint(0, 256, (3, 1, 4, 4)) / 255
    distribution = DiscretizedLogistic()(decoded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = DiscretizedLogistic()(decoded)
        assert torch.equal(within.log_prob(x), distribution.log_prob(x))
        assert torch.equal(within.mean, distribution.mean)


def test_nothing_branches_on_data():
    def nats_and_mean(decoded, x):
        distribution = DiscretizedLogistic()(decoded)
        return distribution.log_prob(x), distribution.mean

    decoded, x = torch.randn(2, 3, 2, 4, 4), torch.randint(0, 256, (3, 1, 4, 4)) / 255
    traced = make_fx(nats_and_mean)(torch.zeros_like(decoded), torch.zeros_like(x))
    torch.testing.assert_close(traced(decoded, x), nats_and_mean(decoded, x))
