"""How a run directory is opened: what is looked at before anything of it is believed."""

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import check_contents
from vae_lightning.errors import UserError
from vae_lightning.runs.latest import named_latest
from vae_lightning.runs.records import CHECKPOINTS, RunDir
from vae_lightning.runs.training_lock import naming, trainer_of

EXAMPLES = Path(__file__).parent.parent / "examples"  # models that come with the package


def examples() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(file.parent.name for file in EXAMPLES.glob("*/config.json"))


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
        raise UserError(f"{named}: {_no_directory(run.path)}")
    if (run.path / "multirun.yaml").is_file() and not os.path.lexists(run.path / "config.yaml"):
        raise UserError(f"{named}: is a sweep's directory; choose one of its jobs, as in {key}={run.path / '0'}")
    if not os.path.lexists(run.path / "config.yaml"):
        lacks = "model.safetensors" if os.path.lexists(run.path / "config.json") else "config.yaml"
        raise UserError(f"{named}: not a run directory (it has no {lacks})")
    check_safe(run, named)
    _read_to_check("config.yaml", run.config, named)
    if idle:
        _read_to_check("overrides.yaml", run.overrides, named)
        check_idle(run, named)
    return run


def named_run(path: str, key: str, output_dir: str = "outputs") -> tuple[str, str | None]:
    """What a run is called by: its directory, a checkpoint in it, or `latest` for the newest one there is.

    Args:
        path: any of these; a directory that is called latest is one.
        key: the config key that named it, for the messages.
        output_dir: the folder of all runs.

    Returns:
        the run directory; and the name or the path of the checkpoint, None where none was named.

    Raises:
        UserError: as `named_latest`.
    """
    latest = named_latest(path, key, output_dir)
    if latest != path:
        return latest, None
    file = Path(path)
    is_own = file.suffix == ".ckpt" and file.is_file() and file.parent.name == CHECKPOINTS
    if not is_own or not os.path.lexists(file.parent.parent / "config.yaml"):
        return path, None
    return str(file.parent.parent), file.stem if file.stem in ("best", "last") else path


def _no_directory(path: Path) -> str:
    if not path.is_file():
        meant = get_close_matches(str(path), examples(), 1, 0.8)
        return "no such directory" + (f"; did you mean the example {meant[0]}?" if meant else "")
    if not os.path.lexists(path.parent / "config.yaml"):
        is_of_a_model = path.suffix == ".safetensors"
        return f"is a file; give its folder, {path.parent}" if is_of_a_model else "is a file, no run directory"
    return f"is a file of a run; give the run's directory, {path.parent}"


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


def check_idle(run: RunDir, what: str) -> None:
    """Raise a UserError, which begins with `what`, if a process is training the run."""
    if run.is_training():
        status = run.status()
        trainer = trainer_of(run.path)
        by_status = f"process {status.get('pid')} on {status.get('host')}"
        way_out = "" if trainer else " (if it is not, remove its status.json)"
        raise UserError(f"{naming(what, run.path)}: {trainer or by_status} is still training it{way_out}")
