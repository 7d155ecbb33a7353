"""A sweep's start: what can't be swept is refused, and every job is told the same place; and how it is gone on with."""

import math
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, flag_override
from omegaconf.errors import OmegaConfBaseException

from vae_lightning.disk.files import check_entries
from vae_lightning.errors import UserError
from vae_lightning.reports.best import BEST
from vae_lightning.runs.directories import check_name, check_new_place
from vae_lightning.runs.latest import LATEST
from vae_lightning.runs.records import typed
from vae_lightning.runs.resuming import PLACES

_OF_ONE_RUN = {
    "resume": "a sweep trains runs of its own; sweep=<its directory> goes on with one",
    "run_dir": "the jobs of a sweep lie in its directory, sweep_dir",
}


_NEWEST = {LATEST, f"{BEST}{LATEST}"}


class RefusedSweep(BaseException):
    """Carries an error past Hydra, which makes a mere warning of an Exception that a callback raises."""

    def __init__(self, error: UserError):
        super().__init__(error)
        self.error = error


class PrepareSweep(Callback):
    """Hydra's callback at the start of a sweep; `directories` has the sweep's directory from then on.

    `missing` are those folders of its path, the deepest first, that were not there before.
    """

    directories: ClassVar[list[Path]] = []
    missing: ClassVar[list[Path]] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check the sweep and pin what each job would otherwise find out anew.

        Raises:
            RefusedSweep: an override that can't be swept, or a directory that can't be made.
        """
        try:
            directory, name = Path(config.hydra.sweep.dir), str(config.get("name", ""))
        except OmegaConfBaseException:  # is raised again where it is told
            return
        overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        try:
            check_name(name)
            check_new_place("sweep_dir", directory)
            _check(overrides)
            PrepareSweep.missing[:] = _check_place(directory)
        except UserError as error:
            raise RefusedSweep(error) from error
        # The jobs would read the place with their own choices in the name, and their own time.
        quoted = QuotedString(str(directory), Quote.single).with_quotes()
        pinned = [f"hydra.sweep.dir={quoted}"]
        if config.hydra.launcher["_target_"].endswith(".JoblibLauncher"):
            pinned.append(f"hydra.launcher.n_jobs={_at_once(config, overrides)}")
        with flag_override(config, ["readonly", "struct"], False):
            config.hydra.overrides.hydra.extend(pinned)
        PrepareSweep.directories[:] = [directory]


def _check(overrides: list[Override]) -> None:
    for override in overrides:
        key = override.get_key_element()
        if key in _OF_ONE_RUN:
            raise UserError(f"{override.input_line}: {_OF_ONE_RUN[key]}")
        if key == "init_from" and not _NEWEST.isdisjoint(_typed(override)):
            raise UserError(f"{override.input_line}: each job of a sweep would find another; name the run")
        if override.is_sweep_override() and key in PLACES:
            raise UserError(f"{override.input_line}: {key} can't be swept, for it changes nothing that is trained")
        if override.is_choice_sweep() and len(set(_values(override))) < len(_values(override)):
            raise UserError(f"{override.input_line}: a value is given twice")


def _typed(override: Override) -> list[str]:
    """All values that it may take, as text."""
    return _values(override) if override.is_choice_sweep() else [str(override.value())]


def _values(override: Override) -> list[str]:
    return list(override.sweep_string_iterator())


def _check_place(directory: Path) -> list[Path]:
    """Make it and take it away again, and return what was missing; what is there must not lead elsewhere."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"sweep_dir: {directory} can't be made ({error.strerror})") from error
    try:
        check_entries(directory, _is_of_a_sweep)  # a user's own links may lie beside
    except (OSError, ValueError) as error:
        raise UserError(f"sweep_dir: {directory} can't be used: {error}") from error
    _remove(missing)
    return missing


def _is_of_a_sweep(name: str) -> bool:
    return name.isdigit() or name.startswith((".", "multirun.yaml", "study.log"))


def _remove(places: list[Path]) -> None:
    for place in places:
        with suppress(OSError):  # another sweep has moved in
            place.rmdir()


def forget_sweep() -> None:
    """Remove what Hydra has made for a sweep of which no job could be composed."""
    for directory in PrepareSweep.directories:
        if directory in PrepareSweep.missing and [path.name for path in directory.glob("*")] == ["multirun.yaml"]:
            (directory / "multirun.yaml").unlink()
            _remove(PrepareSweep.missing)


def _at_once(config: DictConfig, overrides: list[Override]) -> int:
    """How many jobs joblib will run at a time: no more than there are, or cores would wait for none."""
    from joblib import effective_n_jobs

    wanted = effective_n_jobs(config.hydra.launcher.n_jobs)
    swept = [override for override in overrides if override.is_sweep_override()]
    if not all(override.is_choice_sweep() for override in swept):  # a search, or what only Hydra can count
        return wanted
    return min(wanted, math.prod(len(_values(override)) for override in swept))


def go_on() -> str:
    """The command that goes on with the sweep, as it can be typed."""
    again = [argument for argument in sys.argv[1:] if not argument.startswith("sweep=")]
    return (
        f"{shlex.join(['python', '-m', 'vae_lightning.train', *again])} {typed('sweep', PrepareSweep.directories[0])}"
    )
