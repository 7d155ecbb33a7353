"""Scores of any number of images as a table and a page."""

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vae_lightning.data.class_names import Label
from vae_lightning.data.tables import counted
from vae_lightning.errors import UserError, require_at_least, require_at_most
from vae_lightning.runs.images import (
    Files,
    NamedImages,
    Split,
    given_paths,
    picture_files,
    short_names,
    stream_files,
    stream_split,
    tell_of_cuts,
)
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.detection import Detection, detection
from vae_lightning.scores.findings import Findings
from vae_lightning.scores.page import page_of
from vae_lightning.scores.rows import Rows
from vae_lightning.scores.score import AnomalyScore, ScoredBatch
from vae_lightning.scores.scoring import Values, batches_of, fitted, scored, together, usual_batches
from vae_lightning.scores.thresholds import Threshold, allowed, keep_thresholds, kept_thresholds, threshold_of
from vae_lightning.scores.truth import BAD, UNKNOWN, Truth, truth_of_files, truth_of_folders, truth_of_split
from vae_lightning.scores.worst import Worst

log = logging.getLogger("vae_lightning")

TABLE, PAGE, UNREADABLE = "scores.csv", "scores.html", "unreadable.txt"
MANIFEST = "score.json"
_MOST_SHOWN = 1000
_FEW = 10  # good images, or bad ones, that an interval says little of


@dataclass(frozen=True)
class WriteScores:
    """Scores of pictures, or of a split of the run's data: `scores.csv` and `scores.html`, the worst first.

    One batch of images is in memory at a time, and the scores and names of all. Pictures of a folder that can't be read
    are left out, counted in a warning, and listed in `unreadable.txt`; one that was named itself is an error.

    Attributes:
        images: picture files or folders; None with `good` and `bad`, or for a split of the run's data.
        good, bad: folders, or files, of which it is known; AUROC and average precision are of these.
        labels: of `images`: `folders`, or a table with the columns file and label; None for none.
        good_labels, bad_labels: of `labels`, or of the split, by number or name; all others are of the other kind. None
            for those of a class called good, normal or ok, or those that the run's training left out.
        split: of the run's data, where no pictures are given.
        batch_size: images at a time.
        num_shown: of each score so many of the worst are on the page.
        num_validation: so many validation images at most say what is usual, where that has to be known.

    Raises:
        ValueError: a number that is too small or too large.
    """

    images: str | Sequence[str] | None = None
    good: str | Sequence[str] | None = None
    bad: str | Sequence[str] | None = None
    labels: str | None = None
    good_labels: Sequence[Label] | None = None
    bad_labels: Sequence[Label] | None = None
    split: Split = "test"
    batch_size: int = 100
    num_shown: int = 50
    num_validation: int = 10_000

    def __post_init__(self) -> None:
        for name in ("batch_size", "num_shown", "num_validation"):
            require_at_least(name, getattr(self, name), 1)
        require_at_most("num_shown", self.num_shown, _MOST_SHOWN)

    def __call__(
        self, run: TrainedRun, scores: Mapping[str, AnomalyScore], false_alarms: float | None, folder: Path
    ) -> Findings:
        """Write them.

        Args:
            run: the model.
            scores: those that it has, by name; the first is the one that all is sorted by.
            false_alarms: of how many usual images may count as strange, for a threshold that is found and kept; None
                for those that are kept already.
            folder: for the files.

        Raises:
            UserError: images that can't be taken, or validation images that are needed and not there.
        """
        unreadable: list[str] = []
        truth, total, batches = self._images(run, unreadable)
        thresholds = {} if false_alarms is not None else kept_thresholds(run, scores)
        learned = {name: threshold.usual for name, threshold in thresholds.items()}
        known = {name: _with_learned(score, learned.get(name)) for name, score in scores.items()}
        ready = fitted(known, lambda: self._usual(run))
        if false_alarms is not None:
            thresholds = self._thresholds(run, ready, false_alarms)
        rows = Rows(truth, run.class_names)
        worst, parts = Worst(self.num_shown, len(ready)), []
        with _bar("scoring", total) as bar:
            for named, batch in batches_of(run, (_labelled(run, truth, named) for named in batches)):
                values = scored(ready, batch)
                worst.offer(batch, [score.strangeness(values[name]) for name, score in ready.items()])
                rows.add(named)
                parts.append(values)
                bar.update(len(named.images))
        if not parts:
            raise UserError(f"images: none can be read as a picture; the first is {unreadable[0]}")
        if false_alarms is not None:
            keep_thresholds(run, thresholds, scores)
        values = together(parts, ready)
        found, told = _detections(ready, values, rows.kinds, run.seed)
        told += _write_unreadable(folder, unreadable, total)
        result = Findings(run, ready, values, rows, thresholds, found, told)
        _write_table(folder / TABLE, result)
        (folder / PAGE).write_text(page_of(result, worst.shown()), encoding="utf-8", errors="backslashreplace")
        return result

    def _images(self, run: TrainedRun, unreadable: list[str]) -> tuple[Truth, int, Iterator[NamedImages]]:
        """What is known of the images, how many there are, and themselves."""
        if (self.good is None) != (self.bad is None):
            raise UserError("good and bad: an AUROC takes both; give the two of them, or neither")
        files = {name: self._files(run, given) for name, given in self._given.items()}
        if not files:
            if self.labels is not None:
                raise UserError("labels: are of images=, and none are given; a split has its own")
            truth = truth_of_split(run, self.split, *self._kinds)
            return truth, len(run.data.splits[self.split]), stream_split(run, self.split, self.batch_size)
        everything = [file for some in files.values() for file in some]
        names = short_names(everything)
        doubled = len(names) - len(set(names))
        if doubled:
            raise UserError(
                f"images: {counted(doubled, 'file')} given twice; each belongs to one of images, good and bad"
            )
        tell_of_cuts(everything, run.preprocessing.frame, run.preprocessing.fit)
        named = {path for given in self._given.values() for path in given_paths(given)}
        stream = stream_files(run, everything, names, named, self.batch_size, unreadable)
        return self._truth(files, names), len(everything), stream

    @property
    def _kinds(self) -> tuple[Sequence[Label] | None, Sequence[Label] | None]:
        """The labels that are good, and those that are bad; a name alone is a list of one."""
        good, bad = ([each] if isinstance(each, str) else each for each in (self.good_labels, self.bad_labels))
        return good, bad

    @property
    def _given(self) -> dict[str, Files]:
        each = {"images": self.images, "good": self.good, "bad": self.bad}
        return {name: given for name, given in each.items() if given is not None}

    def _files(self, run: TrainedRun, given: Files) -> list[Path]:
        return picture_files(given, run.preprocessing)

    def _truth(self, files: Mapping[str, list[Path]], names: Sequence[str]) -> Truth:
        if "good" in files:
            if self.labels is not None:
                raise UserError("labels, good and bad: give labels, or the two folders")
            return truth_of_folders(names, len(files.get("images", ())), len(files["good"]))
        if self.labels is None:
            if self.good_labels is not None or self.bad_labels is not None:
                raise UserError("good_labels and bad_labels: are of labels=, and none are given")
            return Truth()
        (root, *others) = given_paths(self.images or ())
        if others or not root.is_dir():
            raise UserError("labels: are of the pictures of one folder; give images=FOLDER")
        below = [file.relative_to(root).as_posix() for file in files["images"]]
        return truth_of_files(dict(zip(below, names, strict=True)), root, self.labels, *self._kinds)

    def _thresholds(
        self, run: TrainedRun, ready: Mapping[str, AnomalyScore], false_alarms: float
    ) -> dict[str, Threshold]:
        allowed(false_alarms, min(self.num_validation, len(run.data.splits["val"])))  # or all would be scored in vain
        usual = together([scored(ready, batch) for batch in self._usual(run)], ready)
        return {name: threshold_of(score, usual[name], false_alarms) for name, score in ready.items()}

    def _usual(self, run: TrainedRun) -> Iterator[ScoredBatch]:
        """Validation images, with a bar."""
        total = min(self.num_validation, len(run.data.splits["val"]))
        with _bar("validation images", total) as bar:
            for batch in usual_batches(run, self.num_validation, self.batch_size):
                yield batch
                bar.update(len(batch.x))


def _bar(what: str, total: int) -> tqdm:
    return tqdm(total=total, desc=what, unit=" images", leave=False, disable=None, dynamic_ncols=True)


def _with_learned(score: AnomalyScore, learned: float | None) -> AnomalyScore:
    return score if learned is None else score.with_learned(learned)


def _labelled(run: TrainedRun, truth: Truth, images: NamedImages) -> NamedImages:
    """Pictures with the labels that are known of them, for a model that is told labels of these very names."""
    if run.vae.num_classes is None or truth.labels is None or truth.names != run.class_names:
        return images
    return replace(images, labels=truth.of(images.names, None)[1])


def _detections(
    scores: Mapping[str, AnomalyScore], values: Values, kinds: np.ndarray, seed: int
) -> tuple[dict[str, Detection], list[str]]:
    """How well each score tells them apart where it is known, and what is to be told where it can't be said."""
    known = kinds != UNKNOWN
    if not known.any():
        return {}, []
    num_bad = int((kinds == BAD).sum())
    num_good = int(known.sum()) - num_bad
    if not num_bad or not num_good:
        return {}, [f"no AUROC: it takes good and bad images, and there are {num_good:,} and {num_bad:,}"]
    few = min(num_good, num_bad) < _FEW
    told = [f"intervals of {num_good:,} good and {num_bad:,} bad images say little: they are few"] if few else []
    found = {}
    for name, score in scores.items():
        strangeness = score.strangeness(values[name][known])
        try:
            found[name] = detection(strangeness, kinds[known] == BAD, seed)
        except ValueError as error:
            told.append(f"no AUROC of {name}: {error}")
    return found, told


def _write_table(file: Path, result: Findings) -> None:
    columns = result.columns()
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for row in result.order.tolist():
            writer.writerow([column[row] for column in columns.values()])


def _write_unreadable(folder: Path, unreadable: Sequence[str], total: int) -> list[str]:
    if not unreadable:
        return []
    lines = "".join(f"{line}\n" for line in unreadable)
    (folder / UNREADABLE).write_text(lines, encoding="utf-8", errors="surrogateescape")
    return [f"{len(unreadable):,} of {total:,} pictures can't be read and are left out; see {UNREADABLE}"]
