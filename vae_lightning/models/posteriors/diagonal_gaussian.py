"""q(z|x) as a normal distribution with independent components, by its log-variance."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import DiagonalNormal, at_least_float32
from vae_lightning.models.parts import ConditionalDistribution


class DiagonalGaussian(ConditionalDistribution):
    """q(z|x) = N(z; mu(x), diag(sigma(x)^2)) with two linear heads for the mean and the log-variance.

    Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.

    Args:
        num_features: length of the encoder's feature vector.
        latent_dim: number of latent dimensions D.
        max_log_variance: the log-variance is clamped to +-this, so that one bad step can't overflow float32.
    """

    def __init__(self, num_features: int, latent_dim: int, max_log_variance: float = 20.0):
        super().__init__()
        if max_log_variance <= 0:
            raise ValueError(f"max_log_variance must be positive, got {max_log_variance}")
        self.loc = nn.Linear(num_features, latent_dim)
        self.log_variance = nn.Linear(num_features, latent_dim)
        self.max_log_variance = max_log_variance

    def forward(self, features: Float[Tensor, "*B F"]) -> DiagonalNormal:
        bound = self.max_log_variance
        log_variance = at_least_float32(self.log_variance(features)).clamp(-bound, bound)
        return DiagonalNormal(self.loc(features), torch.exp(0.5 * log_variance))
