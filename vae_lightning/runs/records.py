"""What a run records: config, environment, status and figures, each in its file; without torch, for reports read it."""

import ctypes
import json
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import TEXT_LIMIT, dump_yaml, load_json, load_yaml, read_text, write_atomically
from vae_lightning.disk.locks import alone_in
from vae_lightning.disk.unwritten import UNWRITABLE, overwrite, room_of
from vae_lightning.errors import UserError
from vae_lightning.likelihood.kind import is_in_nats
from vae_lightning.machine.hardware import num_cpus
from vae_lightning.runs.training_lock import trainer_of

_PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "omegaconf", "torchmetrics", "numpy", "pillow")
CHECKPOINTS = "checkpoints"
NATS = "nats per image"
TRAINING_IMAGES = "training_images"  # the key of environment.json for what `usual.described` tells of them
PROFILE = "profile.txt"  # where the time of a run with debug=profile went
GONE = "the run directory is gone; training ends here, and can be gone on with where it has been moved to, if it has"
_YAML_LIMIT = 1_000_000  # bytes: a megabyte takes seconds to read
_QUERY_PROCESS, _STILL_ACTIVE = 0x1000, 259  # of the Windows API
_SHORT = 300  # letters of a reason that take the room of one before: they fit into a block of a disk, whatever they are


def unit_of(kind: str | None) -> str:
    """What losses, ELBO and distortion of a kind of figures are in; the rate is in nats whatever they are."""
    return NATS if kind is None or is_in_nats(kind) else "per image, no nats"


@dataclass(frozen=True)
class RunDir:
    """The directory of one run; see README for what each file holds."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def best(self) -> Path:
        """The checkpoint with the highest validation ELBO, the last one where none was validated."""
        best = self.checkpoints / "best.ckpt"
        return best if best.is_file() else self.last

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    def way_on(self, lost_seconds: float = 0.0) -> str:
        """How a run that has ended early can be gone on with, and how much is done again then, in words."""
        if not self.last.is_file():
            return "before the first checkpoint"
        lost = round(lost_seconds)
        again = (
            f", the last {lost} s are done again" if lost < 120 else f", the last {lost / 60:.0f} min are done again"
        )
        return f"go on with {typed('resume', self.path)}{again if lost > 1 else ''}"

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

    def environment(self) -> dict[str, Any]:
        """What `write_environment` wrote last; empty when it never did, or what is there can't be read."""
        try:
            return _of_kind(dict, load_json(self._read("environment.json")))
        except (OSError, ValueError):  # not there yet, or cut short by a full disk
            return {}

    def origin(self) -> dict[str, Any] | None:
        """What environment.json says of the checkpoint that the weights of a run with `init_from` were taken from."""
        return self.environment().get("init_from")

    def write_status(self, status: str, reason: str | None = None) -> None:
        """Record running, finished, failed or interrupted, and why; `status.record_status` tells TensorBoard, too.

        On a full disk it takes the place of the status before, its reason cut to what there is room for.
        """
        try:
            self._write("status.json", json.dumps(stamped(status, reason), indent=2) + "\n")
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            self._overwrite_status(status, reason)

    def _overwrite_status(self, status: str, reason: str | None) -> None:
        path = self.path / "status.json"
        room, length = room_of(path), _SHORT
        while True:
            # In one line, which is shorter than the status before without a reason.
            text = json.dumps(stamped(status, reason and reason[:length])).encode() + b"\n"
            if len(text) <= room or not length:
                return overwrite(path, text)
            length //= 2

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
        recorded.pop("test/elbo_settings", None)  # of a figure that is replaced now
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


def _of_kind(kind: type, content: Any) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"it holds no {'list' if kind is list else 'keys'}")
    return content


def metrics_text(metrics: dict[str, Any]) -> str:
    """Figures as the text of a JSON file, a line each, however many numbers it has."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in metrics.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def typed(key: str, path: Path | str) -> str:
    """The override `key=path` as it can be typed: quoted for Hydra and for a POSIX shell where it needs to be."""
    return for_shell(f"{key}={as_word(str(path))}")


def as_word(text: str) -> str:
    """A text for Hydra's grammar: in quotes unless it is a plain word, and no number, nor true, false or null."""
    if re.fullmatch(r"[\w./:@%+-]+", text, re.ASCII) and not _is_a_value(text):
        return text
    # A backslash counts as one where no quote follows; an interpolation is none behind one.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return "'" + escaped.replace("${", "\\${") + "'"


def _is_a_value(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("true", "false", "null")
    return True


def for_shell(override: str) -> str:
    """An override as it can be typed in a POSIX shell, in double quotes where they do: `key="'a path'"`."""
    key, equals, value = override.partition("=")
    if not equals or shlex.quote(key) != key or shlex.quote(value) == value:
        return shlex.quote(override)
    if not re.search(r'["$`!\n]|\\(?!\')', value):
        return f'{key}="{value}"'
    if re.fullmatch(r"'[^'\"]*[^'\"\\]'", value):  # Hydra takes the other quotes, too
        return f"""{key}='"{value[1:-1]}"'"""
    return shlex.quote(override)


def stamped(status: str, reason: str | None) -> dict[str, Any]:
    """What status.json holds: a status, why, when, and of which process."""
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    process = {"host": socket.gethostname(), "pid": os.getpid(), "slurm_job": os.environ.get("SLURM_JOB_ID")}
    return {"status": status, "reason": reason, "time": time} | process


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parent.parent.parent
    if not (source / ".git").exists() or shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _is_alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid < 1:
        return False
    if os.name == "nt":
        return _runs_on_windows(pid)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return not _is_zombie(pid)


def _runs_on_windows(pid: int) -> bool:
    """Whether there is such a process there, where signal 0 would be Ctrl-C to it."""
    kernel: Any = getattr(ctypes, "windll").kernel32  # noqa: B009  (no other system has it)
    handle = kernel.OpenProcess(_QUERY_PROCESS, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    found = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return bool(found) and code.value == _STILL_ACTIVE


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and waits for its parent to take note; in a container that may be never."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no such place but on Linux
        return False
    return state == "Z"
