"""The parts of the rate: exact where the batch is all images, weighed as a whole, and bounded."""

import math

import pytest
import torch

from tests.objectives.batches import START, any_pass, extremes_reach_every_gradient, passed
from vae_lightning.models.distributions import DiagonalNormal, NormalMixture
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.objectives.beta_tcvae import BetaTCVAE
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.terms import Progress

PARTS = ["mutual_information", "total_correlation", "dimension_wise"]
SAMPLING = ("weighted", "stratified")
MIXTURE = NormalMixture(torch.zeros(2), torch.tensor([[0.0, 1, 2], [1, 0, -1]]), torch.ones(2, 3))


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("prior", [None, MIXTURE], ids=["unit normal", "mixture"])
def test_the_parts_add_up_to_the_sampled_rate(sampling, prior):
    output, x = any_pass(num_samples=3, prior=prior)
    terms = BetaTCVAE(sampling=sampling, num_samples=3)(output, x, Progress(0, num_images=1000))
    assert list(terms.extra) == PARTS
    torch.testing.assert_close(sum(terms.extra.values()), -output.groups[0].log_ratio().mean(0))
    torch.testing.assert_close(terms.rate, output.groups[0].rate())


def test_each_part_has_one_weight_however_many_dimensions_there_are():
    output, x = any_pass(dims=7)
    terms = BetaTCVAE(alpha=2.0, beta=5.0, gamma=3.0)(output, x, Progress(0, num_images=1000))
    mutual, total, single = terms.extra.values()
    torch.testing.assert_close(terms.loss, terms.distortion + 2 * mutual + 5 * total + 3 * single)
    plain = BetaTCVAE(1.0, 1.0, 1.0)(output, x, Progress(0, num_images=1000))
    torch.testing.assert_close(plain.loss, plain.distortion - output.groups[0].log_ratio()[0])
    torch.testing.assert_close(terms.loss - plain.loss, mutual + 4 * total + 2 * single)


def test_stratified_parts_are_exact_where_the_batch_is_all_images():
    """One image's posterior is known to all digits, and q(z) = 1/N sum_n q(z|x_n)."""
    output, x = any_pass()
    group = output.groups[0]
    z, q = group.z[0].double(), group.posterior.base_dist
    densities = torch.distributions.Normal(q.loc.double(), q.scale.double()).log_prob(z[:, None])  # [z, x, D]
    log_q, log_product = densities.sum(2).exp().mean(1).log(), densities.exp().mean(1).log().sum(1)
    mutual, total, single = BetaTCVAE()(output, x, Progress(0, num_images=5)).extra.values()
    torch.testing.assert_close(total, (log_q - log_product).float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mutual, (group.posterior.log_prob(group.z)[0] - log_q).float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(single, (log_product - group.prior.log_prob(z)).float(), atol=1e-4, rtol=1e-4)


def test_posteriors_of_one_correlated_aggregate_have_its_total_correlation():
    """q(z|x) = N(m, s^2 I) with m drawn of a normal distribution, so that q(z) is normal with a known correlation."""
    torch.manual_seed(0)
    count, spread, correlation = 2000, 0.6, 0.8
    wanted = torch.linalg.cholesky(torch.tensor([[1.0, correlation], [correlation, 1.0]]))
    means = torch.randn(count, 2)
    means = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(means.T)), means.T, upper=False).T @ wanted.T
    noise = torch.randn(1, count, 2)  # both ways, and the means of the very covariance, for a smaller error
    output, x = passed(means - means.mean(0), torch.full_like(means, spread), torch.cat([noise, -noise]))
    mutual, total, single = BetaTCVAE()(output, x, Progress(0, num_images=count)).extra.values()
    variance = 1 + spread**2
    determinant = variance**2 - correlation**2
    assert float(total.mean()) == pytest.approx(-0.5 * math.log(determinant / variance**2), abs=0.04)
    assert float(mutual.mean()) == pytest.approx(0.5 * math.log(determinant / spread**4), abs=0.04)
    assert float(single.mean()) == pytest.approx(variance - 1 - math.log(variance), abs=0.04)


def test_stratified_weights_have_no_bias_in_q():
    """The mean over all batches of three that hold an image is q(z) of all images."""
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(6, 2, generator=generator)
    scale, noise = torch.ones(6, 2), torch.zeros(1, 6, 2)

    def density(rows: list[int], num_images: int) -> float:
        output, _ = passed(loc[rows], scale[rows], noise[:, rows])
        group = output.groups[0]
        mutual = BetaTCVAE().parts(group, num_images).mutual_information
        return float((group.posterior.log_prob(group.z)[0] - mutual).exp()[0])

    pairs = [(a, b) for a in range(1, 6) for b in range(a + 1, 6)]
    estimates = [density([0, *pair], 6) for pair in pairs]
    assert sum(estimates) / len(pairs) == pytest.approx(density(list(range(6)), 6), rel=1e-5)
    assert max(estimates) > 1.05 * min(estimates)


@pytest.mark.parametrize(("sampling", "most"), [("stratified", 1000.0), ("weighted", 5000.0)])
def test_no_image_has_more_mutual_information_than_there_are_images_to_tell_apart(sampling, most):
    far = torch.arange(5.0)[:, None] * torch.tensor([1e3, -1e3])
    output, x = passed(far, torch.ones(5, 2), torch.zeros(1, 5, 2))
    objective = BetaTCVAE(sampling=sampling)
    mutual = objective(output, x, Progress(0, num_images=1000)).extra["mutual_information"]
    torch.testing.assert_close(mutual, torch.full((5,), math.log(most)))  # the bound, which is reached
    near, x = any_pass()
    mutual = objective(near, x, Progress(0, num_images=1000)).extra["mutual_information"]
    assert bool((mutual < math.log(most)).all())


def test_a_repeated_batch_has_the_same_parts_by_weighted_sampling_alone():
    group = any_pass()[0].groups[0]
    q = group.posterior.base_dist
    twice = Group(DiagonalNormal(q.loc.repeat(2, 1), q.scale.repeat(2, 1)), group.prior, group.z.repeat(1, 2, 1))
    for sampling, same in (("weighted", True), ("stratified", False)):
        once, repeated = (BetaTCVAE(sampling=sampling).parts(each, 1000) for each in (group, twice))
        pairs = zip(once, repeated, strict=True)
        assert [torch.allclose(one, other[:5], atol=1e-5) for one, other in pairs] == 3 * [same]


def test_without_a_number_of_images_they_are_the_batchs():
    output, x = any_pass()
    unknown, known = (BetaTCVAE()(output, x, each) for each in (START, Progress(0, num_images=5)))
    assert torch.equal(unknown.loss, known.loss)
    single, x = any_pass(num_images=1)
    mutual = BetaTCVAE()(single, x, Progress(0, num_images=50)).extra["mutual_information"]
    torch.testing.assert_close(mutual, torch.tensor([math.log(50)]))


@pytest.mark.parametrize("sampling", SAMPLING)
def test_extremes_are_finite_and_every_gradient_is_there(sampling):
    extremes_reach_every_gradient(BetaTCVAE(sampling=sampling))


def test_the_elbo_stays_plain():
    output, x = any_pass()
    torch.testing.assert_close(BetaTCVAE()(output, x, START).elbo, ELBO()(output, x, START).elbo)
    assert isinstance(output, VAEOutput)


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_impossible_values_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be finite and at least 0, got {value}"):
        BetaTCVAE(**{name: value})


@pytest.mark.parametrize("objective", ["beta_tcvae", "dip"])
def test_several_groups_are_refused(objective, error_of, tmp_path):
    message = error_of("data=digits", "model=ladder", f"objective={objective}")
    assert "needs one group of latents, and Ladder has 2; choose another model or objective" in message
    assert message.startswith("objective: ")
    assert not list(tmp_path.iterdir())


def test_an_unknown_sampling_is_refused(error_of):
    message = error_of("data=digits", "model=mlp", "objective=beta_tcvae", "objective.sampling=all")
    assert message == "objective.sampling='all': expected weighted, stratified"
