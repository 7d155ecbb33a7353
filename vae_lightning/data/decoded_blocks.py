"""Many picture files decoded on all cores, into one file of pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vae_lightning.data.decode import MAX_PIXELS, decode_image
from vae_lightning.data.memory import MemoryBudget
from vae_lightning.machine.hardware import num_cpus

_BLOCK_BYTES = 2**20  # of pixels, so that what is under way fits into RAM at any image size
_FEWEST_FOR_WORKERS = 64  # pictures; fewer small ones are decoded before processes have started
_BLOCKS_A_WORKER = 4  # at least, so that none waits long for the last one


@dataclass
class DecodedBlock:
    """What became of some pictures that stand beside each other.

    Attributes:
        numbers: theirs, among all.
        reasons: why a picture could not be read, by its number.
        write_error: why the pixels could not be written.
    """

    numbers: range
    reasons: dict[int, str] = field(default_factory=dict)
    write_error: OSError | None = None


@dataclass(frozen=True)
class PixelFile:
    """Pixels [N, H, W, C] of uint8 in a file that begins with something else.

    Args:
        path: of an existing file.
        offset: where the first picture begins, in bytes.
        image_size: height and width.
        channels: 1 or 3.
        max_pixels: of a picture; one that has more is not decoded.
    """

    path: Path
    offset: int
    image_size: int
    channels: int
    max_pixels: int = MAX_PIXELS

    def decode(self, pictures: Sequence[Path]) -> Iterator[DecodedBlock]:
        """Fill in all pictures, a block at a time in their order; black where one cannot be read.

        A process a core decodes and writes: threads would wait for each other, for much of Pillow's work is Python.
        Together they take about a gigabyte for large pictures, which wait for each other where there are many.
        """
        num_workers = num_cpus() if len(pictures) >= _FEWEST_FOR_WORKERS else 0
        most = len(pictures) // (_BLOCKS_A_WORKER * max(num_workers, 1))
        loader = DataLoader(
            _Blocks(self, pictures, max(1, min(most, _BLOCK_BYTES // (self.image_size**2 * self.channels)))),
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            generator=torch.Generator(),  # the global one stays as it is
        )
        return cast(Iterator[DecodedBlock], iter(loader))


class _Blocks(Dataset[DecodedBlock]):
    """Getting a block decodes and writes it."""

    def __init__(self, file: PixelFile, pictures: Sequence[Path], block_size: int):
        self.file = file
        self.pictures = pictures
        self.block_size = block_size
        self.budget = MemoryBudget()

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.block_size)

    def __getitem__(self, index: int) -> DecodedBlock:
        start = index * self.block_size
        block = DecodedBlock(range(start, min(start + self.block_size, len(self.pictures))))
        size, channels = self.file.image_size, self.file.channels
        pixels = np.zeros((len(block.numbers), size, size, channels), np.uint8)
        for target, number in zip(pixels, block.numbers, strict=True):
            try:
                target[:] = decode_image(self.pictures[number], size, channels, self.file.max_pixels, self.budget)
            except Exception as error:  # Pillow's plugins raise anything on a damaged file
                block.reasons[number] = " ".join(f"{type(error).__name__}: {error}".split())
        try:
            with self.file.path.open("r+b") as file:
                file.seek(self.file.offset + start * size**2 * channels)
                file.write(pixels.data)
        except OSError as error:
            block.write_error = error  # raised here, DataLoader would make one long text of it
        return block


def _as_it_is(value: Any) -> Any:
    return value
