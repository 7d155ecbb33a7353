"""What a shell asks when TAB is pressed: Hydra answers with groups, options and keys, and here with nothing else."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress

from vae_lightning.command_line.choices import without_bases
from vae_lightning.errors import UserError

_OPTIONS = ("-sc", "--shell-completion")
_FOR_ZSH = """if [ -n "${ZSH_VERSION-}" ]; then
    autoload -Uz compinit bashcompinit
    whence compdef > /dev/null || compinit -i
    bashcompinit
fi"""


def tell_zsh_of_bash(arguments: Sequence[str]) -> None:
    """Print what has zsh take completions of bash's kind, where a line for one of them is asked for to evaluate it:
    `-sc install=bash`. Hydra leaves that to the user.
    """
    if any(word in _OPTIONS for word in arguments) and not {"install=bash", "install=zsh"}.isdisjoint(arguments):
        print(_FOR_ZSH)


def is_query(arguments: Sequence[str]) -> bool:
    """Whether a shell asks how the line in COMP_LINE may go on: `-sc query=bash`."""
    return any(word in _OPTIONS for word in arguments) and any(word.startswith("query=") for word in arguments)


@contextmanager
def only_choices() -> Iterator[None]:
    """Have a block print what can be chosen, and say nothing of a line that is not finished, and so may be wrong."""
    printed = io.StringIO()
    with suppress(UserError), redirect_stdout(printed):
        yield
    for line in printed.getvalue().splitlines():
        print(*filter(_is_choice, line.split(" ")))


def _is_choice(word: str) -> bool:
    group, _, name = word.partition("=")
    return bool(without_bases(group, [name]))
