"""Importance sampling of log p(x): the likelihood that papers report, in memory that does not grow with K."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from vae_lightning.likelihood.log_weights import Looked, Precision, log_weights
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import indexed_parts


@dataclass(frozen=True)
class SampledBounds:
    """Two estimates of log p(x) per image from the same K samples, in nats.

    Attributes:
        log_likelihood: log 1/K sum_k w_k with w_k = p(x, z_k) / q(z_k|x), [B].
        elbo: 1/K sum_k log w_k, [B].
    """

    log_likelihood: Float64[Tensor, " B"]
    elbo: Float64[Tensor, " B"]


@torch.no_grad()
def importance_sampled(
    vae: LatentModel,
    x: Float[Tensor, "B C H W"],
    indices: Int64[Tensor, " B"],
    labels: Int64[Tensor, " B"] | None = None,
    *,
    num_samples: int,
    seed: int,
    max_latents: int,
    precision: Precision = "highest",
) -> Iterator[tuple[slice, SampledBounds]]:
    """The bounds of a batch of images, some images at a time, with the part of the batch that they are.

    Each image is encoded once. Burda, Grosse & Salakhutdinov, arXiv 1509.00519.

    Args:
        vae: in evaluation mode.
        x: images in [0, 1] on the model's device.
        indices: of the images, from which with the seed their noise follows.
        labels: of the images, for a model that is told labels.
        num_samples: K.
        seed: of the noise.
        max_latents: decoded at a time: whole images if one's K samples are fewer, else a part of its samples.
        precision: of products of matrices, as in `log_weights`; each part of an image's samples is refined by itself.

    Raises:
        ValueError: a num_samples or max_latents below 1.
    """
    if min(num_samples, max_latents) < 1:
        raise ValueError(f"num_samples and max_latents must be at least 1, got {num_samples} and {max_latents}")
    images = Looked(x, vae.observe(x, labels), labels)
    num_images = max(1, max_latents // num_samples)
    for start in range(0, len(x), num_images):
        part = slice(start, min(start + num_images, len(x)))
        running = _Running(part.stop - part.start)
        for noise in indexed_parts(seed, indices[part], num_samples, max_latents, x.device):
            running.add(log_weights(vae, images[part], noise, precision))
        yield part, running.bounds()


class _Running:
    """Sums over the samples seen so far, in float64 where the weights are."""

    def __init__(self, num_images: int):
        self.num_samples = 0
        self.log_sum = torch.full((num_images,), -math.inf, dtype=torch.float64)
        self.sum = torch.zeros(num_images, dtype=torch.float64)

    def add(self, log_weights: Float64[Tensor, "K B"]) -> None:
        if self.num_samples == 0:
            self.log_sum, self.sum = self.log_sum.to(log_weights.device), self.sum.to(log_weights.device)
        self.num_samples += len(log_weights)
        self.log_sum = torch.logaddexp(self.log_sum, log_weights.logsumexp(0))
        self.sum += log_weights.sum(0)

    def bounds(self) -> SampledBounds:
        bounds = self.log_sum - math.log(self.num_samples), self.sum / self.num_samples
        return SampledBounds(*(each.cpu() for each in bounds))
