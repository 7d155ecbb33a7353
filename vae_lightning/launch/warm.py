"""A process that has the imports of a training, and forks those that train: `python -m vae_lightning.launch.warm`.

A command starts it beside itself (`launch/forked.py`) and asks it for each process that torch's elastic launcher would
start anew. A fork goes on as `python -m <module> <arguments>` does: in a session of its own, with its own environment,
arguments and output, and the command as its parent. What a new process would not share with others: one hash of
strings, and code as it was when the imports were made; and its peak of memory would count the libraries' pages that it
has not used. No thread runs here and no GPU is touched, or nothing is forked.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
from contextlib import suppress
from typing import Any

from vae_lightning.machine.forks import ARGUMENTS, ENVIRONMENT, end_at_once_with, fork_for, show, why_not_to_fork
from vae_lightning.machine.process import run_as_program

LARGEST_REQUEST = 180_000  # bytes; a Unix socket takes no larger message
READY = b"ready"
_ROOMS = ("callbacks", "data", "loggers", "models", "objectives", "pictures")  # of which a config names modules
_PROGRAMS = ("children", "__main__")  # each runs under that name
_LATE = (  # what a training imports only where it is used
    "beartype.door",
    "lightning.fabric.plugins.environments",
    "sklearn.datasets",
    "sklearn.manifold",
    "tensorboard.plugins.hparams.summary_v2",
    "tensorboard.plugins.projector",
    "tensorboard.summary.writer.event_file_writer",
    "threadpoolctl",
    "torch._dynamo",  # by the first step of an optimizer
    "torch.utils.serialization",
    "torch.utils.tensorboard",
)


def main() -> None:
    """Import what trains, tell so, and fork for each request that comes by the socket whose number is given."""
    command, asked = os.getppid(), socket.socket(fileno=int(sys.argv[1]))
    show([sys.executable, "-m", __spec__.name], ARGUMENTS)
    end_at_once_with(command)
    before = dict(os.environ)
    import_training()
    set_by_imports = {name: value for name, value in os.environ.items() if name not in before}
    reason = why_not_to_fork()
    asked.send(reason.encode() or READY)
    if not reason:
        request = serve(asked, command)
        become(request, set_by_imports)
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def import_training() -> None:
    """Import all that a training may use; what can't be imported is left to the training that wants it."""
    import vae_lightning
    import vae_lightning.launch.output
    import vae_lightning.training.run

    for room in _ROOMS:
        for module in pkgutil.walk_packages(importlib.import_module(f"{vae_lightning.__name__}.{room}").__path__):
            if module.name not in _PROGRAMS:
                _try_import(f"{vae_lightning.__name__}.{room}.{module.name}")
    for name in _LATE:
        _try_import(name)
    gc.collect()
    gc.freeze()  # a look for garbage would copy the pages that forks share


def _try_import(name: str) -> None:
    with suppress(ImportError):
        importlib.import_module(name)


def serve(asked: socket.socket, command: int) -> dict[str, Any]:
    """Fork for each request, and return it in the fork, whose parent is the command; end when the command hangs up."""
    silence = os.open(os.devnull, os.O_RDWR)
    for file in (1, 2):
        os.dup2(silence, file)  # whoever reads the command's output waits until all have closed it
    os.close(silence)
    while True:
        message, files, _, _ = socket.recv_fds(asked, LARGEST_REQUEST, 3)
        if not message:
            sys.exit()
        if fork_for(command):
            asked.close()
            _take_output(*files)
            return json.loads(message)
        for file in files:
            os.close(file)


def _take_output(out: int, errors: int, told: int) -> None:
    os.setsid()
    os.dup2(out, 1)
    os.dup2(errors, 2)
    for file in (out, errors):
        os.close(file)
    with socket.socket(fileno=told) as answer:
        answer.send(str(os.getpid()).encode())
        if not answer.recv(1):  # the command knows of this process, or was interrupted before
            sys.exit()


def become(request: dict[str, Any], set_by_imports: dict[str, str]) -> None:
    """Take on the environment, the arguments and the random state of a process that has just begun.

    Args:
        request: what is to run.
        set_by_imports: what the imports set in the environment where it isn't set.
    """
    import numpy as np

    os.environ.clear()
    os.environ.update(set_by_imports | request["env"])
    sys.argv[:] = ["-m", *request["arguments"]]
    sys.orig_argv[:] = [sys.executable, *request["options"], "-m", request["module"], *request["arguments"]]
    show(sys.orig_argv, ARGUMENTS)
    show([f"{name}={value}" for name, value in request["env"].items()], ENVIRONMENT)
    importlib.invalidate_caches()  # of modules that are newer than the imports
    sys.modules.pop(request["module"], None)
    np.random.seed()  # all of Python's other generators see to that themselves


if __name__ == "__main__":
    run_as_program(main)
