"""joblib's workers, which loky starts anew for each sweep, forked from a process that has the imports.

For tests/zygote.py. A worker is the command's child and in its process group, has the files that loky gives it under
their numbers, and runs loky's own program. A command that finds `ANEW` in its environment has them started as ever.
"""

import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

ANEW = "TESTS_START_WORKERS_ANEW"
PROGRAM = "joblib.externals.loky.backend.popen_loky_posix"
_THREADS = "OMP_NUM_THREADS"  # loky sets it and its likes to each worker's share of the cores, where it isn't set
_FOR_HYDRA = ("HYDRA_FULL_ERROR",)
_MOST_FILES, _FIRST_SPARE = 16, 500
_LARGEST_REQUEST = 180_000  # bytes; a Unix socket takes no larger message
_OF_THE_COMMAND = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # which its process group gets, too


def offer_workers(arguments: list[str]) -> dict[str, Any] | None:
    """Have loky fork its workers in this process; return in each of them what it is to run, and None here."""
    is_asked = any("joblib" in argument for argument in arguments)
    if not is_asked or os.environ.get(ANEW) or os.environ.get(_THREADS) != "1":
        return None
    from joblib.externals.loky.backend import fork_exec

    from vae_lightning.machine.forks import end_at_once_with

    command = os.getpid()
    asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        asking.close()
        end_at_once_with(command)
        return _serve(theirs, command)
    theirs.close()
    fork_exec.fork_exec = _started_from(asking, fork_exec.fork_exec)
    return None


def _started_from(asking: socket.socket, anew: Callable[..., int]) -> Callable[..., int]:
    from vae_lightning.machine.forks import adopting

    def start(command: list[str], files: list[int], env: dict[str, str] | None = None) -> int:
        environment = {**os.environ, **(env or {})}
        if command[1:3] != ["-m", PROGRAM] or environment.get(_THREADS) != "1":  # the tracker of what is shared
            return anew(command, files, env)
        numbers = sorted(set(map(int, files)))
        request = {"module": PROGRAM, "arguments": command[3:], "cwd": os.getcwd(), "files": numbers}
        # What the command has for Hydra alone is not what its jobs begin with.
        request["hydras"] = {name: environment.pop(name) for name in _FOR_HYDRA if name in environment}
        with adopting():
            socket.send_fds(asking, [json.dumps(request | {"env": environment}).encode()], [1, 2, *numbers])
            return int(asking.recv(100))

    return start


def _serve(asked: socket.socket, command: int) -> dict[str, Any]:
    """Fork for each request, and return it in the fork; end when the command has gone."""
    from vae_lightning.machine.forks import fork_for

    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _OF_THE_COMMAND}
    silence = os.open(os.devnull, os.O_RDWR)
    for file in (1, 2):
        os.dup2(silence, file)  # whoever reads the command's output waits until all have closed it
    os.close(silence)
    while True:
        message, files, _, _ = socket.recv_fds(asked, _LARGEST_REQUEST, _MOST_FILES)
        if not message:
            os._exit(0)
        if fork_for(command):
            for number, handler in handlers.items():
                signal.signal(number, handler)
            request = json.loads(message)
            asked.send(str(os.getpid()).encode())
            asked.close()
            request["spare"] = _spared(files)
            return request
        for file in files:
            os.close(file)


def _spared(files: list[int]) -> list[int]:
    """The files under numbers that nobody asks for."""
    spare = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE) for file in files]
    for file in files:
        os.close(file)
    return spare


def take_files(request: dict[str, Any]) -> None:
    """Give a worker its output and the files that loky's program is told of, under their numbers."""
    for file, number in zip(request["spare"], [1, 2, *request["files"]], strict=True):
        os.dup2(file, number)
        os.close(file)
