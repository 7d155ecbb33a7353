"""The importance-weighted bound on log p(x)."""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least, require_choice
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.objectives.gradients import along_the_path, doubly_reparameterized, why_not_held_fixed
from vae_lightning.objectives.terms import (
    Objective,
    Progress,
    Terms,
    distortion,
    importance_weighted_bound,
    log_weight,
    rate,
)

Gradient = Literal["iwae", "dreg", "stl"]


class IWAE(Objective):
    """loss = -log 1/K sum_k p(x, z_k) / q(z_k|x) with K = `num_samples` latents of each image.

    Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519. At K = 1 it is the negative ELBO,
    sampled; rate and distortion are the plain ones whatever K is, and so is the ELBO that selects the best checkpoint.

    `gradient` says how the encoder's gradient is estimated; the loss's value, and the gradient of decoder and prior,
    are the same. "dreg" is doubly reparameterized (Tucker et al., arXiv 1810.04152): the same in expectation as
    "iwae", the bound's own, and of less variance. "stl" leaves the score of q out (Roeder, Wu & Duvenaud, arXiv
    1703.09194), which is no change in expectation at K = 1 only: with more samples it is biased. Both are for models of
    one group of latents.

    Raises:
        ValueError: a num_samples below 1, or an unknown gradient.
    """

    needs_likelihood = True

    def __init__(self, num_samples: int = 5, gradient: Gradient = "iwae"):
        require_at_least("num_samples", num_samples, 1)
        require_choice("gradient", gradient, get_args(Gradient))
        super().__init__()
        self.num_samples = num_samples
        self.gradient = gradient

    def why_not(self, vae: LatentModel) -> str | None:
        """What the gradient wants held fixed must be the posterior's own parameters alone."""
        return None if self.gradient == "iwae" else why_not_held_fixed(vae, self.gradient)

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        log_likelihood = output.likelihood.log_prob(x)
        bound = importance_weighted_bound(_LOG_WEIGHTS[self.gradient](output, log_likelihood))
        return Terms(-bound, rate(output), distortion(log_likelihood))


def _along_the_path(output: VAEOutput, log_likelihood: Float[Tensor, "K B"]) -> Float[Tensor, "K B"]:
    return log_weight(along_the_path(output), log_likelihood)


_LOG_WEIGHTS = {"iwae": log_weight, "dreg": doubly_reparameterized, "stl": _along_the_path}
