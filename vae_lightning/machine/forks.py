"""Forks that take the place of processes started anew: on Linux, which lets a process adopt what another has forked."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ARGUMENTS, ENVIRONMENT = (48, 49), (50, 51)  # in /proc/<pid>/stat: where the kernel reads what a process has of them
_ENDS_WITH_PARENT, _ADOPTS, _WHETHER_IT_ADOPTS = 1, 36, 37  # prctl's PR_SET_PDEATHSIG, PR_(SET|GET)_CHILD_SUBREAPER
_POLL_S = 0.002
_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/dxg")  # of a GPU that has been asked for anything


def can_adopt() -> bool:
    """Whether this process can become the parent of what another has forked."""
    if sys.platform != "linux" or not hasattr(os, "fork"):  # macOS forks, but its libraries ask for a new program then
        return False
    try:
        _adopts()
    except (OSError, AttributeError):
        return False
    return True


@contextmanager
def adopting() -> Iterator[None]:
    """Have this process be the parent of what its children fork and leave behind meanwhile."""
    before = _adopts()
    _control(_ADOPTS, 1)
    try:
        yield
    finally:
        _control(_ADOPTS, before)


def fork_for(parent: int) -> bool:
    """Fork a process whose parent is not this one but `parent`, an ancestor that is `adopting`; true in that process.

    The fork ends at once where the parent is gone.
    """
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == between:
        time.sleep(_POLL_S)
    if os.getppid() != parent:
        os._exit(1)
    return True


def end_at_once_with(parent: int) -> None:
    """Have the system kill this process as soon as its parent, the process `parent`, is gone."""
    _control(_ENDS_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def why_not_to_fork() -> str:
    """What forbids to go on in a fork of this process, in words; empty where nothing does.

    A fork has only the thread that forks, and what others have locked stays locked; a GPU's driver serves none.
    """
    pid = os.fork()  # at which OpenBLAS ends its threads; it starts them again where they are used
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    threads = len(os.listdir("/proc/self/task")) - 1
    if threads:
        return f"the imports have started {threads} {'thread' if threads == 1 else 'threads'}"
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # of the look itself
            if os.readlink(file).startswith(_DEVICES):
                return f"the imports have opened {os.readlink(file)}"
    return ""


def show(words: list[str], place: tuple[int, int]) -> None:
    """Have the system tell these words as this process's ARGUMENTS or ENVIRONMENT, as far as there is room for them."""
    with suppress(OSError):  # where a process may not write there, `ps` tells what it was started as
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[number - 3]) for number in place)
        shown = b"\0".join(os.fsencode(word) for word in words)[: end - start - 1]
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(shown.ljust(end - start, b"\0"))


def _adopts() -> int:
    found = ctypes.c_int()
    _control(_WHETHER_IT_ADOPTS, ctypes.byref(found))
    return found.value


def _control(option: int, value: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
