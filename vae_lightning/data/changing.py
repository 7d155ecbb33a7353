"""Files that change while they are decoded: what was made of them is not taken for what they were before."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vae_lightning.data.cache import build_unless
from vae_lightning.data.picture_files import PictureFile

logger = logging.getLogger(__name__)

_CHANGED = "changed"


def build_of_files(target: Path, build: Callable[[Path], None], *, resumes: bool) -> Path:
    """As `cache.build_once`, and anew in place of what was made of files that were changed meanwhile."""
    return target if is_of_its_files(target) else build_unless(is_of_its_files, target, build, resumes=resumes)


def is_of_its_files(folder: Path) -> bool:
    """Whether a folder of the cache is there, made of the files that its name stands for."""
    return folder.exists() and not os.path.lexists(folder / _CHANGED)


def note_changed(folder: Path, root: Path, files: Sequence[PictureFile], source: str) -> None:
    """Warn of files that are others than those that were found, or gone, and mark what was made of them.

    The run that has made it uses it. The next one does not, even if the files are by then what they were: the name
    stands for those.

    Args:
        folder: that was made of them.
        root: where they lie, or a file of arrays that all of them lie in.
        files: as they were found.
        source: how messages call them.
    """
    is_file, folder_of_files = root.is_file(), os.path.join(root, "")
    looked_at = files[:1] if is_file else files
    # Paths are strings, for there may be millions.
    places = (str(root) if is_file else folder_of_files + file.name.replace("/", os.sep) for file in looked_at)
    others = [file.name for place, file in zip(places, looked_at, strict=True) if _is_other(place, file)]
    if others:
        (folder / _CHANGED).touch()
        count = f"{len(others):,} of {len(looked_at):,} files"
        told = "%s: %s were changed or taken away while they were decoded, the first %r; the next run decodes anew"
        logger.warning(told, source, count, others[0])


def _is_other(path: str, file: PictureFile) -> bool:
    try:
        facts = os.stat(path)
    except OSError:
        return True
    return (facts.st_size, facts.st_mtime_ns) != (file.size, file.modified)
