"""The latents of images as tables, for whatever comes next."""

import csv
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.encoding import encode
from vae_lightning.runs.images import (
    NamedImages,
    Split,
    given_paths,
    picture_files,
    short_names,
    stream_files,
    stream_split,
)
from vae_lightning.runs.trained import TrainedRun

log = logging.getLogger("vae_lightning")

_PLURAL = {
    "file": "files",
    "index": "indices",
    "label": "labels",
    "class": "classes",
}  # in the .npz; `file` is the name of an argument of savez


@dataclass(frozen=True)
class WriteEncodings:
    """Posterior means and scales of images, with their names, labels and factors: `posterior.npz` and `posterior.csv`.

    Of a hierarchy all groups lie side by side, the top one first; `group_dims` in the .npz are their widths.

    One batch of images is in memory at a time. Pictures of a folder that can't be read are left out, counted in a
    warning, and listed in `unreadable.txt`; one that was named itself is an error.

    Attributes:
        images: picture files or folders, in place of a split of the run's data.
        split: of the run's data.
        batch_size: images at a time.

    Raises:
        ValueError: `batch_size` is below 1.
    """

    images: str | Sequence[str] | None = None
    split: Split = "test"
    batch_size: int = 500

    def __post_init__(self) -> None:
        require_at_least("batch_size", self.batch_size, 1)

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        unreadable: list[str] = []
        if self.images is None:
            total, batches = len(run.data.splits[self.split]), stream_split(run, self.split, self.batch_size)
        else:
            files, named = picture_files(self.images, run.preprocessing), set(given_paths(self.images))
            total, batches = (
                len(files),
                stream_files(run, files, short_names(files), named, self.batch_size, unreadable),
            )
        progress = tqdm(batches, "encoding", -(-total // self.batch_size), unit="batch", disable=None, leave=False)
        if not _save(run, folder, iter(progress)):
            raise UserError(f"images: none can be read as a picture; the first is {unreadable[0]}")
        if unreadable:
            lines = "".join(f"{line}\n" for line in unreadable)
            (folder / "unreadable.txt").write_text(lines, encoding="utf-8", errors="surrogateescape")
            log.warning("%d of %d pictures can't be read and are left out; see unreadable.txt", len(unreadable), total)


def _save(run: TrainedRun, folder: Path, batches: Iterator[NamedImages]) -> bool:
    """Whether there was anything to write."""
    arrays: dict[str, list[Any]] = {}
    with (folder / "posterior.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream)
        for batch in batches:
            latents = encode(run.vae, batch.images, batch.told(run))
            scale = {} if latents.scale is None else {"scale": latents.scale.numpy()}
            columns = batch.columns | {"loc": latents.loc.numpy()} | scale
            if not arrays:
                writer.writerow(_header(columns))
            writer.writerows(_rows(columns))
            for name, values in columns.items():
                arrays.setdefault(name, []).append(values)
    if not arrays:
        return False
    together: dict[str, Any] = {_PLURAL.get(name, name): np.concatenate(parts) for name, parts in arrays.items()}
    if run.vae.num_groups > 1:
        together["group_dims"] = np.array(run.vae.group_dims)
    np.savez(folder / "posterior.npz", **together)
    return True


def _header(columns: dict[str, np.ndarray]) -> list[str]:
    """loc_0, loc_1, ... for what has a column a dimension."""
    return [
        title
        for name, values in columns.items()
        for title in ([name] if values.ndim == 1 else [f"{name}_{dim}" for dim in range(values.shape[1])])
    ]


def _rows(columns: dict[str, np.ndarray]) -> Iterable[list[Any]]:
    parts = [values[:, None] if values.ndim == 1 else values for values in columns.values()]
    for row in zip(*(part.tolist() for part in parts), strict=True):
        yield [value for cells in row for value in cells]
