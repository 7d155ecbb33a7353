"""The folder that a command writes: whole or not at all, and never over what it has not written itself."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import load_json, part_of, read_text, write_atomically
from vae_lightning.errors import UserError
from vae_lightning.runs.shared import CONFIG, FORMAT, SHARED_FILES

MANIFEST = "generate.json"
_MOST_BYTES = 256_000_000  # of it: a million names


def own_folder(wanted: Path, overwrite: bool) -> Path:
    """The folder for what nobody has named a place for: that one, or the first numbered one that is free.

    Args:
        wanted: such as generated/samples in a run directory.
        overwrite: whether what is in it is to be replaced.
    """
    if overwrite:
        return wanted
    numbered = (wanted.with_name(f"{wanted.name}_{number}") for number in count(2))
    return next(folder for folder in chain([wanted], numbered) if _is_free(folder))


def _is_free(folder: Path) -> bool:
    return not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))


@contextmanager
def output_folder(out: Path, overwrite: bool, facts: dict[str, Any], manifest: str = MANIFEST) -> Iterator[Path]:
    """An empty folder to write into, whose files are moved to `out` once the block has ended well.

    A file of facts lists them there. When an earlier one is overwritten, what it lists goes.

    Args:
        out: the folder wanted.
        overwrite: whether it may hold something already.
        facts: plain data to tell where the files come from; the block may add to them.
        manifest: the name of that file.

    Raises:
        UserError: `out` is not empty and may not be overwritten, or can't be written to.
    """
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UserError(
            f"out={out}: is not empty; overwrite=true replaces what was generated there, or give another out"
        )
    # Inside a folder that is there already: its parent may be another disk, or read-only.
    staging = part_of((out if out.is_dir() else out.parent) / out.name)
    missing = [parent for parent in out.parents if not parent.exists()]
    try:
        if os.path.lexists(out) and not out.is_dir():  # a link that leads nowhere, too
            raise NotADirectoryError(0, "there is a file of that name")
        staging.mkdir(parents=True)
    except OSError as error:
        _remove_empty(missing)
        raise UserError(f"out={out}: can't be written to ({error.strerror})") from error
    try:
        yield staging
        files = sorted(path.name for path in staging.iterdir())
        _check_foreign(out, files, manifest)
        write_atomically(staging / manifest, json.dumps(facts | {"files": files}, indent=2))
        _replace(out, staging, manifest)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(f"out={out}: the disk is full") from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(missing)


def _check_foreign(out: Path, files: list[str], manifest: str) -> None:
    """Raise a UserError if a file of the same name is there that no earlier command has written."""
    written = _written(out, manifest)
    others_have = manifest != MANIFEST and not written  # such a name, where it lists nothing
    made = [*files, manifest] if others_have else files
    foreign = [name for name in made if name not in written and os.path.lexists(out / name)]
    if foreign:
        raise UserError(f"out={out}: {foreign[0]} is there already, and was not generated; move it or give another out")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it holds the output, or something else by now
            folder.rmdir()


def _replace(out: Path, staging: Path, manifest: str) -> None:
    out.mkdir(exist_ok=True)
    for name in _written(out, manifest):
        (out / name).unlink(missing_ok=True)
    for path in staging.iterdir():
        os.replace(path, out / path.name)


def _written(out: Path, manifest: str) -> list[str]:
    """The files that an earlier command has written, and nothing outside of the folder whatever the list says."""
    try:
        facts = load_json(read_text(out / manifest, _MOST_BYTES))
        if manifest == CONFIG and facts["format"] != FORMAT:  # another program's file of that name may list anything
            return []
        names = facts["files"] if manifest != CONFIG else [name for name in facts["files"] if name in SHARED_FILES]
        return [name for name in names if Path(name).name == name and not (out / name).is_dir()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def listed(folder: Path, manifest: str = MANIFEST) -> list[str]:
    """What was written to an output folder, by kind: of files that are numbered the first, the last and how many."""
    numbered: dict[str, list[str]] = {}
    for name in sorted(_written(folder, manifest)):
        numbered.setdefault(re.sub(r"\d{4,}", "", name), []).append(name)
    return [
        names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names):,} files)"
        for names in numbered.values()
    ]
