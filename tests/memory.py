"""How much memory a call takes, in a process where other threads ask for some, too."""

import tracemalloc
from collections.abc import Callable


def peak_bytes(call: Callable[[], object], enough: int) -> int:
    """Bytes of Python's objects that are in use at most during a call, the least of up to three measurements.

    Args:
        call: what is measured, again where it seemed to take more than `enough`: threads that others left may have.
        enough: a measurement below this is not repeated.
    """
    least = None
    for _ in range(3):
        tracemalloc.start()
        try:
            call()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        least = peak if least is None else min(least, peak)
        if least < enough:
            break
    return least
