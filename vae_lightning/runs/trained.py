"""A trained model, opened from its run directory alone: on any machine, without the data it was trained on."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from vae_lightning.building.stored import check_config
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.checkpoints.contents import AVERAGING, CLASS_NAMES, IMAGES, Trained, trained, trained_of_weights
from vae_lightning.config import instantiate
from vae_lightning.data.class_names import Label, Names, choices, label_number
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.drawing.captions import origin
from vae_lightning.drawing.shown import told_shown
from vae_lightning.errors import UserError, first_line
from vae_lightning.latents.samplers.sampler import CodeDistribution
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.likelihood.kind import kind_of
from vae_lightning.machine.hardware import native_accelerator
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.runs.images import SPLIT_NAMES
from vae_lightning.runs.likeness import Likeness
from vae_lightning.runs.opening import named_run, open_run
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.shared import CONFIG, WEIGHTS, SharedModel, check_file, find_shared
from vae_lightning.runs.source import Source, Work
from vae_lightning.runs.usual import Usual, usual_of

log = logging.getLogger("vae_lightning")

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class TrainedRun(Source):
    """A run's model and, where they are wanted, its data.

    Attributes:
        run_dir: where it lies.
        checkpoint: the file that was opened: best.ckpt, or last.ckpt, also where no validation has found a best one;
            of a file from elsewhere, its path.
        config: the resolved config as plain data.
        vae: in evaluation mode and float32, on `device`.
        epoch: after which its weights were kept, counted from 1.
        units: the validation images' statistics of the latent dimensions at that epoch; None where none was validated.
        device: where the model computes.
        trusted: see `config.instantiate`.
        label: of what a model with labels makes, and of images that have none; None leaves it to who asks.
        averaged: whether the weights are averages of those that were trained.
        invert: whether the user's own images are inverted, bright for dark, once they are prepared.
        named: the names of the labels, by number, as the checkpoint has them.
        shared: what was opened if it was given away and is no run directory; `run_dir` is where its results go then.
        images: what tells the images that it was trained with from others, as the checkpoint has it.
    """

    run_dir: RunDir
    checkpoint: str
    config: dict[str, Any]
    vae: LatentModel
    epoch: int
    units: UnitStatistics | None
    device: torch.device
    trusted: Trust
    label: int | None = None
    averaged: bool = False
    invert: bool = False
    named: tuple[str, ...] | None = None
    shared: SharedModel | None = None
    images: dict[str, dict[str, Any]] | None = None

    @property
    def class_names(self) -> Names:
        return self.named

    @property
    def context(self) -> str:
        """What a picture says of where it comes from, and of the channels that it shows."""
        data = self.preprocessing
        return self._origin(told_shown(data.channels, data.shown_channels))

    @property
    def origin(self) -> str:
        """What a figure says of where it comes from."""
        return self._origin("")

    def _origin(self, shown: str) -> str:
        folder = self.run_dir.path.resolve().name
        return origin(self.config["name"], folder, self.epoch, self.averaged, shown)

    @cached_property
    def work(self) -> Work:
        """What has been computed of this model."""
        return Work(self.vae, self.device)

    @cached_property
    def fits(self) -> dict[tuple[str, str], CodeDistribution]:
        """The samplers that have been fitted, or read, by name and key."""
        return {}

    @property
    def seed(self) -> int:
        """The run's."""
        return self.config["seed"]

    @property
    def kind(self) -> str:
        """What its log-probabilities are, in words."""
        binarize = self.config["data"].get("binarize", "none")
        return kind_of(self.vae.likelihood, binarize, given_labels=self.vae.num_classes is not None)

    @cached_property
    def preprocessing(self) -> ImageDataModule:
        """The run's DataModule, for what it does with a picture; its own images may be elsewhere."""
        data = instantiate(self.config["data"], "data", trusted=self.trusted)
        if not isinstance(data, ImageDataModule):
            raise UserError(f"run={self.run_dir.path}: its config.yaml has no data of images")
        return data

    @cached_property
    def data(self) -> ImageDataModule:
        """The run's DataModule with its images; where they are others than it was trained with, a line says so.

        Raises:
            UserError: they are not where the config says, for nothing is downloaded; or they have other classes than
                those that the model is told.
        """
        _ = self.preprocessing.splits  # opens them; `prepare_data` might download
        others = told_of_others(self.images or {}, self.preprocessing.identity)
        if others:
            log.warning("run=%s: %s", self.run_dir.path, others)
        if self.vae.num_classes is not None:
            check_classes(self.named, self.preprocessing.class_names, f"run={self.run_dir.path}: data")
        return self.preprocessing

    @cached_property
    def usual(self) -> dict[str, Usual]:
        """What is recorded of the images that it has learned."""
        return usual_of(self.shared or self.run_dir)

    def own(self, images: UInt8[Tensor, "N C H W"], *, first: bool = True) -> UInt8[Tensor, "N C H W"]:
        turned = 255 - images if self.invert else images
        if first and (
            self.vae.num_classes is None or self.label is not None
        ):  # else who asks may know each one's label
            likeness = Likeness(self, self.usual, f"invert={'false' if self.invert else 'true'}")
            strange = likeness.look(turned.float() / 255, self.told(None, len(turned)))
            if strange is not None:
                log.warning(strange.told)
        return turned

    def with_label(self, label: Label | None) -> "TrainedRun":
        """The same run, of which everything is to be made with this label, by its name or its number.

        Raises:
            UserError: a label that the model does not know, or a model that is not told labels.
        """
        num_classes = self.vae.num_classes
        if label is not None and num_classes is None:
            raise UserError(f"label={label}: this run's model is not told labels; that takes model.num_classes=")
        number = None if label is None else label_number(label, self.named, f"label={label}")
        if number is not None and num_classes is not None and not 0 <= number < num_classes:
            raise UserError(f"label={label}: {choices(self.named, num_classes)}")
        return replace(self, label=number)


def open_trained(
    run: str,
    ckpt: str = "best",
    device: Device = "auto",
    data: dict[str, Any] | None = None,
    trust: str | Sequence[str] = (),
    typed: Sequence[str] = (),
) -> TrainedRun:
    """Open a run for use.

    Args:
        run: its directory, `latest`, or the path of a checkpoint in it; or a model that was given away, by its folder,
            its name on the Hub, as hf://user/name, or that of an example.
        ckpt: `best`, of the highest validation ELBO, `last`, or the path of a file.
        device: `auto` is a GPU where there is one.
        data: keys of the data's config that replace the run's, such as a root that has moved.
        trust: packages besides this project's whose classes the config may build.
        typed: groups of the config that are known to be the user's own, which may build anything.

    Raises:
        UserError: no such run, a checkpoint that can't be read or does not fit the config, a device that is not there.
    """
    place, given = _device(device), {key: value for key, value in (data or {}).items() if value is not None}
    trusted = trusting(trust, [*typed, *(f"data.{key}" for key in given)])
    shared = find_shared(run)
    if shared is not None:
        return _open_shared(shared, ckpt, place, given, trusted)
    run, named = named_run(run, "run")
    if named is not None:
        if ckpt != "best":
            raise UserError(f"run={run} and ckpt={ckpt}: both name a checkpoint; give one of them")
        ckpt = named
    run_dir = open_run(run, "run", idle=False)
    file = _checkpoint_file(run_dir, ckpt)
    config, vae = _model_of(run_dir.config, given, trusted, f"run={run}: config.yaml")
    found = trained(file, vae.state_dict(), f"run={run}: {file.name}", vae.latent_dim, "vae.")
    own = file.resolve().parent == run_dir.checkpoints.resolve()
    return _opened(run_dir, file.name if own else str(file.resolve()), config, vae, found, place, trusted)


def _open_shared(
    given_away: SharedModel, ckpt: str, place: torch.device, data: dict[str, Any], trusted: Trust
) -> TrainedRun:
    if ckpt != "best":
        raise UserError(f"{given_away.told} and ckpt={ckpt}: it has no checkpoints; leave ckpt= out")
    told, content = given_away.told, given_away.content
    check_file(given_away.weights, told)
    config, vae = _model_of(given_away.config, data, trusted, f"{told}: {CONFIG}")
    facts = {name: content.get(name) for name in ("epoch", "units")}
    facts |= {AVERAGING: True} if content.get("averaged") is True else {}
    known = {CLASS_NAMES: content.get("class_names"), IMAGES: content.get("images")}
    facts |= {name: value for name, value in known.items() if value is not None}
    found = trained_of_weights(given_away.weights, facts, vae.state_dict(), told, vae.latent_dim)
    opened = _opened(RunDir(given_away.place), WEIGHTS, config, vae, found, place, trusted)
    return replace(opened, shared=given_away)


def _model_of(
    read: Callable[[], dict[str, Any]], places: dict[str, Any], trusted: Trust, told: str
) -> tuple[dict[str, Any], LatentModel]:
    """A stored config, with other places of the data, and the model that it describes, with weights as they are drawn.

    Raises:
        UserError: it begins with `told` where the config can't be read.
    """
    try:
        config = read()
        if not isinstance(config.get("data"), dict):
            raise ValueError("it has no data")
        config["data"] = _with_places(config["data"], places)
        check_config(config, trusted, needed=("data", "model"))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{told} can't be read ({first_line(error)})") from error
    vae = instantiate(config["model"], "model", trusted=trusted)
    if not isinstance(vae, LatentModel):
        raise UserError(f"{told.replace(': ', ': its ')} has no VAE for a model")
    return config, vae


def _opened(
    run_dir: RunDir,
    name: str,
    config: dict[str, Any],
    vae: LatentModel,
    found: Trained,
    place: torch.device,
    trusted: Trust,
) -> TrainedRun:
    vae.load_state_dict(found.weights)
    vae = vae.to(place).to(memory_format=torch.channels_last).eval()
    more: dict[str, Any] = {"averaged": found.averaged, "named": found.class_names, "images": found.images}
    return TrainedRun(run_dir, name, config, vae, found.epoch, found.units, place, trusted, **more)


def check_classes(known: Names, found: Names, told: str) -> None:
    """Raise a UserError where images have other classes than those by whose numbers a model is told them.

    Args:
        known: the names of the labels when the model was trained; None where they had none.
        found: those of the images now.
        told: what the message begins with.
    """
    if known is not None and found is not None and known != found:
        differs = sorted({*known} ^ {*found}) or ["their order"]
        raise UserError(
            f"{told}: the model is told labels, and these images have others ({len(found)} where there were "
            f"{len(known)}; the first that differs is {differs[0]})"
        )


def told_of_others(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> str | None:
    """What is to be said of images that are others than those that a run was trained with; None where they are not.

    Args:
        before: what the checkpoint has of each split; nothing in one of an earlier version.
        now: `ImageDataModule.identity`.
    """
    differ = []
    for split, known in before.items():
        number, was = now[split]["num_images"], known["num_images"]
        if now[split] != known:
            also = f" in place of {was:,}" if number != was else " that are others, by their names or labels"
            differ.append(f"{number:,} {SPLIT_NAMES[split]} images{also}")
    if not differ:
        return None
    return f"these are not the images that it was trained with: {', '.join(differ)}; what is computed is of these"


def _checkpoint_file(run_dir: RunDir, checkpoint: str) -> Path:
    named = {"best": run_dir.best, "last": run_dir.last}
    file = named.get(checkpoint, Path(os.path.expanduser(checkpoint)))
    if checkpoint in named and not file.is_file():
        raise UserError(f"run={run_dir.path}: it has no checkpoint yet (checkpoints/{checkpoint}.ckpt)")
    if not file.is_file():
        raise UserError(f"ckpt={checkpoint}: no such file; choose best, last or the path of a checkpoint")
    return file


def _with_places(stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The stored config of the data with the places that were given; a root alone stands in for an archive, too."""
    no_archive = {"archive": None} if "root" in given and "archive" in stored else {}
    return stored | no_archive | given


def _device(device: Device) -> torch.device:
    found = native_accelerator(device)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not available[found]:
        raise UserError(f"device={device}: there is none here; valid here: auto, cpu")
    return torch.device(found)
