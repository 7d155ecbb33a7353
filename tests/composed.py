"""A command line is composed once in a test process, though Hydra composes each twice and tests repeat them."""

import copy
import functools
import os
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

_OURS = {str(Path(__file__).parents[1] / "conf"), "pkg://hydra.conf", "structured://"}  # whose files stay as they are
_ADDED = "hydra.mode=RUN"  # by Hydra, where it composes a command for the second time


def remember() -> None:
    """Have Hydra copy what it has composed before, and repeat what it has refused."""
    ConfigLoaderImpl.load_configuration = _remembering(ConfigLoaderImpl.load_configuration)  # type: ignore[method-assign]


def _remembering(compose: Any) -> Any:
    known: dict[tuple[Any, ...], DictConfig | HydraException] = {}

    @functools.wraps(compose)
    def composed(
        loader: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        if not _is_of_one_run_on_our_files(loader, overrides):
            return compose(loader, config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        typed = [override for override in overrides if override != _ADDED]
        key = (config_name, *typed, JobRuntime().get("name"))  # and no run_mode: nothing is left for a sweep to choose
        if key not in known:
            try:
                known[key] = compose(loader, config_name, typed, run_mode, from_shell, validate_sweep_overrides)
            except HydraException as error:
                known[key] = error
        result = known[key]
        if isinstance(result, HydraException):
            raise result
        config = copy.deepcopy(result)
        config.hydra.runtime.cwd = os.getcwd()
        if _ADDED in overrides:
            config.hydra.mode = RunMode.RUN
            config.hydra.overrides.hydra.append(_ADDED)
        return config

    return composed


def _is_of_one_run_on_our_files(loader: ConfigLoaderImpl, overrides: list[str]) -> bool:
    if not {element.path for element in loader.config_search_path.get_path()} <= _OURS:
        return False
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException:
        return False
    return not any(override.is_sweep_override() or override.key_or_group == "hydra.searchpath" for override in parsed)
