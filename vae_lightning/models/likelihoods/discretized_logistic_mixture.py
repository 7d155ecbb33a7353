"""p(x|z) of the 256 levels of a pixel, by a mixture of logistic distributions that are cut into bins."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import at_least_float32
from vae_lightning.models.likelihoods.discretized_logistic import (
    LEVELS,
    START,
    Bins,
    as_image,
    bins,
    clipped_mean,
    loc_of_mean,
    log_prob_of,
)
from vae_lightning.models.parts import Likelihood, Shape

_COLOURS = 3  # channels that depend on each other, by as many coefficients


class DiscretizedLogisticMixtureImage(Distribution):
    """Pixels of 256 levels, each a mixture of M discretized logistic distributions: event shape [C, H, W].

    Given z, pixels are independent of each other. Grey values have a range of [-1, 1].

    Args:
        logits: of the components' weights at each pixel, which its channels share; [*KB, M, H, W].
        loc: of the logistic distributions, for each channel, before the channels that come first are heeded.
        log_scale: for each channel; it is used as one of [-7, 7].
        coefficients: what a channel adds to its loc for one unit of another: green for red, blue for red, blue for
            green; none for channels that are independent, given the component.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}  # any number will do

    def __init__(
        self,
        logits: Float[Tensor, "*KB M H W"],
        loc: Sequence[Float[Tensor, "*KB M H W"]],
        log_scale: Sequence[Float[Tensor, "*KB M H W"]],
        coefficients: Sequence[Float[Tensor, "*KB M H W"]] = (),
    ):
        self.logits = at_least_float32(logits)
        self.loc = [at_least_float32(each) for each in loc]
        self.log_scale = [at_least_float32(each) for each in log_scale]
        self.coefficients = [at_least_float32(each) for each in coefficients]
        shape = torch.Size((len(loc), *logits.shape[-2:]))
        super().__init__(logits.shape[:-3], shape, validate_args=False)

    def log_prob(self, value: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*KB"]:
        """In nats, summed over the pixels; an image in [0, 1] has the levels that are nearest to its values."""
        value = value.unsqueeze(-3)
        where, greys = bins(value), (2 * value - 1).unbind(-4)
        nats = self.logits
        for channel, edges in enumerate(zip(*(each.unbind(-4) for each in where), strict=True)):
            nats = nats + log_prob_of(Bins(*edges), self._loc(channel, greys), self.log_scale[channel])
        return (nats.logsumexp(-3) - self.logits.logsumexp(-3)).sum((-2, -1))

    @property
    def mean(self) -> Float[Tensor, "*KB C H W"]:
        """The mean image, in [0, 1]; of a channel that depends on others, the mean where those are at theirs."""
        means: list[Tensor] = []
        for channel, log_scale in enumerate(self.log_scale):
            means.append(clipped_mean(self._loc(channel, means), log_scale))
        weights = self.logits.softmax(-3)
        return as_image(torch.stack([(weights * mean).sum(-3) for mean in means], -3))

    def _loc(self, channel: int, greys: Sequence[Tensor]) -> Tensor:
        """Where a channel's distributions lie, given the grey values of those before it."""
        loc = self.loc[channel]
        if self.coefficients:
            first = channel * (channel - 1) // 2
            for coefficient, grey in zip(self.coefficients[first : first + channel], greys, strict=False):
                loc = loc + coefficient * grey
        return loc


class DiscretizedLogisticMixture(Likelihood):
    """p(x|z) as a mixture of M discretized logistic distributions for the 256 levels of each pixel.

    P(x) = sum_m w_m prod_c P_m(x_c | x_<c) at each pixel, with P_m(x_c | x_<c) as `DiscretizedLogistic` has it: the
    channels share the weights w = softmax(logits). Of images with three channels, loc of green is loc + a * red and
    that of blue is loc + b * red + c * green, with the image's own red and green, and a, b, c in (-1, 1) for each
    component. Grey values go from -1 to 1 in that; log(scale) is cut off at -7 and 7.

    The decoder puts out groups of M maps: the logits, loc of each channel, log(scale) of each channel, and with three
    channels a, b, c before tanh. That is [3M, H, W] for grey images, [10M, H, W] for three channels, and
    [(1 + 2C) M, H, W] for any other number.

    Salimans, Karpathy, Chen & Kingma, PixelCNN++, arXiv 1701.05517.

    Raises:
        ValueError: a num_components below 1.
    """

    levels = LEVELS

    def __init__(self, num_components: int = 10):
        require_at_least("num_components", num_components, 1)
        super().__init__()
        self.num_components = num_components

    def forward(
        self, decoded: Float[Tensor, "*KB C2 H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        logits, *others = at_least_float32(decoded).unflatten(-3, (-1, self.num_components)).unbind(-4)
        channels = _COLOURS if len(others) == 3 * _COLOURS else len(others) // 2
        loc, log_scale, rest = others[:channels], others[channels : 2 * channels], others[2 * channels :]
        return DiscretizedLogisticMixtureImage(logits, loc, log_scale, [each.tanh() for each in rest])

    def decoder_output(self, mean: Float[Tensor, "C H W"]) -> Float[Tensor, "C2 H W"]:
        """What the decoder must put out for this mean: equal components, and channels that are independent."""
        loc = loc_of_mean(mean, START)
        groups = [torch.zeros_like(loc[:1]), loc, torch.full_like(loc, START)]
        if len(mean) == _COLOURS:
            groups.append(torch.zeros_like(loc))
        return torch.cat(groups).repeat_interleave(self.num_components, 0)

    def decoder_shape(self, image_shape: Shape) -> Shape:
        """So many groups of M maps as there are kinds of them."""
        channels, height, width = image_shape
        kinds = 1 + 2 * channels + (_COLOURS if channels == _COLOURS else 0)
        return kinds * self.num_components, height, width
