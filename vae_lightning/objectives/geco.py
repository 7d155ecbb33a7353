"""The rate under a constraint on reconstructions, whose weight follows from how well it is kept."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.models.latent_model import VAEOutput, mean_of_samples
from vae_lightning.models.ranks import mean_over_ranks
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, rate

_LARGEST_LOG_LAMBDA = math.log(1e6)  # in both directions: a tolerance may be out of reach


class GECO(Objective):
    """loss = rate + lambda * C_t: the smallest rate with which reconstructions stay within a tolerance.

    The constraint of an image of P values (pixels times channels) in [0, 1] is C = sum_i ((x_i - mean_i)^2 -
    tolerance^2) with the mean of p(x|z), averaged over `num_samples` latents: tolerance is the root mean squared error
    of a pixel that is strived for. C_t = C + stop_gradient(A - C) has the gradient of C and the value of A, a running
    average of the mean C of each step's images that starts at the first: A <- averaging * A + (1 - averaging) * C.
    After each step lambda <- lambda * exp(step_size * r) with r = A / (P tolerance^2), which is -1 without any error, 0
    at the tolerance, and cut off at 1. lambda is kept within [1e-6, 1e6]. In evaluation C_t is C.

    Of p(x|z) the mean alone is trained: suited are the Bernoulli likelihood, and the Gaussian one with the optimal or a
    fixed scale. Rate, distortion and ELBO are the plain ones, of which the constraint knows nothing: the checkpoint of
    the best ELBO may be one that does not keep it, the last one is that of the end of training.

    Rezende & Viola, Taming VAEs, arXiv 1810.00597.

    Raises:
        ValueError: a tolerance, initial_lambda or step_size that is not positive, a tolerance above 1, an averaging
            outside [0, 1), or a num_samples below 1.
    """

    trains_likelihood = False
    log_lambda: Tensor
    average: Tensor
    num_updates: Tensor
    step_constraint: Tensor
    step_batches: Tensor

    def __init__(
        self,
        tolerance: float = 0.1,
        initial_lambda: float = 1.0,
        step_size: float = 0.01,
        averaging: float = 0.99,
        num_samples: int = 1,
    ):
        for name, value in {"tolerance": tolerance, "initial_lambda": initial_lambda, "step_size": step_size}.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if tolerance > 1:
            raise ValueError(f"tolerance must be at most 1, the range of a pixel, got {tolerance}")
        if not 0 <= averaging < 1:
            raise ValueError(f"averaging must lie in [0, 1), got {averaging}")
        require_at_least("num_samples", num_samples, 1)
        super().__init__()
        self.tolerance = tolerance
        self.step_size = step_size
        self.averaging = averaging
        self.num_samples = num_samples
        self.register_buffer("log_lambda", _bounded(torch.tensor(float(initial_lambda)).log()))
        self.register_buffer("average", torch.tensor(0.0))  # of the constraint per image
        self.register_buffer("num_updates", torch.tensor(0.0))
        # Of the batches that an optimizer step has accumulated so far; nothing at its end.
        self.register_buffer("step_constraint", torch.tensor(0.0), persistent=False)
        self.register_buffer("step_batches", torch.tensor(0.0), persistent=False)
        self._tolerated = 1.0  # of an image's squared error, known once there is an image

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        self._tolerated = self.tolerance**2 * x[0].numel()
        with torch.no_grad():
            distortions = distortion(output.likelihood.log_prob(x))
        rates = rate(output)
        constraint = mean_of_samples((output.likelihood.mean - x).square().sum((-3, -2, -1))) - self._tolerated
        strived_for = constraint
        if self.training:
            mean = constraint.detach().mean()
            self.step_constraint += mean_over_ranks(mean)
            self.step_batches += 1
            average = self._averaged(mean)
            strived_for = constraint + (average - constraint).detach()
        loss = rates + self.log_lambda.exp() * strived_for
        return Terms(loss, rates, distortions, {"constraint": constraint})

    def after_step(self, terms: Terms) -> None:
        """The average and lambda, which all ranks have in common."""
        self.average.copy_(self._averaged(self.step_constraint / self.step_batches))
        for passed in (self.step_constraint, self.step_batches):
            passed.zero_()
        self.num_updates += 1
        step = self.step_size * (self.average / self._tolerated).clamp(max=1)
        self.log_lambda.copy_(_bounded(self.log_lambda + step))

    def schedules(self, progress: Progress) -> dict[str, float]:
        """lambda, for the log."""
        return {"lambda": float(self.log_lambda.exp())}

    def _averaged(self, constraint: Tensor) -> Tensor:
        """The running average with one more batch, of which it is made if that is the first."""
        weight = torch.where(self.num_updates > 0, 1 - self.averaging, 1.0).to(constraint)
        return self.average.lerp(constraint, weight)


def _bounded(log_lambda: Tensor) -> Tensor:
    return log_lambda.clamp(-_LARGEST_LOG_LAMBDA, _LARGEST_LOG_LAMBDA)
