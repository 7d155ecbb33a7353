"""SIGTERM and Ctrl-C: raised where they come, or put off while there is something that has to be saved first."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vae_lightning.machine.lifeline import ended_after_signals

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_ONE_PRESS_S = 0.5  # a terminal, a launcher and `timeout` may each pass the same Ctrl-C on


class Interrupted(KeyboardInterrupt):
    """A signal has ended the work; what a command exits with is `exit_code`: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        number: the signal.
        way_on: what the user may do now, if anything.
    """

    def __init__(self, number: int, way_on: str = ""):
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"{name}; {way_on}" if way_on else name)
        self.number = number
        self.way_on = way_on

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, str]]:
        return Interrupted, (self.number, self.way_on)  # a sweep's launcher sends it from process to process


def number_of(interrupt: BaseException) -> int:
    """The signal behind an interrupt; one that Python itself has raised is Ctrl-C."""
    return interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT


def exit_code(interrupt: BaseException) -> int:
    """What a shell expects of a command that a signal has ended."""
    return 128 + number_of(interrupt)


class _Heard:
    """The signal that has come in this process, when, and whether it waits to be asked for."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.number = 0
        self.since = 0.0
        self.is_put_off = False
        self.first: Callable[[int], None] = lambda number: None


_heard = _Heard()


@contextmanager
def interruptible(first: Callable[[int], None] = lambda number: None) -> Iterator[None]:
    """Have SIGTERM and Ctrl-C raise `Interrupted` in the block, or wait while they are put off.

    A second Ctrl-C is raised at once, and a process that is still there half a minute after the first is ended hard,
    with the same exit code (see `lifeline`). Signals that are ignored, as under nohup, stay so. Blocks may be nested.

    Args:
        first: called with the signal before it is raised.
    """
    outer = {number: signal.getsignal(number) for number in _NUMBERS}
    if threading.current_thread() is not threading.main_thread() or _handle in outer.values():
        yield
        return
    _heard.first = first
    with ended_after_signals():
        for number, handler in outer.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _handle)
        try:
            yield
        finally:
            for number, handler in outer.items():
                signal.signal(number, handler)
            _heard.forget()


def put_off() -> None:
    """From here on signals wait until `asked` is looked at; not where they are not listened to."""
    _heard.is_put_off = _handle in (signal.getsignal(number) for number in _NUMBERS)


def asked() -> int:
    """The signal that has come, 0 for none."""
    return _heard.number


def heed() -> None:
    """From here on signals are raised where they come; one that has been put off is raised now."""
    _heard.is_put_off = False
    if _heard.number:
        raise Interrupted(_heard.number)


@contextmanager
def undivided() -> Iterator[None]:
    """Have signals wait for the end of the block: an import that is broken off leaves half of a module behind."""
    put_off()
    try:
        yield
    finally:
        heed()


def _handle(number: int, _: Any) -> None:
    first = not _heard.number
    if first:
        _heard.number, _heard.since = number, time.monotonic()
    again = number == signal.SIGINT and time.monotonic() - _heard.since > _ONE_PRESS_S
    if first and not _heard.is_put_off:
        _heard.first(number)
    if again or (first and not _heard.is_put_off):
        raise Interrupted(number if again else _heard.number)


def _forget_in_child() -> None:
    """A fork, such as one that decodes pictures, has what Python begins with."""
    if signal.getsignal(signal.SIGINT) is _handle:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is _handle:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_forget_in_child)
