"""InfoVAE: less weight on each image's rate, more on the aggregated posterior."""

import math

from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.objectives.mmd import Kernel, PriorDiscrepancy
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate, untrained_weights


class InfoVAE(Objective):
    """loss = distortion + (1 - alpha) * rate + (alpha + lambda - 1) * MMD(q(z), p(z)).

    q(z) is the aggregated posterior. alpha = 0, lambda = 1 is the negative ELBO and alpha = 1 the MMD-VAE, which leaves
    the rate of each image free. The MMD has no unit and is at most 2, so that lambda is in the tens to thousands of
    nats; of its kernel, its bandwidth and its batches see `PriorDiscrepancy`. It is the same for repeated images where
    the draws of the prior are, in evaluation it depends on `data.eval_batch_size`. Rate, distortion and ELBO are the
    plain ones, and the checkpoint is that of the best ELBO, which knows nothing of the MMD.

    Zhao, Song & Ermon, InfoVAE, arXiv 1706.02262.

    Raises:
        ValueError: an alpha above 1, an alpha + lambda_mmd below 1, one that is not finite, a bandwidth that is not
            positive, or a num_samples below 1.
    """

    needs_continuous = True

    def __init__(
        self,
        alpha: float = 0.0,
        lambda_mmd: float = 100.0,
        kernel: Kernel = "imq",
        bandwidth: float | None = None,
        num_samples: int = 1,
    ):
        require_at_most("alpha", alpha, 1)
        if alpha == -math.inf:
            raise ValueError(f"alpha must be finite, got {alpha}")
        if not 1 - alpha <= lambda_mmd < math.inf:
            raise ValueError(f"lambda_mmd must be finite and at least 1 - alpha, got {lambda_mmd} at alpha={alpha}")
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.alpha = alpha
        self.lambda_mmd = lambda_mmd
        self.num_samples = num_samples
        self.discrepancy = PriorDiscrepancy(kernel, bandwidth)

    def why_not(self, vae: LatentModel) -> str | None:
        """A mixture is not trained in full by samples of it, which is all that alpha = 1 leaves."""
        return untrained_weights(vae, "an objective.alpha below 1") if self.alpha == 1 else None

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        rates, distortions = rate(output), distortion(output.likelihood.log_prob(x))
        discrepancy = self.discrepancy(output)
        loss = distortions + (1 - self.alpha) * rates + (self.alpha + self.lambda_mmd - 1) * discrepancy
        return Terms(loss, rates, distortions, {"mmd": discrepancy})
