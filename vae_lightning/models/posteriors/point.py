"""q(z|x) without noise: a code."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import PointMass
from vae_lightning.models.parts import ConditionalDistribution


class PointPosterior(ConditionalDistribution):
    """z = mu(x), by one linear head: the deterministic code of an autoencoder.

    It has no density, and so there is neither a rate nor an ELBO. It is for objectives that go without them: RAE (arXiv
    1903.12436), WAE (arXiv 1711.01558).

    Args:
        num_features: length of the encoder's feature vector.
        latent_dim: number of latent dimensions D.
    """

    has_density: ClassVar[bool] = False

    def __init__(self, num_features: int, latent_dim: int):
        super().__init__()
        self.loc = nn.Linear(num_features, latent_dim)

    def forward(self, features: Float[Tensor, "*B F"]) -> PointMass:
        return PointMass(self.loc(features))
