"""Kills a process at a moment of its own: before the n-th thing that it does to a file, or in the middle of a write."""

import builtins
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Operations:
    """Counts what this process does to files below a folder: opening for writing, writing, syncing, renaming, removing.

    Args:
        folder: things elsewhere are not counted.
        fatal: before operation number so many, counted from 1, the process kills itself by SIGKILL; a write is cut in
            the middle. None only counts.
        torn: whether the fatal write leaves its first half.
    """

    def __init__(self, folder: Path, fatal: int | None = None, torn: bool = False):
        self.folder = os.path.realpath(folder)
        self.fatal = fatal
        self.torn = torn
        self.count = 0
        self._process = 0

    def watch(self) -> None:
        """Begin to count, for as long as this process lives; what its own forks do counts for it."""
        self._process = os.getpid()
        sys.addaudithook(self._audited)
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._counting(getattr(os, name)))
        os.write = self._counting_write(os.write)
        opened = self._opening(io.open)
        builtins.open = io.open = opened

    def happen(self, torn: Callable[[], object] | None = None) -> None:
        self.count += 1
        if self.count == self.fatal:
            if torn and self.torn:
                torn()
            for process in {self._process, os.getpid()}:
                os.kill(process, signal.SIGKILL)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITING)
        if is_change and self._is_ours(arguments[0]):
            self.happen()

    def _is_ours(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder)

    def _counting(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def counted(file: Any) -> Any:
            self.happen()
            return function(file)

        return counted

    def _counting_write(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def counted(file: int, content: Any) -> int:
            if self._is_ours(_path_of(file)):
                self.happen(lambda: write(file, bytes(content)[: len(content) // 2]))
            return write(file, content)

        return counted

    def _opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            stream = original(file, mode, *arguments, **options)
            writes = set(mode) & set("wax+")
            path = _path_of(file) if isinstance(file, int) else file
            return _Torn(stream, self) if writes and self._is_ours(path) else stream

        return opened


class _Torn:
    """A stream whose every write is an operation, of which the fatal one leaves half of its content."""

    def __init__(self, stream: Any, operations: Operations):
        self._stream = stream
        self._operations = operations

    def write(self, content: Any) -> Any:
        self._operations.happen(lambda: (self._stream.write(content[: len(content) // 2]), self._stream.flush()))
        return self._stream.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> "_Torn":
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._stream.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._stream)


def _path_of(file: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{file}")
    except OSError:
        return None
