"""From one image to the next through the latent space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.films import Film
from vae_lightning.drawing.walks import transition_frames, transition_picture
from vae_lightning.errors import require_at_least, require_at_most, require_frame_duration
from vae_lightning.latents.classes import labels_along
from vae_lightning.latents.paths import PATHS, chain, of_groups, why_no_path
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, PictureOfImages
from vae_lightning.runs.images import Choice, Files
from vae_lightning.runs.source import Source

_MOST_FRAMES = 500


class Ways(NamedTuple):
    """M images in [0, 1], and on the ways from each to the next, by each of the L `PATHS`, what the model makes."""

    originals: Float[Tensor, "M C H W"]
    images: Float[Tensor, "P L N C H W"]


@dataclass(frozen=True, kw_only=True)
class Transition(PictureOfImages):
    """The ways from each image to the next, along a line and along a great circle, as a strip and as a looping GIF.

    Attributes:
        files: `images` by the name that it had in callbacks once.
        groups: of a hierarchy those that go over, counted from 1 at the top; all others stay the first image's of each
            way. None for all.
        num_frames: images of a way, its ends included, which are the reconstructions.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: more than one way to choose images, or one that gives less than two; a number that is
            too small or too large.
    """

    fewest: ClassVar[int] = 2
    most: ClassVar[int] = 40  # columns of the GIF

    every_n_epochs: int | None = 10
    num_images: int = 6
    files: Files | None = None
    groups: Sequence[int] | None = None
    num_frames: int = 11
    frame_ms: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        ways = {"images": self.images, "indices": self.indices, "labels": self.labels, "files": self.files}
        given = {name: value for name, value in ways.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} must not be given together: choose one")
        for name, value in {"indices": self.indices, "labels": self.labels}.items():
            if value is not None and len(value) < 2:
                raise ValueError(f"{name} must be of at least 2 images, got {len(value)}")
        require_at_least("num_frames", self.num_frames, 2)
        require_at_most("num_frames", self.num_frames, _MOST_FRAMES)
        require_frame_duration("frame_ms", self.frame_ms)

    def read(self, source: Source) -> ImageBatch:
        images = self.images if self.files is None else self.files
        return Choice(images, self.indices, self.labels, self.split, self.num_images, self.most).read(source)

    @property
    def chosen_by(self) -> dict[str, Any]:
        return super().chosen_by | ({} if self.files is None else {"files": self.files})

    def why_not(self, vae: LatentModel) -> str | None:
        return why_no_path(vae)

    def check(self, source: Source) -> None:
        if self.groups is not None:
            of_groups(source.vae, self.groups)

    def look(self, source: Source) -> Ways:
        chosen = source.chosen(self.read)
        originals = chosen.images.float() / 255
        if len(originals) < 2:
            raise NothingToDrawError(
                f"a transition needs two images or more, as in images=[first.png,second.png]; here is {len(originals)}"
            )
        labels = source.told(chosen.labels, len(originals))
        z = chain(source.encode(originals, labels), self.num_frames)
        if self.groups is not None:
            z = torch.where(of_groups(source.vae, self.groups), z, z[:, :, :1])
        along = labels_along(labels, len(PATHS), self.num_frames)
        images = source.decode(z.flatten(0, 2), None if along is None else along.flatten())
        return Ways(originals, images.unflatten(0, z.shape[:3]))

    def draw(self, seen: Ways, context: str) -> Drawing:
        title = f"transition{'' if len(seen.originals) == 2 else 's'} between posterior means"
        if self.groups is not None:
            title += f", of group{'' if len(self.groups) == 1 else 's'} {', '.join(map(str, self.groups))} alone"
        ends = seen.originals[:-1], seen.originals[1:]
        strip = transition_picture(seen.images, list(PATHS), *ends, title, context)
        frames = partial(transition_frames, seen.images, list(PATHS), title, context)
        return Drawing(strip, Film(frames, self.frame_ms))
