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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import Any

from vae_lightning.errors import UserError
from vae_lightning.files import (
    TEXT_LIMIT,
    check_contents,
    dump_yaml,
    is_part,
    load_json,
    load_yaml,
    part_of,
    read_text,
    write_atomically,
)
from vae_lightning.hardware import num_cpus
from vae_lightning.locks import alone_in
from vae_lightning.training_lock import COMMAND_LOCK, trainer_of
from vae_lightning.unwritten import UNWRITABLE, overwrite, spared

_PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "omegaconf", "torchmetrics", "numpy", "pillow")
GONE = "the run directory is gone; training ends here, and can be gone on with where it has been moved to, if it has"
_YAML_LIMIT = 1_000_000  # bytes: a megabyte takes seconds to read
_STATUS_ROOM = 4096  # bytes that a status takes at least, as much of a disk as a smaller one
_SHORT = 300  # letters of a reason that fit in there, whatever letters they are


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
        """The resolved config, as plain data.

        Raises:
            OSError, ValueError: there is none, or it can't be read; so do `overrides` and `metrics`.
        """
        return _of_kind(dict, load_yaml(self._read("config.yaml", _YAML_LIMIT)))

    def write_config(self, config: dict[str, Any], overrides: list[str]) -> None:
        """Record the resolved config and what was typed."""
        self._write("config.yaml", dump_yaml(config))
        self._write("overrides.yaml", dump_yaml(overrides))

    def overrides(self) -> list[str]:
        """What was typed, that of every resumption included."""
        return [str(override) for override in _of_kind(list, load_yaml(self._read("overrides.yaml", _YAML_LIMIT)))]

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
        """Record running, finished, failed or interrupted, and why; in TensorBoard's hparams tab, too.

        That a run has finished is the last thing to be said of it: one that is killed before can be gone on with.
        On a full disk it takes the place of the status before, shortened if need be.
        """
        if status == "finished":
            self._write_entry(status)
        try:
            self._write("status.json", json.dumps(_now(status, reason), indent=2).ljust(_STATUS_ROOM))
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            short = None if reason is None else reason[:_SHORT]
            overwrite(self.path / "status.json", json.dumps(_now(status, short), indent=2).encode())
        if status != "finished":
            self._write_entry(status)

    def _write_entry(self, status: str) -> None:
        config = self.config()
        if any("TensorBoard" in str((node or {}).get("_target_")) for node in (config.get("logger") or {}).values()):
            from vae_lightning.hparams import write_entry

            with spared("TensorBoard's hparams entry"):
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
        """Whether the run's locks are held; where they can't tell, whether the process that the status file names
        still runs, which is believed of another machine's.
        """
        status, trainer = self.status(), trainer_of(self.path)
        if trainer or status.get("status") not in ("starting", "running"):
            return bool(trainer)
        if status.get("host") == socket.gethostname():
            return trainer is None and _is_alive(status.get("pid"))
        # Slurm requeues a job under its own number, maybe on another node.
        return status.get("slurm_job") is None or status["slurm_job"] != os.environ.get("SLURM_JOB_ID")

    def write_metrics(self, metrics: dict[str, Any], epoch: int | None = None) -> None:
        """Record the final figures of training, one flat object.

        What an evaluation has recorded meanwhile stays beside them if it was of the same checkpoint.

        Args:
            metrics: the figures.
            epoch: after which the weights that were tested had been kept, counted from 1.
        """
        with alone_in(self.path):
            evaluated = self._evaluated(epoch)
            self._write("metrics.json", metrics_text(evaluated | metrics))

    def _evaluated(self, epoch: int | None) -> dict[str, Any]:
        try:
            recorded = self.metrics()
        except (OSError, ValueError):
            return {}
        epochs = {value for name, value in recorded.items() if name.endswith("_epoch")}
        return recorded if epochs == {epoch} else {}

    def metrics(self) -> dict[str, Any]:
        """The final figures."""
        return _of_kind(dict, load_json(self._read("metrics.json")))

    def is_tested(self, num_epochs: int | None = None) -> bool:
        """Whether training has left its final figures, after so many epochs if that is said; those of an evaluation
        alone do not count.
        """
        try:
            epochs = self.metrics().get("epochs")
            return epochs is not None and num_epochs in (None, epochs)
        except (OSError, ValueError):  # not there, or cut short by a full disk
            return False

    def _status(self) -> dict[str, Any]:
        try:
            return _of_kind(dict, load_json(self._read("status.json")))
        except FileNotFoundError:
            return {}

    def _read(self, name: str, limit: int = TEXT_LIMIT) -> str:
        return read_text(self.path / name, limit, within=self.path)

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text, durable=True)


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
        remove_run(run.path)
        for parent in missing:
            with suppress(OSError):  # another run has moved in
                parent.rmdir()
        raise


def remove_run(path: Path) -> None:
    """Remove a run directory; where the path is a link to one, only what is in it."""
    if not path.is_symlink():
        shutil.rmtree(path)
        return
    for entry in path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


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
        number = 1 + max(int(path.name) for path in sweep.iterdir() if path.name.isdecimal())
        run = _taken(sweep / str(number))
    return run


def _taken(path: Path) -> RunDir | None:
    """The run directory at this path if it was free: absent, or empty, as Hydra makes those of jobs."""
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        return None
    # Linked into place once it is whole: on a full disk an empty file would take the place for good.
    claim = part_of(path)
    try:
        write_atomically(claim, json.dumps(_now("starting", None)))
        os.link(claim, path / "status.json")
    except FileExistsError:  # another run was faster
        return None
    finally:
        claim.unlink(missing_ok=True)
    return RunDir(path)


def is_mere_start(path: Path) -> bool:
    """Whether a folder holds no more than a job leaves that a full disk let come no further than its status."""
    names = {entry.name for entry in path.iterdir() if not is_part(entry)} if path.is_dir() else set()
    return "status.json" in names and names <= {"status.json", "config.yaml", COMMAND_LOCK}


def open_run(path: str, key: str, *, idle: bool = True) -> RunDir:
    """Open an existing run directory.

    Args:
        path: the directory.
        key: the config key that named it, for the messages.
        idle: whether no process may be training it.

    Raises:
        UserError: no such directory, or not a run's; a config that can't be read, a link in it that leads out of it;
            or one that is being trained where it has to be idle.
    """
    run, named = RunDir(Path(path)), f"{key}={path}"
    if not run.path.is_dir():
        raise UserError(f"{named}: no such directory")
    if not os.path.lexists(run.path / "config.yaml"):
        raise UserError(f"{named}: not a run directory (it has no config.yaml)")
    check_safe(run, named)
    _read_to_check("config.yaml", run.config, named)
    if idle:
        _read_to_check("overrides.yaml", run.overrides, named)
        check_idle(run, named)
    return run


def check_safe(run: RunDir, what: str) -> None:
    """Raise a UserError, which begins with `what`, if a link in the run leads out of it, or something isn't a file."""
    try:
        check_contents(run.path)
    except OSError as error:
        raise UserError(f"{what}: {error.filename or run.path} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{what}: {error}, which a run directory may not hold; remove it") from error


def _read_to_check(name: str, read: Callable[[], Any], what: str) -> None:
    try:
        read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{what}: {name} can't be read ({reason})") from error


def _of_kind(kind: type, content: Any) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"it holds no {'list' if kind is list else 'keys'}")
    return content


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
        trainer = trainer_of(run.path)
        by_status = f"process {status.get('pid')} on {status.get('host')}"
        way_out = "" if trainer else " (if it is not, remove its status.json)"
        raise UserError(f"{what}: {run.path}: {trainer or by_status} is still training it{way_out}")


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


def _is_alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
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
