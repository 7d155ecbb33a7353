"""The likelihood by importance sampling: the figure that papers report."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from vae_lightning.errors import UserError, require_at_least, require_at_most
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.likelihood.importance import SampledBounds, importance_sampled
from vae_lightning.likelihood.kind import is_in_nats
from vae_lightning.likelihood.log_weights import Precision
from vae_lightning.likelihood.memory import LatentMemory, latent_memory
from vae_lightning.machine.hardware import computes_in_bfloat16
from vae_lightning.metrics.bounds import bits_per_dim
from vae_lightning.metrics.score import Figure, Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import evaluation_seed, noise_device

log = logging.getLogger("vae_lightning")

_PURPOSE = 1  # of its noise
_MOST_SAMPLES, _FEWEST_SAMPLES = 5_000, 100
_NUMBERS_OF_SAMPLES = (_MOST_SAMPLES, 2_000, 1_000, 500, 200, _FEWEST_SAMPLES)
_ENOUGH_IMAGES = 500
_LONGEST_S = 1e9
_BUDGET = 512e6  # bytes
_FAST_ON_CPU = 64e6  # bytes: with more at a time, convolutions take up to twice as long
_LABELS = {"nll": "NLL", "nll_gap": "gap of the ELBO", "nll_bits_per_dim": "bits/dim of the NLL"}
OF_CODES = "all samples of an image are its one code, so that importance sampling only gives the ELBO again"
_SHARE_OF_GPU, _MOST_OF_GPU = 0.25, 8e9
_PROBE_S, _MOST_PROBED = 0.5, 10_000_000


@dataclass(frozen=True)
class LogLikelihood(Metric):
    """-log p(x) estimated by K samples of each image's posterior (arXiv 1509.00519), and its gap to the ELBO.

    The estimate is an upper bound in expectation. The gap is to the ELBO of the same K samples.

    Attributes:
        num_samples: K; the papers' is 5,000, and so it is where only the images are chosen. None for as many as there
            is time for.
        num_images: the first so many images of the split; None for all, or as many as there is time for.
        max_seconds: how long it may take where neither of them is given, about; None for as long as all of it takes.
        memory_mb: 10^6 bytes that it has in use at most, whatever K is. "auto" is 512, of which a CPU takes 64 for
            samples, or one sample, which is the fastest there; and on an NVIDIA GPU a quarter of what is free, up to
            8,000: few images at a time keep it waiting for Python.
        matmul_precision: how exactly float32 matrices are multiplied (`torch.set_float32_matmul_precision`): "medium"
            rounds their factors to bfloat16 where the hardware has it, which is faster, and near enough for a look;
            "refined" follows that by "highest" for the samples that carry 90% of an image's weight. "auto" is
            "refined" for decoders without convolutions on CPUs that compute in bfloat16, else "highest".

    Raises:
        ValueError: a number below 1.
    """

    num_samples: int | None = None
    num_images: int | None = None
    max_seconds: float | None = 60.0
    memory_mb: float | Literal["auto"] = "auto"
    matmul_precision: Literal["auto", Precision] = "auto"

    def __post_init__(self) -> None:
        require_at_least("num_samples", 1 if self.num_samples is None else self.num_samples, 1)
        require_at_least("num_images", 1 if self.num_images is None else self.num_images, 1)
        require_at_least("max_seconds", 1 if self.max_seconds is None else self.max_seconds, 1)
        require_at_most("max_seconds", 1 if self.max_seconds is None else self.max_seconds, _LONGEST_S)
        if self.memory_mb != "auto":
            require_at_least("memory_mb", self.memory_mb, 1)

    def check(self, subject: Subject) -> None:
        if self._why_not(subject) is None:
            self._max_latents(subject.vae, subject.image_shape)

    def __call__(self, subject: Subject) -> Score:
        if (reason := self._why_not(subject)) is not None:
            return Score({name: Figure(None, label=label, reason=reason) for name, label in _LABELS.items()})
        num_images, num_samples = self._sizes(subject)
        log_likelihood, elbo = self._bounds(subject, num_images, num_samples)
        figures = {
            "nll": mean_figure(-log_likelihood, f"NLL by {num_samples:,} samples"),
            "nll_gap": mean_figure(log_likelihood - elbo, "gap of the ELBO"),
        }
        mean = figures["nll"]
        assert isinstance(mean.value, float)
        figures["nll_bits_per_dim"] = bits_per_dim(replace(mean, value=-mean.value), subject, "bits/dim of the NLL")
        is_all = (num_images, num_samples) == (subject.num_images, _MOST_SAMPLES)
        bounded = None if is_all or not self._is_bounded else self.max_seconds
        facts: dict[str, Any] = {"num_images": num_images, "num_samples": num_samples, "max_seconds": bounded}
        facts["matmul_precision"] = self._precision(subject.vae)
        facts["noise"] = noise_device(subject.run.device).type  # a generator of another device gives other samples
        return Score(figures, facts)

    def _precision(self, vae: LatentModel) -> Precision:
        if self.matmul_precision != "auto":
            return self.matmul_precision
        device = next(vae.parameters()).device.type
        convolves = any(isinstance(layer, _ConvNd) for layer in vae.decoder.modules())
        return "refined" if device == "cpu" and not convolves and computes_in_bfloat16(device) else "highest"

    @property
    def _is_bounded(self) -> bool:
        return self.num_samples is None and self.num_images is None and self.max_seconds is not None

    def _why_not(self, subject: Subject) -> str | None:
        return why_no_likelihood(subject.vae, subject.run.kind)

    def _sizes(self, subject: Subject) -> tuple[int, int]:
        """How many images and how many samples of each, the same on every rank."""
        if not self._is_bounded:
            return min(subject.num_images, self.num_images or subject.num_images), self.num_samples or _MOST_SAMPLES
        assert self.max_seconds is not None
        pace = sum(subject.world.collect(self._pace(subject)))
        num_images, num_samples = sizes_within(pace * self.max_seconds, subject.num_images, subject.world.size)
        sizes = subject.world.agree(lambda: (num_images, num_samples))
        if sizes != (subject.num_images, _MOST_SAMPLES):
            log.info(
                "nll: %s of %s images, %s samples of each, as many as fit into nll.max_seconds=%g; "
                "nll.num_samples=%d takes all images",
                *(f"{number:,}" for number in (num_images, subject.num_images, num_samples)),
                self.max_seconds,
                _MOST_SAMPLES,
            )
        return sizes

    def _pace(self, subject: Subject) -> float:
        """How many samples a second this rank takes, of images that it will look at."""
        batch = next(subject.batches())
        label = None if batch.labels is None else batch.labels[:1]
        count, seconds = 64, 0.0
        while seconds < _PROBE_S and count < _MOST_PROBED:
            count *= 4
            sampled = self.sampler(subject.vae, subject.image_shape, subject.seed, subject.split, count)
            started = time.perf_counter()
            for _ in sampled(batch.images[:1], batch.indices[:1], label):
                pass
            seconds = time.perf_counter() - started
        return count / seconds

    def sampler(
        self, vae: LatentModel, image_shape: tuple[int, int, int], seed: int, split: str, num_samples: int
    ) -> Callable[..., Iterator[tuple[slice, SampledBounds]]]:
        """`importance_sampled` as it remains to be called, with images, their indices and their labels.

        Raises:
            UserError: a latent takes more memory than there may be taken.
        """
        return partial(
            importance_sampled,
            vae,
            num_samples=num_samples,
            seed=evaluation_seed(seed, split, _PURPOSE),
            max_latents=self._max_latents(vae, image_shape),
            precision=self._precision(vae),
        )

    def _bounds(
        self, subject: Subject, num_images: int, num_samples: int
    ) -> tuple[Float64[Tensor, " N"], Float64[Tensor, " N"]]:
        """The two bounds on log p(x) of each image."""
        sampled = self.sampler(subject.vae, subject.image_shape, subject.seed, subject.split, num_samples)
        rows = []
        with subject.progress(f"NLL by {num_samples:,} samples", num_images) as bar:
            for batch in subject.batches(most=num_images):
                for part, bounds in sampled(batch.images, batch.indices, batch.labels):
                    rows.append(torch.stack([bounds.log_likelihood, bounds.elbo], 1))
                    bar.update(part.stop - part.start)
        log_likelihood, elbo = subject.gathered(torch.cat(rows)).unbind(1)
        return log_likelihood, elbo

    def _max_latents(self, vae: LatentModel, image_shape: tuple[int, int, int]) -> int:
        device, needed = next(vae.parameters()).device, latent_memory(vae, image_shape)
        budget = memory_budget(device) if self.memory_mb == "auto" else self.memory_mb * 1e6
        if (most := needed.most(budget)) < 1:
            one = (needed.fixed + needed.per_latent) / 1e6
            raise UserError(f"nll.memory_mb={self._told(budget)}: one latent takes {one:.1f} MB to decode")
        return min(most, fast_at_once(needed)) if self.memory_mb == "auto" and device.type == "cpu" else most

    def _told(self, budget: float) -> str:
        return f"{budget / 1e6:g}" if self.memory_mb != "auto" else f"auto, which is at most {budget / 1e6:g} here"


def why_no_likelihood(vae: LatentModel, kind: str) -> str | None:
    """Why importance sampling has nothing to estimate of a model whose figures are of that kind; None where it has."""
    if not is_in_nats(kind):
        return f"there is no log p(x) to estimate: the figures are {kind}"
    if vae.is_discrete:
        return OF_CODES
    return None if vae.has_density else NO_DENSITY


def fast_at_once(needed: LatentMemory) -> int:
    """So many latents at a time are computed the fastest on a CPU."""
    return max(1, int(_FAST_ON_CPU // needed.per_latent))


def memory_budget(device: torch.device) -> float:
    """Bytes that may be taken where nobody says how many."""
    if device.type != "cuda":
        return _BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    return max(_BUDGET, min(free * _SHARE_OF_GPU, _MOST_OF_GPU))


def sizes_within(num_latents: float, num_images: int, fewest: int) -> tuple[int, int]:
    """How many images, and how many samples of each, so many latents are enough for.

    Few samples make the bound loose, and few images its mean uncertain: there are 500 images before there are more
    samples, and then as many images as can be.

    Args:
        num_latents: that there is time for.
        num_images: that there are.
        fewest: images that there must be.
    """
    wanted = min(num_images, _ENOUGH_IMAGES)
    num_samples = next((count for count in _NUMBERS_OF_SAMPLES if count * wanted <= num_latents), _FEWEST_SAMPLES)
    return min(num_images, max(fewest, int(num_latents // num_samples))), num_samples
