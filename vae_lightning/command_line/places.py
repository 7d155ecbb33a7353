"""The places that a user types, where `~` is the home folder everywhere."""

import os
import re
from typing import Any

from vae_lightning.reports.best import BEST
from vae_lightning.runs.records import as_word

# By command: train; evaluate, generate, export, explore, score; report. What is no text, as a checkpoint's settings, is
# left alone.
PLACES = (
    *("output_dir", "run_dir", "sweep_dir", "resume", "init_from", "sweep"),
    *("run", "checkpoint", "ckpt", "out", "runs", "output"),
    *("data.root", "data.archive", "data.cache_dir", "data.labels", "data.split_file", "samples.weights"),
)
_HOME = rf"(?:^|(?<=[\[,])|(?<=[\[,] ))({BEST})?(~[^,\]]*)"  # a word that begins with a tilde, or a sweep that does


def searched(config_dir: str | os.PathLike[str] | None) -> list[str]:
    """The override that has Hydra look for YAML in this folder, too, as it does by `--config-dir`; none for None."""
    return [] if config_dir is None else [f"hydra.searchpath=[{as_word(f'file://{os.path.abspath(config_dir)}')}]"]


def with_home(config: dict[str, Any]) -> dict[str, Any]:
    """The config as plain data with `~` and `~user` at the beginning of a place replaced by the home folder."""
    for place in PLACES:
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
    return f"{key}{equals}{re.sub(_HOME, _at_home, value)}"


def _at_home(word: re.Match[str]) -> str:
    place = os.path.expanduser(word[2])
    return word[0] if place == word[2] else as_word(f"{word[1] or ''}{place}")


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return os.path.expanduser(value) if isinstance(value, str) else value
