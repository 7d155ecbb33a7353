"""Pixels as whole numbers, and a picture as the bytes of a PNG."""

import io

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


def to_uint8(images: Float[Tensor, "*N C H W"]) -> UInt8[Tensor, "*N C H W"]:
    """Pixels in [0, 1] as 0 to 255, rounded."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)


def encode_png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """The picture, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
