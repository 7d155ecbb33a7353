"""The evidence lower bound, with a weight on the rate that may be warmed up."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.noise import Noise
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate


class ELBO(Objective):
    """loss = distortion + beta(step) * rate: the negative ELBO at beta = 1 (arXiv 1312.6114), else the beta-VAE's.

    beta rises linearly from 0 over the first `warmup_steps` optimizer steps (Bowman et al., arXiv 1511.06349). The
    distortion is the mean over `num_samples` latents of each image.

    Raises:
        ValueError: a negative beta or warmup_steps, or a num_samples below 1.
    """

    beta_now: Tensor

    def __init__(self, beta: float = 1.0, warmup_steps: int = 0, num_samples: int = 1):
        require_at_least("beta", beta, 0)
        if beta == float("inf"):
            raise ValueError(f"beta must be finite, got {beta}")
        require_at_least("warmup_steps", warmup_steps, 0)
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.beta = beta
        self.warmup_steps = warmup_steps
        self.num_samples = num_samples
        self.register_buffer("beta_now", torch.tensor(float(beta)), persistent=False)

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        rates, distortions = rate(output), distortion(output.likelihood.log_prob(x))
        return Terms(distortions + self.beta_now * rates, rates, distortions)

    def prepare(self, progress: Progress) -> None:
        """Writes the step's weight of the rate down."""
        self.beta_now.fill_(self.beta_at(progress.step))

    def beta_at(self, step: int) -> float:
        """The rate's weight at an optimizer step."""
        return self.beta * linear_warmup(step, self.warmup_steps)

    def schedules(self, progress: Progress) -> dict[str, float]:
        """beta, for the log."""
        return {"beta": self.beta_at(progress.step)}


@torch.no_grad()
def evaluated_elbo(
    vae: LatentModel, x: Float[Tensor, "B C H W"], noise: Noise, labels: Int64[Tensor, " B"] | None
) -> Terms:
    """ELBO at beta = 1, rate and distortion of each image, of a model in evaluation mode."""
    output: VAEOutput = vae(x, noise, labels)
    return ELBO().to(x.device)(output, x, Progress(0))


def linear_warmup(step: int, num_steps: int) -> float:
    """Rises from 1/num_steps at step 0 to 1 at step num_steps - 1 and stays there; 1 throughout for num_steps = 0."""
    return min(1.0, (step + 1) / num_steps) if num_steps > 0 else 1.0
