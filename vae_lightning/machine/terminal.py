"""The terminal that a process prints to: whether a bar can stand at its bottom, and how lines come above it."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

from vae_lightning.machine.environment import environment

_NO_CURSOR = ("dumb", "unknown")  # what TERM says where a line can't be written over: an editor's shell, say
_OF_KERNELS = "JPY_PARENT_PID"  # what Jupyter gives its kernels, and they the commands of a cell that begin with `!`
_QUIET = "VAE_LIGHTNING_QUIET"  # in the environment, so that processes that are started hear of it, too


class _Bottom:
    """What stands at the bottom of the terminal, if anything."""

    write_above: Callable[[str], None] | None = None


_bottom = _Bottom()


def can_be_drawn_on(stream: Any) -> bool:
    """Whether a stream is a terminal in which a line can be written over; a file and a pipe are none.

    Neither is a cell of a notebook, though it calls itself one: it keeps all that was ever written.
    """
    is_kept = _OF_KERNELS in os.environ or os.environ.get("TERM", "").lower() in _NO_CURSOR
    return bool(stream.isatty()) and not is_kept and not is_quiet()


@contextmanager
def quietly() -> Iterator[None]:
    """Print nothing but warnings meanwhile, neither here nor in processes that are started."""
    with environment(**{_QUIET: "1"}):
        yield


def is_quiet() -> bool:
    """Whether nothing but warnings is to be printed."""
    return os.environ.get(_QUIET) == "1"


def stand_at_bottom(write_above: Callable[[str], None] | None) -> None:
    """Have lines pass to `write_above` from here on, for a bar stands at the bottom; None: it has gone."""
    _bottom.write_above = write_above


def wrapped(text: str, indent: str = "", continued: str = "") -> str:
    """A text for the terminal whose lines break no word; one that is longer than a line is left whole, to be copied.

    Args:
        text: of one line or several.
        indent: of what a line goes on with.
        continued: what stands at the end of a line that goes on.
    """
    width = shutil.get_terminal_size().columns - len(continued)
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False, subsequent_indent=indent)
    return "\n".join(f"{continued}\n".join(wrapper.wrap(line)) for line in text.split("\n"))


def width_within(most: int) -> int:
    """The columns of the terminal that is printed to, at most so many; a file and a pipe have as many as that."""
    return min(most, shutil.get_terminal_size().columns) if sys.stdout.isatty() else most


def beside(name: str, path: str, column: int) -> str:
    """A path that stands in a column beside its name, or where a terminal's line has no room for it on the next one."""
    line = f"{name:<{column}}{path}"
    return line if len(line) <= width_within(len(line)) else f"{name}\n  {path}"


class _Outlasting:
    """A stream whose reader may go: what is written from then on goes nowhere, and ends nothing."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            print_no_more(self._stream)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            print_no_more(self._stream)


@contextmanager
def outlasting_readers() -> Iterator[None]:
    """Let the block go on, quietly, when nobody reads its output any more, as behind `| head`.

    For what leaves something on the disk: a training is not to end because its lines are not read.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Outlasting(stream) for stream in before)  # type: ignore[assignment]
    try:
        yield
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    finally:
        sys.stdout, sys.stderr = before


def print_no_more(stream: Any) -> None:
    """Have what is written to a stream go nowhere; else Python would try to write the rest at its end, and tell so."""
    with suppress(OSError, ValueError):  # a stream of another kind, which has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def write_line(text: str) -> None:
    """Write a line to stdout, above a bar where there is one; a file has it as it is."""
    if _bottom.write_above is not None:
        _bottom.write_above(wrapped(text))
    else:
        tqdm.write(wrapped(text) if sys.stdout.isatty() else text, file=sys.stdout)
        sys.stdout.flush()


def start_of_line(stream: Any) -> str:
    """What gives the next line a row of its own on a terminal where Ctrl-C has left `^C`, and maybe half a line."""
    if not stream.isatty():
        return ""
    return "\r\x1b[K" if can_be_drawn_on(stream) else "\n"
