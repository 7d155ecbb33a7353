"""A flow as prior and as posterior: what they start as, and log p(x) of models in which it is known."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from tests.given import Given, fresh
from tests.objectives.test_elbo import SCALE, START, D, LinearGaussian
from tests.objectives.test_iwae import loosened
from tests.tiny import ADAM, Noise, differing, fit, module
from tests.training.recorded_operators import RecordedOperators
from vae_lightning.latents.paths import prior_spread
from vae_lightning.likelihood.importance import importance_sampled
from vae_lightning.models.conditional import LabelChannel
from vae_lightning.models.ladder import Ladder
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.posteriors.flow import FlowPosterior
from vae_lightning.models.posteriors.full_covariance import FullCovariance
from vae_lightning.models.priors.flow import FlowPrior
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.priors.vamp import VampPrior
from vae_lightning.models.vae import VAE, build_vae
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.training import epochs
from vae_lightning.training.captured import Captured

CPU = torch.device("cpu")


def moved(part: nn.Module, size: float) -> None:
    """Take a flow away from the identity, the same way each time."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in part.flow.named_parameters():
            if name.endswith(("gain", "steps.0.bias", "steps.1.bias")):
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))


def oracle_with_a_flow_posterior(oracle: LinearGaussian) -> VAE:
    """The linear model, whose posterior is a flow about the right place, and not exact."""
    vae, posterior = oracle.vae(), FlowPosterior(6, D, hidden=(8,), num_context=4)
    precision = 1 + oracle.weights.square().sum(0) / SCALE**2
    with torch.no_grad():
        for layer in (posterior.loc, posterior.log_variance):
            layer.weight.zero_(), layer.bias.zero_()
        posterior.loc.weight.copy_((oracle.weights / SCALE**2 / precision).T)
        posterior.log_variance.bias.copy_(-precision.log() + 0.6)
    moved(posterior, 0.1)
    return VAE(vae.encoder, posterior, vae.prior, vae.decoder, vae.likelihood, latent_dim=D)


def bounds_of(vae: VAE, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
    options = {"num_samples": num_samples, "seed": 3, "max_latents": num_samples}
    parts = [bounds for _, bounds in importance_sampled(vae, x, torch.arange(len(x)), **options)]
    return torch.cat([each.log_likelihood for each in parts]), torch.cat([each.elbo for each in parts])


def test_importance_sampling_through_a_flow_posterior_reaches_log_p_of_x():
    oracle, x = LinearGaussian(), torch.randn(30, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    log_likelihood, elbo = bounds_of(oracle_with_a_flow_posterior(oracle).eval(), x, 5000)
    expected = oracle.log_marginal(x).double()
    torch.testing.assert_close(log_likelihood, expected, atol=0.15, rtol=0)
    assert float(log_likelihood.mean()) == pytest.approx(float(expected.mean()), abs=0.02)
    assert float((log_likelihood - elbo).mean()) > 0.05  # it is not exact, or this would say nothing


def test_under_a_flow_prior_that_is_normal_log_p_of_x_is_known():
    oracle, prior = LinearGaussian(), FlowPrior(D, num_steps=1, kind="affine")
    shift, log_scale = torch.tensor([0.3, -0.5, 1.0]), torch.tensor([0.2, -0.3, 0.4])
    with torch.no_grad():
        bias = prior.flow.steps[0].bias
        bias.copy_(torch.stack([shift, log_scale / (1 - log_scale.abs() / 6.907755)], 1))  # which zuko bounds softly
    vae = loosened(oracle.vae())
    vae.prior = prior
    x = torch.randn(30, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    loc, scale = -shift / log_scale.exp(), (-log_scale).exp()
    covariance = oracle.weights @ torch.diag(scale.square()) @ oracle.weights.T + SCALE**2 * torch.eye(6)
    expected = MultivariateNormal(oracle.weights @ loc, covariance).log_prob(x.flatten(1))
    log_likelihood, _ = bounds_of(vae.eval(), x, 5000)
    assert float(log_likelihood.mean()) == pytest.approx(float(expected.mean()), abs=0.02)
    z = vae.draw(fresh(1, 50_000))[0]
    torch.testing.assert_close(z.mean(0), loc, atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(0), scale, atol=0.03, rtol=0)
    spread = prior_spread(vae, CPU)
    torch.testing.assert_close((spread.mean, spread.stddev), (loc, scale), atol=0.06, rtol=0)
    assert not spread.is_unit


def test_they_start_as_the_plain_ones():
    torch.manual_seed(0)
    posterior, plain, z = FlowPosterior(5, D), DiagonalGaussian(5, D), torch.randn(2, 4, D)
    plain.load_state_dict(
        {name: value for name, value in posterior.state_dict().items() if name.startswith(("loc", "log_variance"))}
    )
    features, prior = torch.randn(4, 5), FlowPrior(D)()
    torch.testing.assert_close(posterior(features).log_prob(z), plain(features).log_prob(z), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(prior.log_prob(z), StandardNormal(D)().log_prob(z), atol=1e-4, rtol=1e-4)


def test_every_image_has_its_own_terms_whatever_stands_beside_it():
    vae, x = oracle_with_a_flow_posterior(LinearGaussian()), torch.randn(4, 1, 2, 3)
    twice, noise = torch.cat([x, x]), torch.randn(3, 4, D)
    vae.prior = FlowPrior(D)
    moved(vae.prior, 0.2)
    once = ELBO()(vae(x, Given(noise)), x, START)
    both = ELBO()(vae(twice, Given(torch.cat([noise, noise], 1))), twice, START)
    torch.testing.assert_close(both.loss, once.loss.repeat(2), atol=1e-4, rtol=1e-5)


def test_a_flow_learns_what_no_normal_is():
    torch.manual_seed(0)
    prior = FlowPrior(2, num_steps=2, hidden=(16,))
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.05)
    first = torch.randn(300)
    banana = torch.stack([first, first.square() - 1 + 0.3 * torch.randn(300)], 1)
    gaussian = -MultivariateNormal(banana.mean(0), banana.T.cov()).log_prob(banana).mean()
    for _ in range(50):
        loss = -prior().log_prob(banana).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < float(gaussian) - 0.3


@pytest.mark.parametrize("posterior", [FlowPosterior, FullCovariance])
def test_a_ladder_is_made_of_them_with_several_samples(posterior):
    torch.manual_seed(0)
    ladder = Ladder((1, 4, 4), [3, 2, 1], MLPEncoder, posterior, FlowPrior, MLPDecoder, BernoulliLikelihood(), hidden=8)
    x = torch.rand(5, 1, 4, 4)
    for part in ladder.modules():
        if hasattr(part, "flow"):
            moved(part, 0.3)
    output = ladder(x, fresh(3, 5))
    terms = ELBO(num_samples=3)(output, x, START)
    terms.loss.mean().backward()
    assert [name for name, one in ladder.named_parameters() if one.grad is None or not one.grad.any()] == []
    assert bool(terms.loss.isfinite().all())
    for group in output.groups:
        assert group.rate_per_dimension().shape == (5, group.z.shape[-1])
    assert ladder.encode(x).loc.shape == ladder.draw(fresh(1, 5))[0].shape == (5, 6)


@pytest.mark.parametrize("posterior", [FlowPosterior, FullCovariance])
def test_a_vamp_prior_is_refused_for_it_mixes_independent_components(posterior):
    def prior(latent_dim):
        return VampPrior(latent_dim, (1, 4, 4), 2)

    message = (
        rf"^prior must not be a VampPrior, .* a {posterior.__name__} has no independent components; choose another"
    )
    with pytest.raises(ValueError, match=message):
        build_vae((1, 4, 4), 2, MLPEncoder, posterior, prior, MLPDecoder, BernoulliLikelihood())
    with pytest.raises(ValueError, match=message):
        Ladder((1, 4, 4), [2, 1], MLPEncoder, posterior, prior, MLPDecoder, BernoulliLikelihood())


@pytest.mark.parametrize(("posterior", "prior"), [(FlowPosterior, FlowPrior), (FullCovariance, StandardNormal)])
def test_replayed_steps_are_the_operators_steps(posterior, prior, monkeypatch):
    def made():
        trained = module(partial(ADAM, lr=2.0**-7))  # which is the same in float32
        torch.manual_seed(1)
        trained.vae.posterior, trained.vae.prior = posterior(8, 3), prior(3)
        trained.objective = ELBO(num_samples=2)
        return trained

    eager, recorder = fit(1, trained=made(), data=Noise(13)), RecordedOperators()
    monkeypatch.setattr(epochs, "capturing", lambda *_: lambda trained: Captured(trained, recorder))
    replayed = fit(1, trained=made(), data=Noise(13))
    assert recorder.num_replayed > 0
    assert differing(eager.weights, replayed.weights) == []


@pytest.mark.parametrize("options", [{"num_steps": 0}, {"num_context": 0}, {"max_log_variance": 0.0}, {"hidden": ()}])
def test_impossible_values_of_the_posterior_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must"):
        FlowPosterior(5, 2, **options)


@pytest.mark.parametrize("options", [{"num_steps": 0}, {"bins": 1}, {"hidden": (0,)}])
def test_impossible_values_of_the_prior_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must"):
        FlowPrior(2, **options)


def test_a_conditional_model_goes_with_them():
    torch.manual_seed(0)
    options = {"num_classes": 4, "conditioning": LabelChannel}
    likelihood = BernoulliLikelihood()
    vae = build_vae((1, 4, 4), 3, MLPEncoder, FlowPosterior, FlowPrior, MLPDecoder, likelihood, **options)
    x, labels = torch.rand(2, 1, 4, 4), torch.tensor([0, 3])
    assert bool(ELBO()(vae(x, fresh(1, 2), labels), x, START).loss.isfinite().all())
    assert vae.generate(vae.draw(fresh(1, 2), labels)[0], labels).shape == x.shape
