"""p(x|z) of the 256 levels of a pixel, by a logistic distribution that is cut into bins."""

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint
from torch.nn.functional import softplus

from vae_lightning.models.distributions import at_least_float32
from vae_lightning.models.parts import Likelihood, Shape

LEVELS = 256
LARGEST_LOG_SCALE = 7.0  # in both directions
START = -1.0  # the log-scale of `decoder_output`
_FAR = 1e30  # an edge that no scale reaches; finite, so that gradients are
_LEAST_MEAN = 1e-3  # of a pixel, when what has to be put out for it is wanted


class Bins(NamedTuple):
    """The bins of pixels' levels, on a range of [-1, 1] of grey values; those of black and of white have no end.

    Attributes:
        lower: where they begin.
        upper: where they end, bit for bit where the next one begins.
        width: how wide they are.
    """

    lower: Float[Tensor, "..."]
    upper: Float[Tensor, "..."]
    width: Float[Tensor, "..."]


class DiscretizedLogisticImage(Distribution):
    """Independent pixels of 256 levels, each a logistic distribution in bins: batch shape [...], event shape [C, H, W].

    Args:
        loc: of the logistic distribution, grey values having a range of [-1, 1].
        log_scale: of its scale in the same units; it is used as one of [-7, 7].
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}  # any number will do

    def __init__(self, loc: Float[Tensor, "*KB C H W"], log_scale: Float[Tensor, "*KB C H W"]):
        self.loc = at_least_float32(loc)
        self.log_scale = at_least_float32(log_scale)
        super().__init__(loc.shape[:-3], loc.shape[-3:], validate_args=False)

    def log_prob(self, value: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*KB"]:
        """In nats, summed over the pixels; an image in [0, 1] has the levels that are nearest to its values."""
        return log_prob_of(bins(value), self.loc, self.log_scale).sum((-3, -2, -1))

    @property
    def mean(self) -> Float[Tensor, "*KB C H W"]:
        """The mean image, in [0, 1]."""
        return as_image(clipped_mean(self.loc, self.log_scale))


class DiscretizedLogistic(Likelihood):
    """p(x|z) as an independent discretized logistic distribution for the 256 levels of each pixel and channel.

    P(x = k / 255) = F(k + 1/2) - F(k - 1/2), where F(t) = sigmoid((2 t / 255 - 1 - loc) / scale), and F(-1/2) = 0 and
    F(255 + 1/2) = 1 in its place: black and white take the tails. The decoder puts out [2C, H, W], loc of all channels
    and then log(scale) of all channels, in units in which grey values go from -1 to 1. loc is not bounded, so that a
    pixel can be surely black; log(scale) is cut off at -7, where a bin is nearly nine scales wide, and at 7.

    Kingma et al., Improving variational inference with inverse autoregressive flow, arXiv 1606.04934; Salimans et al.,
    PixelCNN++, arXiv 1701.05517.
    """

    levels = LEVELS

    def forward(
        self, decoded: Float[Tensor, "*KB C2 H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        loc, log_scale = decoded.chunk(2, -3)
        return DiscretizedLogisticImage(loc, log_scale)

    def decoder_output(self, mean: Float[Tensor, "C H W"]) -> Float[Tensor, "C2 H W"]:
        """What the decoder must put out for this mean: a loc, and a log(scale) of -1 everywhere."""
        loc = loc_of_mean(mean, START)
        return torch.cat([loc, torch.full_like(loc, START)])

    def decoder_shape(self, image_shape: Shape) -> Shape:
        """Two values a pixel and channel."""
        channels, height, width = image_shape
        return 2 * channels, height, width


def bins(x: Float[Tensor, "..."]) -> Bins:
    """The bins of the levels that are nearest to images in [0, 1]."""
    level = (at_least_float32(x) * (LEVELS - 1)).round()
    black, white = level < 1, level > LEVELS - 2
    lower = ((2 * level - LEVELS) / (LEVELS - 1)).masked_fill(black, -_FAR)
    upper = ((2 * level - (LEVELS - 2)) / (LEVELS - 1)).masked_fill(white, _FAR)
    return Bins(lower, upper, torch.full_like(level, 2 / (LEVELS - 1)).masked_fill(black | white, _FAR))


def log_prob_of(where: Bins, loc: Float[Tensor, "..."], log_scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The log-probability of each bin in nats: log(F(upper) - F(lower)) of a logistic distribution.

    With l and u for (lower - loc) / scale and (upper - loc) / scale it is log(1 - exp(l - u)) - log(1 + exp(-u)) -
    log(1 + exp(l)), of which no part loses digits or leaves float32, however far the bin and however wide the scale.
    """
    precision = bounded(log_scale).neg().exp()
    inside = (where.width * precision).neg().expm1().neg().log()
    return inside - softplus((loc - where.upper) * precision) - softplus((where.lower - loc) * precision)


def bounded(log_scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The log-scale as it is used."""
    return log_scale.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)


def clipped_mean(loc: Float[Tensor, "..."], log_scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The mean of a logistic variable that is clipped to [-1, 1].

    That is scale * (log(1 + exp((loc + 1) / scale)) - log(1 + exp((loc - 1) / scale))) - 1, the integral of which the
    mean of the discretized variable is a sum by the midpoint rule: they are half a bin apart at most.
    """
    scale = bounded(log_scale).exp()
    return (scale * (softplus((loc + 1) / scale) - softplus((loc - 1) / scale)) - 1).clamp(-1, 1)


def loc_of_mean(mean: Float[Tensor, "..."], log_scale: float) -> Float[Tensor, "..."]:
    """The loc of which, at this log-scale, `clipped_mean` makes a mean image in [0, 1]."""
    scale = torch.as_tensor(log_scale, dtype=mean.dtype, device=mean.device).exp()
    mean = mean.clamp(_LEAST_MEAN, 1 - _LEAST_MEAN)
    above_black, below_white = 2 * mean / scale, 2 * (1 - mean) / scale
    return scale * (above_black.expm1().log() - below_white.neg().expm1().neg().log()) - 1


def as_image(grey: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Grey values of [-1, 1] as those of [0, 1]."""
    return ((grey + 1) / 2).clamp(0, 1)
