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
        max_log_variance: the log-variance is clamped to at most this, so that one bad step can't overflow float32.
        min_log_variance: and to at least this; None for -max_log_variance. arXiv 1705.07120 has [-6, 2].

    Raises:
        ValueError: a max_log_variance that is not positive, or a min_log_variance above it.
    """

    def __init__(
        self,
        num_features: int,
        latent_dim: int,
        max_log_variance: float = 20.0,
        min_log_variance: float | None = None,
    ):
        super().__init__()
        if max_log_variance <= 0:
            raise ValueError(f"max_log_variance must be positive, got {max_log_variance}")
        if min_log_variance is not None and not min_log_variance < max_log_variance:
            raise ValueError(
                f"min_log_variance must be below max_log_variance={max_log_variance:g}, got {min_log_variance}"
            )
        self.loc = nn.Linear(num_features, latent_dim)
        self.log_variance = nn.Linear(num_features, latent_dim)
        self.log_variances = -max_log_variance if min_log_variance is None else min_log_variance, max_log_variance

    def forward(self, features: Float[Tensor, "*B F"]) -> DiagonalNormal:
        log_variance = at_least_float32(self.log_variance(features)).clamp(*self.log_variances)
        return DiagonalNormal(self.loc(features), torch.exp(0.5 * log_variance))
