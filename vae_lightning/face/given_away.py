"""Writes a model as a folder to give away, for Python code."""

import os
from pathlib import Path
from typing import Any, get_args

from vae_lightning.errors import ArgumentError
from vae_lightning.exports.shared_folder import Precision, WriteSharedFolder
from vae_lightning.reports.runs import is_run
from vae_lightning.runs.generated import output_folder
from vae_lightning.runs.trained import TrainedRun


def give_away(run: TrainedRun, folder: Any, dtype: Any, license: Any, overwrite: Any) -> Path:
    """The folder, written.

    Raises:
        ArgumentError: no path, a run's directory or a folder that is not empty, no such dtype, no name of a licence, or
            no yes or no.
        UserError: the folder can't be written to.
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ArgumentError(f"folder: expected a path, got {folder!r}")
    if dtype not in get_args(Precision):
        raise ArgumentError(f"dtype: expected one of {', '.join(get_args(Precision))}, got {dtype!r}")
    if not isinstance(license, str | None):
        raise ArgumentError(f"license: expected a name, such as mit, got {license!r}")
    if not isinstance(overwrite, bool):
        raise ArgumentError(f"overwrite: expected True or False, got {overwrite!r}")
    try:
        write = WriteSharedFolder(dtype=dtype, license=license)
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    out = Path(os.path.expanduser(folder))
    if is_run(out):
        raise ArgumentError(f"folder: {out} is a run's directory; give a folder of its own")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise ArgumentError(f"folder: {out} is not empty; overwrite=True replaces what was written there before")
    facts: dict[str, Any] = {"format": "safetensors"}
    with output_folder(out, overwrite, facts, write.manifest) as staging:
        facts |= write(run, staging)
    return out
