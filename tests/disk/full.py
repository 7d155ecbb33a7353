"""What stands in for a disk that is full, or that fails."""

import os
import resource
from contextlib import contextmanager


@contextmanager
def full(room=0):
    """No file may grow past so many bytes: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(number):
    raise OSError(number, os.strerror(number))
