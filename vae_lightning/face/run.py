"""A trained run as Python code uses it: images in, arrays out."""

import copy
import logging
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from vae_lightning.config import named_option
from vae_lightning.data.loader import ImageBatch
from vae_lightning.errors import ArgumentError, UserError
from vae_lightning.face.checks import given_temperature, whole_number
from vae_lightning.face.given_away import give_away
from vae_lightning.face.images import Images, as_batch
from vae_lightning.face.labels import Labels, as_labels
from vae_lightning.face.own_images import own_images
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.likelihood.kind import is_in_nats
from vae_lightning.metrics.bounds import elbo_terms, samples_in_training
from vae_lightning.metrics.log_likelihood import OF_CODES, LogLikelihood
from vae_lightning.models.latent_model import LatentModel, Temperature
from vae_lightning.noise import evaluation_seed
from vae_lightning.runs.cures import Cure
from vae_lightning.runs.likeness import Likeness
from vae_lightning.runs.sampling import drawing_by
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore, ScoredBatch
from vae_lightning.scores.scoring import applicable, fitted, scored, together, usual_batches

log = logging.getLogger("vae_lightning")

_BATCH = 500  # images at a time; no figure depends on it
_SCORED = 100  # which likelihood regret holds much of
_MOST_USUAL = 10_000  # validation images that say what is usual
_NONE = torch.empty(0, dtype=torch.float64)


class Run:
    """A trained run: `vae_lightning.open_run` opens one, `vae_lightning.fit` trains one.

    Images may be arrays, tensors, PIL images, paths of files or folders, one or many, or a list of them; an array's
    layout may be [C, H, W] or [H, W, C], with N before it for many, and for grey images also [H, W] and [N, H, W].
    Files and PIL images are prepared as the run's data were, binarization included. Arrays and tensors must have the
    model's size already and are taken as they are: uint8 is divided by 255, floats lie in [0, 1]. So those for a run on
    binarized data should be binarized. Images that are far from what the run has learned are warned of in the log.

    What comes back is a NumPy array, on whatever device the model computes; one image gives an array of one row.

    A model that is told labels (`num_classes`) takes `labels=` everywhere: one for all images, or one for each, by its
    number or its name.

    Every mistake in what is given is a ValueError of one line.
    """

    def __init__(self, opened: TrainedRun):
        self._opened = opened
        self._path = (opened.shared or opened.run_dir).path.absolute()
        self._scores: dict[str, AnomalyScore] = {}  # that have learned what is usual
        self._told_of: set[tuple[tuple[str, ...], Cure | None]] = set()

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.image_shape))
        told = "" if self.num_classes is None else f", {self.num_classes} labels"
        given = self._opened.shared
        place = self._opened.run_dir.path if given is None else given.named  # as it was named
        return f"<Run {self.name}: epoch {self.epoch}, {self.latent_dim} latents, images {shape}{told}, {place}>"

    @property
    def name(self) -> str:
        """What the run was called, such as mnist_conv."""
        return self._opened.config["name"]

    @property
    def path(self) -> Path:
        """Its directory, or the folder that was given away, an absolute path: it holds wherever the program goes."""
        return self._path

    @property
    def epoch(self) -> int:
        """After which the weights were kept, counted from 1."""
        return self._opened.epoch

    @property
    def latent_dim(self) -> int:
        """D, of all groups of latents together."""
        return self._opened.latent_dim

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the model takes and makes."""
        return self._opened.preprocessing.image_shape

    @property
    def num_classes(self) -> int | None:
        """Of the labels that the model is told; None for a model that is not told any."""
        return self._opened.vae.num_classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of labels 0, 1, ... of the data that it was trained on; None where they have none."""
        return self._opened.class_names

    @property
    def kind(self) -> str:
        """What its log-probabilities are in words, for not all are log-likelihoods."""
        return self._opened.kind

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config as plain data, a copy."""
        return copy.deepcopy(self._opened.config)

    @property
    def metrics(self) -> dict[str, Any]:
        """Its metrics.json, the best checkpoint's figures: "test/elbo", "test/elbo_stderr"; {} where it has none."""
        try:
            return copy.deepcopy((self._opened.shared or self._opened.run_dir).metrics())
        except (OSError, ValueError):  # not there yet, or cut short
            return {}

    @cached_property
    def model(self) -> LatentModel:
        """The plain `nn.Module`, in evaluation mode, for a loop of one's own.

        It is a copy: to train it on changes nothing that this run answers.
        """
        return copy.deepcopy(self._opened.vae)

    def images(
        self, split: str = "test", num_images: int | None = None
    ) -> tuple[Float32[np.ndarray, "N C H W"], Int64[np.ndarray, " N"] | None]:
        """Images of the run's own data in [0, 1], as it was trained and tested with them, and their labels or None.

        They are what the calls below take: after `images, labels = run.images()` the mean of `run.elbo(images)`, of a
        conditional model `run.elbo(images, labels=labels)`, is the run's `test/elbo`.

        Args:
            split: `train`, `val` or `test`.
            num_images: so many, chosen by the seed and spread evenly over the labels; None is all in their order.

        Raises:
            UserError: they are not where the run has had them (`open_run(..., data={"root": ...})` says where they
                are); a ValueError, too, of no such split or a num_images below 1.
        """
        return own_images(self._opened, split, num_images)

    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        dtype: str = "float32",
        license: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write what `vae-export` writes, a folder to give away, which `open_run` opens anywhere; see docs/sharing.md.

        Args:
            folder: a new one, an empty one, or that of an earlier export.
            dtype: of the weights: `float32`, or `float16`, half as large.
            license: of the weights, such as mit; None leaves it to be filled in.
            overwrite: whether what was exported there before may be replaced.

        Raises:
            UserError: the folder is not empty or can't be written to; a ValueError, too, of no such dtype or licence.
        """
        return give_away(self._opened, folder, dtype, license, overwrite)

    def encode(self, images: Images, *, labels: Labels = None) -> Float32[np.ndarray, "N D"]:
        """The posterior means of images, an array [N, D]; computed in float64, the same in any batch.

        Raises:
            ValueError: images or labels that can't be taken.
        """
        return self._opened.encode(*self._taken(images, labels)).numpy()

    def decode(self, z: Any, *, labels: Labels = None) -> Float32[np.ndarray, "N C H W"]:
        """The mean images of latents [N, D] or [D], an array [N, C, H, W] in [0, 1].

        Raises:
            ValueError: latents of another dimension, values that are not finite, or labels that can't be taken.
        """
        latents = self._latents(z)
        return self._opened.decode(latents, self._labels(labels, len(latents))).numpy()

    def reconstruct(self, images: Images, *, labels: Labels = None) -> Float32[np.ndarray, "N C H W"]:
        """The mean images at the posterior means of images, an array [N, C, H, W] in [0, 1]; nothing is drawn.

        Raises:
            ValueError: images or labels that can't be taken.
        """
        x, told = self._taken(images, labels)
        return self._opened.decode(self._opened.encode(x, told), told).numpy()

    def sample(
        self,
        num_images: int = 64,
        *,
        seed: int = 0,
        temperature: Temperature = 1.0,
        labels: Labels = None,
        sampler: str = "prior",
    ) -> Float32[np.ndarray, "N C H W"]:
        """The mean images of latents from the prior or another sampler, an array [N, C, H, W] in [0, 1].

        Image n depends on the seed and n alone, and is that of `generate mode=samples` with the same seed.

        Args:
            num_images: N, at least 1.
            seed: of the latents, at least 0.
            temperature: 1 is the prior's own spread, 0 its mean; of a hierarchy one for all groups, or one for each.
            labels: of the images.
            sampler: `prior`, `gaussian`, `gmm`, `flow`, `two_stage` or `vamp`; all but the first are fitted on the
                run's training images when they are first asked for, and kept in its directory.

        Raises:
            ValueError: a number that is too small, labels that can't be taken, no such sampler, no training images to
                fit it on, or a temperature of discrete codes, which have none.
        """
        count, noise_seed = whole_number("num_images", num_images, 1), whole_number("seed", seed, 0)
        spread = given_temperature(temperature)
        told = self._labels(labels, count)
        try:
            draw = drawing_by(self._opened, named_option("sampler", str(sampler), "sampler"))
            z = draw(torch.arange(count), noise_seed, spread, told)
        except UserError as error:
            raise ArgumentError(str(error)) from error
        return self._opened.decode(z, told).numpy()

    def elbo(
        self, images: Images, *, labels: Labels = None, num_samples: int | None = None, seed: int | None = None
    ) -> Float64[np.ndarray, " N"]:
        """The evidence lower bound of each image, -(rate + distortion), an array [N] in nats; see `kind`.

        The noise is a function of the seed and the image's place among those given: for the run's own test images, in
        their order, the mean is the `test/elbo` of the run's metrics.json.

        Args:
            images: N of them.
            labels: of the images.
            num_samples: latents drawn of each image; None is as many as the run's objective draws.
            seed: of the noise; None is the run's own.

        Raises:
            ValueError: images or labels that can't be taken, a num_samples below 1, or a model without an ELBO.
        """
        self._require_density()
        count = (
            samples_in_training(self._opened) if num_samples is None else whole_number("num_samples", num_samples, 1)
        )
        noise_seed = evaluation_seed(self._seed(seed), "test")
        terms = [
            self._elbo(batch, count, noise_seed) for batch in self._batches(images, labels, max(1, _BATCH // count))
        ]
        return torch.cat([_NONE, *terms]).numpy()

    def _elbo(self, batch: ImageBatch, num_samples: int, seed: int) -> Float64[Tensor, " B"]:
        elbo = elbo_terms(self._opened.vae, batch, num_samples, seed).elbo
        assert elbo is not None
        return elbo.double().cpu()

    def _require_density(self) -> None:
        if not self._opened.vae.has_density:
            raise ArgumentError(f"this run has no ELBO and no log p(x): {NO_DENSITY}")

    def log_likelihood(
        self, images: Images, *, labels: Labels = None, num_samples: int = 1000, seed: int | None = None
    ) -> Float64[np.ndarray, " N"]:
        """log p(x) of each image by importance sampling, an array [N] in nats; see `kind`.

        In expectation it is a lower bound, and the tighter the more samples (arXiv 1509.00519); papers take 5,000. The
        noise is that of `evaluate metrics=nll` on the test images, as for `elbo`.

        Args:
            images: N of them.
            labels: of the images.
            num_samples: latents drawn of each image.
            seed: of the noise; None is the run's own.

        Raises:
            ValueError: images or labels that can't be taken, a num_samples below 1, a model without a likelihood or an
                ELBO, or one of discrete codes, of which it would be the ELBO.
        """
        if not is_in_nats(self.kind):
            raise ArgumentError(f"log_likelihood: there is no log p(x) to estimate: the model has {self.kind}")
        if self._opened.vae.is_discrete:
            raise ArgumentError(f"log_likelihood: {OF_CODES}; use elbo")
        self._require_density()
        count = whole_number("num_samples", num_samples, 1)
        sampled = LogLikelihood().sampler(self._opened.vae, self.image_shape, self._seed(seed), "test", count)
        with torch.no_grad():
            bounds = [
                part.log_likelihood
                for batch in self._batches(images, labels, _BATCH)
                for _, part in sampled(batch.images, batch.indices, batch.labels)
            ]
        return torch.cat([_NONE, *bounds]).numpy()

    def score(
        self, images: Images, *, labels: Labels = None, scores: Sequence[str] = ("elbo", "reconstruction", "rate")
    ) -> dict[str, Float64[np.ndarray, " _"]]:
        """How strange images are to the model, an array [N] for each score by its name.

        Low values of `elbo` are strange, and high ones of all others: `nll`, `reconstruction`, `rate`, `regret`,
        `typicality` and `complexity`, as in `conf/score`. The noise is that of `vae-score` on the same images.
        Arrays are taken as they are: for a run on binarized data give binarized ones, as files are made.

        Args:
            images: N of them.
            labels: of the images.
            scores: their names, or one.

        Raises:
            ValueError: images or labels that can't be taken, no score, no such score, or one that the model has not.
        """
        wanted = [scores] if isinstance(scores, str) else list(scores)
        if not wanted:
            raise ArgumentError("scores: is empty; give one at least, as elbo")
        try:
            chosen = {name: named_option("score", str(name), "scores") for name in wanted if name not in self._scores}
            own = applicable(self._opened, chosen, list(chosen)) if chosen else {}
            self._scores |= fitted(own, lambda: usual_batches(self._opened, _MOST_USUAL, _BATCH))
        except UserError as error:
            raise ArgumentError(str(error)) from error
        seed = evaluation_seed(self._opened.seed, "test")
        batches = (
            ScoredBatch(self._opened, batch.images, batch.indices, batch.labels, seed)
            for batch in self._batches(images, labels, _SCORED)
        )
        ready = {name: self._scores[name] for name in wanted}
        return together([scored(ready, batch) for batch in batches], ready)

    def _taken(self, images: Images, labels: Labels) -> tuple[Float32[Tensor, "N C H W"], Int64[Tensor, " N"] | None]:
        """Images as the model is given them, inverted if that is wanted, and their labels."""
        x = as_batch(images, self._opened.preprocessing)
        x = 1 - x if self._opened.invert else x
        told = self._labels(labels, len(x))
        self._look_over(x, told)
        return x, told

    def _look_over(self, x: Float32[Tensor, "N C H W"], told: Int64[Tensor, " N"] | None) -> None:
        """Tell of images that are far from those that the model has learned, of the same trouble once."""
        likeness = Likeness(self._opened, self._opened.usual, f"open_run(..., invert={not self._opened.invert})")
        strange = likeness.look(x, told)
        if strange is not None and (trouble := (strange.figures, strange.cure)) not in self._told_of:
            self._told_of.add(trouble)
            log.warning(strange.told)

    def _labels(self, labels: Labels, count: int) -> Tensor | None:
        return as_labels(labels, count, self.num_classes, self.class_names)

    def _seed(self, seed: Any) -> int:
        return self._opened.config["seed"] if seed is None else whole_number("seed", seed, 0)

    def _batches(self, images: Images, labels: Labels, batch_size: int) -> Iterator[ImageBatch]:
        """The images on the model's device, so many at a time, with their places for indices."""
        (x, told), device = self._taken(images, labels), self._opened.device
        for rows in torch.arange(len(x)).split(batch_size) if len(x) else ():
            some = None if told is None else told[rows].to(device)
            yield ImageBatch(x[rows].to(device), rows, some)

    def _latents(self, z: Any) -> Float32[Tensor, "N D"]:
        wanted = f"give [N, {self.latent_dim}], or [{self.latent_dim}] for one image"
        try:
            given = np.asarray(z.detach().cpu().double() if isinstance(z, Tensor) and z.is_floating_point() else z)
            if np.ma.isMaskedArray(z) or given.dtype.kind not in "fiu":
                raise TypeError(given.dtype)
            values = torch.as_tensor(given.astype(np.float64))
        except (ValueError, TypeError, RuntimeError) as error:  # of a sparse tensor, or of lists that are ragged
            raise ArgumentError(f"z: {type(z).__name__} is no array of real numbers; {wanted}") from error
        latents = values.unsqueeze(0) if values.ndim == 1 else values
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ArgumentError(f"z: an array of shape {list(values.shape)}; {wanted}")
        if not bool(latents.float().isfinite().all()):
            raise ArgumentError("z: has values that are not finite, as float32")
        return latents.float()
