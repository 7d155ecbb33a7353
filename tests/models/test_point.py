"""A posterior without noise: its samples are its mean, and whoever asks for a density is told that there is none."""

import torch

from tests.given import fresh
from vae_lightning.latents.units import UnitMeter, UnitStatistics
from vae_lightning.models.distributions import PointMass, sample
from vae_lightning.models.latent_model import Group, rates_per_dimension
from vae_lightning.models.posteriors.point import PointPosterior
from vae_lightning.models.priors.standard_normal import StandardNormal


def test_its_samples_are_its_mean_however_many():
    features = torch.randn(4, 5)
    posterior = PointPosterior(5, 3)(features)
    z = sample(posterior, fresh(2, 4))
    assert z.shape == (2, 4, 3)
    assert torch.equal(z, posterior.mean.expand(2, 4, 3))
    assert not posterior.variance.any()
    assert torch.equal(posterior[1:3].mean, posterior.mean[1:3])
    group = Group(posterior, StandardNormal(3)(), z)
    assert not group.has_density
    assert rates_per_dimension([group]) is None


def test_half_precision_becomes_float32():
    assert PointMass(torch.zeros(2, 3, dtype=torch.bfloat16)).mean.dtype == torch.float32


def test_statistics_of_units_do_without_rates_and_are_read_back():
    meter = UnitMeter()
    means = torch.tensor([[0.0, 1.0, 5.0], [0.0, -1.0, -5.0]])
    meter.update(None, means)
    found = meter.compute()
    assert found.rate is None
    assert found.by_rate == [2, 1, 0]
    assert found.active().tolist() == [False, True, True]
    read = UnitStatistics.from_dict(found.as_dict())
    assert read.rate is None
    assert torch.equal(read.variance, found.variance)
