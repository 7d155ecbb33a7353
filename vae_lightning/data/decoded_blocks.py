"""Many picture files decoded on all cores, into one file of pixels."""

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from vae_lightning.data.decode import decode_image, decode_tiles, has_more_pages
from vae_lightning.data.fitting import Fit, ImageSize, frame_of
from vae_lightning.data.memory import MemoryBudget
from vae_lightning.data.opening import MAX_PIXELS
from vae_lightning.data.processes import by_processes
from vae_lightning.data.tiling import Tiling, whole
from vae_lightning.data.values import Reading
from vae_lightning.machine.hardware import num_cpus

_BLOCK_BYTES = 2**20  # of pixels, so that what is under way fits into RAM at any image size
_FLUSHED_BYTES = 2**25  # at once
_FEWEST_FOR_WORKERS = 64  # pictures; fewer small ones are decoded before processes have started
_BLOCKS_A_WORKER = 4  # at least, so that none waits long for the last one


@dataclass
class DecodedBlock:
    """What became of some pictures that stand beside each other.

    Attributes:
        numbers: theirs, among all.
        reasons: why a picture could not be read, by its number.
        write_error: why the pixels could not be written.
        checksum: the CRC-32 of the pixels.
        paged: those that have more pages or frames than the one that was taken.
    """

    numbers: range
    reasons: dict[int, str] = field(default_factory=dict)
    write_error: OSError | None = None
    checksum: int = 0
    paged: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class PixelFile:
    """Pixels [N, H, W, C] of uint8 in a file that begins with something else.

    Args:
        path: of an existing file.
        offset: where the first picture begins, in bytes.
        image_size: height and width, one number for both or [height, width].
        channels: of the pixels.
        max_pixels: of a picture; one that has more is not decoded.
        fit: how each is brought to that size.
        tiling: which rows of the pixels are of which picture; None is one each.
        reading: as for `decode_image`.
    """

    path: Path
    offset: int
    image_size: ImageSize
    channels: int
    max_pixels: int = MAX_PIXELS
    fit: Fit = "crop"
    tiling: Tiling | None = None
    reading: Reading | None = None

    def decode(self, pictures: Sequence[Path], wanted: Sequence[range] | None = None) -> Iterator[DecodedBlock]:
        """Fill in the pictures, a block at a time in their order; black where one cannot be read.

        Args:
            pictures: all of them.
            wanted: the numbers of those that are not there yet; None is all.

        A process a core decodes and writes: threads would wait for each other, for much of Pillow's work is Python.
        Together they take about a gigabyte for large pictures, which wait for each other where there are many.
        """
        wanted = [range(len(pictures))] if wanted is None else wanted
        number = sum(map(len, wanted))
        num_workers = num_cpus() if number >= _FEWEST_FOR_WORKERS else 0
        most = number // (_BLOCKS_A_WORKER * max(num_workers, 1))
        tiling = self._tiling(len(pictures))
        bytes_a_picture = self._bytes_a_row * tiling.num_rows // max(len(pictures), 1)
        block_size = max(1, min(most, _BLOCK_BYTES // max(bytes_a_picture, 1)))
        blocks = by_processes(_Blocks(self, pictures, tiling, wanted, block_size), num_workers)
        return self._flushed(blocks, bytes_a_picture)

    def _flushed(self, blocks: Iterator[DecodedBlock], bytes_a_picture: int) -> Iterator[DecodedBlock]:
        """The blocks, on disk at the end: or a power cut could leave the file's name without its bytes.

        This process waits for the disk while others decode.
        """
        with self.path.open("r+b") as file:
            waiting = 0
            for block in blocks:
                yield block
                waiting += len(block.numbers) * bytes_a_picture
                if waiting >= _FLUSHED_BYTES:
                    os.fsync(file.fileno())
                    waiting = 0
            os.fsync(file.fileno())

    def checksum(self, numbers: range) -> int | None:
        """The CRC-32 of what stands in the file for these pictures; None where it ends before them."""
        starts = self.tiling.starts if self.tiling is not None else range(numbers.stop + 1)
        first, last = int(starts[numbers.start]), int(starts[numbers.stop])
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + first * self._bytes_a_row)
                content = file.read((last - first) * self._bytes_a_row)
        except OSError:
            return None
        return zlib.crc32(content) if len(content) == (last - first) * self._bytes_a_row else None

    def _tiling(self, num_pictures: int) -> Tiling:
        return self.tiling or whole(num_pictures)

    @property
    def _bytes_a_row(self) -> int:
        return math.prod(frame_of(self.image_size)) * self.channels


class _Blocks(Dataset[DecodedBlock]):
    """Getting a block decodes and writes it."""

    def __init__(
        self, file: PixelFile, pictures: Sequence[Path], tiling: Tiling, wanted: Sequence[range], block_size: int
    ):
        self.file = file
        self.frame = frame_of(file.image_size)
        self.pictures = pictures
        self.starts = tiling.starts
        self.block_size = block_size
        self.blocks = [part[start : start + block_size] for part in wanted for start in range(0, len(part), block_size)]
        self.budget = MemoryBudget()

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> DecodedBlock:
        block = DecodedBlock(self.blocks[index])
        starts = self.starts[block.numbers.start : block.numbers.stop + 1]
        first, rows = int(starts[0]), (starts - starts[0]).tolist()
        pixels = np.zeros((rows[-1], *self.frame, self.file.channels), np.uint8)
        for number, start, stop in zip(block.numbers, rows[:-1], rows[1:], strict=True):
            target = pixels[start:stop]
            try:
                target[:] = self._decoded(self.pictures[number], len(target))
                if has_more_pages(self.pictures[number], self.file.max_pixels):
                    block.paged.append(number)
            except Exception as error:  # Pillow's plugins raise anything on a damaged file
                block.reasons[number] = " ".join(f"{type(error).__name__}: {error}".split())
        block.checksum = zlib.crc32(pixels.data)
        try:
            with self.file.path.open("r+b") as file:
                file.seek(self.file.offset + first * math.prod(pixels.shape[1:]))
                file.write(pixels.data)
        except OSError as error:
            block.write_error = error  # raised here, DataLoader would make one long text of it
        return block

    def _decoded(self, picture: Path, num_rows: int) -> UInt8[np.ndarray, "N H W C"]:
        options = self.frame, self.file.channels, self.file.max_pixels, self.budget
        if self.file.fit != "tile":
            return decode_image(picture, *options, self.file.fit, self.file.reading)[None]
        tiles = decode_tiles(picture, *options, self.file.reading)
        if len(tiles) != num_rows:  # it has been replaced since, or states its size falsely
            raise ValueError(f"{len(tiles)} tiles, where the size that it states makes {num_rows}")
        return tiles
