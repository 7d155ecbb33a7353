"""How a process of this project begins and ends, where that takes longer than a small network's training."""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

_ALLOCATIONS = 20_000  # between two looks for garbage


def run_as_program(main: Callable[[], None]) -> NoReturn:
    """Call `main` and end this process with its exit status, whatever it left in memory.

    Importing PyTorch and Lightning makes 766,000 objects that stay; Python would look for garbage every 700 new ones,
    and take them all apart at the end (benchmarks/README.md: about two seconds). Threads are waited for, exit handlers
    run and output is flushed, as always.
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
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0)
