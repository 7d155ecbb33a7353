"""What the log-probabilities of a model are called, and of which of them bits/dim can be told."""

from types import SimpleNamespace

import pytest

from vae_lightning.likelihood.kind import is_likelihood, kind_of
from vae_lightning.models.likelihoods import BernoulliLikelihood, GaussianLikelihood

KINDS = [
    (BernoulliLikelihood(), "none", "cross-entropy of grey levels, no likelihood", False),
    (BernoulliLikelihood(), "dynamic", "log-likelihood of binary images", True),
    (GaussianLikelihood(), "none", "log-density of pixels in [0, 1]", False),
    (SimpleNamespace(levels=256), "none", "log-likelihood of 256 levels", True),
    (SimpleNamespace(is_discrete=True), "none", "cross-entropy of grey levels, no likelihood", False),
    (SimpleNamespace(is_discrete=False), "none", "log-density of pixels in [0, 1]", False),
]


class OwnDensity(BernoulliLikelihood):
    is_discrete = False


class OwnLevels(GaussianLikelihood):
    levels = 256


KINDS += [
    (OwnDensity(), "dynamic", "log-density of pixels in [0, 1]", False),
    (OwnLevels(), "none", "log-likelihood of 256 levels", True),
]


@pytest.mark.parametrize(("likelihood", "binarize", "kind", "has_bits"), KINDS)
def test_a_likelihood_says_of_how_many_levels_it_is(likelihood, binarize, kind, has_bits):
    assert kind_of(likelihood, binarize) == kind
    assert is_likelihood(kind) == has_bits


def test_a_likelihood_that_says_nothing_is_none():
    with pytest.raises(AttributeError, match="SimpleNamespace says nothing of its levels"):
        kind_of(SimpleNamespace(), "none")
