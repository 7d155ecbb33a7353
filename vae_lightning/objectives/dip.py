"""DIP-VAE: an aggregated posterior without correlations."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vae_lightning.errors import require_at_least, require_weight
from vae_lightning.models.distributions import at_least_float32
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, no_marginals, rate, several_groups


class DIPVAE(Objective):
    """loss = distortion + rate + lambda_od * sum_{i != j} C_ij^2 + lambda_d * sum_i (C_ii - 1)^2, C a covariance of z.

    `kind="i"`: C = Cov_x[mu(x)], that of the posterior means; its diagonal is below 1 where q(z) = N(0, I), by the mean
    posterior variance, and pulled to 1 in spite of that. `kind="ii"`: C = E_x[Sigma(x)] + Cov_x[mu(x)], that of the
    aggregated posterior.

    C is of the batch and divided by its B images (of which B - 1 tell something), so that a batch that is repeated has
    the same; of one image Cov[mu] is 0. Each rank takes its own batch, and so does each of those that a step
    accumulates. In evaluation the loss depends on `data.eval_batch_size`; rate, distortion and ELBO, which selects the
    best checkpoint, are the plain ones. The penalty is logged as `covariance`, both terms with their weights.

    Kumar, Sattigeri & Balakrishnan, Variational Inference of Disentangled Latent Concepts from Unlabeled Observations,
    arXiv 1711.00848.

    Raises:
        ValueError: a weight that is negative or not finite, or a num_samples below 1.
    """

    needs_continuous = True

    def __init__(
        self,
        kind: Literal["i", "ii"] = "ii",
        lambda_od: float = 10.0,
        lambda_d: float = 5.0,
        num_samples: int = 1,
    ):
        require_weight("lambda_od", lambda_od)
        require_weight("lambda_d", lambda_d)
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.kind = kind
        self.lambda_od = lambda_od
        self.lambda_d = lambda_d
        self.num_samples = num_samples

    def why_not(self, vae: LatentModel) -> str | None:
        """Of several groups the posterior of one depends on the samples of others."""
        return several_groups(vae) or no_marginals(vae, "means and covariances")

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        rates, distortions = rate(output), distortion(output.likelihood.log_prob(x))
        penalty = self.penalty(output.groups[0].posterior).expand_as(rates)
        return Terms(distortions + rates + penalty, rates, distortions, {"covariance": penalty})

    def penalty(self, posterior: Distribution) -> Float[Tensor, ""]:
        """Both terms of the covariance of a batch of posteriors, with their weights."""
        covariance = covariance_of_means(posterior)
        if self.kind == "ii":
            covariance = covariance + mean_covariance(posterior)
        diagonal = covariance.diagonal()
        correlated = covariance - diagonal.diag_embed()
        return self.lambda_od * correlated.square().sum() + self.lambda_d * (diagonal - 1).square().sum()


def covariance_of_means(posterior: Distribution) -> Float[Tensor, "D D"]:
    """Cov[mu] over the B images of a batch, divided by B."""
    mean = at_least_float32(posterior.mean)
    away = mean - mean.mean(0)
    with torch.autocast(mean.device.type, enabled=False):  # a product of matrices would be of half precision
        return away.T @ away / len(mean)


def mean_covariance(posterior: Distribution) -> Float[Tensor, "D D"]:
    """E[Sigma] over the images of a batch, of components that are independent or of a full covariance."""
    full = getattr(posterior, "covariance_matrix", None)
    if full is not None:
        return at_least_float32(full).mean(0)
    return at_least_float32(posterior.variance).mean(0).diag_embed()
