"""The jobs of a sweep: each trains in fresh processes, in the run directory that belongs to what was typed."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_lightning.children import environment, train_in_children
from vae_lightning.errors import UserError
from vae_lightning.gpus import num_ranks, own_gpus
from vae_lightning.launch import prepared
from vae_lightning.lifeline import end_with_parent
from vae_lightning.resume import PLACES
from vae_lightning.run_dir import RunDir, check_idle, take_job
from vae_lightning.world import World, joined_world

log = logging.getLogger("vae_lightning")

LOCKS = ".gpus"  # the folder in a sweep's that says which GPU is whose
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
    """

    config: dict[str, Any]
    overrides: list[str]
    sweep: Path
    number: int
    num_at_once: int = 1

    @property
    def settings(self) -> frozenset[str]:
        """What makes it this job and no other, wherever the sweep lies."""
        return _settings(self.overrides)


def run_job(job: Job) -> dict[str, Any] | None:
    """Train the job, or go on with it, unless it has finished before.

    Returns:
        its final figures; None where it failed, of which its status file has the reason, and on ranks other than zero.

    Raises:
        UserError: its directory can't be made, or another process is training it.
    """
    with joined_world(job.config["trainer"]["accelerator"]) as world:
        run_dir, step = world.agree(lambda: _place(job))
        if world.rank == 0:
            log.info("job %s: %s%s", run_dir.path.name, " ".join(job.overrides), step and f" ({step})")
        if step == _FINISHED:
            return run_dir.metrics()
        if not _succeeds(job, world, run_dir, resume=step == _RESUMED) or world.rank > 0:
            return None
        metrics = run_dir.metrics()
        log.info("job %s finished: %s", run_dir.path.name, _in_words(metrics))
        return metrics


def _in_words(metrics: dict[str, Any]) -> str:
    figures = [f"{name} {metrics[name]:,.2f}" for name in ("val/elbo", "test/elbo") if metrics.get(name) is not None]
    return f"{', '.join(figures)} nats per image, {metrics['seconds']:.0f} s"


def _place(job: Job) -> tuple[RunDir, str]:
    """The job's run directory with its config in it, and what is to be done there."""
    run, step = _own_directory(job)
    if step != _FINISHED:
        (run.path / "metrics.json").unlink(missing_ok=True)  # of a test that was made, but of a run that wasn't ended
        run.write_config(job.config | {"run_dir": str(run.path)}, job.overrides)
    return run, step


def _own_directory(job: Job) -> tuple[RunDir, str]:
    for run in runs_of(job.sweep):
        if (run.path / "overrides.yaml").is_file() and _settings(run.overrides()) == job.settings:
            check_idle(run, f"sweep={job.sweep}")
            if run.status().get("status") == "finished":
                return run, _FINISHED
            if run.last.is_file():
                return run, _RESUMED
            shutil.rmtree(run.path)  # it came to nothing
            return take_job(job.sweep, int(run.path.name)), _NEW
    return take_job(job.sweep, job.number), _NEW


def _succeeds(job: Job, world: World, run_dir: RunDir, *, resume: bool) -> bool:
    """Whether the training ends well; what it failed of is recorded and told."""
    try:
        if world.size > 1:
            _train_here(world, run_dir, resume)
        else:
            _train_in_children(job, run_dir, resume)
    except UserError as error:
        reason = str(error)
    except Exception as error:
        log.exception("job %s", run_dir.path.name)
        reason = str(error) or type(error).__name__
    else:
        return True
    if run_dir.status().get("status") in ("starting", "running"):
        run_dir.write_status("failed", reason.splitlines()[0])
    log.error("job %s failed: %s", run_dir.path.name, reason)
    return False


def _train_here(world: World, run_dir: RunDir, resume: bool) -> None:
    from vae_lightning.training import run

    run(prepared(world, run_dir.config(), run_dir, resume=resume))


def _train_in_children(job: Job, run_dir: RunDir, resume: bool) -> None:
    trainer, num_jobs = job.config["trainer"], job.num_at_once
    label = f"[{run_dir.path.name}] " if num_jobs > 1 else ""
    if num_jobs > 1:
        end_with_parent()  # this is one of the launcher's processes, which would outlive it
    ranks = num_ranks(trainer, num_jobs)
    with own_gpus(trainer, num_jobs, job.sweep / LOCKS) as gpus:
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
        with environment(**visible):
            train_in_children(run_dir, ranks, resume=resume, label=label, num_jobs=num_jobs)


def summarize(sweep: Path) -> None:
    """Write the sweep's report, print its table, and fail when a job has.

    Raises:
        UserError: jobs that have not finished, by number.
    """
    from vae_lightning.reports.report import write_report
    from vae_lightning.reports.runs import find_runs
    from vae_lightning.reports.summary import terminal_table

    shutil.rmtree(sweep / LOCKS, ignore_errors=True)
    directories = find_runs(sweep) if sweep.is_dir() else []
    if not directories:  # no job came so far
        return
    report = write_report(directories, sweep, f"Sweep {sweep.name}")
    print(f"\n{terminal_table(report.records)}\n")
    for name, path in {"sweep": sweep, "table": report.summary, "report": report.page}.items():
        print(f"{name:<16}{path}")
    unfinished = [record for record in report.records if record.status != "finished"]
    for record in unfinished:
        print(f"{f'job {record.name}':<16}{record.status}: {record.reason}")
    if unfinished:
        names = ", ".join(record.name for record in unfinished)
        raise UserError(f"{len(unfinished)} of {len(directories)} jobs have not finished: {names}")


def runs_of(sweep: Path) -> list[RunDir]:
    """The jobs' run directories that there are, in the order of their numbers."""
    folders = [path for path in sweep.iterdir() if path.is_dir() and path.name.isdigit()] if sweep.is_dir() else []
    return [RunDir(path) for path in sorted(folders, key=lambda path: int(path.name))]


def _settings(overrides: list[str]) -> frozenset[str]:
    return frozenset(override for override in overrides if override.partition("=")[0].lstrip("+~") not in PLACES)
