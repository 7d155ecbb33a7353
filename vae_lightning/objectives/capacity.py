"""A rate that is held to a capacity, which grows as training goes on."""

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least, require_choice
from vae_lightning.models.latent_model import VAEOutput
from vae_lightning.models.ranks import mean_over_ranks
from vae_lightning.objectives.annealing import Rise
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate

RateOf = Literal["image", "batch"]


class Capacity(Objective):
    """loss = distortion + gamma * |rate - C|, with a capacity C that rises linearly from 0 to `max_capacity`.

    Burgess et al., Understanding disentangling in beta-VAE, arXiv 1804.03599. `rate_of` says whose rate it is: "image"
    each image's own, as the paper writes it, "batch" the mean over the batch, so that an image may take more of it than
    another (with several ranks over all their images; of a step that accumulates, each batch by itself). For the
    batch's, an image's loss is distortion + gamma * sign(mean rate - C) * (rate - C), whose mean is that of the
    equation, and so is its gradient. In evaluation, where no image's figure depends on others, it is each image's own.
    Where the rate has no closed form (a mixture, a flow) an image's own is that of its samples, whose noise counts as a
    deviation, too: there the batch's is the better one.

    Args:
        max_capacity: nats per image.
        gamma: the weight of the deviation; 1000 in the paper, which trains for many more steps.
        capacity_steps: optimizer steps over which C rises; 0 is the whole training.
        rate_of: whose rate is held to C.
        num_samples: latents of each image that the distortion is averaged over.

    Raises:
        ValueError: a negative max_capacity, gamma or capacity_steps, one of the first two that is infinite, an unknown
            rate_of, or a num_samples below 1.
    """

    needs_continuous = True
    capacity_now: Tensor

    def __init__(
        self,
        max_capacity: float = 25.0,
        gamma: float = 10.0,
        capacity_steps: int = 0,
        rate_of: RateOf = "image",
        num_samples: int = 1,
    ):
        require_at_least("max_capacity", max_capacity, 0)
        require_at_least("gamma", gamma, 0)
        for name, value in {"max_capacity": max_capacity, "gamma": gamma}.items():
            if value == math.inf:
                raise ValueError(f"{name} must be finite, got {value}")
        require_at_least("capacity_steps", capacity_steps, 0)
        require_at_least("num_samples", num_samples, 1)
        require_choice("rate_of", rate_of, get_args(RateOf))
        super().__init__()
        self.max_capacity = max_capacity
        self.gamma = gamma
        self.rise = Rise("linear", capacity_steps)
        self.whole_training = "capacity_steps" if self.rise.takes_whole_training else ""
        self.rate_of = rate_of
        self.num_samples = num_samples
        self.register_buffer("capacity_now", torch.tensor(float(max_capacity)), persistent=False)

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        rates, distortions = rate(output), distortion(output.likelihood.log_prob(x))
        excess = rates - self.capacity_now
        if self.training and self.rate_of == "batch":
            deviation = mean_over_ranks(excess.detach().mean()).sign() * excess
        else:
            deviation = excess.abs()
        return Terms(distortions + self.gamma * deviation, rates, distortions)

    def prepare(self, progress: Progress) -> None:
        """Writes the step's capacity down."""
        self.capacity_now.fill_(self.capacity_at(progress))

    def capacity_at(self, progress: Progress) -> float:
        """C, in nats per image."""
        return self.max_capacity * self.rise.at(progress.step, progress.num_steps)

    def schedules(self, progress: Progress) -> dict[str, float]:
        """C, for the log."""
        return {"capacity": self.capacity_at(progress)}
