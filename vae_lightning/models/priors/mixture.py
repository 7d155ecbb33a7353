"""A learned mixture of normal distributions."""

import torch
from torch import nn

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import NormalMixture
from vae_lightning.models.parts import ConditionalDistribution

_INITIAL_SCALE = 0.95


class MixturePrior(ConditionalDistribution):
    """p(z) = sum_m w_m N(z; mu_m, diag(s_m^2)), whose weights, means and scales are learned.

    It starts with equal weights and about the mean and the variance of N(0, I): mu_m ~ N(0, 1 - s^2), s = 0.95. The
    baseline "mixture of Gaussians" of Tomczak & Welling, arXiv 1705.07120.

    Args:
        latent_dim: number of latent dimensions D.
        num_components: M.
        max_log_scale: log s_m is clamped to +-this, so that one bad step can't overflow float32.

    Raises:
        ValueError: a num_components below 1, or a max_log_scale that is not positive.
    """

    def __init__(self, latent_dim: int, num_components: int = 10, max_log_scale: float = 10.0):
        super().__init__()
        require_at_least("num_components", num_components, 1)
        if max_log_scale <= 0:
            raise ValueError(f"max_log_scale must be positive, got {max_log_scale}")
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.loc = nn.Parameter(torch.randn(num_components, latent_dim) * (1 - _INITIAL_SCALE**2) ** 0.5)
        self.log_scale = nn.Parameter(torch.full((num_components, latent_dim), _INITIAL_SCALE).log())
        self.max_log_scale = max_log_scale

    def forward(self, context: None = None) -> NormalMixture:
        scale = self.log_scale.clamp(-self.max_log_scale, self.max_log_scale).exp()
        return NormalMixture(self.logits, self.loc, scale)
