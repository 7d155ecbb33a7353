"""The likelihood by importance sampling: the figure that papers report."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from vae_lightning.errors import UserError, require_at_least
from vae_lightning.likelihood.importance import SampledBounds, bytes_per_latent, importance_sampled
from vae_lightning.likelihood.log_weights import Precision
from vae_lightning.machine.hardware import computes_in_bfloat16
from vae_lightning.metrics.bounds import bits_per_dim
from vae_lightning.metrics.score import Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import evaluation_seed

_PURPOSE = 1  # of its noise


@dataclass(frozen=True)
class LogLikelihood(Metric):
    """-log p(x) estimated by K samples of each image's posterior (arXiv 1509.00519), and its gap to the ELBO.

    The estimate is an upper bound in expectation. The gap is to the ELBO of the same K samples.

    Attributes:
        num_samples: K; the papers' is 5,000.
        num_images: the first so many images of the split; None for all.
        memory_mb: 10^6 bytes that it takes at most, whatever K is.
        matmul_precision: how exactly float32 matrices are multiplied (`torch.set_float32_matmul_precision`): "medium"
            rounds their factors to bfloat16 where the hardware has it, which is faster, and near enough for a look;
            "refined" follows that by "highest" for the samples that carry 90% of an image's weight. "auto" is
            "refined" for decoders without convolutions on CPUs that compute in bfloat16, else "highest".

    Raises:
        ValueError: a number below 1.
    """

    num_samples: int = 5000
    num_images: int | None = None
    memory_mb: float = 512.0
    matmul_precision: Literal["auto", Precision] = "auto"

    def __post_init__(self) -> None:
        require_at_least("num_samples", self.num_samples, 1)
        require_at_least("num_images", 1 if self.num_images is None else self.num_images, 1)
        require_at_least("memory_mb", self.memory_mb, 1)

    def check(self, subject: Subject) -> None:
        self._max_latents(subject.vae, subject.image_shape)

    def __call__(self, subject: Subject) -> Score:
        log_likelihood, elbo = self._bounds(subject)
        figures = {
            "nll": mean_figure(-log_likelihood, f"NLL by {self.num_samples:,} samples"),
            "nll_gap": mean_figure(log_likelihood - elbo, "gap of the ELBO"),
        }
        mean = figures["nll"]
        assert isinstance(mean.value, float)
        figures["nll_bits_per_dim"] = bits_per_dim(replace(mean, value=-mean.value), subject, "bits/dim of the NLL")
        facts: dict[str, Any] = {"num_images": len(elbo), "num_samples": self.num_samples}
        facts["matmul_precision"] = self._precision(subject.vae)
        return Score(figures, facts)

    def _precision(self, vae: LatentModel) -> Precision:
        if self.matmul_precision != "auto":
            return self.matmul_precision
        device = next(vae.parameters()).device.type
        convolves = any(isinstance(layer, _ConvNd) for layer in vae.decoder.modules())
        return "refined" if device == "cpu" and not convolves and computes_in_bfloat16(device) else "highest"

    def sampler(
        self, vae: LatentModel, image_shape: tuple[int, int, int], seed: int, split: str
    ) -> Callable[..., Iterator[tuple[slice, SampledBounds]]]:
        """`importance_sampled` as it remains to be called, with images, their indices and their labels.

        Raises:
            UserError: a latent takes more memory than there may be taken.
        """
        return partial(
            importance_sampled,
            vae,
            num_samples=self.num_samples,
            seed=evaluation_seed(seed, split, _PURPOSE),
            max_latents=self._max_latents(vae, image_shape),
            precision=self._precision(vae),
        )

    def _bounds(self, subject: Subject) -> tuple[Float64[Tensor, " N"], Float64[Tensor, " N"]]:
        """The two bounds on log p(x) of each image."""
        num_images = min(subject.num_images, self.num_images or subject.num_images)
        sampled = self.sampler(subject.vae, subject.image_shape, subject.seed, subject.split)
        rows = []
        with subject.progress(f"NLL by {self.num_samples:,} samples", num_images) as bar:
            for batch in subject.batches(most=num_images):
                for part, bounds in sampled(batch.images, batch.indices, batch.labels):
                    rows.append(torch.stack([bounds.log_likelihood, bounds.elbo], 1))
                    bar.update(part.stop - part.start)
        log_likelihood, elbo = subject.gathered(torch.cat(rows)).unbind(1)
        return log_likelihood, elbo

    def _max_latents(self, vae: LatentModel, image_shape: tuple[int, int, int]) -> int:
        budget, needed = self.memory_mb * 1e6, bytes_per_latent(vae, image_shape)
        if needed > budget:
            raise UserError(f"nll.memory_mb={self.memory_mb:g}: one latent takes {needed / 1e6:.1f} MB to decode")
        return int(budget // needed)
