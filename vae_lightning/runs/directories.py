"""Run directories as folders: how one is taken, what it may be called, and how it is removed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path

from vae_lightning.disk.files import is_part, part_of, write_atomically
from vae_lightning.errors import UserError, one_line
from vae_lightning.runs.records import RunDir, stamped
from vae_lightning.runs.training_lock import COMMAND_LOCK

_MOST_BYTES = 200  # of a name: 255 are the most of a folder's, which has the time and a number, too


def check_name(name: str) -> None:
    """Raise a UserError if a run can't have this name, which becomes part of its directory's."""
    if "/" in name or "\\" in name or name in (".", ".."):
        raise UserError(f"name={one_line(name)}: is part of a folder's name, not a place; run_dir= names a place")
    _check_characters("name", name)
    if len(os.fsencode(name)) > _MOST_BYTES:
        raise UserError(f"name={name[:40]}...: has {len(os.fsencode(name))} bytes; choose at most {_MOST_BYTES}")


def check_new_place(key: str, path: Path) -> None:
    """Raise a UserError if nothing new may be made there, for programs take a line for a path."""
    _check_characters(key, str(path))


def _check_characters(key: str, text: str) -> None:
    if one_line(text) != text:
        raise UserError(f"{key}={one_line(text)}: has a line break or a control character, which a path may not have")


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
        write_atomically(claim, json.dumps(stamped("starting", None)))
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
