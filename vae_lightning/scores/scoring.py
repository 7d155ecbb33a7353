"""Images through a model and its scores, batch by batch."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from vae_lightning.errors import UserError
from vae_lightning.noise import evaluation_seed
from vae_lightning.runs.images import NamedImages
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore, ScoredBatch

log = logging.getLogger("vae_lightning")

Values = dict[str, Float64[np.ndarray, " _"]]  # of each score by its name


def applicable(
    run: TrainedRun, scores: Mapping[str, AnomalyScore], wanted: Sequence[str] = ()
) -> dict[str, AnomalyScore]:
    """The scores that the model has; of the others a line says why it has not.

    Args:
        run: the model.
        scores: by name.
        wanted: names that were asked for by themselves: one of them that there is not is an error.

    Raises:
        UserError: such a score, or none at all.
    """
    reasons = {name: score.why_not(run) for name, score in scores.items()}
    for name, reason in reasons.items():
        if reason is not None and name in wanted:
            raise UserError(f"scores={name}: {reason}")
        if reason is not None:
            log.info("without %s: %s", name, reason)
    found = {name: score for name, score in scores.items() if reasons[name] is None}
    if not found:
        raise UserError(f"scores: the model has none of {', '.join(scores)}")
    return found


def fitted(scores: Mapping[str, AnomalyScore], usual: Callable[[], Iterable[ScoredBatch]]) -> dict[str, AnomalyScore]:
    """The scores, of which those that need to have seen usual images."""
    return {name: score.fitted(usual) for name, score in scores.items()}


def scored(scores: Mapping[str, AnomalyScore], batch: ScoredBatch) -> Values:
    """The values of a batch of images by each score."""
    return {name: score(batch).numpy() for name, score in scores.items()}


def together(parts: Sequence[Values], names: Iterable[str]) -> Values:
    """The values of all batches."""
    return {name: np.concatenate([part[name] for part in parts] or [np.empty(0)]) for name in names}


def batches_of(run: TrainedRun, images: Iterable[NamedImages]) -> Iterator[tuple[NamedImages, ScoredBatch]]:
    """Each batch of images as it is scored, with what its images are called; they are numbered as they come."""
    start, seed = 0, evaluation_seed(run.seed, "test")
    for named in images:
        indices = torch.arange(start, start + len(named.images))
        yield named, _batch(run, named.images, indices, named.told(run), seed)
        start += len(named.images)


def usual_batches(run: TrainedRun, most: int, batch_size: int) -> Iterator[ScoredBatch]:
    """The first so many validation images of the run's data.

    Raises:
        UserError: the data are not there.
    """
    seed = evaluation_seed(run.seed, "val")
    for indices in torch.arange(min(most, len(run.data.splits["val"]))).split(batch_size):
        batch = run.data.images_at(indices, "val")
        yield _batch(run, batch.images, indices, run.told(batch.labels, len(indices)), seed)


def _batch(
    run: TrainedRun,
    images: UInt8[Tensor, "B C H W"],
    indices: Int64[Tensor, " B"],
    labels: Int64[Tensor, " B"] | None,
    seed: int,
) -> ScoredBatch:
    told = None if labels is None else labels.to(run.device)
    return ScoredBatch(run, images.to(run.device).float().div_(255), indices, told, seed)
