"""Which of the images that are scored are good and which are bad, where that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae_lightning.data.class_names import Label, Names, label_number
from vae_lightning.data.labelling import FOLDERS, Labelling
from vae_lightning.errors import UserError
from vae_lightning.runs.trained import TrainedRun

_USUAL = ("good", "normal", "ok")  # names of a class whose images nothing is wrong with
UNKNOWN, GOOD, BAD = -1, 0, 1


@dataclass(frozen=True)
class Truth:
    """What is known of the images before they are scored.

    Attributes:
        labels: the number of each one's class; None where none is known.
        names: of the classes, by number.
        bad: numbers of the classes that are bad, where it is known.
        of_file: whether each file is good or bad, by its name, where folders say so.
    """

    names: Names = None
    bad: frozenset[int] | None = None
    labels: dict[str, int] | None = None
    of_file: dict[str, int] | None = None

    def of(self, names: Sequence[Any], labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """GOOD, BAD or UNKNOWN of each image, and its label where it has one.

        Args:
            names: of the images.
            labels: that the data give them.
        """
        if self.of_file is not None:
            return np.array([self.of_file[name] for name in names], dtype=np.int64), None
        if self.labels is not None:
            labels = np.array([self.labels[name] for name in names], dtype=np.int64)
        if self.bad is None or labels is None:
            return np.full(len(names), UNKNOWN), labels
        return np.isin(labels, sorted(self.bad)).astype(np.int64), labels


def truth_of_folders(names: Sequence[str], num_unknown: int, num_good: int) -> Truth:
    """Of files of which the first so many are neither, the next are good and the rest bad."""
    kinds = [UNKNOWN] * num_unknown + [GOOD] * num_good
    kinds += [BAD] * (len(names) - len(kinds))
    return Truth(of_file=dict(zip(names, kinds, strict=True)))


def truth_of_files(
    names: Mapping[str, str], root: Path, labels: str, good: Sequence[Label] | None, bad: Sequence[Label] | None
) -> Truth:
    """Of files that lie in the folder of their class, or that a table with the columns file and label names.

    Args:
        names: what each file is called, by its path below the root.
        root: the folder of all.
        labels: `folders`, or the path of the table.
        good, bad: labels that are.

    Raises:
        UserError: files without a label, a label that none has, or labels of which nobody says which are bad.
    """
    labelled = Labelling(f"images={root}", labels, "labels")(list(names), root)
    if labelled.labels is None:
        raise UserError(f"labels={labels}: gives these images no labels; choose {FOLDERS} or the path of a table")
    numbers = dict(zip(names.values(), labelled.labels.tolist(), strict=True))
    found = bad_numbers(labelled.class_names, set(numbers.values()), good, bad)
    if found is None:
        classes = ", ".join((labelled.class_names or ())[:6])
        raise UserError(f"labels={labels}: good_labels or bad_labels must say which of {classes} are good or bad")
    return Truth(labelled.class_names, found, numbers)


def truth_of_split(run: TrainedRun, split: str, good: Sequence[Label] | None, bad: Sequence[Label] | None) -> Truth:
    """Of a split of the run's data: bad are the labels that are said to be, else those that training left out.

    Raises:
        UserError: a label that no image has, or labels are named and there are none.
    """
    labels, names = run.data.splits[split].labels, run.data.class_names
    if labels is None:
        if good is not None or bad is not None:
            raise UserError(f"split={split}: its images have no labels, of which some could be bad")
        return Truth()
    known = set(labels.tolist())
    if good is None and bad is None:
        left_out = [label_number(given, names, "data.exclude_labels") for given in run.data.exclude_labels]
        return Truth(names, frozenset(left_out) if known.intersection(left_out) else None)
    return Truth(names, bad_numbers(names, known, good, bad))


def bad_numbers(
    names: Names, known: set[int], good: Sequence[Label] | None, bad: Sequence[Label] | None
) -> frozenset[int] | None:
    """The numbers of the bad classes; None where nobody says which are.

    Args:
        names: of the classes.
        known: the numbers of those that there are.
        good: those that are good; all others are bad.
        bad: those that are bad; all others are good.

    Raises:
        UserError: both are given, a label that no image has, or all classes would be of one kind.
    """
    if good is not None and bad is not None:
        raise UserError("good_labels and bad_labels: give one of them; all other labels are of the other kind")
    if good is None and bad is None:
        usual = {number for number in known if names is not None and names[number].lower() in _USUAL}
        return frozenset(known - usual) if usual and known > usual else None
    key, given = ("good_labels", good) if good is not None else ("bad_labels", bad)
    chosen = {label_number(each, names, f"{key}={list(given or ())}") for each in given or ()}
    if not chosen <= known:
        raise UserError(f"{key}={list(given or ())}: no image has label {min(chosen - known)}")
    found = known - chosen if key == "good_labels" else chosen
    if not found or found == known:
        raise UserError(f"{key}={list(given or ())}: leaves no image that is {'bad' if not found else 'good'}")
    return frozenset(found)
