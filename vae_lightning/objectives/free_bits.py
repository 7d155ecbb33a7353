"""The ELBO with a part of the rate that costs nothing."""

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from vae_lightning.errors import require_at_least, require_choice
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.models.ranks import mean_over_ranks
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate

Per = Literal["dimension", "group", "image"]
RateOf = Literal["batch", "image"]


class FreeBits(Objective):
    """loss = distortion + sum_j max(free_nats, rate_j): below `free_nats` a part of the rate is not pressed any lower.

    Kingma et al., Improving variational inference with inverse autoregressive flow, arXiv 1606.04934, equation 15. The
    parts j are all latent dimensions, the model's groups of latents (one, but for a ladder), or all latents together
    (`per`). rate_j is the batch's mean, as in the paper (with several ranks over all their images; of a step that
    accumulates, each batch by itself), or each image's own (`rate_of`). For the batch's, a part adds to an image's loss
    the image's own rate_j where the mean is above free_nats and free_nats where it is not: the mean is that of the
    equation, and so is its gradient. In evaluation, where no image's figure depends on others, it is each image's own.

    Under a prior that does not factorize, a mixture, rate_j of a dimension is KL(q(z_j|x) || p(z_j)); what the whole
    rate has besides their sum is in the loss as it is. Of a flow rate_j is the dimension's term of the log-densities
    (`Group.rate_per_dimension`), of which the whole rate is the sum.

    Args:
        free_nats: lambda, nats of each part.
        per: what a part is.
        rate_of: whose rate is held against it.
        num_samples: latents of each image that the distortion is averaged over.

    Raises:
        ValueError: a free_nats that is negative or infinite, an unknown per or rate_of, or a num_samples below 1.
    """

    needs_continuous = True

    def __init__(
        self, free_nats: float = 0.25, per: Per = "dimension", rate_of: RateOf = "batch", num_samples: int = 1
    ):
        require_at_least("free_nats", free_nats, 0)
        if free_nats == math.inf:
            raise ValueError(f"free_nats must be finite, got {free_nats}")
        require_choice("per", per, get_args(Per))
        require_choice("rate_of", rate_of, get_args(RateOf))
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.free_nats = free_nats
        self.per = per
        self.rate_of = rate_of
        self.num_samples = num_samples

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        rates, distortions = rate(output), distortion(output.likelihood.log_prob(x))
        parts = _PARTS[self.per](output)
        loss = distortions + self._at_least_free(parts).sum(1)
        if self.per == "dimension" and not all(map(_factorizes, output.groups)):
            loss = loss + rates - parts.sum(1)
        return Terms(loss, rates, distortions)

    def _at_least_free(self, parts: Float[Tensor, "B J"]) -> Float[Tensor, "B J"]:
        if self.training and self.rate_of == "batch":
            costs = mean_over_ranks(parts.detach().mean(0)) > self.free_nats
            return torch.where(costs, parts, self.free_nats)
        return parts.clamp(min=self.free_nats)


def _of_dimensions(output: VAEOutput) -> Float[Tensor, "B J"]:
    return torch.cat([group.rate_per_dimension() for group in output.groups], 1)


def _of_groups(output: VAEOutput) -> Float[Tensor, "B J"]:
    return torch.stack([group.rate() for group in output.groups], 1)


def _of_images(output: VAEOutput) -> Float[Tensor, "B J"]:
    return rate(output).unsqueeze(1)


_PARTS = {"dimension": _of_dimensions, "group": _of_groups, "image": _of_images}


def _factorizes(group: Group) -> bool:
    return isinstance(group.posterior, Independent) and isinstance(group.prior, Independent)
