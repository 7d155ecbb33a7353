"""The hierarchical model, against integration over its latents on a grid."""

import math
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.trained import DIGITS, train_once
from vae_lightning.likelihood.importance import importance_sampled
from vae_lightning.models.ladder import Ladder
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.networks.gated import GatedBetween, GatedDecoder, GatedEncoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.priors.vamp import VampPrior
from vae_lightning.noise import Indexed, Seeded
from vae_lightning.objectives.terms import rate

SHAPE = (1, 3, 3)
CPU = torch.device("cpu")


def ladder(latent_dims, prior=StandardNormal, spread: float = 1.0) -> Ladder:
    torch.manual_seed(0)
    networks = partial(MLPEncoder, hidden=[12]), partial(MLPDecoder, hidden=[12])
    model = Ladder(
        SHAPE, latent_dims, networks[0], DiagonalGaussian, prior, networks[1], GaussianLikelihood(0.2), hidden=8
    )
    for parameter in model.parameters():
        parameter.data *= spread
    return model.eval()


def gated(latent_dims, prior=StandardNormal, spread: float = 1.0) -> Ladder:
    """As `model=gated_hvae` has it: gated layers, and an encoder for the lower groups."""
    torch.manual_seed(0)
    encoder, lower = partial(GatedEncoder, hidden=[12, 9]), partial(GatedEncoder, hidden=[7])
    decoder = partial(GatedDecoder, hidden=[12], groups=latent_dims)
    posterior = partial(DiagonalGaussian, max_log_variance=2.0, min_log_variance=-6.0)
    parts = encoder, posterior, prior, decoder, GaussianLikelihood(0.2)
    model = Ladder(SHAPE, latent_dims, *parts, hidden=8, between=GatedBetween, lower_encoder=lower)
    for parameter in model.parameters():
        parameter.data *= spread
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(("made", "spread"), [(ladder, 2.0), (gated, 1.0)])
def test_importance_sampling_finds_the_integral_over_its_latents(made, spread):
    model, x = made([1, 1], spread=spread), torch.rand(5, *SHAPE)
    axis = torch.linspace(-6, 6, 241)
    top, lower = (each.reshape(-1, 1) for each in torch.meshgrid(axis, axis, indexing="ij"))
    log_prior = model.prior().log_prob(top) + model.priors[0](top).log_prob(lower)
    check_likelihood(model, x, torch.cat([top, lower], 1), log_prior, axis[1] - axis[0])


def check_likelihood(model, x, z, log_prior, step):
    """Importance sampling of two latents finds the integral over them, on a grid of this step."""
    log_likelihood = model.decode(z).log_prob(x.unsqueeze(1))
    exact = (log_prior + log_likelihood).logsumexp(1) + 2 * torch.log(step)
    found = importance_sampled(model, x, torch.arange(len(x)), num_samples=20_000, seed=0, max_latents=30_000)
    log_p = torch.cat([bounds.log_likelihood for _, bounds in found])
    torch.testing.assert_close(log_p.float(), exact, atol=0.05, rtol=0)
    assert abs(float(log_p.mean() - exact.mean())) < 0.02


@torch.no_grad()
@pytest.mark.parametrize("made", [ladder, gated])
@pytest.mark.parametrize("latent_dims", [[3, 2], [3, 2, 4]])
def test_each_group_depends_on_those_above_and_on_the_image(latent_dims, made):
    model, x = made(latent_dims), torch.rand(6, *SHAPE)
    groups = model.infer(model.observe(x), Seeded(0, 6, CPU))
    assert [group.z.shape[-1] for group in groups] == latent_dims
    assert [tuple(group.posterior.batch_shape) for group in groups] == [(6,)] + [(1, 6)] * (len(latent_dims) - 1)
    others = model.infer(model.observe(x.flip(0)), Seeded(0, 6, CPU))
    assert all(
        not torch.equal(one.posterior.mean, other.posterior.mean) for one, other in zip(groups, others, strict=True)
    )
    again = model.infer(model.observe(x), Seeded(1, 6, CPU))
    assert torch.equal(again[0].posterior.mean, groups[0].posterior.mean)
    assert not torch.equal(again[1].posterior.mean, groups[1].posterior.mean)
    assert not torch.equal(again[1].prior.mean, groups[1].prior.mean)


@torch.no_grad()
def test_codes_are_means_at_means_and_side_by_side():
    model, x = ladder([3, 2]), torch.rand(6, *SHAPE)
    latents = model.encode(x)
    features = model.encoder(x)
    top = model.top_posterior(features).mean
    lower = model.posteriors[0](torch.cat([features, top], 1)).mean
    assert latents.scale is None
    assert torch.equal(latents.loc, torch.cat([top, lower], 1))
    assert model.latent_dim == 5
    assert model.latent_prior() is None
    assert model.reconstruct(x).shape == x.shape


@torch.no_grad()
def test_rates_of_the_dimensions_make_up_the_rate():
    model, x = ladder([3, 2], spread=3.0), torch.rand(6, *SHAPE)
    output = model(x, Indexed(0, torch.arange(6), 4, CPU))
    by_dimension = torch.cat([group.rate_per_dimension() for group in output.groups], 1)
    torch.testing.assert_close(by_dimension.sum(1), rate(output), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_samples_are_drawn_from_the_top_down():
    model = ladder([2, 2], spread=2.0)
    z = model.draw(Indexed(0, torch.arange(20_000), 1, CPU))[0]
    standardized = (z[:, 2:] - model.priors[0](z[:, :2]).mean) / model.priors[0](z[:, :2]).stddev
    assert float(standardized.mean()) == pytest.approx(0, abs=0.03)
    assert float(standardized.std()) == pytest.approx(1, abs=0.03)
    coldest = model.draw(Indexed(0, torch.arange(3), 1, CPU), temperature=0)[0]
    torch.testing.assert_close(coldest, coldest[:1].expand(3, 4))


@torch.no_grad()
def test_the_prior_of_the_top_may_be_given_the_encoder():
    prior = partial(VampPrior, image_shape=SHAPE, num_components=4)
    model, x = ladder([3, 2], prior), torch.rand(6, *SHAPE)
    top = model.infer(model.observe(x), Seeded(0, 6, CPU))[0].prior
    expected = model.top_posterior(model.encoder(model.prior.pseudo_inputs)).mean
    torch.testing.assert_close(top.components.loc, expected)


@torch.no_grad()
def test_the_lower_groups_may_have_an_encoder_of_their_own():
    model, x = gated([3, 2]), torch.rand(6, *SHAPE)
    top = model.top_posterior(model.encoder(x)).mean
    lower = model.posteriors[0](torch.cat([model.lower_encoder(x), top], 1)).mean
    torch.testing.assert_close(model.encode(x).loc, torch.cat([top, lower], 1))
    means = model.infer(model.observe(x)[2:4], Seeded(0, 2, CPU))[0].posterior.mean  # as a part of them is looked at
    torch.testing.assert_close(means, top[2:4])


class Operators(TorchDispatchMode):
    """Notes how many operators run, and the largest tensor that one makes."""

    def __init__(self):
        super().__init__()
        self.count = self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.count += 1
        self.largest = max([self.largest, *(each.numel() for each in tree_leaves(result) if torch.is_tensor(each))])
        return result


def test_a_vamp_prior_costs_products_of_matrices_and_one_pass_of_the_tops_encoder():
    seen, counts = [], []
    for num_components in (5, 100):
        model = gated([6, 5], partial(VampPrior, image_shape=SHAPE, num_components=num_components))
        model.lower_encoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
        x = torch.rand(50, *SHAPE)
        with Operators() as operators:
            output = model(x, Seeded(0, 50, CPU))
            (rate(output) - output.likelihood.log_prob(x)).mean().backward()
        counts.append(operators.count)
        assert operators.largest < 50 * 100 * 6
        assert all(bool(parameter.grad.any()) for parameter in model.parameters())
    assert counts[0] == counts[1]
    assert seen == [50, 50]  # images, and no pseudo-inputs


@pytest.mark.parametrize("size", [1e-3, 100])
def test_it_is_finite_at_extremes_in_bfloat16(size):
    model = gated([3, 2], partial(VampPrior, image_shape=SHAPE, num_components=4), spread=size)
    x = torch.rand(6, *SHAPE).round()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x, Seeded(0, 6, CPU))
    loss = (rate(output) - output.likelihood.log_prob(x)).mean()
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


def test_log_variances_stay_between_their_bounds():
    posterior = DiagonalGaussian(4, 3, max_log_variance=2.0, min_log_variance=-6.0)
    scale = posterior(1e4 * torch.randn(200, 4)).base_dist.scale
    assert float(scale.detach().max()) == pytest.approx(math.exp(1))
    assert float(scale.detach().min()) == pytest.approx(math.exp(-3))
    assert DiagonalGaussian(4, 3).log_variances == (-20, 20)
    with pytest.raises(ValueError, match=r"^min_log_variance must be below max_log_variance=2, got 2"):
        DiagonalGaussian(4, 3, max_log_variance=2.0, min_log_variance=2.0)


def test_a_plain_ladders_weights_have_the_names_they_had():
    names = {name for name in ladder([3, 2]).state_dict() if name.startswith(("post", "priors"))}
    layers = {"0", "2.loc", "2.log_variance"}
    expected = {
        f"{part}.0.{layer}.{kind}"
        for part in ("posteriors", "priors")
        for layer in layers
        for kind in ("weight", "bias")
    }
    assert names == expected


@pytest.mark.parametrize("latent_dims", [[], [4], [4, 0]])
def test_less_than_two_groups_are_refused(latent_dims):
    with pytest.raises(ValueError, match=r"^latent_dims must be 2 widths or more, each at least 1"):
        ladder(latent_dims)


def test_it_trains_and_opens_again(tmp_path):
    from vae_lightning.runs.trained import open_trained

    settings = [*DIGITS, "model=ladder", "model.latent_dims=[3,2]", "model.hidden=8", "trainer.max_epochs=1"]
    run = train_once(tmp_path / "run", *settings)
    opened = open_trained(str(run.path), device="cpu")
    assert opened.latent_dim == 5
    assert opened.units is not None
    assert len(opened.units.rate) == 5
