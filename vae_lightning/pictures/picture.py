"""What every picture is: it looks at a model, and draws what it saw."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.data.class_names import Label
from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.films import Film
from vae_lightning.drawing.sheets import Raster, Sheet
from vae_lightning.errors import UserError, require_at_least, require_at_most
from vae_lightning.latents.classes import labels_of_samples
from vae_lightning.models.latent_model import LatentModel, Latents, Temperature
from vae_lightning.runs.images import Choice, Files, Split
from vae_lightning.runs.source import Source

MOST_SAMPLES = 10_000  # in one picture


class NothingToDrawError(UserError):
    """There is no such picture of a model as it is now, or of its data; the message says why."""


def check_finite(latents: Latents) -> None:
    """Raise NothingToDrawError where latents are not: where that matters the loss is not finite either, and says so."""
    known = [each for each in (latents.loc, latents.scale, latents.rates) if each is not None]
    if not all(bool(each.isfinite().all()) for each in known):
        raise NothingToDrawError("the posteriors of the images are not finite: nothing is drawn of them")


class Drawing:
    """A picture, and where it moves too its animation.

    Args:
        picture: pixels; or a sheet of `vae_lightning.drawing`, of which print has letters and lines.
        animation: a film; or the bytes of a GIF, of which there is no video.

    Attributes:
        sheet: the picture before it is drawn.
        film: the animation before it is drawn; None where nothing moves, or the GIF is given.

    Raises:
        TypeError: another kind of picture.
    """

    def __init__(self, picture: UInt8[np.ndarray, "H W 3"] | Sheet, animation: bytes | Film | None = None) -> None:
        given: Any = picture
        is_array = isinstance(given, np.ndarray)
        is_picture = is_array and given.dtype == np.uint8 and given.ndim == 3 and given.shape[2] == 3
        if not is_picture and not isinstance(given, Sheet):
            told = f"{given.dtype} {list(given.shape)}" if is_array else type(given).__name__
            raise TypeError(f"the picture of a Drawing is a uint8 array [H, W, 3], got {told}")
        self.sheet: Sheet = Raster(given) if is_picture else given
        self.film = animation if isinstance(animation, Film) else None
        self._gif = animation if isinstance(animation, bytes) else None

    @cached_property
    def picture(self) -> UInt8[np.ndarray, "H W 3"]:
        """The picture in pixels."""
        return self.sheet.pixels()

    @cached_property
    def animation(self) -> bytes | None:
        """The animation as the bytes of a GIF."""
        return self._gif if self.film is None else self.film.gif()


@dataclass(frozen=True, kw_only=True)
class Picture(ABC):
    """A picture of a model: while it trains, by `callbacks.pictures.DrawPicture`, or when asked, by `generate`.

    Of the same model with the same settings it is the same, pixel by pixel.

    Attributes:
        every_n_epochs: how often it is drawn while training: after every n-th epoch, counted from 1, and after the
            last; None: after the last only.

    Raises:
        ValueError: `every_n_epochs` is below 1.
    """

    image_name: ClassVar[str] = "image"

    every_n_epochs: int | None = None

    def __post_init__(self) -> None:
        if self.every_n_epochs is not None:
            require_at_least("every_n_epochs", self.every_n_epochs, 1)

    def why_not(self, vae: LatentModel) -> str | None:
        """What models the picture is for, if this is none of them, as in "for two latent dimensions"; None if it is."""
        return None

    def check(self, source: Source) -> None:
        """Refuse settings that can't work with this model and these data: before a training begins, or before a look.

        Raises:
            UserError: they can't.
        """
        return

    def choose(self, source: Source) -> ImageBatch | None:
        """The few images of the data that all pictures of a training are drawn from; None for a picture without."""
        return None

    @property
    def chosen_by(self) -> dict[str, Any]:
        """The settings that decide what `choose` chooses, or which samples are drawn, as plain data."""
        return {}

    @abstractmethod
    def look(self, source: Source) -> Any:
        """What the picture needs to know of the model.

        Raises:
            NothingToDrawError: there is nothing to see.
        """

    @abstractmethod
    def draw(self, seen: Any, context: str) -> Drawing:
        """The picture of what was seen; `context`, the run and the epoch, belongs into it.

        Where the context is empty, no caption is wanted.
        """

    def takes_long(self, seen: Any) -> bool:
        """Whether to draw this takes a second or more: after the last epoch it is then drawn while the model is tested.

        That is in another thread, and the model has other weights meanwhile: what was seen must not hold it.
        """
        return False

    def single_images(self, seen: Any) -> Iterable[UInt8[Tensor, "C H W"]]:
        """Images that `generate` leaves beside the picture, each as a file that is called `image_name` and numbered."""
        return ()


def drawing_of(picture: Picture, seen: Any, context: str) -> Drawing:
    """What the picture draws of what it saw.

    Raises:
        TypeError: it returns something else, as a picture of the user's own may.
    """
    drawing: Any = picture.draw(seen, context)
    if not isinstance(drawing, Drawing):
        raise TypeError(f"{type(picture).__qualname__}.draw returns a Drawing, got {type(drawing).__name__}")
    return drawing


@dataclass(frozen=True, kw_only=True)
class PictureOfImages(Picture, ABC):
    """A picture of a few images.

    Attributes:
        images, indices, labels, split, num_images: which images; see `runs.images.Choice`.

    Raises:
        ValueError: `num_images` is below `fewest`; besides what `Picture` raises.
    """

    fewest: ClassVar[int] = 1
    most: ClassVar[int] = 1000

    images: Files | None = None
    indices: Sequence[int] | None = None
    labels: Sequence[Label] | None = None
    split: Split = "val"
    num_images: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_images", self.num_images, self.fewest)

    def choose(self, source: Source) -> ImageBatch | None:
        return self.read(source)

    def read(self, source: Source) -> ImageBatch:
        """The images."""
        choice = Choice(self.images, self.indices, self.labels, self.split, self.num_images, self.most)
        return choice.read(source)

    @property
    def chosen_by(self) -> dict[str, Any]:
        names = ("images", "indices", "labels", "split", "num_images")
        return {name: _plain(getattr(self, name)) for name in names}


@dataclass(frozen=True, kw_only=True)
class PictureOfSamples(Picture, ABC):
    """A picture of samples from the prior.

    Attributes:
        num_images: how many samples.
        seed: of their noise, of which sample n has its own; None is the run's.

    Raises:
        ValueError: a number too small or too large; besides what `Picture` raises.
    """

    most: ClassVar[int] = MOST_SAMPLES

    num_images: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_images", self.num_images, 1)
        require_at_most("num_images", self.num_images, self.most)
        if self.seed is not None:
            require_at_least("seed", self.seed, 0)

    @property
    def chosen_by(self) -> dict[str, Any]:
        return {"num_images": self.num_images, "seed": self.seed}

    def sampled(self, source: Source, temperature: Temperature = 1.0) -> Float[Tensor, "N C H W"]:
        """The mean images of the samples, of a model with labels that of label n modulo their number for sample n."""
        indices = torch.arange(self.num_images)
        labels = labels_of_samples(source.vae, indices)
        return source.decode(source.draw(indices, self.seed_of(source), temperature, labels), labels)

    def seed_of(self, source: Source) -> int:
        """The seed of the noise."""
        return source.seed if self.seed is None else self.seed


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
