"""The places that a user types: where `~` is the home folder everywhere, and a run's name leads nowhere else."""

import os
import re
from pathlib import Path
from typing import Any

from vae_lightning.errors import UserError, one_line

# By command: train, evaluate, generate and report. What is no text, such as the checkpoint's settings, is left alone.
_PLACES = (
    *("output_dir", "run_dir", "sweep_dir", "resume", "sweep"),
    *("run", "checkpoint", "ckpt", "out", "runs", "output"),
    *("data.root", "data.archive", "data.cache_dir", "samples.weights"),
)
_HOME = r"(?:^|(?<=[\[,])|(?<=[\[,] ))~[^,\]]*"  # a word that begins with a tilde
_MOST_BYTES = 200  # of a name: 255 are the most of a folder's, which has the time and a number, too


def with_home(config: dict[str, Any]) -> dict[str, Any]:
    """The config as plain data with `~` and `~user` at the beginning of a place replaced by the home folder."""
    for place in _PLACES:
        *groups, key = place.split(".")
        node: Any = config
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and key in node:
            node[key] = _expanded(node[key])
    return config


def typed_with_home(argument: str) -> str:
    """The same for `key=~/x` as it is typed, and for `key=[~/x,~/y]`: Hydra's grammar has no such words."""
    key, equals, value = argument.partition("=")
    return f"{key}{equals}{re.sub(_HOME, lambda word: _quoted(os.path.expanduser(word[0]), word[0]), value)}"


def _quoted(place: str, before: str) -> str:
    if place == before or re.fullmatch(r"[\w./:@%+-]+", place, re.ASCII):
        return place
    return "'" + place.replace("'", "\\'") + "'"


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return os.path.expanduser(value) if isinstance(value, str) else value


def check_name(name: str) -> None:
    """Raise a UserError if a run can't have this name, which becomes part of its directory's."""
    if "/" in name or "\\" in name or name in (".", ".."):
        raise UserError(f"name={one_line(name)}: is part of a folder's name, not a place; run_dir= names a place")
    _check_characters("name", name)
    if len(os.fsencode(name)) > _MOST_BYTES:
        raise UserError(f"name={name[:40]}...: has {len(os.fsencode(name))} bytes; choose at most {_MOST_BYTES}")


def check_new_place(key: str, path: Path) -> None:
    """Raise a UserError if nothing new may be made there, for programs take a line for a path."""
    _check_characters(key, str(path))


def _check_characters(key: str, text: str) -> None:
    if one_line(text) != text:
        raise UserError(f"{key}={one_line(text)}: has a line break or a control character, which a path may not have")
