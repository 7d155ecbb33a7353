"""A picture as the bytes of a PNG."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def encode_png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """The picture, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
