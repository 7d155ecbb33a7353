import numpy as np
import pytest
import torch
from scipy.stats import norm

from tests.callbacks.fakes import captured, evaluated, train
from vae_lightning.callbacks.latent_units import AggregatedPosterior, LatentUnits

NUM_IMAGES = 10


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, module_patch):
    """The arguments of both pictures at the end of a run; and the posterior means and scales, in float64."""
    bars = captured(module_patch, "vae_lightning.callbacks.latent_units.rate_bars")
    curves = captured(module_patch, "vae_lightning.callbacks.latent_units.aggregated_posteriors")
    callbacks = LatentUnits(None, NUM_IMAGES), AggregatedPosterior(None, num_dims=4, num_images=NUM_IMAGES)
    trainer = train(tmp_path_factory.mktemp("latent_units"), *callbacks)
    with torch.no_grad():
        posterior = evaluated(trainer).encode(trainer.datamodule.example_images(NUM_IMAGES))
    return bars[0], curves[0], posterior.mean.double().numpy(), posterior.stddev.double().numpy()


def kl(loc, scale):
    return ((loc**2 + scale**2 - 1) / 2 - np.log(scale)).mean(0)


def test_the_bars_are_the_kl_and_the_variance_of_the_posterior_mean(drawn):
    (rates, variances, threshold, title, context), _, loc, scale = drawn
    assert rates == pytest.approx(kl(loc, scale), rel=1e-5)
    assert variances == pytest.approx(loc.var(0), rel=1e-5)
    assert threshold == 0.01
    assert title == "KL of each latent dimension"
    assert context == "fake · epoch 3"


def test_the_curves_are_the_mixtures_of_the_posteriors_of_most_kl(drawn):
    _, (densities, grid, dims, rates, title, context), loc, scale = drawn
    order = np.argsort(-kl(loc, scale))[:4]
    assert dims == order.tolist()
    assert rates == pytest.approx(kl(loc, scale)[order], rel=1e-5)
    assert grid[0] == -4
    assert grid[-1] == 4
    for density, dim in zip(densities, dims, strict=True):
        mixture = norm.pdf(grid[:, None], loc[:, dim], scale[:, dim]).mean(1)
        assert density == pytest.approx(mixture, rel=1e-4, abs=1e-6)
    assert title == "aggregated posterior and prior"
    assert context == "fake · epoch 3"


def test_there_are_not_more_curves_than_dimensions(fit, monkeypatch):
    curves = captured(monkeypatch, "vae_lightning.callbacks.latent_units.aggregated_posteriors")
    fit(AggregatedPosterior(None, num_dims=20), latent_dim=3, max_epochs=1)
    densities, _, dims, *_ = curves[0]
    assert len(densities) == 3
    assert sorted(dims) == [0, 1, 2]
