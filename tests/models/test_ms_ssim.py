"""MS-SSIM in a likelihood's place: its value against windows taken one by one, and what it refuses."""

import math

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import avg_pool2d, unfold

from vae_lightning.models.likelihoods.ms_ssim import MSSSIM

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def by_windows(x, y, window: int, num_scales: int) -> torch.Tensor:
    """Of images [N, C, H, W] in float64, each window's weighted moments by themselves."""
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    line = (-0.5 * (offsets / (1.5 * window / 11)) ** 2).exp()
    weights = (line[:, None] * line / line.sum() ** 2).flatten()
    product = torch.ones(len(x), dtype=torch.float64)
    for scale in range(num_scales):
        if scale:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        a, b = (unfold(each.flatten(0, 1).unsqueeze(1), window) for each in (x, y))
        w = weights.view(1, -1, 1)
        mean_a, mean_b = (w * a).sum(1, True), (w * b).sum(1, True)
        var_a, var_b = (w * (a - mean_a) ** 2).sum(1), (w * (b - mean_b) ** 2).sum(1)
        covariance = (w * (a - mean_a) * (b - mean_b)).sum(1)
        similarity = (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)
        if scale == num_scales - 1:
            a, b = mean_a.squeeze(1), mean_b.squeeze(1)
            similarity = similarity * (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
        exponent = EXPONENTS[scale] / sum(EXPONENTS[:num_scales])
        product = product * ((1 + similarity.reshape(len(x), -1).mean(1)) / 2) ** exponent
    return product


@pytest.mark.parametrize(
    ("shape", "window", "num_scales"), [((1, 28, 31), 11, 2), ((3, 16, 13), 6, 2), ((2, 9, 8), 3, 2)]
)
def test_it_is_what_windows_say_one_by_one(shape, window, num_scales):
    likelihood = MSSSIM(shape, weight=2.0, window=window)
    assert likelihood.num_scales == num_scales
    decoded, x = torch.randn(4, *shape), torch.rand(4, *shape)
    expected = by_windows(torch.sigmoid(decoded).double(), x.double(), window, num_scales)
    found = likelihood(decoded).log_prob(x) / (2.0 * x[0].numel()) + 1
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_a_single_image_and_samples_of_many_are_taken_one_by_one():
    likelihood = MSSSIM((1, 8, 8), window=3)
    decoded, x = torch.randn(5, 3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    together = likelihood(decoded).log_prob(x)
    one_by_one = [[float(likelihood(decoded[k, b]).log_prob(x[b])) for b in range(3)] for k in range(5)]
    torch.testing.assert_close(together, torch.tensor(one_by_one), atol=1e-4, rtol=1e-5)
    twice = likelihood(torch.cat([decoded, decoded], 1)).log_prob(torch.cat([x, x]))
    torch.testing.assert_close(twice, torch.cat([together, together], 1), atol=1e-5, rtol=1e-6)


def test_only_the_image_itself_loses_nothing():
    mean = torch.rand(2, 3, 16, 16).clamp(0.01, 0.99)
    likelihood = MSSSIM((3, 16, 16))
    distribution = likelihood(likelihood.decoder_output(mean))
    torch.testing.assert_close(distribution.mean, mean)
    torch.testing.assert_close(distribution.log_prob(mean), torch.zeros(2), atol=0.05, rtol=0)
    assert bool((distribution.log_prob(1 - mean) < -100).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_extremes_are_finite_and_every_pixel_has_a_gradient(dtype):
    x = torch.zeros(4, 1, 8, 8)
    x[1:, :, :, ::2] = 1.0
    decoded = (20 * (0.5 - x)).to(dtype).clone()  # where the images are opposites
    decoded[2], decoded[3] = -1e4, 1e4
    decoded = decoded.requires_grad_()
    likelihood = MSSSIM((1, 8, 8), window=3).to(torch.float64 if dtype == torch.float64 else torch.float32)
    values = likelihood(decoded).log_prob(x)
    values.sum().backward()
    assert values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert bool(values.isfinite().all())
    assert bool(decoded.grad.isfinite().all())
    assert bool((decoded.grad[1] != 0).all())


def test_autocast_and_a_trace_change_nothing():
    likelihood = MSSSIM((1, 8, 8), window=3)

    def values_and_gradient(decoded, x):
        values = likelihood(decoded).log_prob(x)
        return values, *torch.autograd.grad(values.sum(), decoded)

    decoded, x = torch.randn(2, 3, 1, 8, 8, requires_grad=True), torch.rand(3, 1, 8, 8)
    expected = values_and_gradient(decoded, x)
    traced = make_fx(values_and_gradient)(torch.zeros_like(decoded, requires_grad=True), torch.zeros_like(x))
    torch.testing.assert_close(traced(decoded, x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = likelihood(decoded).log_prob(x)
    assert torch.equal(values, expected[0])
    assert torch.equal(*torch.autograd.grad(values.sum(), decoded), expected[1])


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((1, 8, 28), {}, "^window must be at most 8, the smaller side of the images, got 11$"),
        ((1, 28, 28), {"window": 1}, "^window must be at least 2"),
        ((1, 28, 28), {"num_scales": 3}, "^num_scales must be auto or from 1 to 2, got 3: a window of 11 pixels fits"),
        ((1, 28, 28), {"num_scales": 0}, "^num_scales must be auto or from 1 to 2, got 0"),
        ((1, 28, 28), {"weight": 0.0}, "^weight must be positive and finite, got 0.0$"),
        ((1, 28, 28), {"weight": math.inf}, "^weight must be positive and finite, got inf$"),
    ],
)
def test_what_fits_into_no_image_is_refused_by_name(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        MSSSIM(shape, **arguments)


def test_it_says_over_how_many_scales_it_is_and_adds_nothing_to_a_checkpoint():
    assert MSSSIM((1, 28, 28)).measure == "MS-SSIM over 2 scales"
    assert MSSSIM((3, 200, 180)).measure == "MS-SSIM over 5 scales"
    assert MSSSIM((1, 28, 28), num_scales=1).measure == "MS-SSIM over 1 scale"
    assert MSSSIM((1, 28, 28), 0.5, window=7).measure == "MS-SSIM over 3 scales, windows of 7, weight 0.5"
    assert MSSSIM((1, 28, 28)).state_dict() == {}
