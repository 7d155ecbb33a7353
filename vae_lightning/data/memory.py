"""Memory that processes and threads share out among themselves, so that all together take no more."""

import functools
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

UNIT = 16 * 10**6  # bytes; who needs less takes none, for there are only as many of them as cores


class MemoryBudget:
    """So many bytes for all who hold this object, child processes that it is handed to among them.

    Args:
        num_bytes: what may be in use at once.
    """

    def __init__(self, num_bytes: int = 10**9):
        self._num_units = max(1, num_bytes // UNIT)
        self._free = multiprocessing.Semaphore(self._num_units)
        self._turn = multiprocessing.Lock()

    @contextmanager
    def lent(self, num_bytes: int) -> Iterator[None]:
        """Waits until so much is free, or, for more than there is at all, until everything is."""
        wanted = min(-(-num_bytes // UNIT), self._num_units) if num_bytes >= UNIT else 0
        taken = 0
        try:
            if wanted:
                with self._turn:  # two that collect at once might each wait for what the other has
                    while taken < wanted:
                        self._free.acquire()
                        taken += 1
            yield
        finally:
            for _ in range(taken):
                self._free.release()


@functools.cache
def own_budget() -> MemoryBudget:
    """That of this process's threads."""
    return MemoryBudget()
