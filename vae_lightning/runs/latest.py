"""The newest run and the newest sweep in the folder of all runs, which are called `latest`."""

import logging
import os
from contextlib import suppress
from pathlib import Path

from vae_lightning.errors import UserError
from vae_lightning.machine.world import given_world
from vae_lightning.runs.records import CHECKPOINTS

log = logging.getLogger("vae_lightning")
LATEST = "latest"
_RUNS = ("*/status.json", "*/*/status.json", "sweeps/*/*/*/status.json")
_SWEEPS = ("*/multirun.yaml", "*/*/multirun.yaml", "sweeps/*/*/multirun.yaml")


def latest_run(output_dir: Path) -> Path | None:
    """The run directory below the folder of all runs, a sweep's job among them, whose status has changed last.

    One without a checkpoint, which can be neither opened nor gone on with, does not count.
    """
    with_times = []
    for status in (file for pattern in _RUNS for file in output_dir.glob(pattern)):
        with suppress(OSError):  # a run that was refused is removed again
            has_checkpoint = any((status.parent / CHECKPOINTS).glob("*.ckpt"))
            if has_checkpoint and (status.parent / "config.yaml").is_file():
                with_times.append((status.stat().st_mtime, status.parent))
    return max(with_times)[1] if with_times else None


def named_latest(path: str, key: str, output_dir: str = "outputs") -> str:
    """The directory of the newest run where a run is called `latest`, else the path as it is.

    Args:
        path: either of these; a directory that is called latest is one.
        key: the config key that named it, for the messages.
        output_dir: the folder of all runs.

    Raises:
        UserError: there is no run with a checkpoint yet, or there are several ranks.
    """
    if path != LATEST or os.path.lexists(path):
        return path
    if given_world().size > 1:
        raise UserError(f"{key}={LATEST}: ranks might find different ones; name the run's directory")
    latest = latest_run(Path(output_dir))
    if latest is None:
        raise UserError(f"{key}={LATEST}: no run in {output_dir} has a checkpoint; name a run's directory")
    log.info("%s=%s: %s", key, LATEST, latest)
    return str(latest)


def named_sweep(path: str, said: str = "sweep=", output_dir: str = "outputs") -> str:
    """What a sweep is called by: its directory, or `latest` for the one of which a job's status has changed last.

    One of which no job has begun does not count.

    Args:
        path: either of these; a directory that is called latest is one.
        said: what was typed before it, for the messages.
        output_dir: the folder of all runs.

    Raises:
        UserError: there is no sweep yet, or there are several ranks.
    """
    if path != LATEST or os.path.lexists(path):
        return path
    if given_world().size > 1:
        raise UserError(f"{said}{LATEST}: ranks might find different ones; name the sweep's directory")
    with_times = []
    for file in (file for pattern in _SWEEPS for file in Path(output_dir).glob(pattern)):
        with suppress(OSError):
            changes = [job.stat().st_mtime for job in file.parent.glob("*/status.json")]
            with_times += [(max(changes), file.parent)] if changes else []
    if not with_times:
        raise UserError(f"{said}{LATEST}: there is no sweep in {output_dir}; name a sweep's directory")
    latest = max(with_times)[1]
    log.info("%s%s: %s", said, LATEST, latest)
    return str(latest)
