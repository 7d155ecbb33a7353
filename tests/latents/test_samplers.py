"""Samplers draw from what they were fitted to: moments and modes of codes whose distribution is known."""

import copy
import sys

import pytest
import torch

from vae_lightning.errors import UserError
from vae_lightning.latents.samplers.flow import FlowSampler
from vae_lightning.latents.samplers.gaussian import GaussianSampler
from vae_lightning.latents.samplers.gmm import GMMSampler
from vae_lightning.latents.samplers.sampler import Codes
from vae_lightning.latents.samplers.two_stage import TwoStageSampler
from vae_lightning.latents.samplers.vamp import VampSampler
from vae_lightning.noise import Indexed, Seeded

CPU = torch.device("cpu")
SMALL = [
    GaussianSampler(),
    GMMSampler(num_components=2),
    VampSampler(num_components=3),
    TwoStageSampler(hidden=8, num_steps=3),
    FlowSampler(num_transforms=2, hidden=8, num_steps=3),
]
names = pytest.mark.parametrize("sampler", SMALL, ids=lambda each: each.name)


def two_modes(num_codes: int = 2000) -> Codes:
    """Three of ten around (3, 1) with a correlation of 0.8, seven around (-2, 1), both ten times as narrow in z_0."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(num_codes, 2, generator=generator)
    correlated = torch.stack([normal[:, 0], 0.8 * normal[:, 0] + 0.6 * normal[:, 1]], 1)
    is_first = torch.rand(num_codes, 1, generator=generator) < 0.3
    z = (
        torch.where(is_first, torch.tensor([3.0, 1.0]), torch.tensor([-2.0, 1.0]))
        + torch.tensor([0.1, 1.0]) * correlated
    )
    return Codes(z, z, torch.full_like(z, 0.01))


def test_a_mixture_finds_the_modes_and_the_correlation():
    drawn = GMMSampler(num_components=2).fit(two_modes(), 0)(Seeded(1, 4000, CPU))[0]
    first = drawn[drawn[:, 0] > 0]
    assert len(first) / len(drawn) == pytest.approx(0.3, abs=0.03)
    torch.testing.assert_close(first.mean(0), torch.tensor([3.0, 1.0]).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(first.std(0), torch.tensor([0.1, 1.0]).double(), atol=0.05, rtol=0)
    assert float(torch.corrcoef(first.T)[0, 1]) == pytest.approx(0.8, abs=0.06)


def test_a_gaussian_has_the_mean_and_the_covariance_of_the_codes():
    codes = two_modes()
    drawn = GaussianSampler().fit(codes, 0)(Seeded(1, 4000, CPU))[0].float()
    torch.testing.assert_close(drawn.mean(0), codes.z.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), codes.z.T.cov(), atol=0.3, rtol=0)
    with pytest.raises(ValueError, match=r"^num_images must be at least 2 here"):
        GaussianSampler().fit(Codes(codes.z[:1], codes.loc[:1], None), 0)


def test_a_mixture_of_narrow_codes_is_as_narrow():
    z = 1e-3 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    drawn = GMMSampler(num_components=1).fit(Codes(z, z, None), 0)(Seeded(1, 4000, CPU))[0].float()
    torch.testing.assert_close(drawn.std(0), z.std(0), atol=0, rtol=0.05)
    constant = torch.cat([z, torch.full((500, 1), 7.0)], 1)
    drawn = GMMSampler(num_components=2).fit(Codes(constant, constant, None), 0)(Seeded(1, 100, CPU))[0]
    torch.testing.assert_close(drawn[:, 2], torch.full((100,), 7.0).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "sampler",
    [TwoStageSampler(hidden=16, num_steps=700), FlowSampler(num_transforms=2, hidden=16, num_steps=150)],
    ids=lambda each: each.name,
)
def test_what_is_trained_has_the_moments_of_the_codes(sampler):
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(1000, 2, generator=generator)
    z = torch.stack([5 + normal[:, 0], 0.02 * (normal[:, 0] + 0.5 * normal[:, 1])], 1)
    with torch.no_grad():
        drawn = sampler.fit(Codes(z, z, None), 0).double()(Seeded(1, 2000, CPU))[0].float()
    torch.testing.assert_close(drawn.mean(0) / z.std(0), z.mean(0) / z.std(0), atol=0.25, rtol=0)
    torch.testing.assert_close(drawn.std(0), z.std(0), atol=0, rtol=0.2)
    assert float(torch.corrcoef(drawn.T)[0, 1]) == pytest.approx(float(torch.corrcoef(z.T)[0, 1]), abs=0.15)


def test_a_flow_without_its_package_is_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(UserError, match=r'^sampler=flow: zuko is not installed: pip install "vae-lightning\[flows\]"$'):
        FlowSampler().empty(2)


def test_mixed_posteriors_are_those_of_the_images():
    codes = Codes(torch.zeros(3, 2), torch.tensor([[0.0, 9.0], [5.0, 0.0], [-5.0, 0.0]]), torch.full((3, 2), 0.1))
    drawn = VampSampler(num_components=3).fit(codes, 0)(Seeded(1, 900, CPU))[0]
    nearest = torch.cdist(drawn, codes.loc).min(1)
    assert nearest.indices.bincount().tolist() == pytest.approx([300, 300, 300], abs=60)
    assert float((drawn - codes.loc[nearest.indices]).std()) == pytest.approx(0.1, abs=0.01)


@names
def test_a_sample_depends_on_the_seed_and_its_number_alone(sampler):
    fit = sampler.fit(two_modes(100), 0).double()
    with torch.no_grad():
        many = fit(Indexed(5, torch.arange(300), 1, CPU))[0]
        few = fit(Indexed(5, torch.tensor([270, 3]), 1, CPU))[0]
        other = fit(Indexed(6, torch.tensor([270, 3]), 1, CPU))[0]
    torch.testing.assert_close(few, many[[270, 3]], atol=1e-9, rtol=0)
    assert not bool((few == other).any())


@names
def test_the_same_seed_gives_the_same_fit_and_moves_no_other_generator(sampler):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same = (sampler.fit(two_modes(100), 7).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert torch.equal(before, torch.get_rng_state())


@names
def test_what_is_kept_of_a_fit_is_the_whole_of_it(sampler):
    fit = sampler.fit(two_modes(100), 0)
    again = sampler.empty(2)
    again.load_state_dict(copy.deepcopy(fit.state_dict()))
    with torch.no_grad():
        drawn = [each.double()(Seeded(1, 50, CPU)) for each in (fit, again)]
    assert torch.equal(*drawn)


@names
def test_temperature_zero_leaves_no_spread_within_a_component(sampler):
    with torch.no_grad():
        drawn = sampler.fit(two_modes(100), 0).double()(Seeded(1, 50, CPU), 0.0)[0]
    assert 1 <= len(drawn.unique(dim=0)) <= 3


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: GMMSampler(num_components=0), "num_components"),
        (lambda: VampSampler(num_components=0), "num_components"),
        (lambda: FlowSampler(num_transforms=0), "num_transforms"),
        (lambda: TwoStageSampler(num_steps=0), "num_steps"),
    ],
)
def test_a_number_below_one_is_refused(make, name):
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0"):
        make()


@pytest.mark.parametrize("sampler", [GMMSampler(num_components=9), VampSampler(num_components=9)])
def test_more_components_than_codes_are_refused(sampler):
    with pytest.raises(ValueError, match=r"^num_components must be at most 5"):
        sampler.fit(two_modes(5), 0)


def test_posteriors_that_are_not_normal_can_not_be_mixed():
    with pytest.raises(UserError, match=r"^sampler=vamp: needs posteriors that are normal"):
        VampSampler(num_components=2).fit(Codes(torch.zeros(3, 2), torch.zeros(3, 2), None), 0)
