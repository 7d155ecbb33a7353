"""A config composed as the command line composes it, for Python code: nothing of Hydra's is left behind."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from vae_lightning.command_line.choices import check_choices
from vae_lightning.command_line.explanations import explanation
from vae_lightning.command_line.places import searched, typed_with_home, with_home
from vae_lightning.command_line.quoting import check_words
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.command_line.stored_keys import as_typed, for_hydra, unmarked
from vae_lightning.command_line.unread import tell_unread
from vae_lightning.config import plain
from vae_lightning.errors import UserError


def composed(
    config_name: str, overrides: Sequence[str], config_dir: str | os.PathLike[str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The resolved config as plain data, and what was typed, without what is Hydra's own.

    Args:
        config_name: of the top-level config, such as train.
        overrides: as they are typed, each one text.
        config_dir: a folder with YAML of one's own, as `--config-dir` names it.

    Raises:
        UserError: what the command line would answer.
    """
    words = [typed_with_home(override) for override in overrides]
    asked = [] if config_dir is None else [f"--config-dir={os.path.abspath(config_dir)}"]
    check_choices(words)
    check_words(words, is_sweep=False)
    register()
    with _own_hydra(), typed_as(f"vae-{config_name}", [*words, *asked]):
        try:
            with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
                read = [*for_hydra(words), *searched(config_dir)]
                config = hydra.compose(config_name, read, return_hydra_config=True)
            if config_name == "train":
                tell_unread(config)
            typed = as_typed(config.hydra.overrides.task, words)
            return with_home({str(key): plain(config[key]) for key in config if key != "hydra"}), typed
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(unmarked(explanation(error, config_name), words)) from error


@contextmanager
def typed_as(command: str, overrides: Sequence[str]) -> Iterator[None]:
    """Have this process's command line be the one that would do the same: messages and records tell it."""
    before = sys.argv
    sys.argv = [command, *overrides]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Put the caller's Hydra aside, who may be in the middle of a program of his own."""
    theirs = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = theirs
