"""What a run leaves behind, and how it is opened again."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
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

    def make(self, needed_bytes: int) -> None:
        """Make the directory.

        Raises:
            UserError: the place can't be written to, or its disk has less than `needed_bytes` left.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise UserError(f"output_dir: {self.path} can't be made ({error.strerror})") from error
        if free < needed_bytes:
            needed, left = needed_bytes / 1e6, free / 1e6
            if not any(self.path.iterdir()):
                self.path.rmdir()
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
        record = {"status": status, "reason": reason, "time": datetime.now().astimezone().isoformat(timespec="seconds")}
        self._write("status.json", json.dumps(record | {"pid": os.getpid()}, indent=2))

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


def plan(path: Path) -> RunDir:
    """The run directory to be made at `path`, with a number behind its name when that is taken; makes nothing."""
    number, candidate = 1, path
    # An empty directory was made for us beforehand, as Hydra makes those of a sweep's jobs.
    while candidate.exists() and any(candidate.iterdir()):
        number += 1
        candidate = path.with_name(f"{path.name}_{number}")
    return RunDir(candidate)


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
    return run


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parent.parent
    if not (source / ".git").exists():
        return None
    done = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
