"""The structural similarity of images over several scales, where others have a likelihood: it is none."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint
from torch.nn.functional import avg_pool2d

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import at_least_float32, clamped_logit
from vae_lightning.models.parts import Likelihood

_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
_WINDOW = 11  # pixels, of the usual one
_SIGMA = 1.5 / _WINDOW  # of the window's Gaussian, for each pixel that it is wide
_C1, _C2 = 0.01**2, 0.03**2  # of a range of 1
Filters = Sequence[tuple[Tensor, Tensor]]  # of each scale: for the rows [H2, H], for the columns [W, W2]


class MSSSIMImage(Distribution):
    """A mean image and how unlike it others are, in the place of a distribution: event shape [C, H, W].

    Args:
        mean: in [0, 1].
        filters: as `ms_ssim` takes them.
        weight: of the unlikeness, for each pixel and channel.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}  # any image will do

    def __init__(self, mean: Float[Tensor, "*KB C H W"], filters: Filters, weight: float):
        self._mean, self._filters, self._weight = mean, filters, weight
        super().__init__(mean.shape[:-3], mean.shape[-3:], validate_args=False)

    def log_prob(self, value: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*KB"]:
        """-weight * P * (1 - MS-SSIM), P being pixels times channels: no log-probability, and not in nats."""
        with torch.autocast(self._mean.device.type, enabled=False):  # variances are small differences
            mean, image = torch.broadcast_tensors(self._mean, value.to(self._mean))
            similarity = ms_ssim(mean, image, self._filters)
        return self._weight * math.prod(self.event_shape) * (similarity - 1)

    @property
    def mean(self) -> Float[Tensor, "*KB C H W"]:
        """The image that others are compared with, in [0, 1]."""
        return self._mean


class MSSSIM(Likelihood):
    """-log p(x|z) replaced by weight * P * (1 - MS-SSIM(x, sigmoid(decoder(z)))): no likelihood, and no nats.

    P is the number of pixels times channels, so that `weight` means the same at any size. MS-SSIM is the product over
    the scales of ((1 + s) / 2)^e: s is the mean over pixels and channels of the structure's similarity, at the last
    scale times that of the brightness, and e the scale's exponent, those of the scales that there are adding up to one.
    The published index has s^e, which has no gradient where images are unlike each other. Each scale is half as large
    as the one before; windows lie within the image.

    What is trained is an autoencoder with a rate. `elbo` is then no bound on anything, `log p(x)` is not estimated,
    and figures compare with those of the same size, scales, window and weight only.

    Wang, Simoncelli & Bovik, Multiscale structural similarity for image quality assessment, 2003; for autoencoders
    Snell et al., arXiv 1511.06409.

    Args:
        image_shape: (C, H, W).
        weight: of the unlikeness against the rate.
        num_scales: 1 to 5; "auto" for as many as the window fits into.
        window: pixels that the Gaussian window is wide, its standard deviation being 1.5 where that is 11.

    Raises:
        ValueError: a weight that is not positive and finite, a window below 2 or wider than the image, or more scales
            than it fits into.
    """

    levels = None

    def __init__(
        self,
        image_shape: Sequence[int],
        weight: float = 1.0,
        num_scales: int | Literal["auto"] = "auto",
        window: int = _WINDOW,
    ):
        if not 0 < weight < math.inf:
            raise ValueError(f"weight must be positive and finite, got {weight}")
        require_at_least("window", window, 2)
        super().__init__()
        self.weight = weight
        self.num_scales = _num_scales(min(image_shape[1:]), num_scales, window)
        self.measure = _in_words(self.num_scales, weight, window)
        for scale in range(self.num_scales):
            rows, columns = (_filter(side // 2**scale, window) for side in image_shape[1:])
            self.register_buffer(f"rows_{scale}", rows, persistent=False)
            self.register_buffer(f"columns_{scale}", columns.T.contiguous(), persistent=False)

    def forward(
        self, decoded: Float[Tensor, "*KB C H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        mean = torch.sigmoid(at_least_float32(decoded))
        filters = [
            tuple(getattr(self, f"{side}_{scale}").to(mean) for side in ("rows", "columns"))
            for scale in range(self.num_scales)
        ]
        return MSSSIMImage(mean, filters, self.weight)

    def decoder_output(self, mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the decoder must give for this to be the image that others are compared with."""
        return clamped_logit(mean)


def ms_ssim(one: Float[Tensor, "*B C H W"], other: Float[Tensor, "*B C H W"], filters: Filters) -> Float[Tensor, "*B"]:
    """How like each other images are, in (0, 1]; see `MSSSIM`.

    torchmetrics has it, too, with a product whose gradient makes the host wait for the GPU.
    """
    exponents = _EXPONENTS[: len(filters)]
    logarithm = one.new_zeros(one.shape[:-3])
    for scale, (exponent, (rows, columns)) in enumerate(zip(exponents, filters, strict=True)):
        if scale:
            one, other = _halved(one), _halved(other)
        brightness, structure = _similarities(one, other, rows, columns)
        similarity = (brightness * structure if scale == len(filters) - 1 else structure).mean((-3, -2, -1))
        logarithm = logarithm + exponent / sum(exponents) * ((1 + similarity) / 2).log()
    return logarithm.exp()


def _similarities(one: Tensor, other: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Of brightness and of structure (with contrast), at each place of the window."""
    means = rows @ torch.stack([one, other, one * one, other * other, one * other]) @ columns
    mean, other_mean, square, other_square, product = means.unbind()
    variances = square - mean.square() + other_square - other_mean.square()
    covariance = product - mean * other_mean
    brightness = (2 * mean * other_mean + _C1) / (mean.square() + other_mean.square() + _C1)
    return brightness, (2 * covariance + _C2) / (variances + _C2)


def _halved(images: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*B C H2 W2"]:
    return avg_pool2d(images.reshape(-1, *images.shape[-2:]), 2).unflatten(0, images.shape[:-2])


def _in_words(num_scales: int, weight: float, window: int) -> str:
    """All that figures must have in common to be compared, besides the images."""
    words = [f"MS-SSIM over {num_scales} scale{'s' if num_scales > 1 else ''}"]
    words += [] if window == _WINDOW else [f"windows of {window}"]
    return ", ".join(words + ([] if weight == 1 else [f"weight {weight:g}"]))


def _num_scales(side: int, wanted: int | str, window: int) -> int:
    """How many scales there are: as many as are wanted, or as the window fits into."""
    fitting = sum(side // 2**scale >= window for scale in range(len(_EXPONENTS)))
    if not fitting:
        raise ValueError(f"window must be at most {side}, the smaller side of the images, got {window}")
    if isinstance(wanted, str):
        return fitting
    if not 1 <= wanted <= fitting:
        of_what = f"a window of {window} pixels fits into no more at images of {side}"
        raise ValueError(f"num_scales must be auto or from 1 to {fitting}, got {wanted}: {of_what}")
    return wanted


def _filter(side: int, window: int) -> Float[Tensor, "S2 S"]:
    """The window's weighted means of a line of pixels at all places within it, as a matrix."""
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    weights = (-0.5 * (offsets / (_SIGMA * window)).square()).exp()
    matrix = torch.zeros(side - window + 1, side, dtype=torch.float64)
    for place in range(len(matrix)):
        matrix[place, place : place + window] = weights / weights.sum()
    return matrix.float()
