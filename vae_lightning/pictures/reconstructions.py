"""Images and what the model makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_lightning.drawing.grids import comparison_grid
from vae_lightning.errors import require_at_least
from vae_lightning.pictures.saving import save_image, save_picture, to_uint8
from vae_lightning.runs.images import Choice, Split
from vae_lightning.runs.trained import TrainedRun

_COLUMNS = 8


@dataclass(frozen=True)
class DrawReconstructions:
    """Mean images at the posterior means: `reconstructions.png` below their inputs, and a file an image.

    Attributes:
        images, indices, labels, split, num_images: which images; see `runs.images.Choice`.

    Raises:
        ValueError: `num_images` is below 1.
    """

    images: str | Sequence[str] | None = None
    indices: Sequence[int] | None = None
    labels: Sequence[int] | None = None
    split: Split = "val"
    num_images: int = 16

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        choice = Choice(self.images, self.indices, self.labels, self.split, self.num_images)
        chosen = choice.read(run)
        originals = chosen.images.float() / 255
        labels = run.told(chosen.labels, len(originals))
        reconstructions = run.decode(run.encode(originals, labels), labels)
        for index, image in enumerate(reconstructions):
            save_image(folder / f"reconstruction_{index:04d}.png", to_uint8(image))
        picture = comparison_grid(originals, reconstructions, _COLUMNS, context=run.context)
        save_picture(folder / "reconstructions.png", picture)
