"""The Wasserstein autoencoder: reconstructions, and an aggregated posterior like the prior; no rate."""

from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least, require_weight
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.objectives.mmd import Kernel, PriorDiscrepancy
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate_if_any, untrained_weights


class WAE(Objective):
    """loss = distortion + lambda * MMD(q(z), p(z)): the WAE-MMD, whose cost of a reconstruction is -log p(x|z).

    q(z) is the aggregated posterior of the posterior that the model has: with `model/posterior=point` a code without
    noise, else one that is sampled. The paper's cost is the squared error, which is this one with a Gaussian likelihood
    of a fixed scale. Of the MMD see `PriorDiscrepancy`; it has no unit and is at most 2.

    Nothing holds the rate of a single image down: with a posterior that has a density it is monitored, and the best
    checkpoint is that of the best ELBO, which may be an early one (the last one is the end of training). With a point
    posterior there is no ELBO, and the best checkpoint is that of the lowest loss.

    Tolstikhin, Bousquet, Gelly & Schoelkopf, Wasserstein Auto-Encoders, arXiv 1711.01558.

    Raises:
        ValueError: a lambda_mmd that is negative or not finite, a bandwidth that is not positive, or a num_samples
            below 1.
    """

    needs_continuous = True
    needs_density = False

    def __init__(
        self,
        lambda_mmd: float = 100.0,
        kernel: Kernel = "imq",
        bandwidth: float | None = None,
        num_samples: int = 1,
    ):
        require_weight("lambda_mmd", lambda_mmd)
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.lambda_mmd = lambda_mmd
        self.num_samples = num_samples
        self.discrepancy = PriorDiscrepancy(kernel, bandwidth)

    def why_not(self, vae: LatentModel) -> str | None:
        """A mixture is not trained in full by samples of it."""
        return untrained_weights(vae, "objective=info_vae")

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        distortions, discrepancy = distortion(output.likelihood.log_prob(x)), self.discrepancy(output)
        loss = distortions + self.lambda_mmd * discrepancy
        return Terms(loss, rate_if_any(output), distortions, {"mmd": discrepancy})
