"""How a picture of any size becomes images of one size: the geometry, in pixels."""

from collections.abc import Sequence
from typing import Literal

from PIL import Image, ImageOps

from vae_lightning.errors import require_image_size

ImageSize = int | Sequence[int]
Fit = Literal["crop", "pad", "stretch", "tile"]
FitInMemory = Literal["crop", "pad", "stretch"]  # of sets that are whole in RAM


def frame_of(image_size: ImageSize) -> tuple[int, int]:
    """Height and width of an image, of one number for both or of the two.

    Raises:
        ValueError: it is no pair of positive whole numbers, and no such number.
    """
    require_image_size("image_size", image_size)
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def cropped_size(size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the largest part of a picture that has the frame's proportions, in whole pixels."""
    height, width = size
    if height * frame[1] < width * frame[0]:  # it is wider
        return height, max(1, round(height * frame[1] / frame[0]))
    return min(height, max(1, round(width * frame[0] / frame[1]))), width


def inner_size(size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a whole picture has when it is resized to touch the frame from within."""
    height, width = size
    if height * frame[1] < width * frame[0]:
        return max(1, round(height * frame[1] / width)), frame[1]
    return frame[0], max(1, round(width * frame[0] / height))


def num_tiles(size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """How many whole tiles of the frame's size fit below and beside each other."""
    return size[0] // frame[0], size[1] // frame[1]


def middle(size: tuple[int, int], part: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge of a part of that size in the middle of a picture, in whole pixels."""
    top, left = ((whole - own) // 2 for whole, own in zip(size, part, strict=True))
    return left, top, left + part[1], top + part[0]


def tile_boxes(size: tuple[int, int], frame: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """The edges of each tile as `middle` has them, row by row; what does not fill a tile is shared by the borders."""
    rows, columns = num_tiles(size, frame)
    left, top, _, _ = middle(size, (rows * frame[0], columns * frame[1]))
    starts = [(top + row * frame[0], left + column * frame[1]) for row in range(rows) for column in range(columns)]
    return [(x, y, x + frame[1], y + frame[0]) for y, x in starts]


def fitted(picture: Image.Image, frame: tuple[int, int], fit: Fit) -> Image.Image:
    """The picture as one image of the frame's height and width.

    Args:
        picture: of any size.
        frame: height and width.
        fit: "crop", resized to cover the frame, what stands out beyond it cut off on both sides alike; "pad", resized
            to lie whole within it, on black; "stretch", resized to its height and its width; "tile", not resized, the
            middle of it.

    Raises:
        ValueError: a picture that is smaller than a tile.
    """
    height, width = frame
    size = picture.height, picture.width
    if fit == "crop":
        return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    if fit == "stretch":
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    if fit == "tile":
        check_tile(size, frame)
        return picture.crop(middle(size, frame))
    inner = inner_size(size, frame)
    whole = Image.new(picture.mode, (width, height))
    whole.paste(picture.resize(inner[::-1], Image.Resampling.LANCZOS), middle(frame, inner)[:2])
    return whole


def check_tile(size: tuple[int, int], frame: tuple[int, int]) -> None:
    """Refuse a picture that is smaller than a tile.

    Raises:
        ValueError: it is.
    """
    if 0 in num_tiles(size, frame):
        raise ValueError(f"{size[0]} x {size[1]} pixels are less than a tile of {frame[0]} x {frame[1]}")
