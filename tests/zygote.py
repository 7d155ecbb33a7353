"""The process that tests.warm forks commands from: it has imported what they need, and is otherwise as it started.

A fork goes on as `python -m <module> <arguments>` does: its own session, folder, environment, arguments and pipes, the
default signal handlers, its own command line in /proc; and it ends as the interpreter ends. What is not as in a fresh
process: the objects of the imports are frozen for the garbage collector, and all forks hash strings alike; ranks and
jobs are told of PYTHONSAFEPATH by their path of imports and not by `sys.flags`, and print line by line under `-u`.
"""

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import offspring  # beside this script

# Each runs as __main__.
ENTRY_POINTS = {"train", "evaluate", "generate", "report", "dashboard", "children", "data.__main__"}
LAZY = [  # what the package imports only where it is used
    "beartype.door",
    "hydra.core.plugins",
    "hydra.utils",
    "joblib.externals.loky",
    "lightning.fabric.plugins.environments",
    "matplotlib.backends.backend_agg",
    "openTSNE",
    "optuna.storages.journal",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "tensorboard.plugins.hparams.summary_v2",
    "tensorboard.summary.writer.event_file_writer",
    "threadpoolctl",
    "torch._dynamo",  # the first step of an optimizer imports it
    "torch.distributed.launcher.api",
]
LARGEST_REQUEST = 180_000  # bytes; a Unix socket takes no larger message
# Fields of /proc/<pid>/stat: where the kernel reads a process's command line, and its environment.
ARGUMENTS, ENVIRONMENT = (48, 49), (50, 51)


def import_all() -> None:
    import vae_lightning

    for module in pkgutil.walk_packages(vae_lightning.__path__, "vae_lightning."):
        if module.name.partition(".")[2] not in ENTRY_POINTS:
            importlib.import_module(module.name)
    for name in LAZY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def leave_one_thread() -> None:
    """A fork has only the thread that forks; one that waited for another's lock would wait for ever."""
    pid = os.fork()  # OpenBLAS ends its threads before a fork, and starts them where they are used
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"the imports have started {len(threads) - 1} threads"


def serve(requests: socket.socket) -> dict:
    """Fork for each request, and return it in the fork; tell how each ended. When who asks is gone, end them all."""
    running: dict[int, tuple[int, int]] = {}  # by a process's file descriptor: its id, and where its end is told
    while True:
        ready, _, _ = select.select([requests, *running], [], [])
        for process in set(ready) - {requests}:
            pid, told = running.pop(process)
            _tell(told, os.waitpid(pid, 0)[1])
            os.close(process)
        if requests not in ready:
            continue
        message, files = _received(requests)
        if not message:
            for pid, _ in running.values():
                os.killpg(pid, signal.SIGKILL)
            os._exit(0)
        out, err, told = files
        pid = os.fork()
        if not pid:
            for process, (_, others) in running.items():
                os.close(process)
                os.close(others)
            _take_place(requests, out, err, told)
            return json.loads(message)
        os.close(out)
        os.close(err)
        running[os.pidfd_open(pid)] = (pid, told)
        requests.send(str(pid).encode())


def _received(requests: socket.socket) -> tuple[bytes, list[int]]:
    message, files, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 3)
    return message, files


def _tell(told: int, status: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits any more
        os.write(told, array.array("i", [os.waitstatus_to_exitcode(status)]).tobytes())
    os.close(told)


def _take_place(requests: socket.socket, out: int, err: int, told: int) -> None:
    """Have in this fork nothing of the zygote's but standard input, and the command's output."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err, told):
        os.close(file)
    requests.close()


def become(request: dict, path: list[str], variables: dict[str, str]) -> None:
    """Take on a command's folder, environment, path of imports, arguments and random state.

    Args:
        request: what was asked for.
        path: where every process imports from.
        variables: what the imports set in the environment where it isn't set.
    """
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(variables | request["env"])
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    here = [] if os.environ.get("PYTHONSAFEPATH") else [os.getcwd()]
    sys.path[:] = [*here, *added, *path]
    sys.argv[:] = ["-m", *request["arguments"]]
    options = request.get("options", [])
    sys.orig_argv[:] = [sys.executable, *options, "-m", request["module"], *request["arguments"]]
    if "-u" in options:
        sys.stdout.reconfigure(line_buffering=True)
    _show(sys.orig_argv, *ARGUMENTS)
    _show([f"{name}={value}" for name, value in request["env"].items()], *ENVIRONMENT)
    _draw_seeds()
    if not hasattr(sys.modules.get(request["module"]), "__path__"):  # of a package it is its __main__ that runs
        sys.modules.pop(request["module"], None)
    sys.modules["__main__"] = types.ModuleType("__main__")


def _draw_seeds() -> None:
    """Each process begins with random numbers of its own; Python's own generator sees to that itself."""
    import numpy
    import torch

    numpy.random.seed()
    torch.seed()


def _show(words: list[str], *place: int) -> None:
    """Write the words where the kernel reads this process's own, between the addresses in two fields of its state."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = (int(fields[number - 3]) for number in place)
    shown = "\0".join(words).encode()[: end - start - 1]
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(shown.ljust(end - start, b"\0"))


def end(program: Callable[[], object]) -> NoReturn:
    """Call the program and end as the interpreter does, but without taking apart what the zygote has imported."""
    status: object = 0
    try:
        program()
    except SystemExit as leaving:
        status = leaving.code or 0
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if status < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def path_of_imports() -> list[str]:
    """Where to import from, but for this script's folder and what PYTHONPATH adds."""
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return sys.path[1 + len(added) :]


if __name__ == "__main__":
    base = path_of_imports()
    del sys.path[0]
    started_with = dict(os.environ)
    import_all()
    variables = {name: value for name, value in os.environ.items() if name not in started_with}
    leave_one_thread()
    asked = socket.socket(fileno=int(sys.argv[1]))
    asked.send(b"ready")
    command = offspring.forked(serve(asked), offspring.read_early(started_with))
    become(command, base, variables)
    end(lambda: runpy._run_module_as_main(command["module"]))
