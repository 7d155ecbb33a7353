import logging

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tests.callbacks.fakes import FakeVAE, captured, evaluated, train
from vae_lightning.callbacks.projector import Projector
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.pictures.aggregated_posterior import AggregatedPosterior
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.latent_units import LatentUnits
from vae_lightning.pictures.neighbours import Neighbours
from vae_lightning.pictures.traversals import Traversals

NUM_IMAGES = 10


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, module_patch):
    """The arguments of both pictures at the end of a run; and the posterior means and scales, in float64."""
    bars = captured(module_patch, "vae_lightning.pictures.latent_units.rate_bars")
    curves = captured(module_patch, "vae_lightning.pictures.aggregated_posterior.density_panels")
    callbacks = LatentUnits(num_images=NUM_IMAGES), AggregatedPosterior(num_dims=4, num_images=NUM_IMAGES)
    trainer = train(tmp_path_factory.mktemp("latent_units"), *callbacks)
    with torch.no_grad():
        posterior = evaluated(trainer).observe(trainer.datamodule.example_images(NUM_IMAGES))
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
    _, (densities, priors, grid, dims, rates, title, context), loc, scale = drawn
    order = np.argsort(-kl(loc, scale))[:4]
    assert dims == order.tolist()
    assert rates == pytest.approx(kl(loc, scale)[order], rel=1e-5)
    edges = np.linspace(-4, 4, 201)
    assert grid == pytest.approx((edges[1:] + edges[:-1]) / 2, abs=1e-6)
    for density, dim in zip(densities, dims, strict=True):
        below = norm.cdf(edges[:, None], loc[:, dim], scale[:, dim]).mean(1)
        assert density == pytest.approx(np.diff(below) / 0.04, rel=1e-3, abs=1e-5)
    assert priors == pytest.approx(np.stack([norm.pdf(grid)] * 4), rel=1e-5)
    assert title == "aggregated posterior and prior"
    assert context == "fake · epoch 3"


def test_there_are_not_more_curves_than_dimensions(fit, monkeypatch):
    curves = captured(monkeypatch, "vae_lightning.pictures.aggregated_posterior.density_panels")
    fit(AggregatedPosterior(num_dims=20), latent_dim=3, max_epochs=1)
    densities, _, _, dims, *_ = curves[0]
    assert len(densities) == 3
    assert sorted(dims) == [0, 1, 2]


def test_nothing_is_drawn_of_latents_that_are_not_finite(fit, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    monkeypatch.setattr(FakeVAE, "observe", lambda self, x, _: DiagonalNormal(*torch.full((2, len(x), 6), torch.nan)))
    callbacks = [
        LatentUnits(every_n_epochs=1),
        AggregatedPosterior(every_n_epochs=1),
        Embedding(method="pca", every_n_epochs=1),
        Traversals(every_n_epochs=1),
        Projector(1),
        Neighbours(every_n_epochs=1),
    ]
    fit(*callbacks, max_epochs=1)
    assert not (tmp_path / "images").exists()
    assert not (tmp_path / "projector").exists()
    assert "not finite: nothing is drawn of them" in caplog.text
