"""What the log-probabilities of a model are called, and of which of them bits/dim can be told."""

from types import SimpleNamespace

import pytest
from torch import nn

from vae_lightning.likelihood.kind import is_in_nats, is_likelihood, kind_of
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.likelihoods.laplace import LaplaceLikelihood
from vae_lightning.models.likelihoods.ms_ssim import MSSSIM
from vae_lightning.models.parts import decoder_shape

NO_LIKELIHOOD = "MS-SSIM over 2 scales, no likelihood and no nats"
KINDS = [
    (BernoulliLikelihood(), "none", "cross-entropy of grey levels, no likelihood", False),
    (BernoulliLikelihood(), "dynamic", "log-likelihood of binary images", True),
    (GaussianLikelihood(), "none", "log-density of pixels in [0, 1]", False),
    (SimpleNamespace(levels=256), "none", "log-likelihood of 256 levels", True),
]


class OwnDensity(BernoulliLikelihood):
    levels = None


class OwnLevels(GaussianLikelihood):
    levels = 256


KINDS += [
    (OwnDensity(), "dynamic", "log-density of pixels in [0, 1]", False),
    (OwnLevels(), "none", "log-likelihood of 256 levels", True),
    (ContinuousBernoulli(), "none", "log-density of pixels in [0, 1]", False),
    (LaplaceLikelihood(), "dynamic", "log-density of pixels in [0, 1]", False),
    (GaussianLikelihood("per_pixel"), "none", "log-density of pixels in [0, 1]", False),
    (MSSSIM((1, 28, 28)), "none", NO_LIKELIHOOD, False),
    (MSSSIM((1, 28, 28)), "dynamic", NO_LIKELIHOOD, False),
]


@pytest.mark.parametrize(("likelihood", "binarize", "kind", "has_bits"), KINDS)
def test_a_likelihood_says_of_how_many_levels_it_is(likelihood, binarize, kind, has_bits):
    assert kind_of(likelihood, binarize) == kind
    assert is_likelihood(kind) == has_bits
    given = kind_of(likelihood, binarize, given_labels=True)
    assert given == f"{kind}, given the label"
    assert is_likelihood(given) == has_bits
    assert is_in_nats(kind) == is_in_nats(given) == (kind != NO_LIKELIHOOD)


def test_a_likelihood_that_says_nothing_is_none():
    with pytest.raises(ValueError, match=r"^likelihood must have levels: 2 or 256, .* Identity has none"):
        decoder_shape(nn.Identity(), (1, 8, 8))


def test_a_likelihood_of_ones_own_need_not_say_what_the_decoder_puts_out():
    own = nn.Identity()
    own.levels = 2
    assert decoder_shape(own, (1, 8, 8)) == (1, 8, 8)
