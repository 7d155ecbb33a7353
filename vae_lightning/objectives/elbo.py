"""The evidence lower bound, with a weight on the rate that may be warmed up."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_lightning.errors import require_at_least, require_choice
from vae_lightning.models.latent_model import LatentModel, VAEOutput, mean_of_samples
from vae_lightning.noise import Noise
from vae_lightning.objectives.annealing import Rise, Schedule
from vae_lightning.objectives.gradients import along_the_path, sampled_rate, why_not_held_fixed
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate, with_rates_of_groups

Gradient = Literal["elbo", "stl"]


class ELBO(Objective):
    """loss = distortion + beta(step) * rate: the negative ELBO at beta = 1 (arXiv 1312.6114), else the beta-VAE's.

    beta rises from 0 as `annealing.Rise` says: by default linearly over the first `warmup_steps` optimizer steps. The
    distortion is the mean over `num_samples` latents of each image.

    With `gradient="stl"` the loss has the rate of the samples, log q(z|x) - log p(z), whose gradient goes along z alone
    (Roeder, Wu & Duvenaud, arXiv 1703.09194): the same in expectation, and without any variance at the exact posterior.
    It is for models of one group of latents.

    Args:
        beta: the rate's weight, where it has risen.
        warmup_steps: optimizer steps that the schedule takes; of all but `constant` 0 is the whole training.
        num_samples: latents of each image, K.
        schedule: how beta rises.
        num_cycles: of a cyclical schedule.
        rising: the share of a cycle over which beta rises.
        gradient: the loss's own, or that along the path.

    Raises:
        ValueError: a negative beta or warmup_steps, a num_samples or num_cycles below 1, a rising outside (0, 1], or an
            unknown schedule or gradient.
    """

    beta_now: Tensor

    def __init__(
        self,
        beta: float = 1.0,
        warmup_steps: int = 0,
        num_samples: int = 1,
        schedule: Schedule = "constant",
        num_cycles: int = 4,
        rising: float = 0.5,
        gradient: Gradient = "elbo",
    ):
        require_at_least("beta", beta, 0)
        if beta == float("inf"):
            raise ValueError(f"beta must be finite, got {beta}")
        require_at_least("warmup_steps", warmup_steps, 0)
        require_at_least("num_samples", num_samples, 1)
        require_choice("gradient", gradient, get_args(Gradient))
        super().__init__()
        self.beta = beta
        self.rise = Rise(schedule, warmup_steps, num_cycles, rising)
        self.whole_training = "warmup_steps" if self.rise.takes_whole_training else ""
        self.num_samples = num_samples
        self.gradient = gradient
        self.register_buffer("beta_now", torch.tensor(float(beta)), persistent=False)

    def why_not(self, vae: LatentModel) -> str | None:
        """What the gradient wants held fixed must be the posterior's own parameters alone."""
        return None if self.gradient == "elbo" else why_not_held_fixed(vae, self.gradient)

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        rates, distortions = rate(output), distortion(output.likelihood.log_prob(x))
        weighed = rates if self.gradient == "elbo" else mean_of_samples(sampled_rate(along_the_path(output)))
        return Terms(distortions + self.beta_now * weighed, rates, distortions)

    def prepare(self, progress: Progress) -> None:
        """Writes the step's weight of the rate down."""
        self.beta_now.fill_(self.beta_at(progress.step, progress.num_steps))

    def beta_at(self, step: int, num_steps: int = 0) -> float:
        """The rate's weight at an optimizer step of a training of so many."""
        return self.beta * self.rise.at(step, num_steps)

    def schedules(self, progress: Progress) -> dict[str, float]:
        """beta, for the log."""
        return {"beta": self.beta_at(progress.step, progress.num_steps)}


@torch.no_grad()
def evaluated_elbo(
    vae: LatentModel, x: Float[Tensor, "B C H W"], noise: Noise, labels: Int64[Tensor, " B"] | None
) -> Terms:
    """ELBO at beta = 1, rate (of a hierarchy by group, too) and distortion of each image, in evaluation mode."""
    output: VAEOutput = vae(x, noise, labels)
    return with_rates_of_groups(ELBO().to(x.device)(output, x, Progress(0)), output)
