"""Fresh processes that train a prepared run directory: the ranks of DDP, and the jobs of a sweep.

`python -m vae_lightning.launch.children <run directory>` is what they run.
"""

import argparse
import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from vae_lightning.building.trust import Trust
from vae_lightning.errors import UserError
from vae_lightning.launch.forked import children_forked
from vae_lightning.machine.environment import environment
from vae_lightning.machine.hardware import num_cpus
from vae_lightning.machine.interruption import Interrupted, exit_code, interruptible, undivided
from vae_lightning.machine.process import run_as_program
from vae_lightning.machine.terminal import outlasting_readers
from vae_lightning.machine.world import given_world
from vae_lightning.runs.records import GONE, RunDir
from vae_lightning.runs.status import record_status
from vae_lightning.runs.training_lock import locked_for_process

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # of which Windows lacks the last two


def train_in_children(
    run_dir: RunDir,
    num_ranks: int,
    *,
    resume: bool,
    trusted: Trust | None,
    label: str = "",
    num_jobs: int = 1,
    is_told: bool = False,
    fork: bool = False,
) -> None:
    """Train the run directory in `num_ranks` processes under torch's elastic launcher, and wait for them.

    Args:
        run_dir: holds the config.
        num_ranks: how many processes; the first that fails ends the others.
        resume: go on from its last checkpoint.
        trusted: what the processes may build: as much as this one, see `config.instantiate`.
        label: put before each line that they print, where several jobs print at once.
        num_jobs: how many such calls share this machine's cores.
        is_told: whether this process has built the run already and told what there is to tell of its data.
        fork: fork them from a process that has the imports, for more calls will follow; see `forked`.

    Raises:
        UserError: training failed, with the reason that its status file has.
        Interrupted: Ctrl-C or SIGTERM; the processes have saved, and are gone.
    """
    arguments = [str(run_dir.path), f"--label={label}", f"--parent={os.getpid()}"]
    arguments += ["--told"] if is_told else []
    arguments += ["--typed"] if trusted is None else [f"--trusted={trusted.as_text()}"]
    arguments += ["--resume"] if resume else []
    record_status(run_dir, "running")
    forked = children_forked() if fork else nullcontext()
    with _handlers_restored(), _threads_divided_by(num_ranks * num_jobs), environment(**_same_imports()), forked:
        _launch(run_dir, num_ranks, arguments)


def _launch(run_dir: RunDir, num_ranks: int, arguments: list[str]) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):  # each has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the run's own status says it shorter
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        signals_to_handle=",".join(number.name for number in _heeded()),
    )
    try:
        elastic_launch(config, sys.executable)("-m", "vae_lightning.launch.children", *arguments)
    except SignalException as error:
        status = run_dir.status()
        # A rank's own words say how much is done again.
        told = str(status.get("reason")).partition("; ")[2] if status.get("status") == "interrupted" else ""
        interrupt = Interrupted(error.sigval, told or run_dir.way_on())
        if status.get("status") == "running":
            record_status(run_dir, "interrupted", str(interrupt))
        raise interrupt from error
    except ChildFailedError as error:
        if run_dir.status().get("status") == "finished":  # and stumbled only as it went
            return
        raise UserError(f"{run_dir.path}: {_reason(run_dir, error.failures, num_ranks)}") from None


def _same_imports() -> dict[str, str]:
    """Have the processes import from where this one does: `python -m` would put the current folder first by itself.

    That may be a stranger's run directory, with modules in it.
    """
    here = [place for place in (os.getcwd(),) if place in sys.path or "" in sys.path]
    given = [place for place in (os.environ.get("PYTHONPATH"),) if place]
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([*here, *given])}


def _reason(run_dir: RunDir, failures: dict[int, Any], num_ranks: int) -> str:
    """Why training failed: who was killed if anyone was, else what the first failing rank wrote down itself."""
    if not run_dir.path.is_dir():
        return GONE
    exit_codes = {rank: failure.exitcode for rank, failure in failures.items()}
    # Elastic itself ends the ranks that are left by SIGTERM.
    killed = {rank: code for rank, code in exit_codes.items() if code < 0 and code != -signal.SIGTERM}
    status = run_dir.status()
    if not killed and status.get("status") != "running":
        return str(status.get("reason"))
    rank, code = min((killed or exit_codes).items())
    reason = f"rank {rank} " if num_ranks > 1 else "the training process "
    reason += _how_it_ended(code)
    with suppress(OSError):  # a full disk takes no status either
        record_status(run_dir, "failed", reason)
    return reason


def _how_it_ended(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    hint = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def _heeded() -> list[signal.Signals]:
    """The signals that are to end the training; under nohup SIGHUP is not."""
    ending = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    return [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Put the signal handlers back that elastic replaces with its own and leaves there."""
    handlers = {number: signal.getsignal(number) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _threads_divided_by(num_processes: int) -> Iterator[None]:
    """Divide the cores among the processes of one machine, unless the user has set OMP_NUM_THREADS."""
    if num_processes == 1 or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    with environment(OMP_NUM_THREADS=str(max(1, num_cpus() // num_processes))):
        yield


def main() -> None:
    """Train the prepared run directory that the command line names; why it failed stands in its status file."""
    from vae_lightning.machine.lifeline import end_with_parent

    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--label", default="")
    parser.add_argument("--parent", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--told", action="store_true", help="what building the run tells")
    parser.add_argument("--typed", action="store_true", help="the config is the user's own")
    parser.add_argument("--trusted", type=Trust.from_text, default=Trust(), help="else what of it is")
    arguments = parser.parse_args()
    run_dir = RunDir(arguments.run_dir)
    sys.argv = ["vae-train", *run_dir.overrides()]  # for environment.json: what trains this run alone
    end_with_parent(arguments.parent)
    try:
        trusted = None if arguments.typed else arguments.trusted
        with outlasting_readers(), interruptible(), _held(run_dir, arguments.parent):
            is_silent = arguments.told or given_world().rank > 0
            _train(run_dir, arguments.label, arguments.resume, trusted, is_silent)
    except KeyboardInterrupt as interrupt:
        sys.exit(exit_code(interrupt))
    except UserError as error:
        if run_dir.status().get("status") == "running":
            with suppress(OSError):
                record_status(run_dir, "failed", str(error))
        sys.exit(1)


@contextmanager
def _held(run_dir: RunDir, parent: int | None) -> Iterator[None]:
    """Hold the run directory, on rank zero, which writes there; a process whose command has died holds none."""
    if given_world().rank > 0:
        yield
        return
    with locked_for_process(run_dir.path):
        if parent not in (None, os.getppid()):  # another command may have found the directory free before
            raise KeyboardInterrupt
        yield


def _train(run_dir: RunDir, label: str, resume: bool, trusted: Trust | None, is_silent: bool) -> None:
    from vae_lightning.launch.output import configure_logging, labelled_output, silent

    with undivided():
        from vae_lightning.training.run import build, run

    if label:
        labelled_output(label)
    configure_logging()
    with silent(is_silent):
        parts = build(run_dir.config(), run_dir, resume=resume, trusted=trusted)
    run_dir.check_space(parts.needed_bytes)
    run(parts)


if __name__ == "__main__":
    run_as_program(main)
