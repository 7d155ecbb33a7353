"""What Hydra's grammar would take for something else than the text that is meant: told in a line that shows the quotes.

Hydra reads `( ) [ ] { } = , '` and more as its own, has no letters beyond ASCII, and takes `100` for a number.
"""

import os
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from vae_lightning.command_line.places import PLACES
from vae_lightning.errors import UserError, first_line
from vae_lightning.runs.records import as_word, for_shell, typed

_OF_IMAGES = ("reconstructions", "transition", "traversals", "tsne", "pca", "plane")  # callbacks that look at some
_LISTS = (
    "images",
    "good",
    "bad",
    "runs",
    "callbacks.transition.files",
    *(f"callbacks.{name}.images" for name in _OF_IMAGES),
)
_TEXTS = {*PLACES, *_LISTS, "name", "data.group_by"}  # the last is a regular expression, which has brackets
_STAY_TEXTS = {"output_dir", "run_dir", "sweep_dir", "resume", "init_from", "sweep", "output"}
_ANYTHING = {"name", "checkpoint"}  # a number makes a name; checkpoint is a place for all commands but one
_MOST_COMMAS = 4  # in the name of one file
_PLACE_OF_A_RUN = {"train": "resume", "report": "sweep"}
_PLACE_OF_A_RUN |= dict.fromkeys(("evaluate", "generate", "export", "explore", "score"), "run")
_PATH_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp")  # of Hydra's, whose next word is no override


def check_words(arguments: Sequence[str], *, is_sweep: bool) -> None:
    """Check each `key=value` of a command line, before Hydra does.

    Args:
        arguments: as the shell has handed them on.
        is_sweep: whether a comma may stand between values to sweep over.

    Raises:
        UserError: one that Hydra can't read, a place that it would not read as a text, or its own place of runs.
    """
    if elsewhere := next((word for word in arguments if word.lstrip("+").startswith("hydra.run.dir=")), None):
        raise UserError(
            f"{elsewhere}: has no effect here; run_dir= says where a run is written, out= what is made of one"
        )
    for place, argument in enumerate(arguments):
        before = arguments[place - 1] if place else ""
        if "=" in argument and not argument.startswith("-") and before not in _PATH_OPTIONS:
            _check_brackets(argument, arguments[place + 1 :])
            _check(argument, is_sweep)


def _check_brackets(argument: str, following: Sequence[str]) -> None:
    """Refuse a list or a mapping that the shell has taken apart at a space in it."""
    if _is_whole(argument):
        return
    for end in range(1, len(following) + 1):
        if "=" in following[end - 1]:
            return
        joined = " ".join([argument, *following[:end]])
        if _is_whole(joined):
            raise UserError(f"{argument}: the shell parts it at its space: {for_shell(joined)}")


def _is_whole(text: str) -> bool:
    """Whether as many brackets are closed as are opened."""
    return all(text.count(opened) == text.count(closed) for opened, closed in ("[]", "{}", "()"))


def _check(argument: str, is_sweep: bool) -> None:
    key, _, value = argument.partition("=")
    is_text = key.lstrip("+~") in _TEXTS
    if is_sweep and not value and not is_text and not key.startswith("~"):
        raise UserError(f"{argument}: no value is given to sweep over")
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException as error:
        if is_text or "/" in value:
            raise _to_quote(key, value, "Hydra can't read this unless it is quoted") from error
        raise UserError(f"{argument}: Hydra can't read this ({first_line(error)})") from error
    if is_text and not _is_text(override, key.lstrip("+~"), value.strip(), is_sweep):
        raise _to_quote(key, value, "is no text for Hydra unless it is quoted")


def _is_text(override: Override, key: str, value: str, is_sweep: bool) -> bool:
    """Whether a place, as it is read, is what was typed; a schema makes a text of a number again for some."""
    if override.is_sweep_override():
        return is_sweep
    read: Any = override.value()
    is_number = isinstance(read, int | float)  # what is a list, and may not be one, is told by its type
    return not is_number or key in _ANYTHING or (key in _STAY_TEXTS and str(read) == value)


def _to_quote(key: str, value: str, why: str) -> UserError:
    return UserError(f"{key}={value}: {why}, for Hydra and for the shell: {_shown(key, value)}")


def _shown(key: str, value: str) -> str:
    """How it can be typed: a list of places as one of texts, anything else as one text."""
    if key.lstrip("+") in _LISTS and value.startswith("[") and value.endswith("]"):
        return for_shell(f"{key}=[{','.join(map(as_word, _words(value[1:-1])))}]")
    return typed(key, _bare(value))


def _words(text: str) -> list[str]:
    """The places of a list, where a comma may also be within the name of a file that is there."""
    parts, words = text.split(","), []
    while parts:
        joined = (_bare(",".join(parts[:count]).strip()) for count in range(min(len(parts), _MOST_COMMAS + 1), 1, -1))
        word = next((word for word in joined if os.path.lexists(os.path.expanduser(word))), _bare(parts[0].strip()))
        words.append(word)
        del parts[: word.count(",") + 1]
    return words


def _bare(value: str) -> str:
    """Without the quotes around it, with which it has been tried."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def or_with_spaces(word: str, arguments: Sequence[str], config_name: str = "train") -> str:
    """What to say of a word that is no override: it may be what follows a space in the path before it, or a run."""
    last = list(arguments).index(word) if word in arguments else 0
    first = next((number for number in range(last, -1, -1) if "=" in arguments[number]), None)
    told = f"{word}: expected key=value"
    if first is None:
        is_place = os.sep in word or os.path.lexists(word)
        return f"{told}, as in {typed(_PLACE_OF_A_RUN[config_name], word)}" if is_place else told
    key, _, value = " ".join(arguments[first : last + 1]).partition("=")
    is_path = key.lstrip("+") in _TEXTS or "/" in value
    return f"{told}; a path with spaces is quoted: {typed(key, _bare(value))}" if is_path else told
