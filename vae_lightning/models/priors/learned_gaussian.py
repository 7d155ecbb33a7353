"""One learned normal distribution."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.parts import ConditionalDistribution


class LearnedGaussian(ConditionalDistribution):
    """p(z) = N(z; m, diag(s^2)), whose mean and scale are learned; it starts as N(0, I).

    A plain VAE gains nothing by it that its networks could not learn. It is the top of a hierarchy whose posteriors
    begin with means of zero, as in arXiv 2011.10650.

    Args:
        latent_dim: number of latent dimensions D.
        max_log_scale: log s is clamped to +-this, so that one bad step can't overflow float32.

    Raises:
        ValueError: a max_log_scale that is not positive.
    """

    def __init__(self, latent_dim: int, max_log_scale: float = 10.0):
        super().__init__()
        if max_log_scale <= 0:
            raise ValueError(f"max_log_scale must be positive, got {max_log_scale}")
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))
        self.max_log_scale = max_log_scale

    def forward(self, context: None = None) -> DiagonalNormal:
        scale: Float[Tensor, " D"] = self.log_scale.clamp(-self.max_log_scale, self.max_log_scale).exp()
        return DiagonalNormal(self.loc, scale)
