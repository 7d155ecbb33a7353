"""Runs a Hydra command such that every mistake on the command line is answered with one line."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lightning.config import CONF_DIR, register, unknown_key
from vae_lightning.console import reporting_errors
from vae_lightning.errors import UserError

_FULL_ERROR = "HYDRA_FULL_ERROR"


def run_command(config_name: str, task: Callable[[DictConfig], None]) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and run the task on it, once or once a job of a sweep."""
    register()
    wanted = os.environ.get(_FULL_ERROR)
    failures: list[UserError] = []

    def guarded(config: DictConfig) -> None:
        try:
            with _environment(_FULL_ERROR, wanted):
                task(config)
        except UserError as error:
            if is_sweep():  # Hydra records it as this job's failure and goes on with the next
                raise UserError(f"job {HydraConfig.get().job.num}: {error}") from error
            failures.append(error)

    # Hydra would print its errors itself, over many lines and with advice for its own users.
    with reporting_errors(), _environment(_FULL_ERROR, "1"):
        try:
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)(guarded)()
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(_explain(error, config_name)) from error
        if failures:
            raise failures[0]


def is_sweep() -> bool:
    """Whether the task runs as a job of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable for a while, or unset it for None."""
    before = os.environ.get(name)
    _set(name, value)
    try:
        yield
    finally:
        _set(name, before)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _explain(error: Exception, config_name: str) -> str:
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return unknown_key(f"{group}={option}", list(error.options)).replace("no such key", "no such option")
    unloaded = re.search(r"Could not load '([^']+)/([^'/]+)'", str(error))
    if unloaded:
        options = sorted(file.stem for file in (CONF_DIR / unloaded[1]).glob("*.yaml"))
        return f"{unloaded[1]}={unloaded[2]}: no such option; valid here: {', '.join(options)}"
    key = re.search(r"Could not override '([^']+)'", str(error))
    if key and ("is not in struct" in _whole(error) or "not in 'TrainConfig'" in _whole(error)):
        return unknown_key(key[1], _siblings(key[1], config_name))
    value = re.search(r"(Value '.*?'.*)", _whole(error))
    if key and value:
        return f"{key[1]}: {value[1]}"
    merge = re.search(r"full_key: (\S+)", _whole(error))
    if value and merge:
        return f"{merge[1]}: {value[1]}"
    return " ".join(str(error).split())


def _whole(error: BaseException) -> str:
    return f"{error}\n{_whole(error.__cause__)}" if error.__cause__ else str(error)


def _siblings(key: str, config_name: str) -> list[str]:
    """The keys that exist beside a key that does not, in the config that the chosen groups compose."""
    choices = [argument for argument in sys.argv[1:] if (CONF_DIR / re.split("[=@]", argument)[0]).is_dir()]
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = hydra.compose(config_name, overrides=choices)
    except HydraException:
        return []
    parent = key
    while "." in parent:
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig):
            return [str(name) for name in node]
    groups = [entry.name for entry in CONF_DIR.iterdir() if entry.is_dir() and entry.name != "hydra"]
    return sorted({str(name) for name in config} | set(groups))
