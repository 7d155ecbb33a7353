"""Checksums are those that TensorBoard computes a byte at a time."""

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from vae_lightning.loggers.checksums import crc32c, masked_crc32c


@pytest.mark.parametrize("size", [0, 1, 9, 127, 8191, 8192, 8193, 8195, 8319, 8320, 50_000])
def test_it_is_crc_32c(size):
    content = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    assert crc32c(content) == pywrap_tensorflow.crc32c(content)
    assert masked_crc32c(content) == pywrap_tensorflow.masked_crc32c(content)


def test_zeros_count_and_the_published_example_is_met():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(9000)) == pywrap_tensorflow.crc32c(bytes(9000)) != crc32c(bytes(9001))
