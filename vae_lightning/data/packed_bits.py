"""Binary images of one channel as bits: a byte has eight pixels of a row, the first as its highest bit."""

import functools

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

PER_BYTE = 8  # pixels; an image is as wide as some bytes


def packed(pixels: UInt8[np.ndarray, "n H W 1"]) -> UInt8[np.ndarray, "n H W//8 1"]:
    """The bits of pixels: 0, or 1 for any other number."""
    return np.packbits(pixels, axis=2)


def unpacked(bits: UInt8[Tensor, "B H bytes 1"], channels: int) -> UInt8[Tensor, "B H W C"]:
    """The images, of pixels 0 and 255 and so many channels that are the same, on the bits' device."""
    num_images, height, num_bytes, _ = bits.shape
    # Eight pixels are looked up as one number, which is faster than shifting bits, and than numbers of a byte each.
    eights = _table(channels, bits.device).index_select(0, bits.flatten().int())
    return eights.view(torch.uint8).view(num_images, height, PER_BYTE * num_bytes, channels)


@functools.cache
def _table(channels: int, device: torch.device) -> Int64[Tensor, "256 ..."]:
    """What a byte unpacks to, in eight bytes a channel; without a dimension of one channel, which would cost time."""
    pixels = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * np.uint8(255)
    return torch.from_numpy(pixels.repeat(channels, axis=1)).view(torch.int64).squeeze(1).to(device)
