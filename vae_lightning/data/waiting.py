"""Something that may take long over many files, and says how far it has come once it does."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

_PATIENCE = 3.0  # seconds until something is said
_EVERY = 30.0  # seconds between lines of a log, where there can be no bar

T = TypeVar("T")


def watched(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """The items, as they are; a bar on a terminal after some seconds, else a line of the log now and then.

    Args:
        items: many.
        what: is done with them, as in "searching faces".
        unit: one of them.
        total: how many there are; None is their length, if they have one.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=unit, delay=_PATIENCE, leave=False)
        return
    end, due = "" if total is None else f" of {total:,}", time.monotonic() + _PATIENCE
    for number, item in enumerate(items):
        if time.monotonic() > due:
            due = time.monotonic() + _EVERY
            logger.info("%s: %s%s so far", what, f"{number:,}", end)
        yield item
