"""What a run leaves behind, and how it is opened again."""

import json
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import Any

import yaml

from vae_lightning.errors import UserError
from vae_lightning.hardware import num_cpus

_PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "omegaconf", "torchmetrics", "numpy", "pillow")


@dataclass(frozen=True)
class RunDir:
    """The directory of one run; see README for what each file holds."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the highest validation ELBO, the last one where none was validated."""
        best = self.checkpoints / "best.ckpt"
        return best if best.is_file() else self.last

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    def way_on(self) -> str:
        """How a run that has ended early can be gone on with, in words."""
        return f"go on with {typed('resume', self.path)}" if self.last.is_file() else "before the first checkpoint"

    def check_space(self, needed_bytes: int) -> None:
        """Raise a UserError unless the disk has `needed_bytes` left."""
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes:
            needed, left = needed_bytes / 1e6, free / 1e6
            raise UserError(
                f"output_dir: the disk of {self.path} has {left:.0f} MB left, the run needs about {needed:.0f} MB"
            )

    def config(self) -> dict[str, Any]:
        """The resolved config, as plain data."""
        return yaml.safe_load((self.path / "config.yaml").read_text())

    def write_config(self, config: dict[str, Any], overrides: list[str]) -> None:
        """Record the resolved config and what was typed."""
        self._write("config.yaml", yaml.safe_dump(config, sort_keys=False))
        self._write("overrides.yaml", yaml.safe_dump(overrides))

    def overrides(self) -> list[str]:
        """What was typed, that of every resumption included."""
        return yaml.safe_load((self.path / "overrides.yaml").read_text())

    def write_environment(self, **facts: Any) -> None:
        """Record versions, machine, commit and command line, with further facts of the caller's."""
        versions = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
        environment = {
            "command": sys.argv,
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "num_cpus": num_cpus(),
            "git_commit": _git_commit(),
            "versions": versions,
        }
        self._write("environment.json", json.dumps(environment | facts, indent=2))

    def write_status(self, status: str, reason: str | None = None) -> None:
        """Record running, finished, failed or interrupted, and why; in TensorBoard's hparams tab, too."""
        self._write("status.json", json.dumps(_now(status, reason), indent=2))
        config = self.config()
        if any("TensorBoard" in str((node or {}).get("_target_")) for node in (config.get("logger") or {}).values()):
            from vae_lightning.hparams import write_entry

            write_entry(self.path, config, status, self.metrics() if status == "finished" else {})

    def status(self) -> dict[str, Any]:
        """What `write_status` wrote last; empty when it never did, or what is there can't be read."""
        try:
            return self._status()
        except (OSError, ValueError):  # cut short by a full disk
            return {}

    def real_status(self) -> dict[str, Any]:
        """`status`, but a run whose process is no longer there is told as interrupted: a killed one can't say so.

        Raises:
            OSError, ValueError: what is there can't be read.
        """
        status = self._status()
        if status.get("status") not in ("starting", "running") or self.is_training():
            return status
        return status | {"status": "interrupted", "reason": "killed"}

    def is_training(self) -> bool:
        """Whether the process that the status file names still runs; of another machine's it is believed."""
        status = self.status()
        if status.get("status") not in ("starting", "running"):
            return False
        if status.get("host") == socket.gethostname():
            return _is_alive(status["pid"])
        # Slurm requeues a job under its own number, maybe on another node.
        return status.get("slurm_job") is None or status["slurm_job"] != os.environ.get("SLURM_JOB_ID")

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Record the final figures, one flat object."""
        self._write("metrics.json", metrics_text(metrics))

    def metrics(self) -> dict[str, Any]:
        """The final figures."""
        return json.loads((self.path / "metrics.json").read_text())

    def is_tested(self) -> bool:
        """Whether training has left its final figures; those of an evaluation alone do not count."""
        try:
            return "epochs" in self.metrics()
        except (OSError, ValueError):  # not there, or cut short by a full disk
            return False

    def _status(self) -> dict[str, Any]:
        file = self.path / "status.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def _write(self, name: str, text: str) -> None:
        # Beside the target and then renamed, so that a reader never finds half a file.
        temporary = self.path / f".{name}.{os.getpid()}"
        try:
            temporary.write_text(text)
            os.replace(temporary, self.path / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def reserved(path: Path) -> Iterator[RunDir]:
    """A new run directory, taken at once so that no other run gets it, and removed again if the block fails.

    A path that is taken gets a number behind its name; an empty directory, as Hydra makes for a sweep's jobs, is not.

    Raises:
        UserError: the place can't be written to.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        run = _take(path)
    except OSError as error:
        raise UserError(f"output_dir: {path} can't be made ({error.strerror})") from error
    try:
        yield run
    except BaseException:
        shutil.rmtree(run.path)
        for parent in missing:
            with suppress(OSError):  # another run has moved in
                parent.rmdir()
        raise


def _take(path: Path) -> RunDir:
    numbered = (path.with_name(f"{path.name}_{number}") for number in count(2))
    return next(run for run in map(_taken, chain([path], numbered)) if run)


def take_job(sweep: Path, number: int) -> RunDir:
    """A new run directory in a sweep's: that of the job's number, or the first free number after all that are there.

    Raises:
        OSError: the place can't be written to.
    """
    run = _taken(sweep / str(number))
    while run is None:
        number = 1 + max(int(path.name) for path in sweep.iterdir() if path.name.isdigit())
        run = _taken(sweep / str(number))
    return run


def _taken(path: Path) -> RunDir | None:
    """The run directory at this path if it was free: absent, or empty, as Hydra makes those of jobs."""
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        return None
    # Linked into place once it is whole: on a full disk an empty file would take the place for good.
    claim = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}"
    try:
        claim.write_text(json.dumps(_now("starting", None)))
        os.link(claim, path / "status.json")
    except FileExistsError:  # another run was faster
        return None
    finally:
        claim.unlink(missing_ok=True)
    return RunDir(path)


def open_run(path: str, key: str, *, idle: bool = True) -> RunDir:
    """Open an existing run directory.

    Args:
        path: the directory.
        key: the config key that named it, for the messages.
        idle: whether no process may be training it.

    Raises:
        UserError: no such directory, or not a run's; or one that is being trained where it has to be idle.
    """
    run = RunDir(Path(path))
    if not run.path.is_dir():
        raise UserError(f"{key}={path}: no such directory")
    if not (run.path / "config.yaml").is_file():
        raise UserError(f"{key}={path}: not a run directory (it has no config.yaml)")
    if idle:
        check_idle(run, f"{key}={path}")
    return run


def metrics_text(metrics: dict[str, Any]) -> str:
    """Figures as the text of a JSON file, a line each, however many numbers it has."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in metrics.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def typed(key: str, path: Path | str) -> str:
    """The override `key=path` as it can be typed: quoted for Hydra and for the shell where it needs to be."""
    text = str(path)
    if not re.fullmatch(r"[\w./:@%+-]+", text, re.ASCII):
        text = "'" + text.replace("'", "\\'") + "'"
    return shlex.quote(f"{key}={text}")


def check_idle(run: RunDir, what: str) -> None:
    """Raise a UserError, which begins with `what`, if a process is training the run."""
    if run.is_training():
        status = run.status()
        place = f"{run.path}: process {status['pid']} on {status['host']} is still training it"
        raise UserError(f"{what}: {place} (if it is not, remove its status.json)")


def _now(status: str, reason: str | None) -> dict[str, Any]:
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    process = {"host": socket.gethostname(), "pid": os.getpid(), "slurm_job": os.environ.get("SLURM_JOB_ID")}
    return {"status": status, "reason": reason, "time": time} | process


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parent.parent
    if not (source / ".git").exists() or shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and waits for its parent to take note; in a container that may be never."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no such place but on Linux
        return False
    return state == "Z"
