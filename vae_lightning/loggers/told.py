"""What a run directory knows of its run at a service: which one it is there, and what it has been told."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import load_json, read_text, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.errors import UserError, first_line

_MOST_BYTES = 1_000_000
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
        self._is_written = True

    def is_new(self, tag: str, step: int | None) -> bool:
        """Whether no process before this one has told of that figure or picture at that step."""
        return step is None or self._before.get(tag, -1) < step

    def add(self, tags: Mapping[str, Any], step: int | None) -> None:
        """Note what has been told."""
        if step is not None:
            self._steps |= {tag: max(step, self._steps.get(tag, 0)) for tag in tags}
            self._is_written = False

    def begin(self, run: str) -> None:
        """Note what the run is called; one of another name has been told nothing."""
        if run != self.run:
            self.run, self._before, self._steps = run, {}, {}
            self._is_written = False
            self.write()

    def write(self) -> None:
        """Bring it to the disk, if it will take it."""
        if self._is_written:
            return
        with spared(self._file.name):
            write_atomically(self._file, json.dumps({"run": self.run, "steps": self._steps}, indent=2))
            self._is_written = True

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


def _is_a_step(item: tuple[str, Any]) -> bool:
    tag, step = item
    return len(tag) <= _LONGEST_TAG and type(step) is int and 0 <= step <= _HIGHEST_STEP
