"""Distributions over latents and images, as `torch.distributions` objects computed in float32."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal


class DiagonalNormal(Independent):
    """Normal over the last axis with independent components: batch shape [...], event shape [D]."""

    def __init__(self, loc: Float[Tensor, "... D"], scale: Float[Tensor, "... D"]):
        super().__init__(Normal(loc.float(), scale.float(), validate_args=False), 1, validate_args=False)

    def rsample_from(self, noise: Float[Tensor, "*K D"]) -> Float[Tensor, "*KB D"]:
        """The reparameterized sample `loc + scale * noise` for given standard normal noise, `[K, B, D]` or `[N, D]`.

        With noise drawn from `self`'s own shape this is `rsample`; evaluation gives noise tied to the image's index.
        """
        return self.base_dist.loc + self.base_dist.scale * noise


def bernoulli_image(logits: Float[Tensor, "*KB C H W"]) -> Independent:
    """Independent Bernoulli pixels from logits: event shape [C, H, W].

    `log_prob` accepts grey levels in [0, 1] too: it is then the negative cross-entropy, not a likelihood.
    """
    return Independent(Bernoulli(logits=logits.float(), validate_args=False), 3, validate_args=False)


def normal_image(loc: Float[Tensor, "*KB C H W"], scale: Float[Tensor, ""] | float) -> Independent:
    """Independent Normal pixels that share one scale (in units of the [0, 1] pixel range): event shape [C, H, W]."""
    scale = torch.as_tensor(scale, dtype=torch.float32, device=loc.device).expand_as(loc)
    return Independent(Normal(loc.float(), scale, validate_args=False), 3, validate_args=False)
