"""From one image to the next through the latent space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_lightning.drawing.walks import transition_frames, transition_picture
from vae_lightning.errors import UserError, require_at_least, require_frame_duration
from vae_lightning.latents.classes import labels_along
from vae_lightning.latents.paths import PATHS, chain
from vae_lightning.pictures.saving import save_animation, save_picture
from vae_lightning.runs.images import Choice, Split
from vae_lightning.runs.trained import TrainedRun

_MOST = 40  # images, which are columns of the GIF


@dataclass(frozen=True)
class DrawTransition:
    """The ways from each image to the next, along a line and along a great circle: `transition.png`, `transition.gif`.

    Attributes:
        images, indices, labels, split, num_images: which images, two or more; see `runs.images.Choice`.
        num_frames: images of a way, its ends included, which are the reconstructions.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: a number too small.
    """

    images: str | Sequence[str] | None = None
    indices: Sequence[int] | None = None
    labels: Sequence[int] | None = None
    split: Split = "val"
    num_images: int = 2
    num_frames: int = 11
    frame_ms: int = 100

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 2)
        require_at_least("num_frames", self.num_frames, 2)
        require_frame_duration("frame_ms", self.frame_ms)

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        choice = Choice(self.images, self.indices, self.labels, self.split, self.num_images, _MOST)
        chosen = choice.read(run)
        originals = chosen.images.float() / 255
        if len(originals) < 2:
            raise UserError("a transition needs two images or more, as in images=[first.png,second.png]")
        labels = run.told(chosen.labels, len(originals))
        z = chain(run.encode(originals, labels), self.num_frames)
        along = labels_along(labels, len(PATHS), self.num_frames)
        images = run.decode(z.flatten(0, 2), None if along is None else along.flatten()).unflatten(0, z.shape[:3])
        title = "transition" if len(originals) == 2 else "transitions"
        picture = transition_picture(images, list(PATHS), originals[:-1], originals[1:], title, run.context)
        save_picture(folder / "transition.png", picture)
        frames = transition_frames(images, list(PATHS), title, run.context)
        save_animation(folder / "transition.gif", frames, self.frame_ms)
