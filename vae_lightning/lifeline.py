"""What keeps a training process from outliving those it trains for."""

import os
import signal
import socket
import threading
import time

_NAME = "lifeline"
_GRACE_S = 10.0  # for the main thread to write the status down; it can't while it waits for a rank that is gone
_POLL_S = 0.5


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after its parent has died or SIGTERM or SIGINT has come, even stuck in a collective.

    The parent's death is turned into SIGTERM, which training answers by writing down that it was interrupted; a
    process that is still there ten seconds later is ended at once. Call it from the main thread, once or more.

    Args:
        parent: the parent's process id, None for that of the process that is the parent now.
    """
    if any(thread.name == _NAME for thread in threading.enumerate()):
        return
    told, woken = socket.socketpair()
    for end in (told, woken):
        end.setblocking(False)
    # The interpreter's own handler runs only when the main thread gets back to Python; this file is written at once.
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    arguments = (parent or os.getppid(), told, woken)
    threading.Thread(target=_watch, args=arguments, name=_NAME, daemon=True).start()


def _watch(parent: int, told: socket.socket, _kept_open: socket.socket) -> None:
    while not _end_was_asked_for(told):
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
            break
        time.sleep(_POLL_S)
    time.sleep(_GRACE_S)
    os._exit(128 + signal.SIGTERM)


def _end_was_asked_for(told: socket.socket) -> bool:
    try:
        return any(number in (signal.SIGTERM, signal.SIGINT) for number in told.recv(4096))
    except BlockingIOError:
        return False
