"""Binary images come back from their bits, on the bits' device and in little memory."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.data.sets import noise
from vae_lightning.data.packed_bits import packed, unpacked

IMAGES = noise(50, 5, 24, 1, most=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_as_0_and_255_in_each_channel(channels):
    bits = packed(IMAGES)
    assert bits.shape == (50, 5, 3, 1)
    images = unpacked(torch.from_numpy(bits), channels)
    assert torch.equal(images, torch.from_numpy(255 * IMAGES).expand(-1, -1, -1, channels))
    assert images.is_contiguous()
    assert np.array_equal(packed(255 * IMAGES), bits)


def test_each_byte_becomes_what_numpy_unpacks_it_to():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = unpacked(torch.from_numpy(every), 1)
    assert np.array_equal(images.numpy(), np.unpackbits(every, axis=2) * np.uint8(255))


def test_they_are_unpacked_where_the_bits_lie():
    images = unpacked(torch.empty(50, 5, 3, 1, dtype=torch.uint8, device="meta"), 3)
    assert images.device.type == "meta"
    assert images.shape == (50, 5, 24, 3)


class Sizes(TorchDispatchMode):
    """Keeps the bytes of all that PyTorch makes, views among them."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.made.append(made.nbytes)
        return made


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_made_on_the_way_that_is_larger_than_the_images(channels):
    bits = torch.from_numpy(packed(IMAGES))
    unpacked(bits, channels)  # the table is made once
    with Sizes() as sizes:
        images = unpacked(bits, channels)
    assert max(sizes.made) == images.nbytes
    assert len(sizes.made) < 8
