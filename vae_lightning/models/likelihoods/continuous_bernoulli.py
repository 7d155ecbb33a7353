"""p(x|z) of pixels in [0, 1] as the Bernoulli cross-entropy, normalized over that interval."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vae_lightning.models.distributions import at_least_float32
from vae_lightning.models.parts import Likelihood

_NEAR = 1.0  # a logit below which the series is used: to 4e-11, and elsewhere nothing cancels
_OF_LOG = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600)  # by powers of l^2, from the first
_OF_MEAN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)  # l times powers of l^2, from l
_LEAST_MEAN = 0.01  # of a pixel, when its logit is wanted: the logit of 0.001 is -1000
_LARGEST_LOGIT = 128.0  # with a mean closer to 0 and 1 than that
_HALVINGS = 40


class ContinuousBernoulliImage(Distribution):
    """Independent continuous Bernoulli pixels from logits: batch shape [...], event shape [C, H, W].

    `torch.distributions.ContinuousBernoulli` normalizes by a probability that it cuts off where float32 rounds it to
    one, beyond a logit of 16, where black pixels are: its density there is no density, and has not its gradient.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}  # any number will do

    def __init__(self, logits: Float[Tensor, "*KB C H W"]):
        self.logits = at_least_float32(logits)
        super().__init__(logits.shape[:-3], logits.shape[-3:], validate_args=False)

    def log_prob(self, value: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*KB"]:
        """The log-density in nats, summed over the pixels."""
        return log_density(self.logits, value).sum((-3, -2, -1))

    @property
    def mean(self) -> Float[Tensor, "*KB C H W"]:
        """The mean image, in [0, 1]."""
        return mean_of(self.logits)


class ContinuousBernoulli(Likelihood):
    """p(x|z) = C(l) s^x (1 - s)^(1 - x), with s = sigmoid(l) and l = decoder(z): a density of pixels in [0, 1].

    The Bernoulli cross-entropy of grey levels with the constant that makes it integrate to one, C(l) = l / (exp(l) - 1)
    / (1 - s), which is 2 at l = 0. The mean, which is what is shown, is 1 / (1 - exp(-l)) - 1/l and lies closer to 1/2
    than s does.

    The density of a pixel that is always black grows with -l without bound, if by its logarithm only.

    Loaiza-Ganem & Cunningham, The continuous Bernoulli, arXiv 1907.06845.
    """

    levels = None  # a density

    def forward(
        self, decoded: Float[Tensor, "*KB C H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        return ContinuousBernoulliImage(decoded)

    def decoder_output(self, mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the decoder must give for the likelihood to have this mean, which is taken to lie in [0.01, 0.99]."""
        mean = mean.clamp(_LEAST_MEAN, 1 - _LEAST_MEAN)
        logit, step = torch.zeros_like(mean), _LARGEST_LOGIT
        for _ in range(_HALVINGS):
            step = step / 2
            logit = logit + torch.where(mean_of(logit) < mean, step, -step)
        return logit


def log_density(logits: Float[Tensor, "..."], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """l x - A(l), with the log of the integral of exp(l x) over [0, 1], A(l) = log((exp(l) - 1) / l).

    That is l/2 + l^2/24 - ... near 0, and elsewhere max(l, 0) + log((1 - exp(-|l|)) / |l|).
    """
    is_near, near, far = _parted(logits)
    inside = near * (x - 0.5) - near.square() * _series(_OF_LOG, near.square())
    outside = (logits * x - logits.relu()) - (far.neg().expm1().neg() / far).log()
    return torch.where(is_near, inside, outside)


def mean_of(logits: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The derivative of A: 1 / (1 - exp(-l)) - 1/l, and 1/2 + l/12 - ... near 0."""
    is_near, near, far = _parted(logits)
    above = far.neg().expm1().reciprocal().neg() - far.reciprocal()
    outside = torch.where(logits > 0, above, 1 - above)
    return torch.where(is_near, 0.5 + near * _series(_OF_MEAN, near.square()), outside)


def _parted(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether a logit is near 0, it if it is, else its absolute value; of the others numbers that do no harm."""
    is_near = logits.abs() < _NEAR
    return is_near, logits.masked_fill(~is_near, 0.0), logits.abs().masked_fill(is_near, _NEAR)


def _series(coefficients: tuple[float, ...], t: Tensor) -> Tensor:
    total = torch.full_like(t, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * t + coefficient
    return total
