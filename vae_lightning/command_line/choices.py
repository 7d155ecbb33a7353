"""The config groups that a command chooses from, and the options of each, those in the user's own folder among them."""

import argparse
import functools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.errors import UserError

_MISSING = object()
_BASES = {"model": ("base",)}  # what other options are built on, and is no choice itself


@functools.cache
def file_of(config_name: str) -> dict[str, Any]:
    """What a command's own file says; nobody is to change it."""
    content: dict[str, Any] = yaml.safe_load((CONF_DIR / f"{config_name}.yaml").read_text())
    return content


def groups(config_name: str) -> set[str]:
    """Those that a command chooses from."""
    defaults = file_of(config_name)["defaults"]
    named = {name for entry in defaults if isinstance(entry, dict) for name in entry}
    return {name for name in named if (CONF_DIR / name).is_dir()} - {"hydra"}


def options(group: str) -> list[str]:
    """Those of a group, in the order of their names."""
    found = {file.stem for place in _places() for file in (place / group).glob("*.yaml")}
    return sorted(found - set(_BASES.get(group, ())))


def without_bases(group: str, names: Iterable[str]) -> list[str]:
    """The names but those that are no options."""
    return [name for name in names if name not in _BASES.get(group, ())]


def options_with(key: str) -> list[str]:
    """The options of a key's group that have the key by their files, or by what those are built on."""
    group, _, path = key.partition(".")
    return [option for option in options(group) if _lists(group, option, path.split("."))]


def _lists(group: str, option: str, path: Sequence[str]) -> bool:
    content = _content(group, option)
    node: object = content
    for name in path:
        node = node.get(name, _MISSING) if isinstance(node, dict) else _MISSING
    bases = [entry for entry in content.get("defaults") or [] if isinstance(entry, str) and entry != option]
    return node is not _MISSING or any(_lists(group, base.removeprefix(f"/{group}/"), path) for base in bases)


def _content(group: str, option: str) -> dict[str, Any]:
    """What an option's file says; nothing where there is none that can be read."""
    for file in (place / group / f"{option}.yaml" for place in _places()):
        try:
            content = yaml.safe_load(file.read_text())
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(content, dict):
            return content
    return {}


def check_choices(words: Sequence[str]) -> None:
    """Refuse what is no choice: `model=base`, also among others of a sweep.

    Raises:
        UserError: it was chosen.
    """
    for word in words:
        group, _, value = word.partition("=")
        for base in set(_BASES.get(group, ())) & set(value.split(",")):
            raise UserError(
                f"{group}={base}: is what the others are built on, and none itself; choose {', '.join(options(group))}"
            )


def option_groups(config_name: str = "train") -> str:
    """A line for each group of the command, with its options: for its help."""
    names = groups(config_name)
    nested = {
        folder.relative_to(place).as_posix()
        for place in _places()
        for name in names
        for folder in [place / name, *(place / name).rglob("*")]
        if folder.is_dir() and list(folder.glob("*.yaml"))
    }
    return "\n".join(f"{name}: {', '.join(options(name))}" for name in sorted(nested))


def config_dir() -> str | None:
    """The folder that `--config-dir` names on this command line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", nargs="?")  # one that lacks its value is told elsewhere
    words = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    return parser.parse_known_args(words)[0].config_dir


def _places() -> list[Path]:
    own = config_dir()
    return [CONF_DIR, *([Path(own)] if own else [])]
