"""Pictures as data: URIs, within so many bytes altogether, so that a page of them can be opened and sent."""

import base64
import io
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageSequence

from vae_lightning.disk.files import read_bytes
from vae_lightning.machine.hardware import num_cpus
from vae_lightning.reports.pieces import check_png, gif_extent

# Bytes of all pictures of a page, to which base64 adds a third: a page of 4 runs is below 5 MB, one of 100 below 20.
_AT_LEAST, _A_RUN, _AT_MOST = 1_300_000, 115_000, 12_000_000
_ANIMATION_WEIGHT = 3  # a GIF's share against a still's
_MOST_OF_ONE = 1_500_000
_MOST_FRAMES = 40
_MOST_BYTES, _MOST_PIXELS = 256_000_000, 32_000_000  # of a file
_MOST_OF_PNG = 128_000_000  # bytes: as many pixels of noise take 96 MB
_MOST_WORK = 4_000_000_000  # pixels of all frames of a GIF, each of which must be decoded: half a minute
_SMALLEST = 40  # pixels a side: smaller than that nothing can be seen
# Bytes a pixel that WebP takes at the qualities below, measured on grids of faces: where the search for a size begins.
_STILL_BYTES, _FRAME_BYTES = 0.25, 0.07

Encoder = Callable[[float], bytes]


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as it stands in a page.

    Attributes:
        uri: a data: URI.
        size: its width and height in pixels.
        is_reduced: whether it was made smaller, coarser or shorter than its file to fit.
    """

    uri: str
    size: tuple[int, int]
    is_reduced: bool


def budget_of(num_runs: int) -> int:
    """How many bytes the pictures of a page on so many runs may take."""
    return min(_AT_LEAST + _A_RUN * num_runs, _AT_MOST)


def embed(files: list[Path], budget: int = _AT_MOST) -> dict[Path, EmbeddedPicture]:
    """PNG files as WebP and GIF files as they are or as animated WebP, each within its share of the budget.

    A file that can't be read, or would be too small to see anything, is left out.
    """
    shares = _shares({file: size for file in files if (size := _size(file)) is not None}, budget)
    with ThreadPoolExecutor(num_cpus()) as pool:
        pictures = pool.map(_embed, shares, shares.values())
    return {file: picture for file, picture in zip(shares, pictures, strict=True) if picture is not None}


def _shares(sizes: dict[Path, int], budget: int) -> dict[Path, int]:
    """How many bytes each file may take: what small ones don't need is left to the others."""
    weights = {file: _ANIMATION_WEIGHT if file.suffix == ".gif" else 1 for file in sizes}
    left, weight_left, shares = budget, sum(weights.values()), {}
    for file in sorted(sizes, key=lambda file: sizes[file] / weights[file]):
        shares[file] = min(left * weights[file] // weight_left, _MOST_OF_ONE)
        left, weight_left = left - min(shares[file], sizes[file]), weight_left - weights[file]
    return shares


def _size(file: Path) -> int | None:
    """In bytes; None where it is gone, as when the run is being trained."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _embed(file: Path, share: int) -> EmbeddedPicture | None:
    try:
        is_animation = file.suffix == ".gif"
        content = read_bytes(file, _MOST_BYTES if is_animation else _MOST_OF_PNG)
        if is_animation:
            _check_animation(content)
        else:
            check_png(content)
        with Image.open(io.BytesIO(content), formats=("GIF",) if is_animation else ("PNG",)) as image:
            if math.prod(image.size) > _MOST_PIXELS:
                return None
            return _animation(content, image, share) if is_animation else _still(content, image, share)
    except Exception:  # whatever a damaged file makes Pillow trip over: the run is shown without it
        return None


def _still(content: bytes, image: Image.Image, share: int) -> EmbeddedPicture | None:
    colours = image.convert("RGB")
    if len(content) < 1.5 * share:  # WebP's lossless takes less than PNG
        lossless = _webp(colours, lossless=True)
        if len(lossless) <= share:
            return _picture(lossless, "webp", is_reduced=False)
    return _fitted(lambda scale: _webp(_scaled(colours, scale), quality=82), colours.size, _STILL_BYTES, share)


def _animation(content: bytes, image: Image.Image, share: int) -> EmbeddedPicture | None:
    if len(content) <= share:
        image.load()
        return _picture(content, "gif", is_reduced=False)
    frames, durations = _thinned(image, max(5, min(_MOST_FRAMES, share // 8000)))

    def encoded(scale: float) -> bytes:
        first, *rest = (_scaled(frame, scale) for frame in frames)
        return _webp(first, save_all=True, append_images=rest, duration=durations, loop=0, quality=70)

    return _fitted(encoded, image.size, _FRAME_BYTES * len(frames), share)


def _check_animation(content: bytes) -> None:
    number, width, height = gif_extent(content)
    if width * height > _MOST_PIXELS or number * width * height > _MOST_WORK:
        raise ValueError(f"{number} frames of {width} x {height} pixels")


def _thinned(image: Image.Image, most: int) -> tuple[list[Image.Image], list[int]]:
    """At most so many frames, evenly spread, the first and the last among them, shown as long as all were."""
    number = getattr(image, "n_frames", 1)
    kept = sorted({round(index * (number - 1) / (most - 1)) for index in range(most)}) if number > most else None
    frames, durations = [], []
    for index, frame in enumerate(ImageSequence.Iterator(image)):
        duration = int(frame.info.get("duration", 100))
        if kept is None or index in kept:
            frames.append(frame.convert("RGB"))
            durations.append(duration)
        else:
            durations[-1] += duration
    return frames, durations


def _fitted(encode: Encoder, size: tuple[int, int], bytes_a_pixel: float, share: int) -> EmbeddedPicture | None:
    """The encoding at the largest scale that fits, by a few trials from a guess on; None below what can be seen."""
    scale = min(1.0, 1.2 * math.sqrt(share / (bytes_a_pixel * math.prod(size))))
    for _ in range(6):
        if scale * min(size) < _SMALLEST:
            break
        data = encode(scale)
        if len(data) <= share:
            return _picture(data, "webp", is_reduced=True)
        scale *= 0.92 * math.sqrt(share / len(data))
    return None


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    if scale == 1.0:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)  # a third of the time


def _webp(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", method=2, **options)
    return stream.getvalue()


def _picture(data: bytes, kind: str, *, is_reduced: bool) -> EmbeddedPicture:
    with Image.open(io.BytesIO(data)) as image:
        size = image.size
    return EmbeddedPicture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", size, is_reduced)
