"""The VampPrior: the posteriors of learned images, mixed."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import NormalMixture
from vae_lightning.models.parts import ConditionalDistribution, Encode, Images

_EDGE = 0.01  # of a pseudo-input's pixels from 0 and 1 at the start, for their logits are finite


class VampPrior(ConditionalDistribution):
    """p(z) = 1/K sum_k q(z|u_k), with K pseudo-inputs u_k that are learned with the model: images in [0, 1].

    Tomczak & Welling, VAE with a VampPrior, arXiv 1705.07120. The pseudo-inputs start as training images. In each pass
    they go through the encoder by themselves; batch statistics, where an encoder has them, are then those of the
    pseudo-inputs.

    Args:
        latent_dim: number of latent dimensions D, which the encoder knows itself.
        image_shape: (C, H, W).
        num_components: K.

    Raises:
        ValueError: a num_components below 1, or at the start above the number of training images.
    """

    needs_encoder = True

    def __init__(self, latent_dim: int, image_shape: Sequence[int], num_components: int = 500):
        super().__init__()
        require_at_least("num_components", num_components, 1)
        self.image_shape = tuple(image_shape)
        self.logits = nn.Parameter(torch.zeros(num_components, math.prod(image_shape)))

    @torch.no_grad()
    def start(self, images: Images) -> None:
        """Let the pseudo-inputs start as training images."""
        count = len(self.logits)
        chosen = images(count)
        if len(chosen) < count:
            raise ValueError(f"num_components must be at most {len(chosen)}, as there are training images; got {count}")
        self.logits.copy_(chosen.clamp(_EDGE, 1 - _EDGE).logit().flatten(1))

    @property
    def pseudo_inputs(self) -> Float[Tensor, "K C H W"]:
        """u_k."""
        return self.logits.sigmoid().unflatten(1, self.image_shape)

    def forward(self, encode: Encode) -> NormalMixture:
        posteriors = encode(self.pseudo_inputs).base_dist
        return NormalMixture(posteriors.loc.new_zeros(len(posteriors.loc)), posteriors.loc, posteriors.scale)
