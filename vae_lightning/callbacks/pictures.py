"""When a picture is drawn while training, what of it a checkpoint keeps, and where it goes."""

import dataclasses
import io
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from vae_lightning.callbacks.beside import beside
from vae_lightning.callbacks.periodic import PeriodicCallback, undisturbed
from vae_lightning.callbacks.source import TrainingSource, forget, training_source
from vae_lightning.checkpoints.expectations import (
    Expectation,
    UnexpectedError,
    mapping,
    optional,
    settings,
    tensor,
    text,
    whole,
)
from vae_lightning.data.loader import ImageBatch
from vae_lightning.disk.files import folder_in, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.drawing.films import Film
from vae_lightning.drawing.png import encode_png
from vae_lightning.errors import UserError
from vae_lightning.loggers.showing import show_picture
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.pictures.picture import Drawing, Picture, PictureOfSamples, drawing_of

log = logging.getLogger("vae_lightning")

_MOST_FIXED = 1_000  # images or latents of a checkpoint, which a run may have chosen by other settings than it has now
_FILES = ("images", "files")
_NOISE = "indexed"  # what samples are drawn by; an earlier version, which did not say, drew by another
_SEED = optional(whole(0, 2**63 - 1))


class PictureCallback(PeriodicCallback, ABC):
    """Draws every few epochs and after the last one.

    Rank zero writes `<run>/images/<name>/epoch_0001.png` and shows it to the loggers as `images/<name>`; of what moves
    `epoch_0001.gif` as `animations/<name>`, too, and when training has ended the last of these as `.mp4` where it can
    be encoded. The images that a picture looks at are chosen when training starts,
    and kept in the checkpoint; of samples it keeps number and seed.

    Args:
        picture: what is drawn of, and how often.
        name: of the folder and of the tag.

    Attributes:
        kept: the images that were chosen, uint8, with their labels if the model is told labels.
    """

    def __init__(self, picture: Picture, name: str):
        super().__init__(picture.every_n_epochs)
        self.picture = picture
        self.name = name
        self.kept: ImageBatch | None = None
        self._newest: tuple[int, Film | None] = (0, None)

    @property
    def doing(self) -> str:
        return f"drawing {self.name}"

    def act(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        if not trainer.is_global_zero:
            return
        self.finish(trainer, epoch, partial(self.drawn, self.source(trainer, pl_module, epoch)))

    def finish(self, trainer: Trainer, epoch: int, draw: Callable[[], Drawing | None]) -> None:
        """Draw and publish; what can't be drawn ends no run."""
        try:
            drawing = draw()
        except UserError as reason:  # what it could have been told of before is, in `check`
            log.warning("callbacks.%s: %s", self.name, reason)
            return
        except Exception as error:  # a mistake in a picture of the user's own
            error.add_note(f"while callbacks.{self.name} was drawn, a {type(self.picture).__qualname__}")
            raise
        if drawing is not None:
            with spared("pictures"):
                self.publish(trainer, epoch, drawing)

    def source(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> TrainingSource:
        """The model as it is now, with the images that were chosen."""
        return dataclasses.replace(training_source(trainer, pl_module, epoch), kept=self.kept)

    @abstractmethod
    def drawn(self, source: TrainingSource) -> Drawing | None:
        """The picture of the model as it is; None where it is being drawn elsewhere, from where `finish` is called.

        Raises:
            NothingToDrawError: there is none.
        """

    def publish(self, trainer: Trainer, epoch: int, drawing: Drawing) -> None:
        """Write the drawing and show it."""
        self._newest = (epoch, drawing.film)
        height, width, _ = drawing.picture.shape
        self._publish(trainer, epoch, "images", ".png", encode_png(drawing.picture), (width, height))
        if drawing.animation is not None:
            with Image.open(io.BytesIO(drawing.animation)) as image:
                size = image.size
            self._publish(trainer, epoch, "animations", ".gif", drawing.animation, size)

    def _publish(
        self, trainer: Trainer, epoch: int, tab: str, suffix: str, encoded: bytes, size: tuple[int, int]
    ) -> None:
        self.write(trainer, self.path(trainer, epoch).with_suffix(suffix), encoded)
        show_picture(trainer, f"{tab}/{self.name}", encoded, size)

    def path(self, trainer: Trainer, epoch: int) -> Path:
        """Where the picture of an epoch is."""
        return Path(trainer.default_root_dir) / "images" / self.name / f"epoch_{epoch:04d}.png"

    def write(self, trainer: Trainer, path: Path, encoded: bytes) -> None:
        """Write one of the pictures whose `path` is known."""
        folder_in(Path(trainer.default_root_dir), "images", self.name)
        write_atomically(path, encoded)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.prepare(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        epoch, film = self._newest
        self._newest = (0, None)
        if film is not None:
            with spared("pictures"):
                self.write_video(trainer, epoch, film)

    def write_video(self, trainer: Trainer, epoch: int, film: Film) -> None:
        """Write the last animation of a training as a video, too, where one can be encoded."""
        video = film.mp4()
        if video is not None:
            self.write(trainer, self.path(trainer, epoch).with_suffix(".mp4"), video)

    def prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the images, unless they are chosen; the trainer knows its data.

        Raises:
            UserError: a setting, or an image, with which nothing could be drawn.
        """
        with undisturbed(trainer, pl_module):
            source = self.source(trainer, pl_module, trainer.current_epoch)
            try:
                self.picture.check(source)
                if self.kept is None:
                    self.kept = _kept(self.picture.choose(source), source)
                elif pl_module.vae.num_classes is not None:
                    source.told(self.kept.labels, len(self.kept.images))
            except UserError as error:
                raise UserError(f"callbacks.{self.name}: {error}") from error

    # What a checkpoint has of it

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"chosen_by": self.picture.chosen_by} if self.picture.chosen_by else {}
        if isinstance(self.picture, PictureOfSamples):
            return state | {"noise": _NOISE}
        if self.kept is None:
            return state
        labels = {} if self.kept.labels is None else {"labels": self.kept.labels}
        return state | {"fixed": self.kept.images} | labels

    def expected_state(self, module: LightningModule, data: Any) -> Expectation:
        """What `load_state_dict` can take of a checkpoint."""
        if isinstance(self.picture, PictureOfSamples):
            numbers = {
                "num_images": whole(1, min(self.picture.most, max(_MOST_FIXED, self.picture.num_images))),
                "seed": _SEED,
            }
            return mapping({}, {"chosen_by": mapping(numbers), "noise": text})
        most = self._most_fixed()
        known = {"fixed": tensor((None, *data.image_shape), torch.uint8, most=most), "chosen_by": settings}
        if module.vae.num_classes is not None:
            known["labels"] = partial(_labels, num_classes=module.vae.num_classes, most=most)
        return partial(_as_many_labels, known=mapping({}, known), needed="labels" in known)

    def _most_fixed(self) -> int:
        """All of them pass through the model at once: no more than this run asks for itself, or some more."""
        chosen_by = self.picture.chosen_by
        given = [len(value) for value in chosen_by.values() if isinstance(value, list | tuple)]
        return max(_MOST_FIXED, chosen_by.get("num_images") or 0, *given)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own, stored = self.picture.chosen_by, state_dict.get("chosen_by", {})
        # Files are the user's to name: a stored config does not.
        given = {name: value for name, value in own.items() if value is not None or name not in _FILES}
        differs, what = any(stored.get(name, value) != value for name, value in given.items()), "images"
        if isinstance(self.picture, PictureOfSamples):
            what = "samples"
            self.picture = dataclasses.replace(self.picture, **{name: stored.get(name, own[name]) for name in own})
            if state_dict and state_dict.get("noise") != _NOISE:
                log.warning("callbacks.%s: an earlier version has drawn other samples by this seed", self.name)
        elif state_dict.get("fixed") is not None:
            fixed = state_dict["fixed"]
            self.kept = ImageBatch(fixed, torch.arange(len(fixed)), state_dict.get("labels"))
        if differs:
            log.warning("callbacks.%s: a resumed run goes on with the %s that it has drawn so far", self.name, what)


class DrawPicture(PictureCallback):
    """Draws a picture while training, of which `PictureCallback` says when and where."""

    @property
    def state_key(self) -> str:
        """As it was when each picture had a callback of its own, which was called after its class."""
        return self.name.title().replace("_", "")

    def drawn(self, source: TrainingSource) -> Drawing | None:
        seen, trainer = self.picture.look(source), source.trainer
        draw, elsewhere = partial(_drawn, self.picture, seen, source.context), beside(trainer)
        if elsewhere is not None and self.picture.takes_long(seen):
            is_begun = elsewhere.takes(self.doing, draw, partial(self.finish, trainer, source.epoch))
            return None if is_begun else draw()
        return draw()


def _drawn(picture: Picture, seen: Any, context: str) -> Drawing:
    """A drawing with its pixels: where it is drawn, and not where it is published, is the time for them."""
    drawing = drawing_of(picture, seen, context)
    drawing.picture  # noqa: B018  (which keeps them)
    return drawing


def as_callbacks(chosen: Mapping[str, Callback | Picture], vae: LatentModel) -> tuple[list[Callback], list[str]]:
    """Callbacks as they are, and a callback for each picture, but for those that are not for this model.

    Args:
        chosen: by name.
        vae: the model that is to be trained.

    Returns:
        the callbacks, and lines that say which pictures are left out.
    """
    callbacks: list[Callback] = []
    left_out: dict[str, list[str]] = {}
    for name, each in chosen.items():
        reason = each.why_not(vae) if isinstance(each, Picture) else None
        if reason is not None:
            left_out.setdefault(reason, []).append(name)
        else:
            callbacks.append(DrawPicture(each, name) if isinstance(each, Picture) else each)
    return callbacks, [f"pictures left out: {', '.join(names)} ({reason})" for reason, names in left_out.items()]


def prepare_pictures(
    callbacks: Iterable[Callback], trainer: Trainer, module: LightningModule, states: Mapping[str, Any]
) -> None:
    """Choose the images of all pictures now, when what can't be drawn is told before anything is written.

    Args:
        callbacks: of the trainer, which knows its data.
        trainer, module: as they are before the training.
        states: of a resumed run's callbacks by their keys, which may have images that were chosen when it began.
    """
    for callback in callbacks:
        if isinstance(callback, PictureCallback) and "fixed" not in states.get(callback.state_key, {}):
            callback.prepare(trainer, module)
    forget(trainer)  # the model may be elsewhere when training begins


def _kept(chosen: ImageBatch | None, source: TrainingSource) -> ImageBatch | None:
    if chosen is None:
        return None
    labels = source.told(chosen.labels, len(chosen.images))
    return ImageBatch(chosen.images.cpu(), chosen.indices, labels)


def _as_many_labels(value: Any, where: str, known: Expectation, needed: bool) -> dict[str, Any]:
    state = known(value, where)
    if needed and "fixed" in state and len(state.get("labels", ())) != len(state["fixed"]):
        raise UnexpectedError(f"{where}.labels are not as many as its images")
    return state


def _labels(value: Any, where: str, num_classes: int, most: int) -> Tensor:
    labels = tensor((None,), torch.int64, most=most)(value, where)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise UnexpectedError(f"{where} has labels that are not from 0 to {num_classes - 1}")
    return labels
