"""q(z|x) as a normal distribution with independent components, by its log-scale."""

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import DiagonalNormal, at_least_float32
from vae_lightning.models.parts import ConditionalDistribution


class LogScaleGaussian(ConditionalDistribution):
    """q(z|x) = N(z; mu(x), diag(sigma(x)^2)) with two linear heads for the mean and the log-scale.

    As in Burda, Grosse & Salakhutdinov, arXiv 1509.00519: its scale moves twice as fast as `DiagonalGaussian`'s.

    Args:
        num_features: length of the encoder's feature vector.
        latent_dim: number of latent dimensions D.
        max_log_scale: the log-scale is clamped to +-this, so that one bad step can't overflow float32.
    """

    def __init__(self, num_features: int, latent_dim: int, max_log_scale: float = 10.0):
        super().__init__()
        if max_log_scale <= 0:
            raise ValueError(f"max_log_scale must be positive, got {max_log_scale}")
        self.loc = nn.Linear(num_features, latent_dim)
        self.log_scale = nn.Linear(num_features, latent_dim)
        self.max_log_scale = max_log_scale

    def forward(self, features: Float[Tensor, "*B F"]) -> DiagonalNormal:
        log_scale = at_least_float32(self.log_scale(features)).clamp(-self.max_log_scale, self.max_log_scale)
        return DiagonalNormal(self.loc(features), log_scale.exp())
