"""A report that is written anew while its runs are trained."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vae_lightning.errors import UserError
from vae_lightning.reports.report import Report, write_report
from vae_lightning.runs.records import RunDir

RELOAD_S = 15  # after which a page that is being watched loads itself anew
_LOOK_S = 3.0
_PATIENCE = 10  # looks without a run in training, after which none is expected any more
_SHARE = 0.2  # of the time, which writing the report may take: training needs the cores
_WATCHED = ("status.json", "metrics.csv", "metrics.json", "config.yaml")


def watched_reports(
    find: Callable[[], list[Path]], output: Path, title: str, *, look_s: float = _LOOK_S
) -> Iterator[Report]:
    """Write the report whenever something has changed in its runs, until none of them is trained any more.

    Args:
        find: the run directories that there are now, maybe none yet.
        output, title: as of `write_report`.
        look_s: seconds between two looks.

    Yields:
        what was written, each time. The last page, which is also written when it is interrupted, does not load itself
        anew any more.
    """
    directories = _found(find, output)
    try:
        before, quiet = None, 0
        while quiet < _PATIENCE:
            started = time.monotonic()
            directories = _found(find, output)
            quiet = 0 if any(RunDir(path).is_training() for path in directories) else quiet + 1
            state = _state(directories)
            if directories and state != before:
                before = state
                yield write_report(directories, output, title, reload_s=RELOAD_S)
            time.sleep(max(look_s, (time.monotonic() - started) * (1 / _SHARE - 1)) if quiet == 0 else look_s)
    except (KeyboardInterrupt, GeneratorExit):
        if directories:
            write_report(directories, output, title)
        raise
    if directories:
        yield write_report(directories, output, title)


def _found(find: Callable[[], list[Path]], output: Path) -> list[Path]:
    try:
        return find()
    except OSError as error:
        raise UserError(f"{output}: its runs can't be looked for any more ({error.strerror or error})") from error


def _state(directories: list[Path]) -> list[tuple[str, int, int]]:
    """What changes when there is something new to see."""
    found = []
    for file in (path / name for path in directories for name in _WATCHED):
        try:
            stat = file.stat()
        except OSError:  # not there yet
            continue
        found.append((str(file), stat.st_mtime_ns, stat.st_size))
    return found
