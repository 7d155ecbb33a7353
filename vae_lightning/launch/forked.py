"""The processes that a command starts by torch's elastic launcher, forked from one that has the imports.

They are the command's own children, as ever: it waits for them, and reads of their ends what it would of others.
What can't be had in a fork, as another OMP_NUM_THREADS, is started as ever.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from vae_lightning.launch.warm import LARGEST_REQUEST, READY
from vae_lightning.machine.forks import adopting, can_adopt

log = logging.getLogger("vae_lightning")
_PROGRAM = "vae_lightning.launch.warm"
# The length of what a process was started with is what a fork of it can show there.
_ROOM = {"VAE_LIGHTNING_ROOM": "." * 2048}
_LENGTH_OF_A_COMMAND_LINE = 4096
_OWN = ("CUDA_VISIBLE_DEVICES", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OF_ELASTIC = ("GROUP_", "ROLE_", "TORCHELASTIC_", "TORCH_NCCL_ASYNC_ERROR_HANDLING")
_OF_LIGHTNING = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # which it sets, and reads when it seeds
_POLL_S = 0.005


class WarmProcess:
    """The process beside this command that has the imports, and the way to ask it.

    Args:
        asking: what leads to it.
        environment: its own.
    """

    current: ClassVar["WarmProcess | None"] = None

    def __init__(self, asking: socket.socket, environment: dict[str, str], *, is_ready: bool = False):
        self._asking = asking
        self._environment = environment
        self._folder = os.getcwd()
        self._is_ready: bool | None = is_ready or None  # None: it is not known yet

    @staticmethod
    def begin() -> "WarmProcess":
        """Start it in this environment, and don't wait for its imports."""
        asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict(os.environ)
        with theirs:
            # With the options that elastic gives those that it starts.
            command = [sys.executable, "-u", "-m", _PROGRAM, str(theirs.fileno()), "." * _LENGTH_OF_A_COMMAND_LINE]
            subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment | _ROOM, start_new_session=True)
        return WarmProcess(asking, environment)

    def start(self, args: tuple[str, ...], env: dict[str, str]) -> "_Child | None":
        """Fork what this command line would start; None where a fork can't be the same, or the process is gone."""
        if not self._could_have(args, env) or not self._ready():
            return None
        at = args.index("-m")
        request = {"options": args[1:at], "module": args[at + 1], "arguments": args[at + 2 :], "env": env}
        message = json.dumps(request).encode()
        if len(message) > LARGEST_REQUEST:
            return None
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answer, adopting():
            with theirs:
                if not self._ask(message, theirs):
                    return None
            told = answer.recv(100)
            if not told:
                self._lost("it has ended")
                return None
            answer.send(b"!")  # without which, as after Ctrl-C in between, the fork ends
        return _Child(args, int(told))

    def _could_have(self, args: tuple[str, ...], env: dict[str, str]) -> bool:
        differ = {name for name, _ in self._environment.items() ^ env.items()}
        own = all(name in _OWN + _OF_LIGHTNING or name.startswith(_OF_ELASTIC) for name in differ)
        return own and args[:1] == (sys.executable,) and "-m" in args and os.getcwd() == self._folder

    def _ready(self) -> bool:
        if self._is_ready is None:
            told = self._asking.recv(1000)
            self._is_ready = told == READY
            if not self._is_ready:
                self._lost(told.decode() or "it has ended")
        return self._is_ready

    def _ask(self, message: bytes, theirs: socket.socket) -> bool:
        try:
            socket.send_fds(self._asking, [message], [1, 2, theirs.fileno()])
        except OSError as error:  # it is gone, or there is no output to share
            self._lost(str(error.strerror))
            return False
        return True

    def _lost(self, reason: str) -> None:
        self._is_ready = False
        log.warning("the process that jobs are forked from can't be used: %s; each job makes its own imports", reason)


@contextmanager
def children_forked() -> Iterator[None]:
    """Have elastic fork the processes that it starts in the block, where that can be."""
    if not can_adopt():
        yield
        return
    if WarmProcess.current is None:
        WarmProcess.current = WarmProcess.begin()
    warm = WarmProcess.current
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler

    anew = SubprocessHandler._popen

    def start(handler: Any, args: tuple[str, ...], env: dict[str, str]) -> Any:
        is_redirected = handler._stdout or handler._stderr
        return (None if is_redirected else warm.start(tuple(args), env)) or anew(handler, args, env)

    SubprocessHandler._popen = start  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        SubprocessHandler._popen = anew  # type: ignore[method-assign]


class _Child:
    """A forked child of this process, with the part of `subprocess.Popen`'s interface that elastic uses."""

    def __init__(self, args: tuple[str, ...], pid: int):
        self.args = args
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # SIGCHLD is ignored: how it ended can't be known
                pid, status = self.pid, 0
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
