"""The VampPrior: the model's own posteriors of learned images, mixed."""

from functools import partial

import pytest
import torch

from tests.conftest import TINY
from tests.tiny import ADAM, Noise, fit
from vae_lightning.models.distributions import NormalMixture
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.vamp import VampPrior
from vae_lightning.models.vae import VAE, build_vae
from vae_lightning.noise import Indexed, Seeded
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.training.module import VAEModule
from vae_lightning.training.run import start_parts

SHAPE = (3, 8, 8)


def vae(num_components: int = 6, encoder=MLPEncoder, decoder=MLPDecoder, **options) -> VAE:
    torch.manual_seed(0)
    prior = partial(VampPrior, image_shape=SHAPE, num_components=num_components)
    return build_vae(SHAPE, 3, encoder, DiagonalGaussian, prior, decoder, BernoulliLikelihood(), **options)


def test_it_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    model = vae()
    with torch.no_grad():
        model.prior.logits.normal_()
        prior = model.latent_prior()
        posterior = model.observe(model.prior.pseudo_inputs)
        z = torch.randn(7, 3)
        expected = posterior.log_prob(z.unsqueeze(1)).logsumexp(1) - torch.tensor(6.0).log()
    assert isinstance(prior, NormalMixture)
    torch.testing.assert_close(prior.log_prob(z), expected)


def test_it_starts_as_training_images_of_the_seed():
    model, data = vae(), Noise()
    start_parts(model, data)
    chosen = data.examples(6, "train", balanced=False).images / 255
    torch.testing.assert_close(model.prior.pseudo_inputs.detach(), chosen.clamp(0.01, 0.99), atol=1e-5, rtol=0)


def test_the_encoder_learns_of_it_and_is_kept_once():
    model = vae()
    names = [name for name in model.state_dict() if name.startswith("prior.")]
    assert names == ["prior.logits"]
    output = model(torch.rand(4, *SHAPE), Seeded(0, 4, torch.device("cpu")))
    (encoder_weight,) = torch.autograd.grad(
        output.groups[0].prior.log_prob(output.groups[0].z.detach()).sum(), [model.encoder.layers[1].weight]
    )
    assert bool(encoder_weight.any())


def test_with_convolutions_and_dropout_it_trains():
    networks = partial(ConvEncoder, channels=[4, 8], hidden=8), partial(ConvDecoder, channels=[4, 8], hidden=8)
    module = VAEModule(vae(6, *networks), ELBO(), ADAM)
    start_parts(module.vae, Noise())
    before = module.vae.prior.logits.detach().clone()
    fitted = fit(1, trained=module)
    assert not torch.equal(fitted.weights["vae.prior.logits"], before)


def test_its_samples_lie_where_the_posteriors_do():
    model = vae()
    with torch.no_grad():
        model.prior.logits.normal_().mul_(3)
        prior = model.latent_prior()
        z = model.draw(Indexed(0, torch.arange(20_000), 1, torch.device("cpu")))[0]
        at_the_means = model.draw(Indexed(0, torch.arange(50), 1, torch.device("cpu")), temperature=0)[0]
    torch.testing.assert_close(z.mean(0), prior.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), prior.variance, atol=0.1, rtol=0.05)
    assert len(at_the_means.unique(dim=0)) == 6


def test_more_pseudo_inputs_than_training_images_are_refused(error_of, tmp_path):
    message = error_of(*TINY, "model/prior=vamp", "model.prior.num_components=2000")
    assert message == "model.prior.num_components must be at most 1257, as there are training images; got 2000"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(3, 9, 9), (1, 8, 8), ()])
def test_pseudo_inputs_of_another_shape_are_refused(shape):
    prior = partial(VampPrior, image_shape=shape, num_components=2)
    with pytest.raises(ValueError, match=r"^prior\.image_shape must be that of the model's images, \[3, 8, 8\]$"):
        build_vae(SHAPE, 3, MLPEncoder, DiagonalGaussian, prior, MLPDecoder, BernoulliLikelihood())


def test_none_are_refused():
    with pytest.raises(ValueError, match=r"^num_components must be at least 1, got 0"):
        VampPrior(2, SHAPE, num_components=0)
