"""p(z) as N(0, I) seen through an autoregressive flow."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import UnitNormal
from vae_lightning.models.flows import Flow, FlowNormal, Kind
from vae_lightning.models.parts import ConditionalDistribution


class FlowPrior(ConditionalDistribution):
    """log p(z) = log N(f(z); 0, I) + log |det df/dz|, f a masked autoregressive flow that is learned with the model.

    Papamakarios et al., arXiv 1705.07057; with splines, Durkan et al., arXiv 1906.04032; as a VAE's prior, Chen et al.,
    Variational Lossy Autoencoder, arXiv 1611.02731. It starts as N(0, I). Densities take one pass through each step's
    network, samples D. Its rate is sampled.

    Args:
        latent_dim: number of latent dimensions D.
        num_steps: so many steps, the order of the dimensions turned round between them.
        hidden: widths of the hidden layers of each step's network.
        kind: "spline" (rational-quadratic on [-5, 5], the identity beyond) or "affine".
        bins: of a spline.

    Raises:
        UserError: zuko is not installed.
        ValueError: an argument out of its range.
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        num_steps: int = 3,
        hidden: Sequence[int] = (64, 64),
        kind: Kind = "spline",
        bins: int = 8,
    ):
        super().__init__()
        require_at_least("num_steps", num_steps, 1)
        require_at_least("bins", bins, 2)
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)
        self.flow = Flow(latent_dim, 0, num_steps, hidden, kind, bins)

    def forward(self, context: None = None) -> FlowNormal:
        return FlowNormal(UnitNormal(self.loc, self.scale), self.flow, is_inverse=True)
