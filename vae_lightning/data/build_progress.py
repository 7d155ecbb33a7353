"""How far the decoding of a folder has come, so that one that is killed is gone on with and not begun anew."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_lightning.data.decoded_blocks import DecodedBlock, PixelFile
from vae_lightning.disk.files import load_json, open_regular, write_atomically

_NAME = "progress.jsonl"
_MOST_BYTES = 10**9  # of a record: a reason for each of some millions of pictures


@dataclass(frozen=True)
class BuildProgress:
    """The record of which blocks stand in a file of pixels, with the checksum of each.

    Args:
        folder: that is being built.
        facts: what must be the same for a record to be of use, as plain data.
    """

    folder: Path
    facts: Mapping[str, Any]

    def begin(self, pixels: PixelFile) -> list[DecodedBlock]:
        """The blocks that another process has written and that are still there; they are on record from here on.

        Whatever else it has left in the folder goes. Raises OSError if the record can't be written.
        """
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path not in (self._file, pixels.path) or path.is_symlink():
                path.unlink()
        blocks: list[DecodedBlock] = []
        seen = -1
        for block in sorted(self._recorded(), key=lambda each: each.numbers.start):
            if block.numbers.start > seen and pixels.checksum(block.numbers) == block.checksum:
                blocks.append(block)
                seen = block.numbers.stop - 1
        lines = [json.dumps(dict(self.facts)), *map(_line, blocks)]
        write_atomically(self._file, "".join(f"{line}\n" for line in lines))
        return blocks

    def add(self, block: DecodedBlock) -> None:
        """Record a block that stands in the file."""
        with self._file.open("a", encoding="ascii") as file:
            file.write(f"{_line(block)}\n")

    def end(self) -> None:
        """To be called once the folder is whole."""
        self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return self.folder / _NAME

    def _recorded(self) -> list[DecodedBlock]:
        """What the record says; a line that was cut off, or that makes no sense, ends it."""
        blocks: list[DecodedBlock] = []
        try:
            with open_regular(self._file, _MOST_BYTES) as file:
                if load_json(file.readline().decode()) != dict(self.facts):
                    return []
                for line in file:
                    blocks.append(_block(load_json(line.decode()), self.facts["num_pictures"]))
        except (OSError, ValueError, TypeError, KeyError):
            pass
        return blocks


def gaps(blocks: Sequence[DecodedBlock], num_pictures: int) -> list[range]:
    """The pictures that lie in none of these blocks, which stand in order."""
    starts = [0, *(block.numbers.stop for block in blocks)]
    stops = [*(block.numbers.start for block in blocks), num_pictures]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]


def allocated(path: Path) -> int:
    """The bytes of a file that the disk has given it already; 0 where it is not there."""
    try:
        facts = os.stat(path)
    except OSError:
        return 0
    return 512 * facts.st_blocks if hasattr(facts, "st_blocks") else 0


def _line(block: DecodedBlock) -> str:
    numbers = [block.numbers.start, block.numbers.stop]
    facts = {"numbers": numbers, "crc32": block.checksum, "reasons": block.reasons, "paged": block.paged}
    return json.dumps(facts)


def _block(content: Any, num_pictures: int) -> DecodedBlock:
    start, stop = content["numbers"]
    reasons = {int(number): str(reason) for number, reason in content["reasons"].items()}
    paged = [int(number) for number in content["paged"]]
    if not 0 <= start < stop <= num_pictures or not all(start <= number < stop for number in (*reasons, *paged)):
        raise ValueError("no such pictures")
    return DecodedBlock(range(start, stop), reasons, checksum=int(content["crc32"]), paged=paged)
