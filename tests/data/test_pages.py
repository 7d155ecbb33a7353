"""Mapped pages are let go of, and what is read stays right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vae_lightning.data import pages
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.pages import Pages


def mapped(folder: Path, num_images: int) -> np.memmap:
    """Images of 64 kB, image n of the level n % 256."""
    levels = np.arange(num_images, dtype=np.uint8)
    np.save(folder / "pixels.npy", np.broadcast_to(levels[:, None, None, None], (num_images, 256, 256, 1)))
    return np.load(folder / "pixels.npy", mmap_mode="r")


def resident_of_files() -> int:
    """Bytes of mapped files in this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssFile")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells what is resident of files")
@pytest.mark.parametrize("lets_go", [True, False])
def test_reading_a_mapped_file_takes_little_memory(tmp_path, monkeypatch, lets_go):
    monkeypatch.setattr(pages, "_SMALL", 0)
    monkeypatch.setattr(pages, "_MOST_READ", 2_000_000)
    array = mapped(tmp_path, 640)  # 42 MB
    images = ImageSet(torch.from_numpy(array), torch.arange(640), None, pages=Pages(array) if lets_go else None)
    before, most = resident_of_files(), 0
    for indices in torch.randperm(640, generator=torch.Generator().manual_seed(0)).split(16):
        seen = images.images(indices)
        assert torch.equal(seen[:, 0, 0, 0], (indices % 256).to(torch.uint8))
        most = max(most, resident_of_files() - before)
    assert (most < 10_000_000) == lets_go


def test_a_small_file_stays_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_MOST_READ", 1000)
    released = []
    small = Pages(mapped(tmp_path, 2))
    monkeypatch.setattr(small, "_mapping", type("Mapping", (), {"madvise": lambda self, advice: released.append(1)})())
    small.have_been_read(10_000)
    assert released == []
