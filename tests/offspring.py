"""The ranks and jobs that a forked command starts, forked as well: from a process as new as the command was.

torch's elastic launcher starts each by `python -m <module> <arguments>`. Here a process beside the command, forked
before the command became one, forks them: the command's own children, as ever, each in a session of its own.
What can't be had in a fork, as another OMP_NUM_THREADS, is started as ever, and so are the workers of joblib.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

# What is read at the start of a process or at an import, so that a fork can't have it otherwise.
_READ_EARLY = ("OMP_", "MKL_", "OPENBLAS_", "PYTHON", "LD_", "MALLOC_", "GLIBC_")
_TAKEN_ON = ("PYTHONPATH", "PYTHONSAFEPATH")  # though they are: a fork's path of imports is made of them
_LARGEST_REQUEST = 180_000  # bytes; a Unix socket takes no larger message
_ENDS_WITH_PARENT, _ADOPTS = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
_POLL_S = 0.005


def read_early(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment that a fork must share with the process it is forked from."""
    early = {name: value for name, value in environment.items() if name.startswith(_READ_EARLY)}
    return {name: value for name, value in early.items() if name not in _TAKEN_ON}


def forked(request: dict, early: dict[str, str]) -> dict:
    """Have elastic fork this command's children, and return the request; in each child, return what it is to run.

    Args:
        request: what this process was forked to run.
        early: what `read_early` gave for the process that has the imports.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind("")  # to a name that the kernel chooses, and no file
    listening.listen()
    command = os.getpid()
    if not os.fork():
        return _serve(listening, command)
    address = listening.getsockname()
    listening.close()
    _have_elastic_ask(address, early)
    return request


def _serve(listening: socket.socket, command: int) -> dict:
    """Fork for each request, and return it in the fork, whose parent is the command. End with the command."""
    _control(_ENDS_WITH_PARENT, signal.SIGKILL)
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for file in (1, 2):
        os.dup2(silence, file)  # whoever reads the command's output waits until all have closed it
    os.close(silence)
    while os.getppid() == command:
        asking, _ = listening.accept()
        message, (out, err), _, _ = socket.recv_fds(asking, _LARGEST_REQUEST, 2)
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)  # so that the command, which adopts meanwhile, is the parent
            _take_place(listening, asking, out, err, command)
            return json.loads(message)
        os.waitpid(between, 0)
        for file in (out, err):
            os.close(file)
        asking.close()
    os._exit(0)


def _take_place(listening: socket.socket, asking: socket.socket, out: int, err: int, command: int) -> None:
    while os.getppid() != command:
        time.sleep(_POLL_S)
    listening.close()
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err):
        os.close(file)
    asking.send(str(os.getpid()).encode())
    asking.close()


def _have_elastic_ask(address: bytes, early: dict[str, str]) -> None:
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler

    fresh = SubprocessHandler._popen

    def start(handler: Any, args: tuple[str, ...], env: dict[str, str]) -> Any:
        redirected = handler._stdout or handler._stderr
        program = [word for word in args if word != "-u"]
        if redirected or program[:2] != [sys.executable, "-m"] or read_early(env) != early:
            return fresh(handler, args, env)
        return _Child(address, args, env)

    SubprocessHandler._popen = start  # type: ignore[method-assign]


class _Child:
    """A forked child, with the part of `subprocess.Popen`'s interface that elastic uses."""

    def __init__(self, address: bytes, args: tuple[str, ...], env: dict[str, str]):
        self.args = args
        self.returncode: int | None = None
        options = args[1 : args.index("-m")]
        module, *arguments = args[args.index("-m") + 1 :]
        request = {"module": module, "arguments": arguments, "options": options, "cwd": os.getcwd(), "env": env}
        _control(_ADOPTS, 1)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
                asking.connect(address)
                socket.send_fds(asking, [json.dumps(request).encode()], [1, 2])
                self.pid = int(asking.recv(100))
        finally:
            _control(_ADOPTS, 0)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(_POLL_S)
        assert self.returncode is not None
        return self.returncode


def _control(option: int, value: int) -> None:
    assert not ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
