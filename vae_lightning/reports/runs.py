"""Reads run directories into records; what is missing or damaged is told in the record and never stops the others."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.disk.files import check_within
from vae_lightning.errors import UserError, first_line
from vae_lightning.reports.curves import Curve, read_curves
from vae_lightning.reports.settings import Setting, flatten, typed_settings
from vae_lightning.reports.wording import visible
from vae_lightning.runs.records import RunDir

if TYPE_CHECKING:
    from vae_lightning.runs.tested_images import TestImages

TRAINING = "training"  # the GIF; the folder of that name has its frames
FIRST_PICTURES = ("traversals", "latent_units", "reconstructions", "samples", TRAINING)
_KIND = re.compile(r"[A-Za-z]\w{0,39}", re.ASCII)
_MOST_KINDS = 24
_FILES = ("config.yaml", "status.json", "overrides.yaml", "metrics.json", "metrics.csv")
_HUGE = 1e300  # no figure: sums and differences of such would be none


@dataclass(frozen=True)
class RunRecord:
    """What one run directory tells.

    Attributes:
        name: the directory's name, for a job of a sweep its number; unique among the runs of a report.
        status: starting, running, finished, failed, interrupted; unknown where no file says it, unreadable where
            a file that was to say something is damaged.
        reason: why it is not finished, or what is damaged; empty where there is nothing to say.
        settings: the config as dotted keys and plain values, without places.
        typed: what was typed on the command line, None where that is not known.
        metrics: the finite figures of metrics.json, by name.
        kind: what the test figures are (a log-likelihood, a log-density, ...), None where there was no test.
        curves: metric -> (epoch, value) of what was logged while training, in order of the epochs.
        pictures: kind, as traversals, samples or training -> the newest file of it.
        tags: words by which the run is to be found.
        overrides: what was typed, word by word as it was.
    """

    path: Path
    name: str
    status: str
    reason: str
    settings: Mapping[str, Setting]
    typed: Mapping[str, Setting] | None
    metrics: Mapping[str, float]
    kind: str | None
    curves: Mapping[str, Curve]
    pictures: Mapping[str, Path]
    tags: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @cached_property
    def groups(self) -> frozenset[str]:
        """The keys that hold other keys: `model` and `model.encoder` where there is a `model.encoder.hidden`."""
        parts = (key.split(".") for key in self.settings)
        return frozenset(".".join(names[:depth]) for names in parts for depth in range(1, len(names)))

    @cached_property
    def test_images(self) -> "TestImages | None":
        """The test ELBO of each image; None where it is not recorded, or can't be read."""
        # Imported here: `--help` must be answered without numpy and Pillow.
        from vae_lightning.runs.tested_images import read_test_images

        return read_test_images(RunDir(self.path))

    @property
    def has_failed(self) -> bool:
        """Whether there is nothing to expect of it."""
        return self.status in ("failed", "unreadable")

    @property
    def val_elbo(self) -> float | None:
        """The highest plain validation ELBO: of the whole run, or as far as a run that was cut short came."""
        if "val/elbo" in self.metrics:
            return self.metrics["val/elbo"]
        return max((value for _, value in self.curves.get("val/elbo", [])), default=None)


def is_run(path: Path) -> bool:
    """Whether a directory holds anything that a run leaves; an empty one, as Hydra makes for a job, does not."""
    return any((path / name).is_file() for name in _FILES)


def find_runs(sweep: Path) -> list[Path]:
    """The run directories in a sweep's directory, by job number, then those with other names."""
    runs = [entry for entry in sweep.iterdir() if entry.is_dir() and is_run(entry)]
    return sorted(runs, key=lambda run: (not run.name.isdecimal(), int(run.name) if run.name.isdecimal() else 0, run))


def runs_of_sweep(sweep: Path) -> list[Path]:
    """`find_runs` for a directory that a user named.

    Raises:
        UserError: no such directory, a run's instead of a sweep's, or one without any run.
    """
    if not sweep.is_dir():
        raise UserError(f"sweep={sweep}: no such directory")
    runs = find_runs(sweep)
    if not runs and is_run(sweep):
        raise UserError(f"sweep={sweep}: this is a run, not a sweep; runs=[{sweep}] makes a report on it")
    if not runs:
        raise UserError(f"sweep={sweep}: there is no run in it (a folder with a config.yaml)")
    return runs


def given_runs(patterns: list[str]) -> list[Path]:
    """The run directories that a user named, a pattern's in the order of their names.

    Raises:
        UserError: a name that is no directory or no run's, or a pattern that no run's directory fits.
    """
    runs: list[Path] = []
    for pattern in patterns:
        literal = Path(pattern).is_dir()  # its name may hold a bracket or a star
        found = [Path(pattern)] if literal else [Path(match) for match in sorted(glob(pattern, recursive=True))]
        kept = [path for path in found if path.is_dir() and is_run(path)]
        if not kept:
            problem = "there is no run directory by that name" if found else "no such directory"
            raise UserError(f"runs={pattern}: {problem}")
        runs += kept
    return runs


def read_runs(directories: list[Path]) -> list[RunRecord]:
    """One record a directory, in the given order; a directory that was given twice counts once."""
    unique = list({path.resolve(): path for path in directories}.values())
    return [_read(path, name) for path, name in zip(unique, _visible_names(unique), strict=True)]


def _visible_names(directories: list[Path]) -> list[str]:
    """Names that may be printed: numbered where they differ only in what doesn't show."""
    names = [visible(name) for name in _names(directories)]
    return names if len(set(names)) == len(names) else [f"{place}: {name}" for place, name in enumerate(names)]


def _names(directories: list[Path]) -> list[str]:
    paths = [path.resolve() for path in directories]
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    shared = os.path.commonpath([path.parent for path in paths])
    return [Path(os.path.relpath(path, shared)).as_posix() for path in paths]


def _read(path: Path, name: str) -> RunRecord:
    run, problems = RunDir(path), _Problems()
    config = problems.read("config.yaml", run.config, dict)
    status = problems.read("status.json", run.real_status, dict)
    metrics = problems.read("metrics.json", run.metrics, dict) or {}
    unreadable = bool(problems.messages)  # what follows can be done without
    overrides = problems.read("overrides.yaml", run.overrides, list)
    curves = problems.read("metrics.csv", lambda: read_curves(path / "metrics.csv"), dict) or {}
    kind = metrics.get("test/kind")
    return RunRecord(
        path=path,
        name=name,
        status="unreadable" if unreadable else visible(str((status or {}).get("status") or "unknown")),
        reason=visible("; ".join([*problems.messages, *_reasons(path, status)])),
        settings=_visible(flatten(config or {})),
        typed=None if overrides is None else _visible(typed_settings([str(override) for override in overrides])),
        metrics=_figures(metrics),
        kind=(visible(kind) or None) if isinstance(kind, str) else None,
        curves=curves,
        pictures=_pictures(path),
        tags=_tags((config or {}).get("tags")),
        overrides=tuple(visible(str(override)) for override in overrides or []),
    )


def _tags(value: Any) -> tuple[str, ...]:
    return tuple(visible(tag) for tag in value if isinstance(tag, str)) if isinstance(value, list) else ()


def _visible(settings: dict[str, Setting]) -> dict[str, Setting]:
    """Keys and texts on one line each: a stranger may have written them for a terminal, or a spreadsheet, to obey."""
    return {visible(key): visible(value) if isinstance(value, str) else value for key, value in settings.items()}


def _reasons(path: Path, status: dict[str, Any] | None) -> list[str]:
    if not path.is_dir():
        return ["no such directory"]
    if not (path / "status.json").is_file():
        return ["no status.json"]
    return [str(status["reason"])] if status and status.get("reason") else []


class _Problems:
    """Collects what is wrong with the files of one run."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def read(self, file: str, reader: Callable[[], Any], expected: type) -> Any:
        """What the reader returns; None where there is no such file, or it is damaged, which is noted."""
        try:
            value = reader()
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged file raises whatever its parser trips over
            told = first_line(error)
            self.messages.append(f"{file} can't be read ({told})")
            return None
        if isinstance(value, expected):
            return value
        self.messages.append(f"{file} can't be read (it holds no {'list' if expected is list else 'keys'})")
        return None


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    """Of a test of one image without the standard errors of 0 that earlier versions have stored."""
    left = ("_stderr",) if metrics.get("test/num_images") == 1 else ()
    return {key: float(value) for key, value in metrics.items() if _is_figure(value) and not key.endswith(left)}


def _is_figure(value: Any) -> bool:
    # JSON's integers may be longer than any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and -_HUGE < value < _HUGE


def _pictures(path: Path) -> dict[str, Path]:
    """Of each kind, a folder in images, the newest still; and the training GIF."""
    folders = sorted((path / "images").glob("*/")) if (path / "images").is_dir() else []
    kinds = [folder.name for folder in folders if _KIND.fullmatch(folder.name) and folder.name != TRAINING]
    found = {kind: list((path / "images" / kind).glob("*.png")) for kind in kinds[:_MOST_KINDS]}
    found[TRAINING] = [path / "training.gif"]
    own = {name: [file for file in files if _is_own(file, path)] for name, files in found.items()}
    return {name: max(files, key=_epoch) for name, files in own.items() if files}


def _is_own(file: Path, run: Path) -> bool:
    """Whether it is a file of this run: a link may lead to a picture that nobody meant to show."""
    try:
        check_within(file, run)
    except ValueError:
        return False
    return file.is_file()


def _epoch(picture: Path) -> tuple[int, str]:
    # As a number: epoch_10000 is newer than epoch_9999.
    digits = re.findall(r"\d+", picture.stem)
    return (int(digits[-1]) if digits else -1, picture.name)
