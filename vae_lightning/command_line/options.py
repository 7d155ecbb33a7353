"""Hydra's options, such as -m and --config-dir, may stand anywhere among the overrides, and a mistake is one line."""

from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from vae_lightning.errors import UserError

# Whose next word is theirs.
_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"),
    *("--package", "-p", "--cfg", "-c", "--experimental-rerun"),
)
_INFO = ("--info", "-i")  # whose value may be left out


def options_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with the options before all overrides: argparse takes those between them for the last ones.

    Raises:
        UserError: an option that there is not, or one that lacks its value.
    """
    options: list[str] = []
    words: list[str] = []
    before = ""
    for argument in arguments:
        is_option = argument.startswith("-") and argument != "-"
        is_value = not is_option and (_takes_value(before) or (before in _INFO and "=" not in argument))
        if before in _INFO and not is_value:
            options[-1] = f"{_INFO[0]}=all"
        (options if is_option or is_value else words).append(argument)
        before = argument if is_option else ""
    if before in _INFO:
        options[-1] = f"{_INFO[0]}=all"
    if _takes_value(before):
        _refuse(f"{before}: a value is missing")
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    parser.parse_args([*options, *words])
    return [*options, *words]


def _takes_value(option: str) -> bool:
    """Also where it is shortened, as argparse lets it be."""
    return option in _WITH_VALUE or (len(option) > 3 and any(name.startswith(option) for name in _WITH_VALUE))


def _refuse(message: str) -> NoReturn:
    settings = "a setting is key=value, without dashes, and " if message.startswith("unrecognized") else ""
    raise UserError(f"{message}; {settings}--hydra-help lists the options")
