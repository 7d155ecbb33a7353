"""What a run leaves behind, and how it is opened again."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
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
        """Record running, finished, failed or interrupted, and why."""
        record: dict[str, Any] = {"status": status, "reason": reason}
        record["time"] = datetime.now().astimezone().isoformat(timespec="seconds")
        record |= {"host": socket.gethostname(), "pid": os.getpid()}
        self._write("status.json", json.dumps(record, indent=2))

    def status(self) -> dict[str, Any]:
        """What `write_status` wrote last; empty when it never did."""
        file = self.path / "status.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Record the final figures, one flat object."""
        self._write("metrics.json", json.dumps(metrics, indent=2))

    def metrics(self) -> dict[str, Any]:
        """The final figures."""
        return json.loads((self.path / "metrics.json").read_text())

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
    number, candidate = 1, path
    while True:
        candidate.mkdir(parents=True, exist_ok=True)
        if not any(candidate.iterdir()):
            with suppress(FileExistsError), (candidate / "status.json").open("x") as status:
                status.write('{"status": "starting"}')
                return RunDir(candidate)
        number += 1
        candidate = path.with_name(f"{path.name}_{number}")


def open_run(path: str, key: str) -> RunDir:
    """Open an existing run directory.

    Args:
        path: the directory.
        key: the config key that named it, for the messages.

    Raises:
        UserError: no such directory, or not a run's.
    """
    run = RunDir(Path(path))
    if not run.path.is_dir():
        raise UserError(f"{key}={path}: no such directory")
    if not (run.path / "config.yaml").is_file():
        raise UserError(f"{key}={path}: not a run directory (it has no config.yaml)")
    status = run.status()
    if status.get("status") == "running" and status.get("host") == socket.gethostname() and _is_alive(status["pid"]):
        raise UserError(f"{key}={path}: process {status['pid']} is still training it")
    return run


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
    return True
