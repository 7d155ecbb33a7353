"""How much memory a call takes, in a process where other threads ask for some, too."""

import multiprocessing
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


def peak_bytes_alone(call: Callable[[], object]) -> int:
    """`peak_bytes` in a fork of this process, which has no thread but the one that calls.

    For what asks nothing of PyTorch, whose threads are missed there.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)

    def measure() -> None:
        tracemalloc.start()
        call()
        sending.send(tracemalloc.get_traced_memory()[1])

    process = context.Process(target=measure)
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 0
    return receiving.recv()
