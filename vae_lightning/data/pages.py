"""Keeps a file that is mapped into memory from counting as memory, however much of it is read."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from vae_lightning.errors import UserError

_MOST_READ = 32_000_000  # bytes; around each place that is read Linux maps 64 kB
_SMALL = 256_000_000


class Pages:
    """The mapped pages of an array, which are let go of after every 32 MB that are read.

    They stay in the kernel's page cache, from where they are mapped again at little cost; but they count as this
    process's memory no longer, for which a container may be killed.

    Args:
        array: mapped.
        folder: of the cache, that its file lies in, where that is known.
    """

    def __init__(self, array: np.memmap, folder: Path | None = None):
        self.folder = folder
        self._mapping: Any = array.base  # the mmap
        self._num_read = 0
        self._matters = array.nbytes > _SMALL and hasattr(mmap, "MADV_DONTNEED")

    def must_be_there(self) -> None:
        """To be asked before some of the array is read; raises UserError if its file has become shorter.

        Reading what is no longer there would end the process with SIGBUS, without a word. (A file that is removed, or
        replaced by another, stays as it was for who has mapped it.)
        """
        if self._mapping.size() < len(self._mapping):
            raise UserError(
                "data.cache_dir: the decoded images were cut short by another process while they were in use; start "
                "again, or resume the run, and they are decoded anew"
            )

    def have_been_read(self, num_bytes: int) -> None:
        """To be told whenever some of the array was copied."""
        self._num_read += num_bytes
        if self._matters and self._num_read > _MOST_READ:
            self._mapping.madvise(mmap.MADV_DONTNEED)
            self._num_read = 0
