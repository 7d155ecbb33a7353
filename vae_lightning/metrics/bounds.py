"""The evidence lower bound and its two terms."""

import logging
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lightning.config import instantiate
from vae_lightning.data.loader import ImageBatch
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.likelihood.kind import is_in_nats, is_likelihood
from vae_lightning.metrics.score import Figure, Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Indexed, evaluation_seed
from vae_lightning.objectives.elbo import evaluated_elbo
from vae_lightning.objectives.terms import Terms
from vae_lightning.runs.by_image import ByImage
from vae_lightning.runs.records import unit_of
from vae_lightning.runs.trained import TrainedRun

log = logging.getLogger("vae_lightning")

_LABELS = {"elbo": "ELBO", "rate": "rate"}
_MOST_SAMPLES = 10_000  # that a stored config can ask for: more would only take the memory


@dataclass(frozen=True)
class Bounds(Metric):
    """ELBO, rate and distortion, as they are monitored in training: `elbo = -(rate + distortion)` at beta = 1.

    Attributes:
        num_samples: latents of each image; None is as many as the run's objective draws, with which the figures are
            those that the run's own test found.

    Raises:
        ValueError: a num_samples below 1.
    """

    num_samples: int | None = None

    def __post_init__(self) -> None:
        require_at_least("num_samples", 1 if self.num_samples is None else self.num_samples, 1)

    def __call__(self, subject: Subject) -> Score:
        if not subject.vae.has_density:
            return Score({name: Figure(None, label=label, reason=NO_DENSITY) for name, label in _LABELS.items()})
        num_samples = self.num_samples or samples_in_training(subject.run)
        values, seed, by_image = [], evaluation_seed(subject.seed, subject.split), ByImage()
        groups: dict[str, Tensor] = {}
        with subject.progress("ELBO") as bar:
            for batch in subject.batches():
                terms = elbo_terms(subject.vae, batch, num_samples, seed)
                assert terms.elbo is not None
                assert terms.rate is not None
                groups = terms.extra
                of_batch = terms.elbo, terms.rate, terms.distortion, *groups.values()
                values.append(torch.stack(of_batch, 1).double().cpu())
                by_image.add(batch, terms.elbo)
                bar.update(len(batch.indices))
        elbo, rate, distortion, *by_group = subject.gathered(torch.cat(values)).unbind(1)
        unit = unit_of(subject.run.kind)
        figures = {
            "elbo": mean_figure(elbo, _LABELS["elbo"], unit),
            "rate": mean_figure(rate, _LABELS["rate"]),
            "distortion": mean_figure(distortion, "distortion", unit),
        }
        for name, of_group in zip(groups, by_group, strict=True):
            figures[name] = mean_figure(of_group, name.replace("_", " of ", 1).replace("_", " "))
        figures["bits_per_dim"] = bits_per_dim(figures["elbo"], subject, "bits/dim of the ELBO")
        facts = {"num_images": len(elbo), "num_samples": num_samples}
        return Score(figures, facts, by_image.together(subject.world.collect))


def elbo_terms(vae: LatentModel, batch: ImageBatch, num_samples: int, seed: int) -> Terms:
    """ELBO, rate and distortion of each image, by noise that depends on the seed and the image's index alone.

    Args:
        vae: in evaluation mode.
        batch: float images in [0, 1] on the model's device, with the labels that it is told.
        num_samples: latents of each image.
        seed: see `evaluation_seed`.
    """
    noise = Indexed(seed, batch.indices, num_samples, batch.images.device)
    return evaluated_elbo(vae, batch.images, noise, batch.labels)


def samples_in_training(run: TrainedRun) -> int:
    """How many latents of each image the run's objective draws; 1, which is told, where it can't be asked.

    Raises:
        UserError: the config gives something else than such a number.
    """
    node = run.config.get("objective")
    num_samples = node.get("num_samples") if isinstance(node, dict) else None
    if num_samples is None:  # left to the class
        try:
            num_samples = getattr(instantiate(node, "objective", trusted=run.trusted), "num_samples", 1)
        except UserError as error:
            log.warning("%s; or give elbo.num_samples=: until then, the ELBO is of 1 latent an image", error)
            return 1
    if type(num_samples) is not int or not 1 <= num_samples <= _MOST_SAMPLES:
        raise UserError(f"objective.num_samples={num_samples!r}: not of 1 to {_MOST_SAMPLES}; give elbo.num_samples=")
    return num_samples


def bits_per_dim(log_likelihood: Figure, subject: Subject, label: str) -> Figure:
    """-log2 p(x) / (C H W) of a mean log-likelihood in nats, where the images are discrete and so is the likelihood."""
    if not is_likelihood(subject.run.kind):
        a = "a " if is_in_nats(subject.run.kind) else ""
        return Figure(None, label=label, reason=f"these are no bits: the figures are {a}{subject.run.kind}")
    bits = math.log(2) * math.prod(subject.image_shape)
    value, stderr = log_likelihood.value, log_likelihood.stderr
    assert isinstance(value, float)
    assert not isinstance(stderr, list)
    return Figure(-value / bits, None if stderr is None else stderr / bits, label, "bits", 4)
