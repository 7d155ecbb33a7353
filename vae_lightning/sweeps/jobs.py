"""The jobs of a sweep: each trains in the run directory that belongs to what was typed, in processes of its own."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_lightning.disk.locks import NoLocksError, hold
from vae_lightning.errors import UserError
from vae_lightning.launch.children import train_in_children
from vae_lightning.launch.start import prepared, refuse_early
from vae_lightning.machine.environment import environment
from vae_lightning.machine.gpus import num_ranks, own_gpus
from vae_lightning.machine.interruption import Interrupted, interruptible, number_of
from vae_lightning.machine.lifeline import await_end, end_with_parent
from vae_lightning.machine.world import World, joined_world
from vae_lightning.runs.directories import is_mere_start, remove_run, take_job
from vae_lightning.runs.opening import check_idle, check_safe
from vae_lightning.runs.records import RunDir, unit_of
from vae_lightning.runs.resuming import PLACES
from vae_lightning.runs.seals import seal_services
from vae_lightning.runs.status import record_status
from vae_lightning.runs.training_lock import locked

log = logging.getLogger("vae_lightning")
_LOCKS = ".gpus"  # the folder in a sweep's that says which GPU is whose
_SAVING_S = 25.0
_NEW, _RESUMED, _FINISHED = "", "resumed", "finished before"


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        config: the resolved config as plain data.
        overrides: what was typed, with this job's values of what is swept.
        sweep: the sweep's directory.
        number: Hydra's number of the job.
        num_at_once: how many jobs the launcher runs at a time on this machine.
        others_follow: whether the launcher has this process run others after it.
    """

    config: dict[str, Any]
    overrides: list[str]
    sweep: Path
    number: int
    num_at_once: int = 1
    others_follow: bool = False

    @property
    def settings(self) -> dict[str, float | str]:
        """What makes it this job and no other, wherever the sweep lies: the last value of each key."""
        return _settings(self.overrides)


class _FailedError(Exception):
    """The job has failed, which is recorded and told."""


def run_job(job: Job) -> dict[str, Any] | None:
    """Train the job, or go on with it, unless it has finished before.

    Returns:
        its final figures; None where it failed, of which its status file has the reason, and on ranks other than zero.

    Raises:
        UserError: its directory can't be made or read, or another process is training it.
    """
    with suppress(_FailedError), _held(job.num_at_once), joined_world(job.config["trainer"]["accelerator"]) as world:
        return _run(job, world)
    return None


def _run(job: Job, world: World) -> dict[str, Any] | None:
    with ExitStack() as held:
        run_dir, step = world.agree(lambda: _place(job, held))
        if world.rank == 0:
            log.info("job %s: %s%s", run_dir.path.name, " ".join(job.overrides), step and f" ({step})")
        if step == _FINISHED:
            return run_dir.metrics()
        with _recorded(run_dir):
            if step == _NEW and world.size == 1:
                refuse_early(job.config)
            if world.size > 1:
                _train_here(world, run_dir, step == _RESUMED)
            else:
                _train_in_children(job, run_dir, step == _RESUMED)
    if world.rank > 0:
        return None
    metrics = run_dir.metrics()
    log.info("job %s finished: %s", run_dir.path.name, _in_words(metrics))
    return metrics


def _in_words(metrics: dict[str, Any]) -> str:
    names = ("val/elbo", "test/elbo") if {"val/elbo", "test/elbo"} & metrics.keys() else ("val/loss", "test/distortion")
    figures = [f"{name} {metrics[name]:,.2f}" for name in names if metrics.get(name) is not None]
    return f"{', '.join(figures)} {unit_of(metrics.get('test/kind'))}, {metrics['seconds']:.0f} s"


def _place(job: Job, held: ExitStack) -> tuple[RunDir, str]:
    """The job's run directory with its config in it, locked for this process, and what is to be done there."""
    try:
        job.sweep.mkdir(parents=True, exist_ok=True)
        with _alone_in(job.sweep):
            run, step = _own_directory(job, held)
            if step != _FINISHED:
                # The figures are of a test that was made, but of a run that wasn't ended.
                (run.path / "metrics.json").unlink(missing_ok=True)
                run.write_config(job.config | {"run_dir": str(run.path)}, job.overrides)
                seal_services(run, job.config, None)
                record_status(run, "starting")
    except OSError as error:
        raise UserError(f"sweep_dir: {job.sweep} can't be written to ({error.strerror})") from error
    return run, step


@contextmanager
def _alone_in(sweep: Path) -> Iterator[None]:
    """Hold the sweep's directory while a job's is looked for, so that no two processes take the same one."""
    with ExitStack() as held:
        try:
            held.enter_context(hold(sweep / ".jobs.lock", patience_s=None))
        except NoLocksError:  # some clusters' file systems
            log.warning("%s: its file system has no locks; start one command at a time on this sweep", sweep)
        except ValueError as error:
            raise UserError(f"{sweep / '.jobs.lock'}: {error}; remove it") from error
        yield


def _own_directory(job: Job, held: ExitStack) -> tuple[RunDir, str]:
    what = f"sweep={job.sweep}"
    for run in runs_of(job.sweep):
        if _settings_of(run) == job.settings:
            check_idle(run, what)
            if run.status().get("status") == "finished":
                return run, _FINISHED
            check_safe(run, what)
            held.enter_context(locked(run.path, what))
            if run.last.is_file():
                return run, _RESUMED
            remove_run(run.path)  # it came to nothing
            held.close()
            return _taken(job, int(run.path.name), held), _NEW
    own = RunDir(job.sweep / str(job.number))
    if is_mere_start(own.path) and not own.is_training():
        remove_run(own.path)  # a full disk let it come no further
    return _taken(job, job.number, held), _NEW


def _taken(job: Job, number: int, held: ExitStack) -> RunDir:
    run = take_job(job.sweep, number)
    held.enter_context(locked(run.path, f"sweep={job.sweep}"))
    return run


def _settings_of(run: RunDir) -> dict[str, float | str] | None:
    try:
        return _settings(run.overrides())
    except FileNotFoundError:
        return None
    except ValueError as error:
        place = run.path / "overrides.yaml"
        raise UserError(f"{place}: can't be read; remove {run.path} to have its job trained anew") from error


@contextmanager
def _recorded(run_dir: RunDir) -> Iterator[None]:
    """Record and tell what the training fails of, and raise `_FailedError`."""
    try:
        yield
        return
    except KeyboardInterrupt as interrupt:
        with suppress(OSError):
            if run_dir.status().get("status") in ("starting", "running"):
                record_status(run_dir, "interrupted", str(Interrupted(number_of(interrupt), run_dir.way_on())))
        raise
    except UserError as error:
        reason = str(error)
    except Exception as error:
        log.exception("job %s", run_dir.path.name)
        reason = str(error) or type(error).__name__
    with suppress(OSError):  # a full disk takes no status
        if run_dir.status().get("status") in ("starting", "running"):
            record_status(run_dir, "failed", reason.splitlines()[0])
    log.error("job %s failed: %s", run_dir.path.name, reason)
    raise _FailedError


def _train_here(world: World, run_dir: RunDir, resume: bool) -> None:
    from vae_lightning.training.run import run

    run(prepared(world, run_dir.config(), run_dir, resume=resume))


def _train_in_children(job: Job, run_dir: RunDir, resume: bool) -> None:
    trainer, num_jobs = job.config["trainer"], job.num_at_once
    label, fork = f"[{run_dir.path.name}] " if num_jobs > 1 else "", job.others_follow
    ranks = num_ranks(trainer, num_jobs)
    with own_gpus(trainer, num_jobs, job.sweep / _LOCKS) as gpus:
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
        with environment(**visible):
            train_in_children(run_dir, ranks, resume=resume, trusted=None, label=label, num_jobs=num_jobs, fork=fork)


@contextmanager
def _held(num_at_once: int) -> Iterator[None]:
    """Keep an interrupted process of a launcher's until the launcher ends it, or is gone.

    The launcher would give it the next job, or take its end for a crash and kill those that are still saving.
    """
    if num_at_once == 1:
        yield
        return
    launcher = os.getppid()
    end_with_parent()  # which it would outlive
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        await_end(launcher, 128 + number_of(interrupt))


def let_jobs_save(sweep: Path, number: int) -> None:
    """Wait until no job of the sweep trains on this machine any more, since a launcher kills its processes.

    Ctrl-C comes to them from the terminal, too; SIGTERM is passed on.
    """
    workers = multiprocessing.active_children()
    for worker in workers if number != signal.SIGINT else []:
        with suppress(ProcessLookupError):
            os.kill(int(worker.pid or 0), number)
    deadline = time.monotonic() + _SAVING_S
    while workers and time.monotonic() < deadline and any(run.is_training() for run in runs_of(sweep)):
        time.sleep(0.1)


def runs_of(sweep: Path) -> list[RunDir]:
    """The jobs' run directories that there are, in the order of their numbers."""
    folders = [path for path in sweep.iterdir() if path.is_dir() and path.name.isdecimal()] if sweep.is_dir() else []
    return [RunDir(path) for path in sorted(folders, key=lambda path: int(path.name))]


def _settings(overrides: list[str]) -> dict[str, float | str]:
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    return {key: _value(value) for key, _, value in pairs if key not in PLACES}


def _value(text: str) -> float | str:
    """A number as one, so that 1, 1.0 and 1e0 are the same setting."""
    try:
        return float(text)
    except ValueError:
        return text
