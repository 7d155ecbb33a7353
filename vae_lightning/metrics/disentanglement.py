"""How well single latents stand for the known factors of the images."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from vae_lightning.errors import ArgumentError, UserError, require_at_least
from vae_lightning.latents.factors.intervals import Interval, Rows
from vae_lightning.latents.factors.mutual_information import shares_told
from vae_lightning.latents.factors.table import MOST_FACTORS, MOST_LATENTS, Column, fitting, known_rows
from vae_lightning.latents.factors.together import one_by_one
from vae_lightning.metrics.score import Figure, Metric, Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.noise import evaluation_seed

log = logging.getLogger("vae_lightning")
_PURPOSE = 7
_LABEL = "label"  # the data's own, by this name
_MOST_IMAGES, _LEAST_IMAGES = 10_000, 1_000
_MOST_VALUES = 1_000_000  # images times latents times factors: two minutes of one core

_LABELS = {
    "beta_vae_score": "beta-VAE score",
    "factor_vae_score": "FactorVAE score",
    "mig": "mutual information gap (MIG)",
    "dci_disentanglement": "DCI disentanglement",
    "dci_completeness": "DCI completeness",
    "dci_informativeness": "DCI informativeness",
    "sap": "separated attributes (SAP)",
    "modularity": "modularity",
    "explicitness": "explicitness",
}


@dataclass(frozen=True)
class Disentanglement(Metric):
    """Scores of the posterior means and the known factors of a split, where the data have any.

    They are those of `vae_lightning.latents.disentanglement`, whose functions say what each is. Factors are the columns
    that come with the data besides their label; one that is the same in all images, or has a value in fewer than 4 of
    them, is left out, and so is one that a model is told by its labels. Images of which a factor is unknown are
    left out too. The latents of a hierarchy are those of all groups side by side. Of each factor there is which part
    the latent tells that tells most of it, and among the facts the parts of all latents (`shares_told`).

    Attributes:
        factors: by name, `label` among them for the data's own; None for all factors but that.
        num_images: of the split, drawn at random by the seed; None for 10,000, or for as many that images times latents
            times factors are a million, but 1,000 at least.
        num_resamples: of the images, for the intervals; None for each score's own number.

    Raises:
        ValueError: less than 1 image or 2 resamples.
    """

    factors: Sequence[str] | None = None
    num_images: int | None = None
    num_resamples: int | None = None

    def __post_init__(self) -> None:
        require_at_least("num_images", 1 if self.num_images is None else self.num_images, 1)
        require_at_least("num_resamples", 2 if self.num_resamples is None else self.num_resamples, 2)

    def check(self, subject: Subject) -> None:
        """Raises a UserError for a factor that the data don't have."""
        known = _known(subject)
        if self.factors is None:
            return
        if not self.factors:
            raise UserError(f"disentanglement.factors=[]: choose some of {', '.join(known) or 'none that there is'}")
        for name in self.factors:
            if name not in known:
                there = f"choose some of {', '.join(known)}" if known else "these data have none"
                raise UserError(f"disentanglement.factors={name}: no such factor; {there}")

    def __call__(self, subject: Subject) -> Score:
        columns = {name: column for name, column in _known(subject).items() if self._takes(name)}
        reason = _why_none(subject, columns)
        if reason is not None:
            return _without(reason)
        columns, told = _without_told(subject, columns)
        kept, left_out = fitting(columns)
        rows = self._chosen(subject, kept)
        kept, later = fitting({name: column[rows] for name, column in kept.items()})
        left_out = told | left_out | later
        facts: dict[str, Any] = {"num_images": len(rows), "factors": list(kept), "left_out": left_out}
        if subject.world.rank == 0:
            for name, why in left_out.items():
                log.info("disentanglement: %s is left out: %s", name, why)
        if len(kept) < 2:
            return _without(f"{len(kept)} of {len(columns) + len(told)} factors is left, and 2 are needed", facts)
        codes, seed = subject.posteriors().loc.numpy()[rows], evaluation_seed(subject.seed, subject.split, _PURPOSE)
        found = subject.world.agree(lambda: self._scores(subject, codes, kept, seed))
        if isinstance(found, str):
            return _without(found, facts)
        parts = shares_told(codes, kept)
        facts["told"] = {name: shares.round(4).tolist() for name, shares in parts.items()}
        figures = {name: _figure(name, found[name]) for name in _LABELS}
        return Score(figures | {f"told_of_{name}": _best(name, shares) for name, shares in parts.items()}, facts)

    def _takes(self, name: str) -> bool:
        return name != _LABEL if self.factors is None else name in self.factors

    def _chosen(self, subject: Subject, columns: Mapping[str, Column]) -> Rows:
        """The images that are looked at, in order."""
        known = np.flatnonzero(known_rows(columns)) if columns else np.arange(0)
        values = max(1, subject.run.latent_dim * len(columns))
        most = self.num_images or min(_MOST_IMAGES, max(_LEAST_IMAGES, _MOST_VALUES // values))
        generator = np.random.default_rng(evaluation_seed(subject.seed, subject.split, _PURPOSE))
        return np.sort(generator.permutation(known)[:most])

    def _scores(
        self, subject: Subject, codes: np.ndarray, factors: Mapping[str, Column], seed: int
    ) -> dict[str, Interval] | str:
        """The scores by name, or why there are none."""
        scores = one_by_one(codes, factors, num_resamples=self.num_resamples, seed=seed)
        found: dict[str, Interval] = {}
        try:
            with subject.progress("disentanglement", len(codes)) as bar:
                for name, interval in scores:
                    found[name] = interval
                    bar.update(int(bar.total or 0) // len(_LABELS))
        except ArgumentError as error:
            return str(error)
        return found


def _known(subject: Subject) -> dict[str, Column]:
    """The factors of the split by name, and its label after them if none of them is called so."""
    images = subject.run.data.splits[subject.split]
    columns = {name: values.numpy() for name, values in (images.factors or {}).items()}
    return columns if images.labels is None else {**columns, _LABEL: columns.get(_LABEL, images.labels.numpy())}


def _why_none(subject: Subject, columns: Mapping[str, Column]) -> str | None:
    num_latents = subject.run.latent_dim
    if subject.vae.is_discrete:
        return "codes of a codebook have no posterior means"
    if not columns:
        return "these data have no factors"
    if num_latents > MOST_LATENTS:
        return f"it takes {MOST_LATENTS:,} latents at most, and these are {num_latents:,}"
    if len(columns) > MOST_FACTORS:
        return f"it takes {MOST_FACTORS} factors at most of these {len(columns)}: disentanglement.factors=[...]"
    return None


def _without_told(subject: Subject, columns: Mapping[str, Column]) -> tuple[dict[str, Column], dict[str, str]]:
    """The factors that a model's labels do not give away, and why the others are left out."""
    labels = subject.labels()
    if subject.vae.num_classes is None or labels is None:
        return dict(columns), {}
    told = {name: "the model is told it by the labels" for name in columns if _follows(columns[name], labels.numpy())}
    return {name: column for name, column in columns.items() if name not in told}, told


def _follows(column: Column, labels: np.ndarray) -> bool:
    """Whether each label has one value only."""
    _, values = np.unique(column, return_inverse=True)
    return len(np.unique(np.stack([labels, values]), axis=1).T) == len(np.unique(labels))


def _figure(name: str, found: Interval) -> Figure:
    return Figure(found.value, found.stderr, _LABELS[name], digits=3, interval=(found.low, found.high))


def _best(name: str, shares: Float64[np.ndarray, " D"]) -> Figure:
    """The latent that tells most of a factor, and which part of it."""
    return Figure(float(shares.max()), label=f"of {name}, latent {shares.argmax()} tells", digits=3)


def _without(reason: str, facts: dict[str, Any] | None = None) -> Score:
    return Score({name: Figure(None, label=label, reason=reason) for name, label in _LABELS.items()}, facts or {})
