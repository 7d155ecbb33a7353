"""The likelihood that suits images where none is chosen."""

from collections.abc import Sequence

from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.likelihoods.location_scale import Scale
from vae_lightning.models.parts import Likelihood


def default_likelihood(image_shape: Sequence[int], scale: Scale = "optimal") -> Likelihood:
    """Bernoulli for grey images, Gaussian with that scale for others; `image_shape` is (C, H, W)."""
    return BernoulliLikelihood() if image_shape[0] == 1 else GaussianLikelihood(scale)
