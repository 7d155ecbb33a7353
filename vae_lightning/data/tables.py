"""Tables that say something of pictures: read whatever program wrote them, and matched to the files that they name."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vae_lightning.disk.files import read_bytes
from vae_lightning.errors import UserError, first_line

_MOST_BYTES = 500_000_000
_DELIMITERS = ",;\t"
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class QuotingError(UserError):
    """A mistake in a file, told with words of its content; `plain` is the same without them."""

    def __init__(self, message: str, plain: str = ""):
        super().__init__(message)
        self.plain = plain or message


@contextmanager
def unquoted(key: str, read_only: Collection[str]) -> Iterator[None]:
    """Has mistakes in the file that `data.<key>` names told without its words where a stored config chose it: it may
    be any file that the user can read, a password's too, and messages go into logs that others see.
    """
    try:
        yield
    except QuotingError as error:
        if key not in read_only:
            raise
        raise UserError(
            f"{error.plain} (words of a file that a stored config names are shown once it is typed)"
        ) from None


@dataclass(frozen=True)
class Table:
    """Rows of text below a header.

    Attributes:
        told: how messages call it, as `data.labels=labels.csv`.
        header: the columns' names.
        rows: as many cells each.
        lines: where each row stands in the file, counted from 1.
        delimiter: what separates the cells.
    """

    told: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    delimiter: str = ","

    def position(self, name: str) -> int | None:
        """Where a column stands, in whatever case it is written; None if there is none."""
        names = [each.lower() for each in self.header]
        return names.index(name) if name in names else None


def located(given: str, root: Path) -> Path:
    """A file as it was typed; where there is none, that below the root of the pictures, or beside it."""
    path = Path(given).expanduser()
    elsewhere = (place for place in (root / path, root.absolute().parent / path) if place.is_file())
    return path if path.exists() else next(elsewhere, path)


def read_lines(path: Path, told: str) -> str:
    """The text of a file that the user has named.

    Raises:
        UserError: it can't be read, or it is no text in UTF-8.
    """
    try:
        return read_bytes(path, _MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{told}: there is no such file, nor one below the root or beside it") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{told}: is no text in UTF-8; save it so, as CSV UTF-8") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{told}: can't be read ({getattr(error, 'strerror', None) or first_line(error)})") from error


def parsed(text: str, told: str, header: Sequence[str] | None = None) -> Table:
    """A table of cells separated by commas, semicolons or tabs, whichever its first line has most of.

    Args:
        text: of the file.
        told: see `Table`.
        header: of a file without one; None takes the first line.

    Raises:
        UserError: no rows, a row with more or fewer cells than the header, or two columns of one name.
    """
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{told}: line {reader.line_num} can't be read ({error})") from error
    if header is None and rows:
        header, rows, lines = rows[0], rows[1:], lines[1:]
    if header is None or not rows:
        raise UserError(f"{told}: has no rows")
    _check_cells(header, rows, lines, told)
    return Table(told, tuple(header), rows, lines, delimiter)


def _check_cells(header: Sequence[str], rows: list[list[str]], lines: list[int], told: str) -> None:
    wrong = next((index for index, row in enumerate(rows) if len(row) != len(header)), None)
    if wrong is not None:
        raise UserError(
            f"{told}: line {lines[wrong]} has {len(rows[wrong])} cells, where there are {len(header)} columns"
        )
    names = [name.lower() for name in header]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise QuotingError(f"{told}: has two columns of the name {twice!r}", f"{told}: has two columns of one name")


def without_columns(table: Table, other: str) -> UserError:
    """What is said of a table that lacks the column `file`, or this other one."""
    plain = f"{table.told}: its first line must name the columns file and {other}"
    return QuotingError(f"{plain}, got {', '.join(table.header[:6])}", plain)


def pictures_meant(files: Iterable[str], names: Sequence[str], told: str, root: Path) -> list[str | None]:
    """The picture that each entry of a table means; None for one that is not there.

    An entry is the path below the root. It may leave out a folder that holds all, the folder of a split (train, val,
    test) and the extension, where just one picture goes by what is left; and it may begin with the root, its whole path
    or its name.

    Args:
        files: the entries.
        names: of all pictures, below the root.
        told: how messages call the table.
        root: where their files lie.

    Raises:
        UserError: an entry that may be one of several pictures, or two that are the same one.
    """
    known, shorter, above = set(names), None, _ways_to(root)
    meant: dict[str, str] = {}
    found: list[str | None] = []
    for file in files:
        entry = PurePosixPath(file.replace("\\", "/") if file not in known else file).as_posix()
        picture: str | None = entry
        if entry not in known:
            shorter = _shorter_names(names) if shorter is None else shorter
            below = (entry.removeprefix(way) for way in above if entry.startswith(way))
            entry = entry if entry in shorter else next((rest for rest in below if rest in shorter), entry)
            picture = _only(shorter.get(entry, ()), file, told)
        if picture is not None and picture in meant:
            both = f"{meant[picture]!r}" if meant[picture] == file else f"{meant[picture]!r} and {file!r}"
            raise QuotingError(f"{told}: names a picture twice, by {both}", f"{told}: names a picture twice")
        if picture is not None:
            meant[picture] = file
        found.append(picture)
    return found


def _ways_to(root: Path) -> list[str]:
    """What a path of one of its pictures may begin with."""
    ways = [root.as_posix(), root.absolute().as_posix(), root.resolve().as_posix(), root.resolve().name]
    return [f"{way}/" for way in dict.fromkeys(ways)]


def _only(pictures: Sequence[str], file: str, told: str) -> str | None:
    if len(pictures) > 1:
        may = f"may be {pictures[0]!r} or {pictures[1]!r}; write the whole path"
        raise QuotingError(f"{told}: {file!r} {may}", f"{told}: one of its files {may}")
    return pictures[0] if pictures else None


def _shorter_names(names: Sequence[str]) -> dict[str, list[str]]:
    """What else each picture goes by, and who goes by that."""
    pictures: dict[str, list[str]] = {}
    wrapped = len(wrapping_folder(names))
    for name in names:
        whole = {name, name[wrapped:], below_split(name[wrapped:])}
        for short in whole | {PurePosixPath(each).with_suffix("").as_posix() for each in whole}:
            pictures.setdefault(short, []).append(name)
    return pictures


def counted(count: int, thing: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def wrapping_folder(names: Sequence[str]) -> str:
    """`photos/` where all lies in one folder of that name, which is no split's; else nothing."""
    first, slash, _ = names[0].partition("/") if names else ("", "", "")
    is_wrapping = slash and first.lower() not in SPLIT_FOLDERS
    return f"{first}/" if is_wrapping and all(name.startswith(f"{first}/") for name in names) else ""


def below_split(name: str) -> str:
    """A picture's name without the folder of a split that it begins with, if it does."""
    first, slash, rest = name.partition("/")
    return rest if slash and first.lower() in SPLIT_FOLDERS else name


def too_few(source: str, count: int, of: str, splits: Sequence[str], what: str = "images") -> UserError:
    """What is said of so many images, of which these splits can't have one each."""
    names = " and ".join(filter(None, (", ".join(splits[:-1]), splits[-1])))
    need = f"too few for {names}, which take {len(splits)} {what} at least"
    return UserError(f"{source}: {counted(count, 'image')}{of}: {need}")
