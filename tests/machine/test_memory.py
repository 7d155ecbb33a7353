"""The most memory that a process has had, in numbers that can be known."""

import mmap
import sys

import pytest

from vae_lightning.machine.memory import forget_peak, peak_bytes, peak_gpu_bytes

SIZE = 200_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a peak be forgotten")
def test_the_peak_is_that_since_it_was_forgotten():
    forget_peak()
    before = peak_bytes()
    with mmap.mmap(-1, SIZE) as memory:  # not from malloc, which may have as much left from other tests
        for place in range(0, SIZE, mmap.PAGESIZE):
            memory[place] = 1
    assert peak_bytes() - before > SIZE * 0.9
    forget_peak()
    assert peak_bytes() < before + SIZE / 2


def test_a_process_that_uses_no_gpu_has_none_of_its_memory():
    assert peak_gpu_bytes() == 0
