"""Commands in processes of their own that start at once: forks of one that has imported what they need.

`Warm("vae_lightning.train", "data=digits", cwd=folder)` is used as `subprocess.Popen` is, for what a shell starts by
`python -m vae_lightning.train data=digits`. It is a process like any other: signals reach it, it leads a session and a
process group, /proc shows its command. The jobs of a sweep are forked as ever, from a process that is a fork as well.
"""

import array
import atexit
import functools
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.nursery import GIVEN, ROOM, ROOM_FOR_WORDS, listening
from vae_lightning.launch.forked import WarmProcess

_BEGIN_ANEW = WarmProcess.begin
_GIVEN = os.environ.pop(GIVEN, "")
_ENVIRONMENT = dict(os.environ)  # before any test has changed it
# What is read at the start of a process or at an import, so that a fork can't have it otherwise.
_READ_EARLY = ("OMP_", "MKL_", "OPENBLAS_", "PYTHON", "LD_", "MALLOC_", "GLIBC_")
_TAKEN_ON = ("PYTHONPATH", "PYTHONSAFEPATH")  # though they are: a fork's path of imports is made of them


class _Zygote:
    """The process that is forked, and the way to ask it."""

    def __init__(self):
        if _GIVEN:
            number, self.address = _GIVEN.split(" ", 1)
            self._requests = socket.socket(fileno=int(number))
        else:
            self._begin()
        assert self._answer() == b"ready"

    def _begin(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = str(Path(__file__).with_name("zygote.py"))
        self._owner, self._folder = os.getpid(), tempfile.mkdtemp(prefix="zygote-")  # which nobody else may enter
        self.address = os.path.join(self._folder, "requests")
        with theirs, listening(self.address) as others:
            numbers = [theirs.fileno(), others.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, script, *map(str, numbers), ROOM_FOR_WORDS],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT | ROOM,
                start_new_session=True,
            )
        atexit.register(self._end)

    def start(self, request: dict, files: list[int]) -> int:
        """Have a command started, with its output and the news of its end in these files, and return its process id."""
        socket.send_fds(self._requests, [json.dumps(request).encode()], files)
        return int(self._answer())

    def _answer(self) -> bytes:
        answer = self._requests.recv(100)
        assert answer, "the process that commands are forked from has ended"
        return answer

    def _end(self) -> None:
        self._requests.close()
        if os.getpid() == self._owner:
            self._process.wait()
            shutil.rmtree(self._folder)


zygote = functools.cache(_Zygote)


def can_start(environment: dict[str, str]) -> bool:
    """Whether a fork can have this environment."""
    return _read_early(environment) == _read_early(_ENVIRONMENT)


def _read_early(environment: dict[str, str]) -> dict[str, str]:
    early = {name: value for name, value in environment.items() if name.startswith(_READ_EARLY)}
    return {name: value for name, value in early.items() if name not in _TAKEN_ON}


def stand_in(folder: Path) -> tuple[str, dict[str, str]]:
    """A program in this folder that is to `python -m module` what forks are, and the variables that it needs.

    Forks that have the variables take it for Python.
    """
    program = folder / "python"
    asks = shlex.join([sys.executable, "-SE", str(Path(__file__).with_name("stand_in.py"))])
    program.write_text(f'#!/bin/sh\nexec {asks} "$@"\n', encoding="utf-8")  # wherever Python lies
    program.chmod(0o700)
    return str(program), {
        "TESTS_STAND_IN": str(program),
        "TESTS_ZYGOTE": zygote().address,
        "TESTS_PYTHON": sys.executable,
    }


def begin_beside() -> WarmProcess:
    """As `WarmProcess.begin`, for commands that run in this process: what forks their jobs is a fork itself."""
    environment = dict(os.environ)
    if not can_start(environment):
        return _BEGIN_ANEW()
    asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = {"module": "", "arguments": [], "cwd": os.getcwd(), "env": environment, "of": os.getpid()}
    with theirs, open(os.devnull, "r+b", buffering=0) as nothing:  # nobody waits for its end
        zygote().start(request, [nothing.fileno()] * 3 + [theirs.fileno()])
    return WarmProcess(asking, environment, is_ready=True)


class Warm:
    """`python -m module arguments` in a fork, with the part of `subprocess.Popen`'s interface that tests use."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        cwd: Path,
        env: dict[str, str] | None = None,
        read: bool = True,
        ignored: Sequence[int] = (),
    ):
        self.args = [sys.executable, "-m", module, *arguments]
        self.returncode: int | None = None
        environment = dict(os.environ) if env is None else env
        assert can_start(environment), "a variable that is read early differs: start a fresh process"
        (out, out_end), (err, err_end), (self._told, told_end) = (os.pipe() for _ in range(3))
        request = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": environment}
        request["ignored"] = list(ignored)
        ends = [out_end, err_end, told_end]
        try:
            self.pid = zygote().start(request, ends)
        finally:
            for end in ends:
                os.close(end)
        self._readers = [_Reader(file) for file in (out, err)] if read else []
        for file in (out, err) if not read else ():
            os.close(file)

    def poll(self) -> int | None:
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._wait(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            told = os.read(self._told, 4)
            assert told, "the process that commands are forked from has ended"
            os.close(self._told)
            (self.returncode,) = array.array("i", told)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and that of all that share its output, and return what was printed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for reader in self._readers:
            reader.join(None if deadline is None else max(0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if deadline is None else max(0, deadline - time.monotonic()))
        out, err = (reader.text() for reader in self._readers)
        return out, err

    def printed(self) -> tuple[str, str]:
        """What has been printed until now."""
        out, err = (reader.text() for reader in self._readers)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class _Reader(threading.Thread):
    """Reads a pipe to its end, so that no command waits to be heard."""

    def __init__(self, file: int):
        super().__init__(daemon=True)
        self._file = file
        self._parts: list[bytes] = []
        self.start()

    def run(self) -> None:
        with open(self._file, "rb", buffering=0) as stream:
            while part := stream.read(65536):
                self._parts.append(part)

    def text(self) -> str:
        return b"".join(self._parts).decode().replace("\r\n", "\n")


def run(module: str, *arguments: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, as `subprocess.run` does with its output captured as text."""
    return finish(Warm(module, *arguments, cwd=cwd), timeout)


def finish(process: Warm | subprocess.Popen[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Wait for a command's end; one that takes longer is killed."""
    try:
        out, errors = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)
