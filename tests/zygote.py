"""The process that tests.warm forks commands from: it has imported what they need, and is otherwise as it started.

A fork goes on as `python -m <module> <arguments>` does: its own session, folder, environment, arguments and pipes, the
default signal handlers, its own command line in /proc; and it ends as the interpreter ends. What is not as in a fresh
process: the objects of the imports are frozen for the garbage collector, and all forks hash strings alike. What a
sweep starts beside itself to fork its jobs from (`vae_lightning/launch/warm.py`) is a fork as well, of a command that
has not begun. Ranks, which users' commands and torchrun start anew, are forked from it, too. Jobs and ranks are told of
PYTHONSAFEPATH by their path of imports and not by `sys.flags`, and print line by line under `-u`. Of joblib's workers
see tests/loky_workers.py.
"""

import array
import atexit
import gc
import importlib.util
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
from contextlib import nullcontext, suppress
from typing import Any, NoReturn

# Each runs as __main__.
ENTRY_POINTS = {"train", "evaluate", "generate", "export", "explore", "score", "report", "dashboard", "children"}
ENTRY_POINTS |= {"data.__main__"}
LAZY = [  # what commands import only where it is used, and a training doesn't
    "hydra.core.plugins",
    "hydra.utils",
    "joblib.externals.loky",
    "matplotlib.backends.backend_agg",
    "openTSNE",
    "optuna.storages.journal",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "torch.distributed.launcher.api",
]
HERE = os.path.dirname(__file__)  # the tests' folder, which is no place to import from
_TINY = ["data=digits", "model=mlp", "trainer=cpu"]
COMPOSED = [
    ("train", [*_TINY, "callbacks=basic"]),
    ("train", [*_TINY, "callbacks=none"]),
    ("train", ["data=digits", "model=mlp", "callbacks=none"]),
    ("train", ["data=digits", "model=mlp", "callbacks=none", "trainer=ddp_cpu"]),
    ("train", []),
    ("evaluate", []),
    ("generate", []),
    ("report", []),
]
STAND_IN = "TESTS_STAND_IN"  # names the program of tests/stand_in.py
OF_HYDRA = ("HYDRA_FULL_ERROR",)
SUBMITIT = "submitit.core._submit"
TORCHRUN = "torch.distributed.run"
LARGEST_REQUEST = 180_000  # bytes; a Unix socket takes no larger message


def import_all() -> None:
    import vae_lightning
    from vae_lightning.launch.warm import import_training

    for module in pkgutil.walk_packages(vae_lightning.__path__, "vae_lightning."):
        if module.name.partition(".")[2] not in ENTRY_POINTS:
            importlib.import_module(module.name)
    for name in LAZY:
        importlib.import_module(name)
    import_training()
    compose_once()


def compose_once() -> None:
    """Have the forks begin with the merged files of the choices that most tests make, as tests in one process do."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from vae_lightning.command_line import schema

    schema.register()
    for name in ("composed", "found_once"):
        of_tests(name).remember()
    with initialize_config_dir(str(schema.CONF_DIR), version_base="1.3"):
        for config, choices in COMPOSED:
            compose(config, overrides=choices, return_hydra_config=True)
    GlobalHydra.instance().clear()


def of_tests(name: str) -> types.ModuleType:
    """A module that lies beside this one."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(HERE, f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve(requests: socket.socket, others: socket.socket) -> dict:
    """Fork for each request, and return it in the fork; tell how each ended. When who asks is gone, end them all.

    Args:
        requests: of the tests.
        others: where tests/stand_in.py asks from anywhere, with its own end of the connection to be told at.
    """
    running: dict[int, tuple[int, int]] = {}  # by a process's file descriptor: its id, and where its end is told
    while True:
        ready, _, _ = select.select([requests, others, *running], [], [])
        for process in set(ready) - {requests, others}:
            pid, told = running.pop(process)
            _tell(told, os.waitpid(pid, 0)[1])
            os.close(process)
        if requests in ready:
            message, files = _received(requests)
        elif others in ready:
            message, files = _received_from(others)
        else:
            continue
        if not message:
            for pid, _ in running.values():
                os.killpg(pid, signal.SIGKILL)
            os._exit(0)
        out, err, told, *asked = files
        pid = os.fork()
        if not pid:
            for process, (_, elsewhere) in running.items():
                os.close(process)
                os.close(elsewhere)
            others.close()
            _take_place(requests, out, err, told)
            return json.loads(message) | {"asked": asked}
        for file in (out, err, *asked):
            os.close(file)
        running[os.pidfd_open(pid)] = (pid, told)
        if requests in ready:
            requests.send(str(pid).encode())


def _received(requests: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, files, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 4)
    except ConnectionResetError:  # who asks has gone, and never heard that all is ready
        return b"", []
    return message, files


def _received_from(others: socket.socket) -> tuple[bytes, list[int]]:
    connection, _ = others.accept()
    with connection:
        message, files = _received(connection)
        return message, [*files, os.dup(connection.fileno())]


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
    from vae_lightning.machine.forks import ARGUMENTS, ENVIRONMENT, show

    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(variables | request["env"])
    sys.executable = os.environ.get(STAND_IN, sys.executable)  # what this starts anew is a fork then, too
    if request["module"] == "ipykernel_launcher":
        sys.modules["matplotlib"].rcParams["backend"] = "module://matplotlib_inline.backend_inline"
    for number in request.get("ignored", []):
        signal.signal(number, signal.SIG_IGN)
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    here = [] if os.environ.get("PYTHONSAFEPATH") else [os.getcwd()]
    sys.path[:] = [*here, *added, *path]
    sys.argv[:] = ["-m", *request["arguments"]]
    sys.orig_argv[:] = [sys.executable, "-m", request["module"], *request["arguments"]]
    show(sys.orig_argv, ARGUMENTS)
    show([f"{name}={value}" for name, value in request["env"].items()], ENVIRONMENT)
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


def forking(request: dict[str, Any], path: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """Give this command the process that its jobs are forked from, and return the request; or a job's, in each job."""
    from vae_lightning.launch.children import _same_imports
    from vae_lightning.launch.forked import WarmProcess
    from vae_lightning.machine.forks import end_at_once_with

    command, environment = os.getpid(), dict(request["env"])
    if request["module"] != TORCHRUN:
        environment |= _same_imports()
    asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        WarmProcess.current = WarmProcess(asking, dict(os.environ) | environment, is_ready=True)
        return request
    asking.close()
    end_at_once_with(command)
    os.setsid()
    for file in request.get("spare", []):  # a worker's, whose end its command sees when all have closed them
        os.close(file)
    become(request | {"env": environment}, path, variables)
    return job_of(command, theirs, variables)


def job_of(command: int, asked: socket.socket, variables: dict[str, str]) -> dict[str, Any]:
    """Fork whatever the command asks for, and return each job in its own process."""
    from vae_lightning.launch import warm
    from vae_lightning.machine.forks import ARGUMENTS, show

    show([sys.executable, "-m", warm.__name__], ARGUMENTS)
    job = warm.serve(asked, command)
    warm.become(job, variables)
    if "-u" in job["options"]:
        sys.stdout.reconfigure(line_buffering=True)
    sys.modules["__main__"] = types.ModuleType("__main__")
    return job


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


def prepare(started_with: dict[str, str]) -> dict[str, str]:
    """Import all that forks begin with, and return what the imports set in the environment."""
    gc.disable()
    import_all()
    gc.freeze()
    gc.enable()
    from vae_lightning.machine.forks import why_not_to_fork

    assert not why_not_to_fork(), why_not_to_fork()
    of_tests("huge_pages").gather()
    return {name: value for name, value in os.environ.items() if name not in started_with}


def live(asked: socket.socket, others: socket.socket, base: list[str], variables: dict[str, str]) -> NoReturn:
    """Fork for each who asks, and be in the fork what is asked for.

    Args:
        asked: of the tests, who are told first that all is ready.
        others: where tests/stand_in.py asks.
        base: where every process imports from.
        variables: what the imports set in the environment where it isn't set.
    """
    try:
        asked.send(b"ready")
    except BrokenPipeError:  # the tests have ended meanwhile
        os._exit(0)
    command = serve(asked, others)
    if command["module"] == SUBMITIT:  # which sets this variable first, and would have ranks without Hydra's
        command["env"]["SUBMITIT_FOLDER"] = command["arguments"][0]
        command["hydras"] = {name: command["env"].pop(name) for name in OF_HYDRA if name in command["env"]}
    become(command, base, variables)
    if command["asked"]:  # by a command in the process of the tests
        program = job_of(command["of"], socket.socket(fileno=command["asked"][0]), variables)
        end(lambda: runpy._run_module_as_main(program["module"]))
    workers = of_tests("loky_workers")
    if worker := workers.offer_workers(command["arguments"]):
        command = worker
        become(command, base, variables)
    program = forking(command, base, variables)
    if program is worker:
        workers.take_files(worker)
    if "hydras" in program:
        of_tests("composed").forget()  # Hydra looks for its plug-ins anew, and their classes are others then
        os.environ.update(program["hydras"])
    from vae_lightning.launch.forked import WarmProcess, children_forked

    with children_forked() if WarmProcess.current else nullcontext():  # ranks, too, of commands and of torchrun
        end(lambda: runpy._run_module_as_main(program["module"]))


def main() -> None:
    base = path_of_imports()
    del sys.path[0]
    variables = prepare(dict(os.environ))
    asked, others = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    live(asked, others, base, variables)


if __name__ == "__main__":
    main()
