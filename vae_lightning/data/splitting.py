"""Which split a picture belongs to: by its name, by folders or a file that say it, and in groups that stay together."""

import hashlib
import logging
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_lightning.data.expressions import searched
from vae_lightning.data.splits import SPLITS
from vae_lightning.data.tables import (
    SPLIT_FOLDERS,
    QuotingError,
    counted,
    located,
    parsed,
    pictures_meant,
    read_lines,
    too_few,
    without_columns,
    wrapping_folder,
)
from vae_lightning.data.waiting import counting
from vae_lightning.disk.files import load_json
from vae_lightning.errors import UserError, first_line

logger = logging.getLogger(__name__)

FOLDER = "folder"  # what `group_by` is for groups of one folder each
_SAMPLE = 4096  # bytes of which files of one size are told apart before they are read whole


@dataclass(frozen=True)
class Given:
    """Splits that somebody has made.

    Attributes:
        splits: by the pictures' names.
        by: what says so, as in "by the folders train, test".
    """

    splits: dict[str, str]
    by: str


@dataclass(frozen=True)
class Splitting:
    """Deals pictures out to the splits.

    Without folders or a file that say it, a picture's split is a function of its group's name and the two fractions
    alone; a picture that belongs to no group is one by itself. A val or test that nobody has made is dealt out of
    train in that way.

    Attributes:
        source: how messages call the pictures, as `data.root=faces`.
        val_fraction, test_fraction: the expected shares of what is dealt by names.
        own_splits: whether folders that are called train, val and test are these splits.
        split_file: a table or JSON that has the split of each picture; goes before the folders.
        group_by: `folder`, or a regular expression whose first group, or whole match, names a picture's group.
        keep_duplicates_together: whether files of the same bytes are of one group.
    """

    source: str
    val_fraction: float
    test_fraction: float
    own_splits: bool = False
    split_file: str | None = None
    group_by: str | None = None
    keep_duplicates_together: bool = False

    def __call__(self, names: Iterable[str], root: Path, unreadable: Iterable[str] = ()) -> dict[str, str]:
        """The split of each picture: train, val or test. What was decided otherwise than by names alone is told.

        Args:
            names: of the pictures, relative to the root.
            root: where their files lie.
            unreadable: files that are left out, which a split file may name.

        Raises:
            UserError: a split that is empty, or folders, a file or an expression that leave pictures over.
        """
        pictures = list(dict.fromkeys(names))
        given = self._given(pictures, root, list(unreadable))
        groups = groups_of(pictures, self.group_by)
        copies = same_files(pictures, root, self.source) if self.keep_duplicates_together else []
        keys = joined(groups, copies)
        if given is None:
            splits = self._dealt(pictures, keys, SPLITS)
            self._tell_of_copies(splits, groups, copies)
        else:
            splits = self._completed(given, keys)
            self._warn_of_leaks(splits, groups, copies)
        self._check_none_empty(splits, given, keys, copies)
        self._tell(splits, given, groups)
        return splits

    def _given(self, names: Sequence[str], root: Path, unreadable: Sequence[str]) -> Given | None:
        if self.split_file is not None:
            return split_by_file(self.split_file, names, root, unreadable)
        return split_by_folders(names, self.source) if self.own_splits else None

    def _completed(self, given: Given, keys: dict[str, str]) -> dict[str, str]:
        """With a val and a test out of train where there are none."""
        in_train = [name for name, split in given.splits.items() if split == "train"]
        return given.splits | self._dealt(in_train, keys, self._missing(given))

    def _dealt(self, names: Sequence[str], keys: dict[str, str], wanted: Sequence[str]) -> dict[str, str]:
        """Pictures dealt out to train and the wanted splits, by the keys."""
        val, test = (fraction if split in wanted else 0.0 for split, fraction in self._fractions.items())
        dealt = {name: split_of(keys[name], val, test) for name in names}
        if len(set(dealt.values())) == 1 + (val > 0) + (test > 0):  # as of millions, which are then gone through once
            return dealt
        by_key, moved = deal({keys[name] for name in dealt}, val, test)
        for split, key in moved.items():
            tell_of_moved(split, key, len(by_key), self._fractions.get(split), self.group_by is not None)
        return {name: by_key[keys[name]] for name in dealt}

    @property
    def _fractions(self) -> dict[str, float]:
        return {"val": self.val_fraction, "test": self.test_fraction}

    def _missing(self, given: Given) -> list[str]:
        return [split for split in SPLITS if split not in given.splits.values()]

    def _check_none_empty(
        self, splits: dict[str, str], given: Given | None, keys: dict[str, str], copies: list[list[str]]
    ) -> None:
        if set(splits.values()) == set(SPLITS):
            return
        wanted = SPLITS if given is None else ("train", *self._missing(given))
        dealt = [name for name, split in splits.items() if given is None or given.splits[name] == "train"]
        num_keys, of = len({keys[name] for name in dealt}), " in train" if given is not None else ""
        if self.group_by is not None:
            of += f" in {counted(num_keys, 'group')}"
        elif copies:
            of += f", {num_keys:,} without copies"
        raise too_few(self.source, len(dealt), of, wanted, "images" if self.group_by is None else "groups")

    def _tell(self, splits: dict[str, str], given: Given | None, groups: dict[str, str]) -> None:
        grouped = (
            f"{counted(len(set(groups.values())), 'group')} (data.group_by={self.group_by})" if self.group_by else ""
        )
        if given is None and not grouped:
            return
        counts = Counter(splits.values())
        told = " / ".join(f"{split} {counts[split]}" for split in SPLITS)
        told += f": by {grouped}" if given is None else f": {given.by}"
        for split in self._missing(given) if given is not None else ():
            by = grouped or "the names"
            told += f"; {split} is taken out of train by {by}, data.{split}_fraction={self._fractions[split]}"
        logger.info("%s", told)

    def _tell_of_copies(self, splits: dict[str, str], groups: dict[str, str], copies: list[list[str]]) -> None:
        fractions = self.val_fraction, self.test_fraction
        if any(split_of(groups[name], *fractions) != splits[name] for same in copies for name in same):
            count = sum(len(same) - 1 for same in copies)
            if count == 1:
                logger.info("1 file is a copy of another: it lies in the split of that one")
            else:
                logger.info("%s files are copies of others: each lies in the split of its first", f"{count:,}")

    def _warn_of_leaks(self, splits: dict[str, str], groups: dict[str, str], copies: list[list[str]]) -> None:
        """Splits that somebody has made stay as they are."""
        leaks = [name for same in copies for name in _beyond_the_first_split(same, splits)]
        if leaks:
            count = len(leaks)
            have = "1 file of val or test has a copy" if count == 1 else f"{count:,} files of val or test have copies"
            told = "%s: %s in another split, the first %r; figures of pictures that were trained on flatter"
            logger.warning(told, self.source, have, min(leaks))
        if self.group_by is None:
            return
        members: dict[str, list[str]] = {}
        for name, group in groups.items():
            members.setdefault(group, []).append(name)
        torn = sorted(group for group, each in members.items() if _beyond_the_first_split(each, splits))
        if torn:
            told = f"{counted(len(torn), 'group')} in more than one split, the first {torn[0]!r}"
            logger.warning("data.group_by=%s: %s", self.group_by, told)


def _beyond_the_first_split(names: Sequence[str], splits: dict[str, str]) -> list[str]:
    first = min((splits[name] for name in names), key=SPLITS.index)
    return [name for name in names if splits[name] != first]


def split_of(name: str, val_fraction: float, test_fraction: float) -> str:
    """The split of the picture with this path below the root, by a hash: the same on every machine."""
    position = _position(name)
    if position < test_fraction:
        return "test"
    return "val" if position < test_fraction + val_fraction else "train"


def _position(name: str) -> float:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def deal(keys: Collection[str], val_fraction: float, test_fraction: float) -> tuple[dict[str, str], dict[str, str]]:
    """The split of each key by `split_of`; of few keys, a split that none fell to gets the one whose hash is nearest.

    So keys that are added move another one only where a split would have been empty without it.

    Returns:
        The splits, and the key that was moved to a split, by that split; none where there are fewer keys than splits.
    """
    splits = {key: split_of(key, val_fraction, test_fraction) for key in sorted(keys)}
    border = test_fraction + val_fraction
    places = {"test": (0.0, test_fraction), "val": (test_fraction, border), "train": (border, 1.0)}
    wanted = {split: place for split, place in places.items() if place[0] < place[1]}
    moved: dict[str, str] = {}
    for split, (low, high) in wanted.items() if len(splits) >= len(wanted) else ():
        counts = Counter(splits.values())
        if not counts[split]:
            spare = [key for key, its in splits.items() if counts[its] > 1]
            away = {key: max(low - _position(key), _position(key) - high) for key in spare}
            moved[split] = min(spare, key=away.__getitem__)
            splits[moved[split]] = split
    return splits, moved


def tell_of_moved(split: str, key: str, num_keys: int, fraction: float | None, are_groups: bool) -> None:
    """Say that a split has got what lies nearest to it, for nothing fell to it."""
    what, by = "groups" if are_groups else "images", "" if fraction is None else f" by data.{split}_fraction={fraction}"
    logger.info("of %s %s none fell to %s%s: %r, the nearest, is moved there", f"{num_keys:,}", what, split, by, key)


# Folders and files that say it


def split_by_folders(names: Sequence[str], source: str) -> Given | None:
    """The splits of pictures that all lie in folders called train, val or test, or otherwise so, in any case.

    They lie below the root, or below the one folder in it. None where there are no such folders, or no train among
    them and something else.

    Raises:
        UserError: pictures lie beside them.
    """
    wrapped = len(wrapping_folder(names))
    tops = [name[wrapped:].partition("/") for name in names]
    called = {top: SPLIT_FOLDERS[top.lower()] for top, slash, _ in tops if slash and top.lower() in SPLIT_FOLDERS}
    if len(set(called.values())) < 2:
        return None
    told = ", ".join(sorted(called, key=lambda top: (SPLITS.index(called[top]), top)))
    if "train" not in called.values():
        logger.warning("%s: the folders %s are not taken for splits, for there is no train", source, told)
        return None
    splits = {name: called[top] for name, (top, slash, _) in zip(names, tops, strict=True) if slash and top in called}
    if len(splits) < len(names):
        other = next(name for name in names if name not in splits)
        raise UserError(
            f"{source}: {counted(len(names) - len(splits), 'image')} beside the folders {told}, the first {other!r}; "
            "move them, or data.own_splits=false deals all out by their names"
        )
    return Given(splits, f"by the folders {told}")


def split_by_file(given: str, names: Sequence[str], root: Path, unreadable: Sequence[str]) -> Given:
    """The splits that a file has: rows of file and split, with or without a header, or JSON as {"train": [...]}.

    Raises:
        UserError: it can't be understood, has files that are not there, or has not all that are there.
    """
    told = f"data.split_file={given}"
    path = located(given, root)
    text = read_lines(path, told)
    entries = _of_json(text, told) if path.suffix.lower() == ".json" else _of_table(text, told)
    meant = pictures_meant([file for file, _ in entries], [*names, *unreadable], told, root)
    lost = [file for (file, _), picture in zip(entries, meant, strict=True) if picture is None]
    if lost:
        plain = f"{told}: names {counted(len(lost), 'file')} not to be found"
        raise QuotingError(f"{plain}, the first {lost[0]!r}", plain)
    known = {picture: split for (_, split), picture in zip(entries, meant, strict=True) if picture is not None}
    left = [name for name in names if name not in known]
    if left:
        raise UserError(f"{told}: has no split for {len(left)} of {len(names)} images, the first {left[0]!r}")
    if "train" not in known.values():
        raise UserError(f"{told}: has no file for train")
    return Given({name: known[name] for name in names}, f"by {told}")


def _of_json(text: str, told: str) -> list[tuple[str, str]]:
    try:
        content = load_json(text, keys_once=True)
    except ValueError as error:
        raise UserError(f"{told}: can't be read as JSON ({first_line(error)})") from error
    lists = content.items() if isinstance(content, dict) else ()
    if not lists or not all(isinstance(files, list) and all(isinstance(f, str) for f in files) for _, files in lists):
        raise UserError(f'{told}: expected lists of files by split, as {{"train": ["a.png"], "test": ["b.png"]}}')
    return [(file, _split_called(name, told, "")) for name, files in lists for file in files]


def _of_table(text: str, told: str) -> list[tuple[str, str]]:
    table = parsed(text, told, ["file", "split"]) if _is_without_header(text) else parsed(text, told)
    file, split = table.position("file"), table.position("split")
    if file is None or split is None:
        raise without_columns(table, "split")
    return [
        (row[file], _split_called(row[split], told, f"line {line}: "))
        for row, line in zip(table.rows, table.lines, strict=True)
    ]


def _is_without_header(text: str) -> bool:
    cells = [cell.strip().strip('"') for cell in re.split("[,;\t]", text.partition("\n")[0])]
    return len(cells) == 2 and cells[1].lower() in SPLIT_FOLDERS


def _split_called(name: str, told: str, where: str) -> str:
    if name.lower() not in SPLIT_FOLDERS:
        is_none = "is no split; valid are train, val and test"
        raise QuotingError(f"{told}: {where}{name!r} {is_none}", f"{told}: {where}what stands there {is_none}")
    return SPLIT_FOLDERS[name.lower()]


# Groups


def groups_of(names: Sequence[str], group_by: str | None) -> dict[str, str]:
    """The name of each picture's group: its own without `group_by`.

    Raises:
        UserError: pictures that the expression does not match, or one at which it does not come to an end.
    """
    if group_by is None:
        return {name: name for name in names}
    if group_by == FOLDER:
        return {name: posixpath.dirname(name) for name in names}
    expression = re.compile(group_by)
    found = searched(expression, names, f"data.group_by={group_by}")
    groups = {name: match[min(expression.groups, 1)] for name, match in found if match is not None}
    other = [name for name in names if groups.get(name) is None]
    if other:
        raise UserError(f"data.group_by={group_by}: does not match {len(other)} of {len(names)} files, as {other[0]!r}")
    return groups


def joined(groups: dict[str, str], copies: Collection[Sequence[str]]) -> dict[str, str]:
    """By what each picture is dealt: the first name, in sorted order, of the groups that copies hold together."""
    if not copies:
        return groups
    first: dict[str, str] = {}

    def leader(group: str) -> str:
        while (above := first.get(group, group)) != group:
            first[group] = first.get(above, above)
            group = above
        return group

    for same in copies:
        leaders = sorted({leader(groups[name]) for name in same})
        first.update(dict.fromkeys(leaders[1:], leaders[0]))
    return {name: leader(group) for name, group in groups.items()}


def same_files(names: Sequence[str], root: Path, source: str) -> list[list[str]]:
    """Files of the same bytes, in sorted order each: told apart by their sizes, some bytes, and only then by all.

    Raises:
        UserError: a file can't be read.
    """
    try:
        told = f"looking for copies in {root.name}"
        alike = _apart([sorted(names)], lambda name: os.stat(root / name).st_size, told)
        alike = _apart(alike, lambda name: _some_bytes(root / name), told)
        return _apart(alike, lambda name: _digest(root / name), told)
    except OSError as error:
        raise UserError(f"{source}: {error.filename} can't be read ({error.strerror})") from error


def _apart(alike: Sequence[Sequence[str]], tell: Callable[[str], object], told: str) -> list[list[str]]:
    """What is alike by one more mark; what is alone is left out."""
    parts = []
    with counting(told, "file", sum(map(len, alike))) as count:
        for names in alike:
            marked: dict[object, list[str]] = {}
            for name in names:
                marked.setdefault(tell(name), []).append(name)
                count(1)
            parts += [part for part in marked.values() if len(part) > 1]
    return parts


def _some_bytes(path: Path) -> bytes:
    """A digest of those in the middle: what files of one kind begin with is often the same."""
    with path.open("rb", buffering=0) as file:
        file.seek(max(os.fstat(file.fileno()).st_size - _SAMPLE, 0) // 2)
        return hashlib.sha256(file.read(_SAMPLE)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
