"""Regular expressions that a user, or a stored config, has written: some take longer than anybody waits."""

import re
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from vae_lightning.errors import UserError

_PATIENCE = 5.0  # seconds for one name, which takes some millionths of one


def searched(
    expression: re.Pattern[str], names: Iterable[str], told: str
) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Each name with the first match in it, or None; `told` is how messages call the expression.

    Raises UserError for a name that takes longer than some seconds, where signals tell: in the main thread, but not on
    Windows.
    """
    watch = _Watch(told)
    with watch.at_work():
        for name in names:
            watch.begin(name)
            yield name, expression.search(name)


class _Watch:
    """Looks from time to time whether what was at work is still the same."""

    def __init__(self, told: str) -> None:
        self._told = told
        self._name = ""
        self._number = 0
        self._seen = -1

    def begin(self, name: str) -> None:
        """Something else is at work from now on."""
        self._name = name
        self._number += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Looks, and puts back whatever was there of signals and of timers."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return
        handler = signal.signal(signal.SIGALRM, self._look)
        timer = signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _PATIENCE)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *timer)

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self._seen == self._number:
            raise UserError(
                f"{self._told}: takes seconds for {self._name!r}, and maybe for ever; write it without a repetition "
                "within a repetition, as (a+)+ is"
            )
        self._seen = self._number
