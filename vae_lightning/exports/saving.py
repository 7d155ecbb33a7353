"""Pictures and images as files."""

from pathlib import Path

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.drawing.png import encode_png
from vae_lightning.drawing.shown import drawable
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, Picture, drawing_of
from vae_lightning.runs.source import Source


def save_image(path: Path, image: UInt8[Tensor, "C H W"]) -> None:
    """One image at its own size, grey or RGB, without any margin; of more channels those that pictures show."""
    levels = drawable(image).permute(1, 2, 0).numpy()
    Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(path)


def save_drawing(folder: Path, name: str, drawing: Drawing) -> None:
    """`<name>.png`, and of what moves `<name>.gif`."""
    (folder / f"{name}.png").write_bytes(encode_png(drawing.picture))
    if drawing.animation is not None:
        (folder / f"{name}.gif").write_bytes(drawing.animation)


def save_picture(picture: Picture, source: Source, folder: Path, name: str) -> None:
    """A picture of a model by this name, and what it leaves beside it.

    Raises:
        NothingToDrawError: there is no such picture of this model.
    """
    reason = picture.why_not(source.vae)
    if reason is not None:
        raise NothingToDrawError(f"mode={name} is {reason}")
    picture.check(source)
    seen = picture.look(source)
    save_drawing(folder, name, drawing_of(picture, seen, source.context))
    for number, image in enumerate(picture.single_images(seen)):
        save_image(folder / f"{picture.image_name}_{number:04d}.png", image)
