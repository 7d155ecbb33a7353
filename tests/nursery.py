"""pytest-xdist's processes are forked from one that has imported what others have written.

Anew, each of them spends six seconds on imports, and as many on the process that its tests' commands are forked from
(tests/zygote.py). The nursery imports the libraries, and nothing of this project, whose types are checked in the tests'
processes alone. The parent of the zygotes is its first fork, which imports the project as it is, for all of them.

    python tests/nursery.py serve <files: where is asked, the life of who began it>
    python tests/nursery.py ask <where> -u -c <program>      in place of python -u -c <program>
"""

import array
import atexit
import gc
import importlib
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
import types
import warnings
from contextlib import suppress
from typing import Any

LIBRARIES = [  # no plug-ins of pytest, as hydra has, which are rewritten when they are imported
    "torch._dynamo",
    "torchvision.transforms.v2",
    "torchmetrics",
    "lightning.pytorch.loggers",
    "torch.utils.tensorboard",
    "tensorboard.backend.event_processing.event_accumulator",
    "tensorboard.program",
    "scipy.ndimage",
    "scipy.signal",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "omegaconf",
    "optuna.storages.journal",
    "h5py",
    "joblib",
    "narwhals",
    "rich.console",
    "torch_fidelity",
    "playwright.sync_api",
    "nbformat",
    "bs4",
    "sphinx.application",
]
GIVEN = "TESTS_GIVEN_ZYGOTE"  # tells a test process of its zygote: the file to ask in, and where others ask
# In the environment and as an argument, for what /proc shows of a fork.
ROOM = {"ROOM": "." * 16384}
ROOM_FOR_WORDS = "." * 4096


def raise_workers(specs: list[Any]) -> None:
    """Have pytest-xdist fork these processes of its own, where a process may be forked after the imports.

    Args:
        specs: what execnet is to start, `execnet.XSpec`.
    """
    if sys.platform != "linux" or not all(spec.popen and not spec.python for spec in specs):
        return
    folder = tempfile.mkdtemp(prefix="nursery-")  # which nobody else may enter
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = os.path.join(folder, "requests")
    life, _ = os.pipe()  # whose other end is closed by the end of this process
    with listening(address) as asked:
        files = [asked.fileno(), life]
        subprocess.Popen(
            [sys.executable, __file__, "serve", *map(str, files), ROOM_FOR_WORDS],
            pass_fds=files,
            stdin=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": "1"} | dict(os.environ) | ROOM,  # as tests/conftest.py has it
        )
    os.close(life)
    for spec in specs:
        spec.python = shlex.join([sys.executable, "-SE", __file__, "ask", address])


def listening(address: str) -> socket.socket:
    """Where processes that know of it ask."""
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.bind(address)
    asked.listen()
    return asked


def ask(address: str, words: list[str]) -> None:
    """Be, for who has started this, the process that the nursery forks; where there is none, Python itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        forked = b""
        with suppress(OSError):  # there is no nursery, or none any more
            asking.connect(address)
            socket.send_fds(asking, [json.dumps({"program": words[-1]}).encode()], [0, 1, 2])
            forked = asking.recv(10)
        if not forked:
            os.execv(sys.executable, [sys.executable, *words])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the fork is in the same group, and ends as it likes
        told = asking.recv(4)
    (status,) = array.array("i", told) if told else (1,)
    os._exit(status if status >= 0 else 128 - status)


def serve(asked: socket.socket, life: int) -> str:
    """Fork for each who asks, and return in the fork the program that it is to run; end with who began this."""
    import zygote

    base = zygote.path_of_imports()
    del sys.path[0]
    started_with, filters = dict(os.environ), warnings.filters[:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    for name in LIBRARIES:
        with suppress(ImportError):  # of an extra, which is not installed
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    if len(os.listdir("/proc/self/task")) > 1:
        print("tests/nursery.py: a library has started threads: test processes are started anew", file=sys.stderr)
        os._exit(1)
    parent, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        for file in (asked, parent):
            file.close()
        os.close(life)
        os.setsid()
        be_parent(theirs, zygote, base, started_with)
    theirs.close()
    program = _fork_workers(asked, life, parent)
    warnings.filters[:] = filters  # what libraries filter is forgotten again, as it is after pytest's collection
    warnings._filters_mutated()  # type: ignore[attr-defined]
    return program


def be_parent(asked: socket.socket, zygote: types.ModuleType, base: list[str], started_with: dict[str, str]) -> None:
    """Import the project, and fork a zygote for each who asks; it never returns."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    variables = zygote.prepare(started_with)
    while True:
        message, files, _, _ = socket.recv_fds(asked, 1, 2)
        if not message:
            os._exit(0)
        requests, others = (socket.socket(fileno=file) for file in files)
        if not os.fork():
            asked.close()
            os.setsid()
            zygote.live(requests, others, base, variables)
            os._exit(0)
        requests.close()
        others.close()


def _fork_workers(asked: socket.socket, life: int, parent: socket.socket) -> str:
    running: dict[int, tuple[int, socket.socket]] = {}  # by a process's file descriptor: its id, and who asked for it
    folder = os.path.dirname(asked.getsockname())
    while True:
        ready, _, _ = select.select([asked, life, *running, *(asking for _, asking in running.values())], [], [])
        if life in ready:
            os._exit(0)
        for process, (pid, asking) in list(running.items()):
            if asking in ready:  # who has asked is gone
                os.kill(pid, signal.SIGKILL)
            if process in ready or asking in ready:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(OSError):
                    asking.send(array.array("i", [status]).tobytes())
                asking.close()
                os.close(process)
                del running[process]
        if asked not in ready:
            continue
        asking, _ = asked.accept()
        message, files, _, _ = socket.recv_fds(asking, 10_000, 3)
        if not message:  # who has asked was gone before it could say what for
            asking.close()
            continue
        requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        address = os.path.join(folder, f"zygote-{len(os.listdir(folder))}")
        with theirs, listening(address) as others:
            socket.send_fds(parent, [b"z"], [theirs.fileno(), others.fileno()])
        pid = os.fork()
        if pid:
            requests.close()
            for file in files:
                os.close(file)
            running[os.pidfd_open(pid)] = (pid, asking)
            asking.send(b"forked")
            continue
        for process, (_, other) in running.items():
            os.close(process)
            other.close()
        for file in (asked, parent, asking):
            file.close()
        os.close(life)
        _take_place(files, requests, address)
        return json.loads(message)["program"]


def _take_place(files: list[int], requests: socket.socket, address: str) -> None:
    """Have in this fork what a new process begins with, and the way to its zygote."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding=sys.stdin.encoding)  # noqa: SIM115  (for good)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ROOM:
        del os.environ[name]
    os.environ[GIVEN] = f"{requests.detach()} {address}"
    sys.argv[:] = ["-c"]
    sys.modules["__main__"] = types.ModuleType("__main__")


def main() -> None:
    role, *words = sys.argv[1:]
    if role == "ask":
        ask(words[0], words[1:])
    program = serve(socket.socket(fileno=int(words[0])), int(words[1]))
    exec(program, vars(sys.modules["__main__"]))


if __name__ == "__main__":
    main()
