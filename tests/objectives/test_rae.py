"""A code without noise: the terms of the loss, the slope of the decoder, and no nats that are none."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from tests.objectives.batches import START
from tests.tiny import ADAM, fit, module
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.posteriors.point import PointPosterior
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import VAE
from vae_lightning.noise import Fresh
from vae_lightning.objectives.rae import RAE

D, PIXELS = 3, 6


def passed(objective: RAE, num_images: int = 4, scale: float = 0.5):
    """A linear autoencoder's pass; the decoder's mean image is a sigmoid of a linear map."""
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(D, PIXELS), nn.Unflatten(-1, (1, 2, 3)))
    encoder = nn.Flatten()
    vae = VAE(encoder, PointPosterior(PIXELS, D), StandardNormal(D), decoder, GaussianLikelihood(scale), latent_dim=D)
    x = torch.rand(num_images, 1, 2, 3)
    output = vae(x, Fresh(1, num_images, x.device))
    return vae, x, objective(output, x, START), output


@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_the_loss_is_that_of_the_decoded_code_and_its_length(beta):
    vae, x, terms, _ = passed(RAE(beta, "none"))
    z = vae.encode(x).loc
    torch.testing.assert_close(terms.extra["code"], z.square().sum(1))
    torch.testing.assert_close(terms.distortion, -vae.decode(z).log_prob(x))
    torch.testing.assert_close(terms.loss, terms.distortion + beta / 2 * z.square().sum(1))
    assert terms.rate is None
    assert terms.elbo is None
    assert list(terms.by_name()) == ["loss", "distortion", "code"]


def test_the_decoders_parameters_are_weighed_in_training_alone():
    vae, _, terms, output = passed(RAE(1.0, "l2", weight=0.25))
    squares = sum(parameter.square().sum() for parameter in vae.decoder.parameters())
    torch.testing.assert_close(terms.loss, terms.distortion + 0.5 * terms.extra["code"] + 0.25 * squares)
    evaluated = RAE(1.0, "l2", weight=0.25).eval()(output, torch.rand(4, 1, 2, 3), START)
    torch.testing.assert_close(evaluated.loss, evaluated.distortion + 0.5 * evaluated.extra["code"])


def test_the_mean_slope_is_the_jacobians_norm():
    objective = RAE(1.0, "gp")
    vae, x, _, _ = passed(objective, num_images=3)
    many = x.repeat(4000, 1, 1, 1)  # each with a direction of its own
    drawn = objective(vae(many, Fresh(1, len(many), x.device)), many, START).extra["decoder"]
    slopes = drawn.view(4000, 3).mean(0)
    z = vae.encode(x).loc
    jacobians = torch.stack(
        [torch.autograd.functional.jacobian(lambda one: vae.generate(one[None])[0], each) for each in z]
    )
    torch.testing.assert_close(slopes, jacobians.square().sum((1, 2, 3, 4)), rtol=0.1, atol=0)


@pytest.mark.parametrize("regularization", ["l2", "gp", "none"])
def test_every_parameter_has_a_gradient_in_bfloat16_too_and_a_repeated_batch_the_same_losses(regularization):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vae, _, terms, _ = passed(RAE(regularization=regularization))
    terms.loss.sum().backward()
    assert all(bool(each.grad.isfinite().all()) and bool(each.grad.any()) for each in vae.parameters())
    if regularization != "gp":  # whose directions are drawn
        x = torch.rand(4, 1, 2, 3)
        once, twice = (
            RAE(regularization=regularization)(vae(each, Fresh(1, len(each), x.device)), each, START)
            for each in (x, x.repeat(2, 1, 1, 1))
        )
        torch.testing.assert_close(twice.loss, once.loss.repeat(2))


@pytest.mark.parametrize("name", ["beta", "weight"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_impossible_values_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be finite and at least 0, got {value}"):
        RAE(**{name: value})


POINT = ("data=digits", "model=mlp", "model/posterior=point")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("data=digits", "model=mlp", "objective=rae"), "objective: RAE has a code without noise; choose model/pos"),
        (
            (*POINT, "objective=rae", "model/prior=mixture"),
            "objective: RAE does not train a MixturePrior; choose model/prior=standard_normal",
        ),
        (
            (*POINT, "objective=wae", "model/prior=vamp"),
            "model.prior must not be a VampPrior, which needs an encoder: ",
        ),
        (
            (*POINT, "objective=iwae"),
            "objective: IWAE needs a posterior with a density; choose another model/posterior",
        ),
        (
            ("data=digits", "model=ladder", "model/posterior=point", "objective=wae"),
            "model.posterior must have a density, for it makes the priors p(z_l | z_<l), too; PointPosterior has none: "
            "choose another posterior",
        ),
        (
            (*POINT, "objective=rae", "callbacks=[basic,early_stopping]"),
            "callbacks.early_stopping.monitor=val/elbo: of a code without noise there is no density",
        ),
        (
            (*POINT, "objective=rae", "objective.regularization=gp", "trainer.compile=true"),
            "trainer.compile=true: a compiled model can't be differentiated twice, as RAE does; choose false",
        ),
    ],
    ids=["posterior", "prior", "vamp", "density", "ladder", "early stopping", "compiled"],
)
def test_what_it_does_not_go_together_with_is_refused(words, told, error_of, tmp_path):
    message = error_of(*words)
    assert message.startswith(told)
    assert not list(tmp_path.iterdir())


def test_the_best_checkpoint_is_of_the_lowest_validation_loss_and_no_elbo_is_logged():
    trained, checkpoints = module(partial(ADAM, lr=2.0**-7)), Checkpoints()
    trained.vae.posterior, trained.vae.has_density = PointPosterior(8, 3), False
    trained.objective = RAE()
    checkpoints._save = lambda *_: None
    fitted = fit(4, checkpoints, trained=trained, max_epochs=3, enable_checkpointing=True)
    losses = [figures["val/loss"] for _, figures in fitted.of("val")]
    assert checkpoints.best_score == pytest.approx(-min(losses))
    assert len(losses) == 3
    assert not {name for _, figures in fitted.rows for name in figures if "elbo" in name or "rate" in name.split("/")}
    assert trained.units.rate is None
    assert trained.units.by_rate == trained.units.variance.argsort(descending=True).tolist()
