"""Something that may take long over many files, and says how far it has come once it does."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

_PATIENCE = 3.0  # seconds until something is said
_EVERY = 30.0  # seconds between lines of a log, where there can be no bar

T = TypeVar("T")


def watched(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """The items, as they are; how many have passed is told as by `counting`.

    Args:
        items: many.
        what, unit: as there.
        total: how many there are; None is their length, if they have one.
    """
    with counting(what, unit, len(items) if total is None and isinstance(items, Sized) else total) as count:
        for item in items:
            yield item
            count(1)


@contextmanager
def counting(what: str, unit: str, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Something to be told how many more are done: after some seconds it draws a bar, or writes lines of the log.

    The bar is for a terminal.

    Args:
        what: is done, as in "searching faces".
        unit: one of what is counted.
        total: how many there are to be.
        done: so many of them before.
    """
    if sys.stderr.isatty():
        with tqdm(total=total, initial=done, desc=what, unit=unit, delay=_PATIENCE) as bar:
            yield bar.update
    else:
        yield _Log(what, total, done).add


class _Log:
    def __init__(self, what: str, total: int | None, done: int):
        self._what = what
        self._end = "" if total is None else f" of {total:,}"
        self._done = done
        self._due = time.monotonic() + _PATIENCE

    def add(self, number: int) -> None:
        self._done += number
        if time.monotonic() > self._due:
            self._due = time.monotonic() + _EVERY
            logger.info("%s: %s%s so far", self._what, f"{self._done:,}", self._end)
