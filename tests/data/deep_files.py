"""Pictures of more than 8 bits a channel, as files: Pillow writes none of colours."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.data.mutations import png_chunk


def png(values: np.ndarray) -> bytes:
    """uint16 [H, W, S] of 1 to 4 channels: grey, grey and alpha, RGB, RGBA."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def tiff(values: np.ndarray, **options: object) -> bytes:
    """[H, W] or [H, W, S] of any type."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def saved(values: np.ndarray, kind: str, **options: object) -> bytes:
    """By Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()
