"""One picture file of any size and mode, as pixels of the wanted size."""

from os import PathLike

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


def decode_image(path: str | PathLike[str], image_size: int, channels: int) -> UInt8[np.ndarray, "H W C"]:
    """The picture upright, its shorter side resized to `image_size` and the middle of the longer one kept.

    Transparency is laid on white, 16-bit grey scaled to 8, and of an animation the first frame is taken.
    Raises what Pillow raises for a file it cannot read.
    """
    # Lets JPEG be decoded at 1/2, 1/4 or 1/8 of its size, never below twice the wanted one.
    picture = _in_mode("L" if channels == 1 else "RGB", _upright(path, draft=(2 * image_size, 2 * image_size)))
    fitted = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.LANCZOS)
    return np.asarray(fitted).reshape(image_size, image_size, channels)


def decode_grey_square(path: str | PathLike[str]) -> UInt8[np.ndarray, "side side"]:
    """The picture upright and in grey, the middle of its longer side kept, at its own size; else as `decode_image`."""
    picture = _in_mode("L", _upright(path))
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)  # whole pixels: nothing is resampled
    return np.asarray(picture.crop((left, top, left + side, top + side)))


def _upright(path: str | PathLike[str], draft: tuple[int, int] | None = None) -> Image.Image:
    with Image.open(path) as image:
        if draft is not None:
            image.draft(None, draft)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _opaque(image)


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image), image.mode))
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return image if image.mode in ("1", "L") else _in_mode("RGB", image)


def _in_mode(mode: str, image: Image.Image) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _to_8_bit(values: np.ndarray, mode: str) -> UInt8[np.ndarray, "H W"]:
    """Numbers of any range as grey levels; Pillow's own conversion would clip them at 255."""
    values = np.nan_to_num(values.astype(np.float64)).clip(min=0)
    return (values * (255 / _full_scale(values.max(), mode))).clip(max=255).round().astype(np.uint8)


def _full_scale(largest: float, mode: str) -> float:
    # "I" carries 16-bit grey too. Floats don't say what white is: 1, 255 and 65535 are in use.
    customary = (1.0, 255.0, 65535.0) if mode == "F" else (65535.0,)
    return next((scale for scale in customary if largest <= scale), largest)
