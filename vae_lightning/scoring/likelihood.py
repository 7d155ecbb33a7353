"""The likelihood by importance sampling: the figure that papers report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_lightning.arguments import require_at_least
from vae_lightning.errors import UserError
from vae_lightning.evaluation.nll import bytes_per_latent, importance_sampled
from vae_lightning.noise import evaluation_seed
from vae_lightning.scoring.bounds import bits_per_dim
from vae_lightning.scoring.score import Metric, Score, mean_figure
from vae_lightning.scoring.subject import Subject

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
            rounds their factors to bfloat16 where the hardware has it, which is faster, and near enough for a look.

    Raises:
        ValueError: a number below 1.
    """

    num_samples: int = 5000
    num_images: int | None = None
    memory_mb: float = 512.0
    matmul_precision: Literal["highest", "high", "medium"] = "highest"

    def __post_init__(self) -> None:
        require_at_least("num_samples", self.num_samples, 1)
        require_at_least("num_images", 1 if self.num_images is None else self.num_images, 1)
        require_at_least("memory_mb", self.memory_mb, 1)

    def check(self, subject: Subject) -> None:
        self._max_latents(subject)

    def __call__(self, subject: Subject) -> Score:
        with matmul_precision(self.matmul_precision):
            log_likelihood, elbo = self._bounds(subject)
        figures = {
            "nll": mean_figure(-log_likelihood, f"NLL by {self.num_samples:,} samples"),
            "nll_gap": mean_figure(log_likelihood - elbo, "gap of the ELBO"),
        }
        mean = figures["nll"]
        assert isinstance(mean.value, float)
        figures["nll_bits_per_dim"] = bits_per_dim(replace(mean, value=-mean.value), subject, "bits/dim of the NLL")
        facts = {"num_images": len(elbo), "num_samples": self.num_samples, "matmul_precision": self.matmul_precision}
        return Score(figures, facts)

    def _bounds(self, subject: Subject) -> tuple[Float64[Tensor, " N"], Float64[Tensor, " N"]]:
        """The two bounds on log p(x) of each image."""
        max_latents = self._max_latents(subject)
        num_images = min(subject.num_images, self.num_images or subject.num_images)
        seed, rows = evaluation_seed(subject.seed, subject.split, _PURPOSE), []
        with subject.progress(f"NLL by {self.num_samples:,} samples", num_images) as bar:
            for batch in subject.batches(most=num_images):
                options = {"num_samples": self.num_samples, "seed": seed, "max_latents": max_latents}
                for part, bounds in importance_sampled(subject.vae, batch.images, batch.indices, **options):
                    rows.append(torch.stack([bounds.log_likelihood, bounds.elbo], 1))
                    bar.update(part.stop - part.start)
        log_likelihood, elbo = subject.gathered(torch.cat(rows)).unbind(1)
        return log_likelihood, elbo

    def _max_latents(self, subject: Subject) -> int:
        budget, needed = self.memory_mb * 1e6, bytes_per_latent(subject.vae, subject.image_shape)
        if needed > budget:
            raise UserError(f"nll.memory_mb={self.memory_mb:g}: one latent takes {needed / 1e6:.1f} MB to decode")
        return int(budget // needed)


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Multiply float32 matrices so exactly for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
