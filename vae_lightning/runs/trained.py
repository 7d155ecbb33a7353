"""A trained model, opened from its run directory alone: on any machine, without the data it was trained on."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from vae_lightning.building.stored import check_config
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.checkpoints.contents import trained
from vae_lightning.config import instantiate
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.drawing.captions import origin
from vae_lightning.errors import UserError, first_line
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.likelihood.kind import kind_of
from vae_lightning.machine.hardware import native_accelerator
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Indexed
from vae_lightning.runs.opening import open_run
from vae_lightning.runs.records import RunDir

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class TrainedRun:
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

    @property
    def context(self) -> str:
        """What a picture says of where it comes from."""
        label = "" if self.label is None else f" · label {self.label}"
        return origin(self.config["name"], self.run_dir.path.resolve().name, self.epoch) + label

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.vae.latent_dim

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
        """The run's DataModule with its images.

        Raises:
            UserError: they are not where the config says; nothing is downloaded.
        """
        _ = self.preprocessing.splits  # opens them; `prepare_data` might download
        return self.preprocessing

    def with_label(self, label: int | None) -> "TrainedRun":
        """The same run, of which everything is to be made with this label.

        Raises:
            UserError: a label that the model does not know, or a model that is not told labels.
        """
        num_classes = self.vae.num_classes
        if label is not None and num_classes is None:
            raise UserError(f"label={label}: this run's model is not told labels; that takes model.num_classes=")
        if label is not None and num_classes is not None and not 0 <= label < num_classes:
            raise UserError(f"label={label}: choose 0 to {num_classes - 1}")
        return replace(self, label=label)

    def told(self, labels: Tensor | None, count: int) -> Int64[Tensor, " N"] | None:
        """The labels of so many images that are looked at: their own, or `label` for those that have none.

        Raises:
            UserError: the model wants to be told, and there are neither.
        """
        if self.vae.num_classes is None:
            return None
        return self._of_one_label(count) if labels is None else self._known(labels)

    def told_to_make(self, labels: Tensor | None, count: int) -> Int64[Tensor, " N"] | None:
        """The labels of so many images that are made: `label` where it is given, else these.

        Raises:
            UserError: the model wants to be told, and there are neither.
        """
        if self.vae.num_classes is None:
            return None
        return self._of_one_label(count) if labels is None or self.label is not None else self._known(labels)

    def _known(self, labels: Tensor) -> Tensor:
        num_classes = self.vae.num_classes
        assert num_classes is not None
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
            raise UserError(
                f"the images have labels {int(labels.min())} to {int(labels.max())}, and this run's model "
                f"knows 0 to {num_classes - 1}"
            )
        return labels

    def _of_one_label(self, count: int) -> Tensor:
        if self.label is None:
            last = (self.vae.num_classes or 0) - 1
            raise UserError(f"label: this run's model is told labels; choose label=0 to label={last}")
        return torch.full((count,), self.label)

    def encode(
        self, images: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None = None, batch_size: int = 100
    ) -> Float32[Tensor, "N D"]:
        """The posterior means of images in [0, 1], on the CPU; in float64, for the reason that `decode` has."""
        told = self.told(labels, len(images))
        return self._exactly(lambda vae, batch, some: vae.encode(batch, some).loc, images, told, batch_size)

    def draw(
        self,
        indices: Int64[Tensor, " N"],
        seed: int,
        temperature: float = 1.0,
        labels: Int64[Tensor, " N"] | None = None,
    ) -> Float32[Tensor, "N D"]:
        """Latents from the prior, of so many times its spread, on the CPU; each a function of seed and index."""
        noise = Indexed(seed, indices, 1, self._place)
        told = self.told_to_make(labels, len(indices))
        with torch.no_grad():
            z = self._exact.draw(noise, None if told is None else told.to(self._place), temperature)[0]
        return z.float().cpu()

    def decode(
        self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"] | None = None, batch_size: int = 100
    ) -> Float[Tensor, "N C H W"]:
        """The mean images of latents, in [0, 1], on the CPU.

        In float64, so that an image, once its pixels are rounded to 256 levels, does not depend on the batch that it is
        decoded in, nor on the device.
        """
        told = self.told_to_make(labels, len(z))
        return self._exactly(lambda vae, batch, some: vae.generate(batch, some), z, told, batch_size)

    def _exactly(
        self, compute: Callable[..., Tensor], inputs: Tensor, labels: Tensor | None, batch_size: int
    ) -> Tensor:
        results = []
        with torch.no_grad():
            for rows in torch.arange(len(inputs)).split(batch_size):
                told = None if labels is None else labels[rows].to(self._place)
                results.append(compute(self._exact, inputs[rows].to(self._place).double(), told).float().cpu())
        return torch.cat(results)

    @property
    def _place(self) -> torch.device:
        """Where `_exact` is."""
        return torch.device("cpu") if self.device.type == "mps" else self.device  # MPS has no float64

    @cached_property
    def _exact(self) -> LatentModel:
        return copy.deepcopy(self.vae).to(self._place).double()


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
        run: its directory.
        ckpt: `best`, of the highest validation ELBO, `last`, or the path of a file.
        device: `auto` is a GPU where there is one.
        data: keys of the data's config that replace the run's, such as a root that has moved.
        trust: packages besides this project's whose classes the config may build.
        typed: groups of the config that are known to be the user's own, which may build anything.

    Raises:
        UserError: no such run, a checkpoint that can't be read or does not fit the config, a device that is not there.
    """
    run_dir = open_run(run, "run", idle=False)
    place = _device(device)
    file = _checkpoint_file(run_dir, ckpt)
    places = {key: value for key, value in (data or {}).items() if value is not None}
    trusted = trusting(trust, [*typed, *(f"data.{key}" for key in places)])
    try:
        config = run_dir.config()
        config["data"] = _with_places(config["data"], places)
        check_config(config, trusted, needed=("data", "model"))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"run={run}: config.yaml can't be read ({first_line(error)})") from error
    vae = instantiate(config["model"], "model", trusted=trusted)
    if not isinstance(vae, LatentModel):
        raise UserError(f"run={run}: its config.yaml has no VAE for a model")
    found = trained(file, vae.state_dict(), f"run={run}: {file.name}", vae.latent_dim, "vae.")
    vae.load_state_dict(found.weights)
    vae = vae.to(place).to(memory_format=torch.channels_last).eval()
    own = file.resolve().parent == run_dir.checkpoints.resolve()
    name = file.name if own else str(file.resolve())
    return TrainedRun(run_dir, name, config, vae, found.epoch, found.units, place, trusted)


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
