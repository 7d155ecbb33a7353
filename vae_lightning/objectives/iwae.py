"""The importance-weighted bound on log p(x)."""

from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.models.latent_model import VAEOutput
from vae_lightning.objectives.terms import (
    Objective,
    Progress,
    Terms,
    distortion,
    importance_weighted_bound,
    log_weight,
    rate,
)


class IWAE(Objective):
    """loss = -log 1/K sum_k p(x, z_k) / q(z_k|x) with K = `num_samples` latents of each image.

    Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519. At K = 1 it is the negative ELBO,
    sampled; rate and distortion are the plain ones whatever K is, and so is the ELBO that selects the best checkpoint.

    Raises:
        ValueError: a num_samples below 1.
    """

    def __init__(self, num_samples: int = 5):
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.num_samples = num_samples

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        log_likelihood = output.likelihood.log_prob(x)
        bound = importance_weighted_bound(log_weight(output, log_likelihood))
        return Terms(-bound, rate(output), distortion(log_likelihood))
