"""q(z|x) as a normal distribution with any covariance, by the Cholesky factor."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import at_least_float32
from vae_lightning.models.parts import ConditionalDistribution
from vae_lightning.models.pushed import FullNormal


class FullCovariance(ConditionalDistribution):
    """q(z|x) = N(z; mu(x), L(x) L(x)^T), L lower triangular: linear heads for mu, log L_dd^2 and L_de / L_dd, e < d.

    Kingma & Welling, An Introduction to Variational Autoencoders, arXiv 1906.02691, section 2.5.1. Its KL from N(0, I)
    and from any normal has a closed form. The heads put out D (D + 3) / 2 numbers an image. It starts as the
    `DiagonalGaussian` of the same heads, unless weights are initialized otherwise.

    Args:
        num_features: length of the encoder's feature vector.
        latent_dim: number of latent dimensions D.
        max_log_variance: log L_dd^2 is clamped to +-this, so that one bad step can't overflow float32.
    """

    has_independent_components = False
    _rows: Tensor
    _columns: Tensor

    def __init__(self, num_features: int, latent_dim: int, max_log_variance: float = 20.0):
        super().__init__()
        if max_log_variance <= 0:
            raise ValueError(f"max_log_variance must be positive, got {max_log_variance}")
        self.loc = nn.Linear(num_features, latent_dim)
        self.log_variance = nn.Linear(num_features, latent_dim)
        self.below = nn.Linear(num_features, latent_dim * (latent_dim - 1) // 2) if latent_dim > 1 else None
        if self.below is not None:
            nn.init.zeros_(self.below.weight)
            nn.init.zeros_(self.below.bias)
        self.max_log_variance = max_log_variance
        rows, columns = torch.tril_indices(latent_dim, latent_dim, -1)
        self.register_buffer("_rows", rows, persistent=False)
        self.register_buffer("_columns", columns, persistent=False)

    def forward(self, features: Float[Tensor, "*B F"]) -> FullNormal:
        bound = self.max_log_variance
        log_variance = at_least_float32(self.log_variance(features)).clamp(-bound, bound)
        scale = torch.exp(0.5 * log_variance)
        relative = torch.diag_embed(torch.ones_like(scale))
        if self.below is not None:
            relative[..., self._rows, self._columns] = at_least_float32(self.below(features))
        return FullNormal(self.loc(features), scale.unsqueeze(-1) * relative)
