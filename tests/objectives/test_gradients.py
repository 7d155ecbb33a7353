"""Estimators of gradients: the same in expectation as the bound's own, and of less variance."""

import pytest
import torch
from torch.distributions import Independent, Normal

from tests.given import Given
from tests.objectives.test_elbo import PIXELS, SCALE, START, D, LinearGaussian
from tests.unchecked import unchecked
from vae_lightning.models.distributions import DiagonalNormal, NormalMixture, held_fixed
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE

MANY = 20_000  # estimates, each with parameters of its own
OFF = (0.3, 0.3)  # of means and log-scales, from the exact posterior


class Estimates:
    """Per-sample gradients of an objective in a linear-Gaussian model, whose posterior is off by so much."""

    def __init__(self, objective, off=OFF, count=MANY):
        torch.manual_seed(3)
        oracle, x = LinearGaussian(), torch.randn(1, 1, 2, 3).expand(count, 1, 2, 3)
        exact = oracle.vae().posterior(x.flatten(1)).base_dist
        self.shift = torch.full((count, D), off[0], requires_grad=True)
        self.log_scale = torch.full((count, D), off[1], requires_grad=True)
        self.bias = torch.zeros(count, PIXELS, requires_grad=True)  # of the decoder
        self.prior_mean = torch.zeros(count, D, requires_grad=True)
        posterior = DiagonalNormal(exact.loc + self.shift, exact.scale * self.log_scale.exp())
        z = posterior.base_dist.loc + posterior.base_dist.scale * torch.randn(objective.num_samples, count, D)
        prior = DiagonalNormal(self.prior_mean, torch.ones(count, D))
        decoded = (z @ oracle.weights.T + self.bias).unflatten(-1, (1, 2, 3))
        output = VAEOutput((Group(posterior, prior, z),), Independent(Normal(decoded, SCALE), 3))
        self.terms = objective(output, x, START)
        self.terms.loss.sum().backward()

    def of_encoder(self):
        return torch.cat([self.shift.grad, self.log_scale.grad], 1)

    def of_others(self):
        return torch.cat([self.bias.grad, self.prior_mean.grad], 1)


def check_less_noise_about_the_same(estimates, own):
    """The means agree within four standard errors of their difference, and the variance is smaller."""
    found, expected = estimates.of_encoder(), own.of_encoder()
    error = (found - expected).std(0) / MANY**0.5
    assert bool(((found - expected).mean(0).abs() < 4 * error).all())
    assert float(expected.mean(0).norm()) > 10 * float(error.norm())  # so that zero would not pass for it
    assert float(found.var(0).sum()) < 0.8 * float(expected.var(0).sum())


def test_dreg_has_the_bounds_gradient_with_less_variance():
    dreg, own = (Estimates(IWAE(5, gradient)) for gradient in ("dreg", "iwae"))
    check_less_noise_about_the_same(dreg, own)
    torch.testing.assert_close(dreg.terms.loss, own.terms.loss)
    torch.testing.assert_close(dreg.of_others(), own.of_others())  # sample by sample


def test_stl_has_the_elbos_gradient_with_less_variance_near_the_posterior():
    stl = Estimates(ELBO(gradient="stl", beta=1.0), off=(0.1, 0.1))
    check_less_noise_about_the_same(stl, Estimates(ELBO(), off=(0.1, 0.1)))


def test_stl_is_weighted_by_beta_and_its_value_is_the_sampled_elbos():
    stl, plain = Estimates(ELBO(gradient="stl", beta=3.0), count=50), Estimates(ELBO(beta=3.0), count=50)
    sampled = -Estimates(IWAE(1), count=50).terms.loss
    torch.testing.assert_close(stl.terms.loss, stl.terms.distortion + 3 * (-sampled - stl.terms.distortion))
    assert torch.equal(stl.terms.elbo, plain.terms.elbo)


def test_of_one_sample_all_along_the_path_are_one():
    first = Estimates(ELBO(gradient="stl"), count=50).of_encoder()
    for gradient in ("dreg", "stl"):
        torch.testing.assert_close(Estimates(IWAE(1, gradient), count=50).of_encoder(), first)


@pytest.mark.parametrize("objective", [IWAE(1, "stl"), IWAE(5, "stl"), IWAE(5, "dreg"), ELBO(gradient="stl")])
def test_at_the_exact_posterior_there_is_no_noise_left(objective):
    estimates, count = Estimates(objective, off=(0.0, 0.0), count=100), 100
    assert float(estimates.of_encoder().abs().max()) < 1e-4
    own = IWAE(objective.num_samples)
    assert float(Estimates(own, off=(0.0, 0.0), count=count).of_encoder().std(0).min()) > 0.1


def test_stl_of_several_samples_is_biased_as_is_said():
    stl, own = (Estimates(IWAE(5, gradient)).of_encoder() for gradient in ("stl", "iwae"))
    error = (stl - own).std(0) / MANY**0.5
    assert float((stl - own).mean(0).norm()) > 20 * float(error.norm())


def test_a_duplicated_batch_has_the_same_losses_and_gradients():
    vae, x, noise = LinearGaussian().vae(), torch.randn(4, 1, 2, 3), torch.randn(3, 4, D)
    for objective in (IWAE(3, "dreg"), IWAE(3, "stl"), ELBO(num_samples=3, gradient="stl")):
        single = objective(vae(x, Given(noise)), x, START).loss
        double = objective(vae(x.repeat(2, 1, 1, 1), Given(noise.repeat(1, 2, 1))), x.repeat(2, 1, 1, 1), START).loss
        torch.testing.assert_close(double, single.repeat(2))


def test_without_gradients_nothing_is_hooked():
    vae, x = LinearGaussian().vae(), torch.randn(4, 1, 2, 3)
    with torch.no_grad():
        output = vae(x, Given(torch.randn(3, 4, D)))
        torch.testing.assert_close(IWAE(3, "dreg")(output, x, START).loss, IWAE(3)(output, x, START).loss)


def test_held_fixed_is_the_same_distribution_for_z_alone():
    loc, z = torch.randn(4, D, requires_grad=True), torch.randn(2, 4, D, requires_grad=True)
    log_prob = held_fixed(DiagonalNormal(loc, torch.ones(4, D))).log_prob(z)
    torch.testing.assert_close(log_prob, DiagonalNormal(loc, torch.ones(4, D)).log_prob(z))
    to_z, to_loc = torch.autograd.grad(log_prob.sum(), [z, loc], allow_unused=True)
    torch.testing.assert_close(to_z, loc - z)
    assert to_loc is None
    mixture = NormalMixture(torch.zeros(2), torch.zeros(2, D), torch.ones(2, D))
    with pytest.raises(NotImplementedError, match=r"^NormalMixture is not registered with distributions\.held_fixed$"):
        held_fixed(mixture)


@pytest.mark.parametrize(("objective", "gradient"), [("iwae", "dreg"), ("iwae", "stl"), ("elbo", "stl")])
def test_a_ladder_is_refused_at_once(objective, gradient, error_of, tmp_path):
    message = error_of("data=digits", "model=ladder", f"objective={objective}", f"objective.gradient={gradient}")
    name = objective.upper()
    assert message == (
        f"objective: {name} with objective.gradient={gradient} needs one group of latents, and Ladder has 2; "
        "choose another model or objective"
    )
    assert not list(tmp_path.iterdir())


def test_a_model_that_says_nothing_of_its_groups_is_refused_by_its_output():
    q = DiagonalNormal(torch.zeros(4, D), torch.ones(4, D))
    group = Group(q, q, torch.zeros(1, 4, D))
    image = Independent(Normal(torch.zeros(1, 4, 1, 2, 3), 1.0), 3)
    with pytest.raises(Exception, match=r"^objective\.gradient: is for one group of latents, and the model has 2$"):
        IWAE(1, "stl")(VAEOutput((group, group), image), torch.zeros(4, 1, 2, 3), START)


@pytest.mark.parametrize(("objective", "valid"), [(ELBO, "elbo, stl"), (IWAE, "iwae, dreg, stl")])
def test_an_unknown_gradient_is_refused_by_name(objective, valid):
    with pytest.raises(ValueError, match=f"^gradient must be one of {valid}; got rws"):
        unchecked(objective)(gradient="rws")
