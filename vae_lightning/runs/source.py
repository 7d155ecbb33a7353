"""What pictures and exports are made of: a model with its data, be it in training or opened from a run."""

import copy
import functools
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from vae_lightning.data.class_names import Names, choices, label_name
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.loader import ImageBatch
from vae_lightning.errors import UserError, first_line
from vae_lightning.latents.encoding import encode
from vae_lightning.latents.units import UnitStatistics, unit_statistics
from vae_lightning.models.latent_model import LatentModel, Latents, Temperature
from vae_lightning.noise import Indexed, derive_seed

log = logging.getLogger("vae_lightning")

_BATCH = 100  # images at a time, in float64; no result depends on it
_BELOW = 14  # a purpose of the seed


class Encoded(NamedTuple):
    """Images of a split and where their posteriors lie."""

    batch: ImageBatch
    latents: Latents


class Work:
    """What is computed once of a model, for all that look at it.

    Args:
        vae: the model, in evaluation mode.
        device: where it is.
    """

    def __init__(self, vae: LatentModel, device: torch.device):
        self.encoded: dict[tuple[str, int], Encoded] = {}
        self._vae = vae
        self._device = device

    @property
    def exact(self) -> LatentModel:
        """A copy in float64; where the model can't compute in float64 the model itself, and a word of it."""
        return self._placed[0]

    @property
    def place(self) -> torch.device:
        """Where `exact` is."""
        return self._placed[1]

    @cached_property
    def _placed(self) -> tuple[LatentModel, torch.device]:
        place = torch.device("cpu") if self._device.type == "mps" else self._device  # MPS has no float64
        try:
            model = copy.deepcopy(self._vae).to(place).double()
            _try(model, place)
        except (RuntimeError, TypeError, ValueError) as error:  # a network of the user's own has its own types
            _warn_of_float32(first_line(error))
            return self._vae, self._device
        return model, place

    @property
    def dtype(self) -> torch.dtype:
        """What `exact` takes."""
        tensors = itertools.chain(self.exact.parameters(), self.exact.buffers())
        return next((each.dtype for each in tensors if each.is_floating_point()), torch.float64)


def _try(model: LatentModel, place: torch.device) -> None:
    """See whether the model decodes and encodes an image in float64; raises what its networks raise."""
    labels = None if model.num_classes is None else torch.zeros(1, dtype=torch.int64, device=place)
    with torch.no_grad():
        z = torch.zeros(1, model.latent_dim, dtype=torch.float64, device=place)
        model.encode(model.generate(z, labels), labels)


@functools.cache
def _warn_of_float32(reason: str) -> None:
    log.warning("this model can't compute in float64 (%s): pictures of it are drawn in float32", reason)


class Source(ABC):
    """A model and its data.

    All is computed in float64, so that neither a picture nor an image, once its pixels are rounded to 256 levels,
    depends on the batch that it is computed in, on the device, or on whether the model is in training.

    Attributes:
        vae: the model, in evaluation mode.
        label: what a model that is told labels is to make, and what it is told of images that have none; None leaves it
            to who asks.
        units: statistics of the latent dimensions over all validation images; None where none was validated.
        device: where the model is.
    """

    vae: LatentModel
    label: int | None
    units: UnitStatistics | None
    device: torch.device

    @property
    @abstractmethod
    def context(self) -> str:
        """What a picture says of where it comes from."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """The run's."""

    @property
    @abstractmethod
    def preprocessing(self) -> ImageDataModule:
        """The run's DataModule, for what it does with a picture; its own images may be elsewhere."""

    @property
    @abstractmethod
    def data(self) -> ImageDataModule:
        """The run's DataModule with its images.

        Raises:
            UserError: they are not where the config says; nothing is downloaded.
        """

    @property
    @abstractmethod
    def work(self) -> Work:
        """What has been computed of this model."""

    @property
    @abstractmethod
    def class_names(self) -> Names:
        """The names of the labels that the model was trained with; known without its images."""

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.vae.latent_dim

    def label_name(self, label: int) -> str:
        """How a label is called."""
        return label_name(label, self.class_names)

    def chosen(self, choose: Callable[["Source"], ImageBatch]) -> ImageBatch:
        """The images of a picture that looks at few: those that are chosen now, or were when training began."""
        return choose(self)

    def own(self, images: UInt8[Tensor, "N C H W"], *, first: bool = True) -> UInt8[Tensor, "N C H W"]:
        """Pictures of the user's as they are looked at; an opened run tells of what is strange about the first ones."""
        return images

    # Labels

    def told(self, labels: Tensor | None, count: int) -> Int64[Tensor, " N"] | None:
        """The labels of so many images that are looked at: their own, or `label` for those that have none.

        Raises:
            UserError: the model wants to be told, and there are neither.
        """
        if self.vae.num_classes is None:
            return None
        return self._of_one_label(self.label, count) if labels is None else self._known(labels)

    def told_to_make(self, labels: Tensor | None, count: int) -> Int64[Tensor, " N"] | None:
        """The labels of so many images that are made: `label` where it is given, else these.

        Raises:
            UserError: the model wants to be told, and there are neither.
        """
        if self.vae.num_classes is None:
            return None
        if labels is None or self.label is not None:
            return self._of_one_label(self.label, count)
        return self._known(labels)

    def _known(self, labels: Tensor) -> Tensor:
        num_classes = self.vae.num_classes
        assert num_classes is not None
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
            raise UserError(
                f"the images have labels {int(labels.min())} to {int(labels.max())}, and this run's model "
                f"knows 0 to {num_classes - 1}"
            )
        return labels.cpu()

    def _of_one_label(self, label: int | None, count: int) -> Tensor:
        if label is None:
            valid = choices(self.class_names, self.vae.num_classes)
            raise UserError(f"label: this run's model is told labels, and none is given by label=; {valid}")
        return torch.full((count,), label)

    # Images to latents and back, on the CPU

    def encode(
        self, images: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None = None, batch_size: int = _BATCH
    ) -> Float32[Tensor, "N D"]:
        """The posterior means of images in [0, 1]."""
        told = self.told(labels, len(images))
        return self._computed(lambda vae, batch, some: vae.encode(batch, some).loc, images, told, batch_size)

    def posteriors(self, images: UInt8[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None = None) -> Latents:
        """Where the posteriors of images lie, with their rates."""
        return encode(self.work.exact, images, self.told(labels, len(images)), _BATCH)

    def encoded(self, split: str, num_images: int) -> Encoded:
        """So many images of a split, or all there are, chosen by the seed whatever their labels, and their posteriors.

        Who asks for equally many of the same model shares the work.
        """
        known = self.work.encoded
        if (split, num_images) not in known:
            batch = self.data.examples(num_images, split, balanced=False)
            known[split, num_images] = Encoded(batch, self.posteriors(batch.images, batch.labels))
        return known[split, num_images]

    def unit_statistics(self, num_images: int) -> UnitStatistics:
        """Those that are known of all validation images; else they are computed from so many of them.

        Raises:
            UserError: none are known, and the data are not there.
        """
        if self.units is not None:
            return self.units
        try:
            _ = self.data
        except UserError as error:
            what = "the checkpoint has no KL of the dimensions, and the images to compute it from are not there"
            raise UserError(f"{what}: {error}") from error
        return unit_statistics(self.encoded("val", num_images).latents)

    def draw(
        self,
        indices: Int64[Tensor, " N"],
        seed: int,
        temperature: Temperature = 1.0,
        labels: Int64[Tensor, " N"] | None = None,
    ) -> Float32[Tensor, "N D"]:
        """Latents from the prior, of so many times its spread; each a function of seed and index."""
        told = self.told_to_make(labels, len(indices))

        def of(vae: LatentModel, noise: Indexed, rows: Tensor) -> Tensor:
            return vae.draw(noise, None if told is None else told[rows].to(self.work.place), temperature)

        return self._drawn(of, indices, seed)

    def completed(
        self, code: Float[Tensor, "N D2"], indices: Int64[Tensor, " N"], seed: int, temperature: Temperature = 1.0
    ) -> Float32[Tensor, "N D"]:
        """Latents of a hierarchy whose first groups are given; the others are functions of seed and index.

        Their noise is another than that of `draw` with this seed, of which the given groups may be made.
        """
        given = code.to(self.work.place, self.work.dtype)[None]
        return self._drawn(
            lambda vae, noise, rows: vae.completed(given[:, rows], noise, temperature),
            indices,
            derive_seed(seed, _BELOW),
        )

    def _drawn(
        self,
        draw: Callable[[LatentModel, Indexed, Tensor], Float[Tensor, "1 B D"]],
        indices: Int64[Tensor, " N"],
        seed: int,
    ) -> Float32[Tensor, "N D"]:
        """Latents that are drawn a few at a time, for of a hierarchy each takes a pass through its networks."""
        results = []
        with torch.no_grad():
            for rows in torch.arange(len(indices)).split(_BATCH):
                noise = Indexed(seed, indices[rows], 1, self.work.place)
                results.append(draw(self.work.exact, noise, rows)[0].float().cpu())
        return torch.cat(results)

    def decode(
        self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"] | None = None, batch_size: int = _BATCH
    ) -> Float[Tensor, "N C H W"]:
        """The mean images of latents, in [0, 1]."""
        return self.decode_as(z, self.told_to_make(labels, len(z)), batch_size)

    def decode_as(
        self, z: Float[Tensor, "N D"], told: Int64[Tensor, " N"] | None, batch_size: int = _BATCH
    ) -> Float[Tensor, "N C H W"]:
        """The same with labels for which no other `label` stands in."""
        return self._computed(lambda vae, batch, some: vae.generate(batch, some), z, told, batch_size)

    def _computed(
        self, compute: Callable[..., Tensor], inputs: Tensor, labels: Tensor | None, batch_size: int
    ) -> Tensor:
        results = []
        with torch.no_grad():
            for rows in torch.arange(len(inputs)).split(batch_size):
                told = None if labels is None else labels[rows].to(self.work.place)
                results.append(
                    compute(self.work.exact, inputs[rows].to(self.work.place, self.work.dtype), told).float().cpu()
                )
        return torch.cat(results)
