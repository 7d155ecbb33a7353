"""What a run directory knows of its run at a service: which one it is there, and what it has been told."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import load_json, read_text, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.errors import UserError, first_line

_MOST_BYTES, _OF_THE_RUN = 1_000_000, 1_000  # of the file, and of what is in it beside the steps
_MOST_TAGS = 10_000
_LONGEST_TAG = 250
_HIGHEST_STEP = 2**53


class Told:
    """The file `<service>.json` of a run directory.

    Args:
        file: where it lies; may be absent.
        pattern: what a run is called at the service, as a regular expression.
        is_resumed: whether the run goes on; else what there is counts for nothing.

    Attributes:
        run: what the run is called at the service; None before it is known there.

    Raises:
        UserError: the file is damaged, or a stranger's that says more than such a file does.
    """

    def __init__(self, file: Path, pattern: str, *, is_resumed: bool):
        self._file = file
        self.run: str | None = None
        self._before: dict[str, int] = {}
        if is_resumed:
            try:
                self._read(pattern)
            except FileNotFoundError:  # it has been told nothing yet
                pass
            except (OSError, ValueError) as error:
                why = first_line(error)
                raise UserError(f"{file}: can't be read ({why}); remove it to have another run begun there") from error
        self._steps = dict(self._before)
        self._num_bytes = sum(map(_num_bytes, self._steps))
        self._is_written = True

    def is_new(self, tag: str, step: int | None) -> bool:
        """Whether no process before this one has told of that figure or picture at that step."""
        return step is None or self._before.get(tag, -1) < step

    def add(self, tags: Mapping[str, Any], step: int | None) -> None:
        """Note what has been told, as far as the file takes it: the rest may be told again by a resumed run."""
        if step is None:
            return
        for tag in tags:
            if tag in self._steps or self._takes(tag):
                self._steps[tag] = max(step, self._steps.get(tag, 0))
                self._is_written = False

    def begin(self, run: str) -> None:
        """Note what the run is called; one of another name has been told nothing."""
        if run != self.run:
            self.run, self._before, self._steps, self._num_bytes = run, {}, {}, 0
            self._is_written = False
            self.write()

    def write(self) -> None:
        """Bring it to the disk, if it will take it."""
        if self._is_written:
            return
        with spared(self._file.name):
            write_atomically(self._file, json.dumps({"run": self.run, "steps": self._steps}, indent=2))
            self._is_written = True

    def _takes(self, tag: str) -> bool:
        """Whether there is room for another tag, which is then taken: a file that is too large is not read again."""
        num_bytes = self._num_bytes + _num_bytes(tag)
        is_room = len(self._steps) < _MOST_TAGS and num_bytes <= _MOST_BYTES - _OF_THE_RUN
        if len(tag) > _LONGEST_TAG or not is_room:
            return False
        self._num_bytes = num_bytes
        return True

    def _read(self, pattern: str) -> None:
        content = load_json(read_text(self._file, _MOST_BYTES, within=self._file.parent))
        if type(content) is not dict or content.keys() != {"run", "steps"}:
            raise ValueError("it holds no run and steps")
        run, steps = content["run"], content["steps"]
        if type(run) is not str or not re.fullmatch(pattern, run, re.ASCII):
            raise ValueError("its run is no name of one")
        if type(steps) is not dict or len(steps) > _MOST_TAGS or not all(map(_is_a_step, steps.items())):
            raise ValueError("its steps are no numbers of steps")
        self.run, self._before = run, steps


def _num_bytes(tag: str) -> int:
    """What a tag takes of the file at most, with its step, the indentation and the end of the line."""
    return len(json.dumps(tag)) + len(str(_HIGHEST_STEP)) + 8


def _is_a_step(item: tuple[str, Any]) -> bool:
    tag, step = item
    return len(tag) <= _LONGEST_TAG and type(step) is int and 0 <= step <= _HIGHEST_STEP
