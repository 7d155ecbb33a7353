"""A child ends with its parent, and a process that a signal has told to end does so in time."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_NAME = "lifeline"
_GRACE_S = 30.0  # for the main thread to save; it can't while it waits for a rank that is gone
_GRACE_OF_CHILDREN_S = 25.0  # so that the parent still has time to tell how they ended
_AT_ONCE_S = 2.0
_POLL_S = 0.5
_ENDING = (signal.SIGTERM, signal.SIGINT)


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after its parent has died or SIGTERM or SIGINT has come, even stuck in a collective.

    The parent's death is turned into SIGTERM, which training answers by saving and writing down that it was
    interrupted; a process that is still there 25 seconds later is ended at once, with the exit code of the signal.
    Call it from the main thread, once or more.

    Args:
        parent: the parent's process id, None for that of the process that is the parent now.
    """
    _start(parent or os.getppid(), _GRACE_OF_CHILDREN_S)


@contextmanager
def ended_after_signals() -> Iterator[None]:
    """End this process 30 seconds after SIGTERM or SIGINT has come in the block, or soon after a second SIGINT.

    Once the block is left, it has been answered: a notebook goes on. To be entered in the main thread; nothing changes
    in another such block, or where `end_with_parent` was called before.
    """
    stop = _start(None, _GRACE_S)
    try:
        yield
    finally:
        stop()


def await_end(parent: int, status: int) -> NoReturn:
    """Do nothing more until the parent ends this process, or is gone itself.

    Args:
        parent: the parent's process id, from before it may have ended.
        status: the exit code where nobody is left to be told anything.
    """
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(status)


def _start(parent: int | None, grace_s: float) -> Callable[[], None]:
    """Begin to watch, unless that is done already; what is returned ends it again."""
    if any(thread.name == _NAME for thread in threading.enumerate()):
        return lambda: None
    told, woken = socket.socketpair()
    woken.setblocking(False)
    told.settimeout(None if parent is None else _POLL_S)
    stopped = threading.Event()
    # The interpreter's own handler runs only when the main thread gets back to Python; this file is written at once.
    before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    watching = threading.Thread(target=_watch, args=(parent, grace_s, (told, woken), stopped), name=_NAME, daemon=True)
    watching.start()

    def stop() -> None:
        stopped.set()
        signal.set_wakeup_fd(before)
        woken.send(b"\0")  # no signal has this number
        watching.join()
        for end in (told, woken):
            end.close()

    return stop


def _watch(
    parent: int | None, grace_s: float, ends: tuple[socket.socket, socket.socket], stopped: threading.Event
) -> None:
    told, _ = ends  # the other one is kept open
    number = _first_signal(parent, told, stopped)
    orphaned = parent is not None and os.getppid() != parent  # before it was told, which is no reason to hurry
    told.settimeout(_POLL_S)
    first, deadline = time.monotonic(), time.monotonic() + grace_s
    why = f"{grace_s:.0f} seconds after the signal"
    while time.monotonic() < deadline and not stopped.is_set():
        again = signal.SIGINT in _signals(told) and time.monotonic() - first > _POLL_S
        if again or (parent is not None and not orphaned and os.getppid() != parent):
            deadline, why = min(deadline, time.monotonic() + _AT_ONCE_S), "at once"
    if not stopped.is_set():
        with suppress(OSError):
            os.write(2, f"ended {why}, without saving\n".encode())
        os._exit(128 + number)


def _first_signal(parent: int | None, told: socket.socket, stopped: threading.Event) -> int:
    while not stopped.is_set():
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
            return signal.SIGTERM
        came = [number for number in _signals(told) if number in _ENDING]
        if came:
            return came[0]
    return 0


def _signals(told: socket.socket) -> bytes:
    """Those that have come meanwhile, within the socket's time limit."""
    with suppress(TimeoutError):
        return told.recv(4096)
    return b""


def _forget_in_child() -> None:
    """A fork has no such thread, and what comes to it must not be told to its parent's."""
    signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_forget_in_child)
