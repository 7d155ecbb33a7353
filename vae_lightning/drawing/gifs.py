"""Pictures in motion: GIF bytes from frames, with true colours and one GIF frame for every picture.

Pillow compresses each frame, and the frames are strung together here: Pillow's own animations merge frames
that are equal, and would need every frame anew whenever one is added.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

_PALETTE_SIZE = 256
_SAMPLED_PIXELS = 20_000  # against a palette from all pixels: 2% more error in a quarter of the time
_HEADER = len(b"GIF89a") + 7
_DESCRIPTOR = 10


@dataclass(frozen=True)
class GifFrame:
    """A picture as a GIF holds it: its size, its own palette of 256 colours, and compressed pixels."""

    width: int
    height: int
    palette: bytes
    pixels: bytes


def encode_gif(frames: Sequence[UInt8[np.ndarray, "H W 3"]], frame_ms: int, hold_last_ms: int) -> bytes:
    """An endless GIF of the pictures, one frame each; arguments and errors are those of `join_frames`.

    A picture that comes again, as on the way back of a walk, is compressed once.
    """
    compressed = {place: gif_frame(frame) for place, frame in {id(frame): frame for frame in frames}.items()}
    return join_frames([compressed[id(frame)] for frame in frames], frame_ms, hold_last_ms)


def join_frames(frames: Sequence[GifFrame], frame_ms: int, hold_last_ms: int) -> bytes:
    """An endless GIF, each frame shown for `frame_ms`, the last for `hold_last_ms`, to the nearest 10 ms.

    Raises:
        ValueError: no frames, frames of different sizes, or a duration below 20 ms, which browsers ignore.
    """
    sizes = {(frame.width, frame.height) for frame in frames}
    if len(sizes) != 1:
        raise ValueError(f"frames must be at least one and of one size, got sizes {sorted(sizes)}")
    if max(sizes.copy().pop()) > 65535:
        raise ValueError(f"frames must be at most 65,535 pixels wide and high, got {sizes.pop()}")
    if min(frame_ms, hold_last_ms) < 20:
        raise ValueError(f"frame_ms and hold_last_ms must be at least 20, got {frame_ms} and {hold_last_ms}")
    durations = [frame_ms] * (len(frames) - 1) + [hold_last_ms]
    header = b"GIF89a" + struct.pack("<HHBBB", *sizes.pop(), 0x70, 0, 0)
    loop_for_ever = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    blocks = [_block(frame, milliseconds) for frame, milliseconds in zip(frames, durations, strict=True)]
    return header + loop_for_ever + b"".join(blocks) + b";"


def gif_frame(picture: UInt8[np.ndarray, "H W 3"]) -> GifFrame:
    """Quantise and compress one picture; exact where it has at most 256 colours, as every grey one has."""
    palette, indices = _quantise(picture)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "GIF", interlace=False, optimize=False)
    # Header, palette and image descriptor have fixed lengths; the last byte ends the file.
    pixels = buffer.getvalue()[_HEADER + 3 * _PALETTE_SIZE + _DESCRIPTOR : -1]
    return GifFrame(image.width, image.height, palette.tobytes(), pixels)


def pixels_of(frame: GifFrame) -> UInt8[np.ndarray, "H W 3"]:
    """A picture as its frame shows it."""
    with Image.open(io.BytesIO(join_frames([frame], 20, 20))) as image:
        return np.array(image.convert("RGB"))


def _block(frame: GifFrame, milliseconds: int) -> bytes:
    control = b"\x21\xf9\x04\x04" + struct.pack("<H", round(milliseconds / 10)) + b"\x00\x00"
    descriptor = b"," + struct.pack("<HHHHB", 0, 0, frame.width, frame.height, 0x87)
    return control + descriptor + frame.palette + frame.pixels


def _quantise(
    picture: UInt8[np.ndarray, "H W 3"],
) -> tuple[UInt8[np.ndarray, "256 3"], UInt8[np.ndarray, "H W"]]:
    """A palette and each pixel's place in it.

    Each frame has a palette of its own, without dithering. Measured on grids of blurred faces: a palette
    shared by all frames had 1.4 times the error and 1.3 times the flicker between frames, dithering 1.3 and
    1.5 times.
    """
    colours, indices = _distinct(picture)
    if len(colours) > _PALETTE_SIZE:
        palette = _palette(picture)
        # Cells of 4 levels a channel are a quarter of the work, and 1% more error.
        cells, indices = _distinct(picture >> 2)
        indices = _nearest(4 * cells + np.float32(1.5), palette)[indices]
    else:
        palette = np.pad(colours, ((0, _PALETTE_SIZE - len(colours)), (0, 0)))
    # Bright colours first: Pillow misreads the frames after one whose palette is 0, 1, ..., 255 in grey.
    return palette[::-1], (_PALETTE_SIZE - 1 - indices).reshape(picture.shape[:2]).astype(np.uint8)


def _distinct(picture: UInt8[np.ndarray, "H W 3"]) -> tuple[UInt8[np.ndarray, "M 3"], Int[np.ndarray, " P"]]:
    """The different colours of a picture, and the place of each of its P = H W pixels among them."""
    codes = picture.reshape(-1, 3).astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)
    unique, indices = np.unique(codes, return_inverse=True)
    return np.stack([unique >> 16, unique >> 8 & 255, unique & 255], axis=1).astype(np.uint8), indices


def _palette(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "256 3"]:
    pixels = picture.reshape(1, -1, 3)
    # The stride is odd so that it does not fall into step with the columns of an even-sized picture.
    sample = pixels[:, :: pixels.shape[1] // _SAMPLED_PIXELS | 1]
    image = Image.fromarray(np.ascontiguousarray(sample))
    quantised = image.quantize(_PALETTE_SIZE, method=Image.Quantize.MEDIANCUT, kmeans=1)
    colours = np.array(quantised.getpalette(), dtype=np.uint8).reshape(-1, 3)[:_PALETTE_SIZE]
    return np.pad(colours, ((0, _PALETTE_SIZE - len(colours)), (0, 0)), mode="edge")


def _nearest(colours: Float[np.ndarray, "M 3"], palette: UInt8[np.ndarray, "256 3"]) -> Int[np.ndarray, " M"]:
    # Pillow's own lookup is faster but coarse: a fifth more error.
    centres = palette.astype(np.float32)
    half_norms = np.square(centres).sum(axis=1) / 2
    chunks = np.array_split(colours, len(colours) // 2048 + 1)  # each fits into the cache
    return np.concatenate([(half_norms - chunk @ centres.T).argmin(axis=1) for chunk in chunks])
