"""The beta-TCVAE: the rate in three parts, each with a weight of its own."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from vae_lightning.errors import require_at_least, require_weight
from vae_lightning.models.distributions import marginals
from vae_lightning.models.latent_model import Group, LatentModel, VAEOutput, mean_of_samples
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, no_marginals, rate, several_groups


class RateParts(NamedTuple):
    """A sampled rate log q(z|x) - log p(z) in three parts, nats per image, [B]."""

    mutual_information: Tensor  # log q(z|x) - log q(z)
    total_correlation: Tensor  # log q(z) - sum_d log q(z_d)
    dimension_wise: Tensor  # sum_d log q(z_d) - log p(z)


class BetaTCVAE(Objective):
    """loss = distortion + alpha * MI + beta * TC + gamma * DW, the rate of the aggregated posterior q(z) in its parts.

    MI = log q(z|x) - log q(z), whose mean is the mutual information of image and code, TC = log q(z) - sum_d log q(z_d)
    the total correlation, which beta weighs as a whole, and DW = sum_d log q(z_d) - log p(z) the rate of the single
    dimensions (their KL where p(z) factorizes, as N(0, I) does). At one sample they add up to the sampled rate, so that
    alpha = beta = gamma = 1 is the negative ELBO. They are logged as `mutual_information`, `total_correlation` and
    `dimension_wise`.

    q(z) = 1/N sum_n q(z|x_n) is of N = `progress.num_images` training images (of the batch's B if they are more) and is
    estimated by the batch, log-sum-exp of log q(z_i|x_j) + log w_ij over its images j; so is each q(z_d):

        sampling="weighted"    w_ij = 1 / (N B). MI is at most ln(N B). ln N counts once too often in MI, D - 1 times in
                               TC and -D times in DW, which has no gradient and cancels in their sum.
        sampling="stratified"  w_ii = 1 / N, else (N - 1) / (N (B - 1)): without bias in q(z) and exact where the batch
                               is all images. MI is at most ln N.

    The paper's stratified weights give one neighbour (N - B + 1) / (N (B - 1)) and the others 1 / (B - 1); these are
    their mean over which neighbour it is, so that no order of the batch matters. Of a batch of one image stratified has
    w_ii alone. Both depend on which images a batch has. A batch that is repeated has the same parts by weighted
    sampling; by the stratified one it has others, for each image then counts as a different one. Each rank takes its
    own batch, and so does each of those that a step accumulates. In evaluation, too, loss and parts are of batches (of
    `data.eval_batch_size`), and N is that of training; rate, distortion and ELBO, which selects the best checkpoint,
    are the plain ones.

    Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in VAEs, arXiv 1802.04942.

    Raises:
        ValueError: a weight that is negative or not finite, or a num_samples below 1.
    """

    needs_continuous = True

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 6.0,
        gamma: float = 1.0,
        sampling: Literal["weighted", "stratified"] = "stratified",
        num_samples: int = 1,
    ):
        require_weight("alpha", alpha)
        require_weight("beta", beta)
        require_weight("gamma", gamma)
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.sampling = sampling
        self.num_samples = num_samples

    def why_not(self, vae: LatentModel) -> str | None:
        """Of several groups the posterior of one depends on the samples of others, of each image its own."""
        return several_groups(vae) or no_marginals(vae, "the densities of single dimensions")

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        distortions = distortion(output.likelihood.log_prob(x))
        parts = self.parts(output.groups[0], progress.num_images)
        weighted = self.alpha * parts.mutual_information + self.beta * parts.total_correlation
        loss = distortions + weighted + self.gamma * parts.dimension_wise
        return Terms(loss, rate(output), distortions, parts._asdict())

    def parts(self, group: Group, num_images: int) -> RateParts:
        """The three parts of a group's sampled rate.

        Args:
            group: the only one.
            num_images: that q(z) is of, N; the batch's where they are more.
        """
        single = marginals(group.posterior)
        assert single is not None, "why_not refuses a model whose posterior's are not known"
        of_dimensions = single.log_prob(group.z.unsqueeze(-2))  # [K, B, B, D]: z_i under q(.|x_j)
        of_all = of_dimensions.sum(-1)
        if not isinstance(group.posterior, Independent):  # its components are not
            of_all = group.posterior.log_prob(group.z.unsqueeze(-2))
        log_weights = self._log_weights(of_all.shape[-1], num_images, of_all.device)
        log_q = (of_all + log_weights).logsumexp(-1)
        log_product = (of_dimensions + log_weights.unsqueeze(-1)).logsumexp(-2).sum(-1)
        log_given = group.posterior.log_prob(group.z)
        parts = (log_given - log_q, log_q - log_product, log_product - group.prior.log_prob(group.z))
        return RateParts(*map(mean_of_samples, parts))

    def _log_weights(self, batch_size: int, num_images: int, device: torch.device) -> Float[Tensor, "B B"]:
        number, shape = max(num_images, batch_size), (batch_size, batch_size)
        if self.sampling == "weighted":
            return torch.full(shape, -math.log(number * batch_size), device=device)
        others = math.log(max(number - 1, 1) / max(batch_size - 1, 1)) - math.log(number)
        return torch.full(shape, others, device=device).fill_diagonal_(-math.log(number))
