"""The continuous Bernoulli distribution, by its properties."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from vae_lightning.models.likelihoods.continuous_bernoulli import ContinuousBernoulli, log_density, mean_of

LOGITS = [0.0, 1e-6, -1e-3, 0.1, -0.99, 0.999, 1.0, 1.001, -3.0, 10.0, -40.0, 90.0]


def images(logits):
    return ContinuousBernoulli()(logits.view(-1, 1, 1, 1))


def log_normalizer(logits):
    return -log_density(logits, torch.zeros_like(logits))


@pytest.mark.parametrize("logit", LOGITS)
def test_the_density_of_a_pixel_integrates_to_one_with_the_mean_that_is_shown(logit):
    grid = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    distribution = images(torch.full((1,), logit, dtype=torch.float64))
    density = distribution.log_prob(grid.view(-1, 1, 1, 1)).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-6)
    assert float(torch.trapezoid(density * grid, grid)) == pytest.approx(float(distribution.mean), abs=1e-6)


def test_float32_loses_nothing_near_a_half_nor_far_from_it():
    logits = torch.cat([torch.logspace(-8, 5, 400), torch.tensor([0.0, 0.99999, 1.0, 1.00001])])
    logits = torch.cat([logits, -logits])
    exact = log_normalizer(logits.double())
    direct = (torch.expm1(logits.double()) / logits.double()).log()
    is_direct = (logits.abs() > 1e-3) & (logits.abs() < 500)
    torch.testing.assert_close(exact[is_direct], direct[is_direct], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(log_normalizer(logits).double(), exact, atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(mean_of(logits).double(), mean_of(logits.double()), atol=2e-7, rtol=0)


def test_the_gradient_of_the_normalizer_is_the_mean():
    logits = torch.tensor([*LOGITS, 1e4, -1e4], requires_grad=True)
    (gradient,) = torch.autograd.grad(log_normalizer(logits).sum(), logits)
    torch.testing.assert_close(gradient, mean_of(logits).detach(), atol=3e-7, rtol=0)
    assert bool((mean_of(logits).detach() >= 0).all() and (mean_of(logits).detach() <= 1).all())


def test_it_is_torchs_where_that_does_not_cut_off():
    logits, x = torch.linspace(-12, 12, 60, dtype=torch.float64), torch.rand(60, dtype=torch.float64)
    expected = torch.distributions.ContinuousBernoulli(logits=logits).log_prob(x)
    torch.testing.assert_close(images(logits).log_prob(x.view(-1, 1, 1, 1)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_extremes_are_finite_and_exact(dtype):
    decoded = torch.tensor([-1e4, -1e4, 0.0, 1e4, 1e4], dtype=dtype, requires_grad=True)
    x = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0]).view(-1, 1, 1, 1)
    distribution = images(decoded)
    nats = distribution.log_prob(x)
    logit = float(decoded.detach()[-1])  # bfloat16 has no 10,000
    expected = torch.tensor([0.0, -logit, 0.0, -logit, 0.0], dtype=nats.dtype)
    expected[[0, 1, 3, 4]] += torch.tensor(logit, dtype=nats.dtype).log()
    torch.testing.assert_close(nats.detach(), expected)
    (gradient,) = torch.autograd.grad(nats.sum() + distribution.mean.sum(), decoded)
    assert bool(gradient.isfinite().all())
    assert nats.dtype == distribution.mean.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_gradients_are_those_of_differences():
    decoded = torch.randn(4, 1, 4, 4, dtype=torch.float64)
    decoded[0, 0, 0] = torch.tensor([0.0, 1e-3, -0.5, 3.0])
    x = torch.rand(4, 1, 4, 4, dtype=torch.float64)
    decoded.requires_grad_()
    assert torch.autograd.gradcheck(lambda given: ContinuousBernoulli()(given).log_prob(x), decoded)
    assert torch.autograd.gradcheck(lambda given: ContinuousBernoulli()(given).mean, decoded)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_decoder_can_start_at_a_mean_image(dtype):
    mean = torch.rand(3, 5, 6, dtype=dtype)
    mean[0, 0], mean[1, 0], mean[2, 0] = 0.0, 1.0, 0.5
    likelihood = ContinuousBernoulli()
    decoded = likelihood.decoder_output(mean)
    assert decoded.shape == likelihood.decoder_shape((3, 5, 6)) == (3, 5, 6)
    assert decoded.dtype == dtype
    torch.testing.assert_close(likelihood(decoded).mean, mean.clamp(0.01, 0.99), atol=1e-6, rtol=0)


def test_batches_autocast_and_a_trace_change_nothing():
    def nats_and_gradient(decoded, x):
        nats = ContinuousBernoulli()(decoded).log_prob(x)
        return nats, *torch.autograd.grad(nats.sum(), decoded)

    decoded, x = torch.randn(5, 3, 2, 4, 7, requires_grad=True), torch.rand(3, 2, 4, 7)
    expected = nats_and_gradient(decoded, x)
    one_by_one = [
        [float(ContinuousBernoulli()(decoded[k, b].detach()).log_prob(x[b])) for b in range(3)] for k in range(5)
    ]
    torch.testing.assert_close(expected[0].detach(), torch.tensor(one_by_one))
    traced = make_fx(nats_and_gradient)(torch.zeros_like(decoded, requires_grad=True), torch.zeros_like(x))
    torch.testing.assert_close(traced(decoded, x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nats_and_gradient(decoded, x)[0], expected[0])
