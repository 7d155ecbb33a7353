"""How files are written and read: whole or not at all, never through a link, never without a limit.

A run directory may come from a stranger, and a run may be killed at any moment. So what is written goes into a new file
beside its target that takes the target's name once it is whole; and what is read is a regular file of a bounded size,
for a named pipe would be waited for without end.
"""

import io
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

TEXT_LIMIT = 16_000_000  # bytes of a config or of figures
_PART = ".part"
_MOST_DEEP = 100  # levels of a YAML or JSON file
_MOST_ENTRIES = 2_000_000  # of a folder that is looked through
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has neither, nor named pipes in its folders
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFLNK: "a link", stat.S_IFSOCK: "a socket"}


def write_atomically(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Write the file such that it holds the old content or the new, never a part; a link of its name is replaced.

    Args:
        path: in a folder that is there.
        content: text is written in UTF-8.
        durable: whether it must outlast a power failure, too; that takes some milliseconds.

    Raises:
        OSError: it can't be written, and what was there is as before.
    """
    with replacing(path, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """As `write_atomically`, for what is large: a file to write into, which takes its name when the block ends well."""
    temporary = part_of(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o666)
    try:
        with open(descriptor, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        try:
            os.replace(temporary, path)
        except IsADirectoryError as error:  # the name that nobody knows would not help
            raise IsADirectoryError(error.errno, error.strerror, str(path)) from error
        if durable:
            _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def part_of(path: Path) -> Path:
    """A name beside the target that nobody can have guessed, for what is to become it; `is_part` knows it again."""
    return path.parent / f".{path.name[:40]}.{secrets.token_hex(8)}{_PART}"


def is_part(path: Path) -> bool:
    """Whether a file is one that a killed process left half written."""
    return path.name.startswith(".") and path.name.endswith(_PART)


def open_for_appending(path: Path) -> io.TextIOWrapper:
    """A text file to write to the end of, made where there is none.

    A file that has a second name, as a snapshot by hard links gives it, becomes a copy first: the other stays as it is.

    Raises:
        OSError: it can't be opened.
        ValueError: it is no regular file, but a link, say.
    """
    check_regular(path)
    if path.exists() and path.stat().st_nlink > 1:
        with path.open("rb") as original, replacing(path) as copy:
            shutil.copyfileobj(original, copy)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOFOLLOW | _NONBLOCK | _BINARY, 0o666)
    _check_opened(descriptor)
    return open(descriptor, "a", encoding="utf-8", newline="")


def check_regular(path: Path) -> None:
    """Raise a ValueError if what has this name is no regular file but a link, say, or a pipe that opening waits for."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise ValueError(_not_regular(mode))


def open_regular(path: Path, limit: int, *, within: Path | None = None) -> io.BufferedReader:
    """A regular file to read, found at once to be none where it is a pipe or a device.

    Args:
        path: where it lies; links are followed.
        limit: the most bytes that it may have.
        within: the folder that it must really lie in, whatever links there are on the way from there.

    Raises:
        OSError: there is no such file, or it can't be read.
        ValueError: it is no regular file, too large, or outside of `within`.
    """
    if within is not None:
        check_within(path, within)
    real = Path(os.path.realpath(path))
    check_regular(real)
    descriptor = os.open(real, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _BINARY)
    if _check_opened(descriptor).st_size > limit:
        os.close(descriptor)
        raise ValueError(f"larger than {_megabytes(limit)}")
    return open(descriptor, "rb")


def read_bytes(path: Path, limit: int = TEXT_LIMIT, *, within: Path | None = None) -> bytes:
    """The content of a file; arguments and errors are those of `open_regular`."""
    with open_regular(path, limit, within=within) as file:
        content = file.read(limit + 1)  # it may be growing
    if len(content) > limit:
        raise ValueError(f"larger than {_megabytes(limit)}")
    return content


def read_text(path: Path, limit: int = TEXT_LIMIT, *, within: Path | None = None) -> str:
    """The content of a file in UTF-8; arguments and errors are those of `open_regular`."""
    return read_bytes(path, limit, within=within).decode()


def folder_in(root: Path, *names: str) -> Path:
    """The folder `root/<name>/<name>...`, made where it is missing; the root itself is not, for it may be gone.

    Raises:
        OSError: there is no root, or something else has that name.
        ValueError: one of the names is a link that leads out of the root.
    """
    folder = root
    for name in names:
        folder = folder / name
        check_within(folder, root)
        folder.mkdir(exist_ok=True)
    return folder


def check_within(path: Path, root: Path) -> None:
    """Raise a ValueError if the path really lies outside of the root, by a link or by dots."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise ValueError(f"a link leads out of {root}")


def check_entries(folder: Path, is_meant: Callable[[str], bool]) -> None:
    """The same as `check_contents` for what lies directly in the folder under a name that is meant."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_meant(entry.name):
                _check_entry(entry, os.path.realpath(folder))


def check_contents(root: Path) -> None:
    """Refuse a folder in which a link leads out of it, or in which there is something else than files and folders.

    The way to the folder may have links, and links may lead from one place in it to another.

    Raises:
        OSError: a folder in it can't be read.
        ValueError: the first such thing, by its name.
    """
    top = os.path.realpath(root)
    folders, left = [top], _MOST_ENTRIES
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                left -= 1
                _check_entry(entry, top)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
        if left < 0:
            raise ValueError(f"it holds more than {_MOST_ENTRIES:,} files")


def load_yaml(text: str) -> Any:
    """The plain data of a YAML document; what YAML 1.1 takes for a number in base 60, as 12:30, is text.

    Raises:
        ValueError: it is no YAML, has a tag that is no plain data, an alias (nine of which can stand for gigabytes), a
            whole number of more than 64 bits, or is nested too deep.
    """
    try:
        _check_events(text)
        data = yaml.load(text, _PlainLoader)
        check_integers(data)
        return data
    except Exception as error:  # a wrong date, say, raises whatever its constructor trips over
        raise ValueError(_yaml_problem(error)) from error


def load_json(text: str, *, keys_once: bool = False) -> Any:
    """The plain data of a JSON document; of a key that stands twice it is the last, unless `keys_once` refuses it.

    Raises:
        ValueError: it is no JSON, has a whole number of more than 64 bits, a key twice, or is nested too deep.
    """
    try:
        data = json.loads(text, object_pairs_hook=_each_once if keys_once else None)
        check_integers(data)
        return data
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in pairs:
        if key in known:
            raise ValueError(f"has the key {key!r} twice")
        known[key] = value
    return known


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that `load_yaml` reads: without aliases, even where one list stands in two places."""
    return yaml.dump(data, Dumper=_PlainDumper, sort_keys=False)


_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(_SafeLoader):  # type: ignore[misc, valid-type]
    """Reads 12:30 as text, as YAML 1.2 does: nobody means 750 by it, and a megabyte of it takes minutes to compute."""


def _number_or_text(loader: Any, node: yaml.ScalarNode) -> Any:
    if ":" in node.value:
        return node.value
    return (loader.construct_yaml_int if node.tag.endswith(":int") else loader.construct_yaml_float)(node)


for _kind_of_number in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_kind_of_number}", _number_or_text)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = getattr(event.start_mark, "line", 0) + 1
            raise ValueError(f"line {line}: has an alias (*{event.anchor}), which is not taken")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEEP:
            raise ValueError("nested too deep")


def check_integers(data: Any) -> None:
    """Raise a ValueError for a whole number of more than 64 bits in plain data.

    Python reads them of any length, but tells none of more than 4,300 digits, and PyTorch takes 64 bits.
    """
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            left += value
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise ValueError("has a whole number of more than 64 bits")


def _yaml_problem(error: Exception) -> str:
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark else ""
    return " ".join(f"{place}{problem}".split())


def _check_entry(entry: os.DirEntry[str], top: str) -> None:
    name = os.path.relpath(entry.path, top)
    if entry.is_symlink():
        if not Path(os.path.realpath(entry.path)).is_relative_to(top):
            raise ValueError(f"{name} is a link that leads out of it")
    elif not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        raise ValueError(f"{name} is {_kind(entry.stat(follow_symlinks=False).st_mode)}")


def _check_opened(descriptor: int) -> os.stat_result:
    """The facts of an open file, which depend on no name any more; it is closed and refused where it is not regular."""
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise ValueError(_not_regular(facts.st_mode))
    return facts


def _not_regular(mode: int) -> str:
    return f"no regular file but {_kind(mode)}"


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def _megabytes(size: int) -> str:
    return f"{math.ceil(size / 1e6):,} MB"


def _sync_folder(folder: Path) -> None:
    """Have the disk know the new name, too."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # nor do some network file systems sync them
        pass
    finally:
        os.close(descriptor)
