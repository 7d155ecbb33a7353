"""The mixture of discretized logistic distributions, by its properties."""

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from tests.models.test_discretized_logistic import check_all_is_finite
from vae_lightning.models.likelihoods.discretized_logistic import DiscretizedLogistic
from vae_lightning.models.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture

LEVELS = torch.arange(256) / 255


def images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape) / 255


def output(likelihood: DiscretizedLogisticMixture, num_channels: int, *batch: int, size: int = 1) -> Tensor:
    return torch.randn(*batch, *likelihood.decoder_shape((num_channels, size, size)))


@pytest.mark.parametrize(("num_channels", "kinds"), [(1, 3), (2, 5), (3, 10), (4, 9)])
def test_the_decoder_puts_out_all_that_a_pixel_needs(num_channels, kinds):
    likelihood = DiscretizedLogisticMixture(7)
    assert likelihood.decoder_shape((num_channels, 4, 5)) == (7 * kinds, 4, 5)
    distribution = likelihood(torch.randn(2, 3, 7 * kinds, 4, 5))
    assert distribution.batch_shape == (2, 3)
    assert distribution.event_shape == (num_channels, 4, 5)
    assert distribution.log_prob(images(3, num_channels, 4, 5)).shape == (2, 3)
    assert distribution.mean.shape == (2, 3, num_channels, 4, 5)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_the_levels_of_a_grey_pixel_have_a_probability_of_one_together(spread):
    likelihood = DiscretizedLogisticMixture(5)
    decoded = spread * output(likelihood, 1, 50)
    nats = torch.stack([likelihood(decoded).log_prob(level.expand(50, 1, 1, 1)) for level in LEVELS])
    torch.testing.assert_close(nats.exp().sum(0), torch.ones(50), atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_channels", [2, 3])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_the_levels_of_the_last_channel_share_the_probability_of_those_before(num_channels, spread):
    likelihood = DiscretizedLogisticMixture(4)
    decoded = spread * output(likelihood, num_channels)
    before = images(num_channels - 1)
    pixels = torch.cat([before.expand(256, -1), LEVELS[:, None]], 1).view(256, num_channels, 1, 1)
    total = likelihood(decoded).log_prob(pixels).logsumexp(0)
    logits, *others = decoded.unflatten(0, (-1, 4)).unbind(0)
    locs, log_scales = others[: num_channels - 1], others[num_channels : 2 * num_channels - 1]
    if num_channels == 3:
        locs = [locs[0], locs[1] + others[6].tanh() * (2 * before[0] - 1)]
    nats = logits.log_softmax(0)
    for channel, (loc, log_scale) in enumerate(zip(locs, log_scales, strict=True)):
        single = DiscretizedLogistic()(torch.stack([loc, log_scale], 1))
        nats = nats + single.log_prob(before[channel].expand(1, 1, 1)).view(4, 1, 1)
    torch.testing.assert_close(total, nats.logsumexp(0).sum(), atol=1e-5, rtol=1e-5)


def test_all_grey_levels_and_one_other_channel_have_a_probability_of_one():
    likelihood = DiscretizedLogisticMixture(2)
    decoded = output(likelihood, 2)
    pairs = torch.cartesian_prod(LEVELS, LEVELS).view(-1, 2, 1, 1)
    torch.testing.assert_close(likelihood(decoded).log_prob(pairs).exp().sum(), torch.tensor(1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("num_channels", [1, 2, 3])
def test_of_one_component_without_dependence_it_is_no_mixture(num_channels):
    mixture, single = DiscretizedLogisticMixture(1), DiscretizedLogistic()
    decoded, x = output(mixture, num_channels, 2, 5, size=3), images(5, num_channels, 3, 3)
    decoded[:, :, 1 + 2 * num_channels :] = 0
    expected = single(decoded[:, :, 1 : 1 + 2 * num_channels])
    torch.testing.assert_close(mixture(decoded).log_prob(x), expected.log_prob(x))
    torch.testing.assert_close(mixture(decoded).mean, expected.mean)


def test_the_channels_depend_on_those_before_as_in_pixelcnn():
    likelihood = DiscretizedLogisticMixture(1)
    a, b, c = 0.5, -0.3, 0.8
    x = images(3, 1, 1)
    red, green, _ = (2 * x - 1).flatten().tolist()
    decoded = torch.zeros(10, 1, 1)
    decoded[4:7] = -2.0
    decoded[7:] = torch.tensor([a, b, c]).atanh().view(3, 1, 1)
    told = torch.tensor([0.0, a * red, b * red + c * green, -2.0, -2.0, -2.0]).view(6, 1, 1)
    torch.testing.assert_close(likelihood(decoded).log_prob(x), DiscretizedLogistic()(told).log_prob(x))


def test_the_mean_is_that_of_the_levels():
    likelihood = DiscretizedLogisticMixture(3)
    decoded = output(likelihood, 1, 50)
    nats = torch.stack([likelihood(decoded).log_prob(level.expand(50, 1, 1, 1)) for level in LEVELS])
    expected = (nats.exp() * LEVELS[:, None]).sum(0)
    torch.testing.assert_close(likelihood(decoded).mean.flatten(), expected, atol=0.5 / 255, rtol=0)


def test_the_mean_of_blue_is_that_where_red_and_green_are_at_theirs():
    likelihood = DiscretizedLogisticMixture(1)
    decoded = output(likelihood, 3, 5)
    grey = 2 * likelihood(decoded).mean - 1
    a, b, c = decoded[:, 7:].tanh().unbind(1)
    told = decoded[:, 1:7].clone()
    told[:, 1] += a * grey[:, 0]
    told[:, 2] += b * grey[:, 0] + c * grey[:, 1]
    torch.testing.assert_close(likelihood(decoded).mean, DiscretizedLogistic()(told).mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("num_channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_extreme_outputs_have_finite_log_probabilities_and_gradients(num_channels, dtype):
    likelihood = DiscretizedLogisticMixture(2)
    shape = likelihood.decoder_shape((num_channels, 16, 16))
    decoded = (100 * (2 * torch.randint(0, 2, (20, *shape)) - 1)).to(dtype).requires_grad_()
    x = LEVELS.view(1, 1, 16, 16).expand(20, num_channels, 16, 16)
    check_all_is_finite(likelihood, decoded, x)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_gradients_are_those_of_differences(num_channels):
    likelihood, x = DiscretizedLogisticMixture(2), images(2, num_channels, 2, 2)
    decoded = output(likelihood, num_channels, 2, size=2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: likelihood(given).log_prob(x), decoded)


@pytest.mark.parametrize("num_channels", [1, 2, 3])
def test_samples_and_images_are_batched_in_any_memory_format(num_channels):
    likelihood, x = DiscretizedLogisticMixture(3), images(3, num_channels, 4, 4)
    decoded = output(likelihood, num_channels, 5, 3, size=4)
    nats, mean = likelihood(decoded).log_prob(x), likelihood(decoded).mean
    one_by_one = [[float(likelihood(decoded[k, b]).log_prob(x[b])) for b in range(3)] for k in range(5)]
    torch.testing.assert_close(nats, torch.tensor(one_by_one))
    last = decoded.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (5, 3))
    torch.testing.assert_close(likelihood(last).log_prob(x.to(memory_format=torch.channels_last)), nats)
    torch.testing.assert_close(likelihood(last).mean, mean)


@pytest.mark.parametrize("num_channels", [1, 2, 3])
def test_a_decoder_can_start_at_any_mean_image(num_channels):
    likelihood, mean = DiscretizedLogisticMixture(3), torch.rand(num_channels, 4, 4)
    mean[0, 0], mean[0, 1] = 0.0, 1.0
    decoded = likelihood.decoder_output(mean)
    assert decoded.shape == likelihood.decoder_shape((num_channels, 4, 4))
    torch.testing.assert_close(likelihood(decoded).mean, mean, atol=1.1e-3, rtol=0)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_under_autocast_it_is_as_exact_as_without(num_channels):
    likelihood, x = DiscretizedLogisticMixture(3), images(3, num_channels, 4, 4)
    decoded = output(likelihood, num_channels, 2, 3, size=4)
    distribution = likelihood(decoded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = likelihood(decoded)
        assert torch.equal(within.log_prob(x), distribution.log_prob(x))
        assert torch.equal(within.mean, distribution.mean)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_nothing_branches_on_data(num_channels):
    likelihood = DiscretizedLogisticMixture(2)

    def nats_and_mean(decoded, x):
        distribution = likelihood(decoded)
        return distribution.log_prob(x), distribution.mean

    decoded, x = output(likelihood, num_channels, 2, 3, size=4), images(3, num_channels, 4, 4)
    traced = make_fx(nats_and_mean)(torch.zeros_like(decoded), torch.zeros_like(x))
    torch.testing.assert_close(traced(decoded, x), nats_and_mean(decoded, x))


def test_less_than_one_component_is_refused():
    with pytest.raises(ValueError, match=r"^num_components must be at least 1, got 0"):
        DiscretizedLogisticMixture(0)
