"""Calls functions in forks of this process: each with a place, an environment, a limit in time and one in memory."""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

CRASHED = 70  # the exit status of a fork that ended with a traceback
_POLL_S = 0.004
_PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Ended:
    """How a fork ended.

    Attributes:
        status: exit status, or minus the number of the signal that ended it.
        output: what it printed.
        seconds: that it took.
        cpu_seconds: of user and system time.
        megabytes: the most memory that it had.
        limit: "time" or "memory" where it was ended for taking too much of it.
        events: what its `watch` recorded.
    """

    status: int
    output: str
    seconds: float
    cpu_seconds: float
    megabytes: float
    limit: str | None = None
    events: list[list[Any]] = field(default_factory=list)

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL and self.limit is None

    @property
    def has_crashed(self) -> bool:
        """Whether it ended by a signal that nobody sent, or with a traceback."""
        return self.limit is None and (self.status == CRASHED or (self.status < 0 and not self.was_killed))


Record = Callable[[list[Any]], None]


def forked(
    call: Callable[[], object],
    *,
    cwd: Path,
    limit_s: float,
    variables: Mapping[str, str] | None = None,
    watch: Callable[[Record], None] | None = None,
    kill_after_s: float | None = None,
    megabytes: float = 6000,
    beside: Callable[[int], Callable[[], None]] | None = None,
) -> Ended:
    """Call a function in a fork, and wait for its end.

    Args:
        call: the function; it may leave by SystemExit, as commands do.
        cwd: its working directory.
        limit_s: after so many seconds it is killed, as hung.
        variables: of its environment, besides this process's.
        watch: called in the fork before the function, with what records an event.
        kill_after_s: when it is killed on purpose.
        megabytes: it is killed where it takes more.
        beside: called here with the fork's process id before it starts; what it returns is called after the end.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as events:
        ready, go = os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(go)
            _become(call, ready, output.fileno(), events.fileno(), cwd, variables or {}, watch)
        os.close(ready)
        finish = beside(pid) if beside else None
        os.close(go)
        try:
            status, usage, limit = _wait(pid, limit_s, kill_after_s, megabytes)
        finally:
            _end_group(pid)
            if finish:
                finish()
        seconds = time.monotonic() - started
        code = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        return Ended(code, _text(output), seconds, cpu, usage.ru_maxrss / 1024, limit, _events(events))


def _become(
    call: Callable[[], object],
    ready: int,
    output: int,
    events: int,
    cwd: Path,
    variables: Mapping[str, str],
    watch: Callable[[Record], None] | None,
) -> NoReturn:
    """Be the fork: this never returns."""
    status: object = CRASHED
    try:
        os.setsid()
        os.read(ready, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(cwd)
        os.environ.update(variables)
        tempfile.tempdir = None
        if watch:
            watch(lambda event: _record(events, event))
        status = _status_of(call)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else CRASHED)


def _status_of(call: Callable[[], object]) -> int:
    try:
        call()
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
            return 1
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _record(file: int, event: list[Any]) -> None:
    os.write(file, json.dumps(event, default=repr).encode() + b"\n")


def _wait(
    pid: int, limit_s: float, kill_after_s: float | None, megabytes: float
) -> tuple[int, resource.struct_rusage, str | None]:
    started, limit = time.monotonic(), None
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            _end_group(pid)  # workers that it has left
            return status, usage, limit
        passed = time.monotonic() - started
        if kill_after_s is not None and passed > kill_after_s:
            _end_group(pid)
        if limit is None and passed > limit_s:
            limit = "time"
        if limit is None and _megabytes(pid) > megabytes:
            limit = "memory"
        if limit:
            _end_group(pid)
        time.sleep(_POLL_S)


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _megabytes(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
    except (OSError, IndexError):  # it has ended, or this is not Linux
        return 0.0


def _text(file: Any) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _events(file: Any) -> list[list[Any]]:
    return [json.loads(line) for line in _text(file).splitlines() if line.endswith("]")]
