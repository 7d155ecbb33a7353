"""Images and what the model makes of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.drawing.grids import comparison_grid
from vae_lightning.drawing.png import to_uint8
from vae_lightning.pictures.picture import Drawing, PictureOfImages
from vae_lightning.runs.source import Source

_COLUMNS = 8


class Reconstructed(NamedTuple):
    """Images in [0, 1], and what the model makes of them."""

    originals: Float[Tensor, "N C H W"]
    reconstructions: Float[Tensor, "N C H W"]


@dataclass(frozen=True, kw_only=True)
class Reconstructions(PictureOfImages):
    """Images above the mean images at their posterior means; `generate` writes a file an image, too."""

    every_n_epochs: int | None = 1

    image_name: ClassVar[str] = "reconstruction"

    def look(self, source: Source) -> Reconstructed:
        chosen = source.chosen(self.read)
        originals = chosen.images.float() / 255
        labels = source.told(chosen.labels, len(originals))
        return Reconstructed(originals, source.decode(source.encode(originals, labels), labels))

    def draw(self, seen: Reconstructed, context: str) -> Drawing:
        return Drawing(comparison_grid(seen.originals, seen.reconstructions, _COLUMNS, context=context))

    def single_images(self, seen: Reconstructed) -> Iterable[UInt8[Tensor, "C H W"]]:
        return to_uint8(seen.reconstructions)
