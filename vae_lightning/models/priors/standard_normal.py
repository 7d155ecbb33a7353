"""p(z) = N(0, I)."""

import torch
from torch import Tensor

from vae_lightning.models.distributions import UnitNormal
from vae_lightning.models.parts import ConditionalDistribution


class StandardNormal(ConditionalDistribution):
    """p(z) = N(0, I) over `latent_dim` dimensions."""

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, context: None = None) -> UnitNormal:
        return UnitNormal(self.loc, self.scale)
