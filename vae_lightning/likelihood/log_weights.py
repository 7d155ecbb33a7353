"""Importance weights w = p(x, z) / q(z|x) of many latents of each image, as exactly or as fast as is wanted."""

import functools
import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from vae_lightning.models.latent_model import LatentModel, side_by_side
from vae_lightning.models.parts import decoder_shape
from vae_lightning.noise import Noise

Precision = Literal["highest", "high", "medium", "refined"]

_CACHED_VALUES = 2**21  # 8 MB of float32
_SHARE = 0.9  # of an image's weight, to be computed in float32
_LEAST = 64  # of so many samples at least one too
_LARGEST_SPREAD = 0.25  # nats, of what rounding does to an image's log-weights


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Multiply float32 matrices so exactly for a while (`torch.set_float32_matmul_precision`)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class Looked:
    """Images that a model has looked at, once for all of their samples.

    Attributes:
        x: images in [0, 1].
        observed: what `LatentModel.observe` made of them.
        labels: of the images, for a model that is told labels.
    """

    x: Float[Tensor, "B C H W"]
    observed: Any
    labels: Int64[Tensor, " B"] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice) -> "Looked":
        return Looked(self.x[rows], self.observed[rows], None if self.labels is None else self.labels[rows])


def log_weights(
    vae: LatentModel, images: Looked, noise: Noise, precision: Precision = "highest"
) -> Float64[Tensor, "K B"]:
    """log w of the latents that this noise makes of the images' posteriors, in nats, where float64 is.

    Args:
        vae: in evaluation mode.
        images: B of them.
        noise: K samples of each.
        precision: of products of float32 matrices, as `torch.set_float32_matmul_precision` has it. Or "refined": all
            latents by "medium", and by "highest" once more those that carry 90% of their image's weight. The log of the
            weights' sum is then that of "highest" to a few thousandths of a nat.
    """
    groups = vae.infer(images.observed, noise)
    ratio = _double(functools.reduce(operator.add, [group.log_ratio() for group in groups]))
    z = side_by_side(groups)
    with matmul_precision("medium" if precision == "refined" else precision):
        found = ratio + _log_likelihood(vae, z, images.x, images.labels)
    return _refined(found, ratio, vae, z, images) if precision == "refined" else found


def _log_likelihood(
    vae: LatentModel, z: Float[Tensor, "K B D"], x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None
) -> Float64[Tensor, "K B"]:
    """log p(x|z); many latents on the CPU image by image, as many at a time as leave decoded images in its cache."""
    num_rows = max(1, _CACHED_VALUES // math.prod(decoder_shape(vae.likelihood, x.shape[1:])))
    if z.device.type != "cpu" or len(z) < num_rows:
        return _double(vae.decode(z, labels).log_prob(x))
    images = []
    for row, image in enumerate(x):
        label = None if labels is None else labels[row]
        parts = z[:, row].split(num_rows)
        images.append(torch.cat([vae.decode(part, label).log_prob(image) for part in parts]))
    return _double(torch.stack(images, 1))


def _refined(
    rounded: Float64[Tensor, "K B"],
    ratio: Float64[Tensor, "K B"],
    vae: LatentModel,
    z: Float[Tensor, "K B D"],
    images: Looked,
) -> Float64[Tensor, "K B"]:
    """The heaviest weights computed again, and the others moved by what those moved on average.

    The log-weights of an image lie nats apart, so that few of them make up the sum. Where rounding does much else than
    move an image's log-weights together, all are computed again.
    """
    chosen = _heaviest(rounded)
    rows = chosen.nonzero()[:, 1].to(images.x.device)
    labels = None if images.labels is None else images.labels[rows]
    likelihood = _log_likelihood(vae, z[chosen.to(z.device)].unsqueeze(0), images.x[rows], labels)
    change = torch.zeros_like(rounded).masked_scatter(chosen, likelihood.flatten() + ratio[chosen] - rounded[chosen])
    num_chosen = chosen.sum(0)
    shift = change.sum(0) / num_chosen
    variance = torch.where(chosen, change - shift, 0).square().sum(0) / num_chosen
    refined = rounded + torch.where(chosen, change, shift)
    too_far = variance > _LARGEST_SPREAD**2
    if bool(too_far.any()):
        refined = torch.where(too_far, ratio + _log_likelihood(vae, z, images.x, images.labels), refined)
    return refined


def _heaviest(log_weights: Float64[Tensor, "K B"]) -> Bool[Tensor, "K B"]:
    """Whether a weight is among the largest that together have the share of its image's sum."""
    ordered = log_weights.sort(0, descending=True).values
    num_heavy = (ordered.softmax(0).cumsum(0) < _SHARE).sum(0).clamp(min=len(ordered) // _LEAST, max=len(ordered) - 1)
    return log_weights >= ordered.gather(0, num_heavy.unsqueeze(0))


def _double(values: Tensor) -> Float64[Tensor, "..."]:
    """In float64, on the CPU where the device has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()
