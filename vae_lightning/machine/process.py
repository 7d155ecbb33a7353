"""How a process of this project begins and ends, where that takes longer than a small network's training."""

import atexit
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_ALLOCATIONS = 20_000  # between two looks for garbage
_INTERRUPTED = (130, 143)  # by Ctrl-C, by SIGTERM
_WRITERS = {io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom}


def run_as_program(main: Callable[[], None]) -> NoReturn:
    """Call `main` and end this process with its exit status, whatever it left in memory.

    For a process that is ours alone, under `if __name__ == "__main__"`: never on the way of a call from Python.

    Importing PyTorch and Lightning makes 766,000 objects that stay; Python would look for garbage every 700 new ones,
    and take them all apart at the end (benchmarks/README.md: about two seconds). Threads are waited for, exit handlers
    run, and what was written to files that are still open reaches them, as always.
    """
    gc.set_threshold(_ALLOCATIONS)
    status: object = 0
    try:
        main()
    except SystemExit as leaving:
        status = leaving.code
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    if status in _INTERRUPTED:  # which has been told: Ctrl-C once more must not break off what is still written
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    _flush_open_files()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0)


def _flush_open_files() -> None:
    """What Python does as it takes the objects apart."""
    written = [each for each in gc.get_objects() if type(each) in _WRITERS]
    # A text's buffer lies above the bytes': those that hold others come first.
    written.sort(key=lambda each: not isinstance(each, io.TextIOWrapper))
    for stream in written:
        with suppress(OSError, ValueError):  # it is closed, or leads nowhere any more
            stream.flush()
