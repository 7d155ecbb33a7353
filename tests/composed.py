"""A command line is composed once in a test process, though Hydra composes each twice and tests repeat them.

And so is the choice of files that it makes: what differs in single values only, begins with a copy of the merged files.
Copies are made by pickle, in an eighth of the time that `copy.deepcopy` takes for a whole config.
"""

import copy
import functools
import os
import pickle
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.override_parser import overrides_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

_OURS = {str(Path(__file__).parents[1] / "conf"), "pkg://hydra.conf", "structured://"}  # whose files stay as they are
_SOURCES = {path.rpartition("://")[2] for path in _OURS}
_ADDED = "hydra.mode=RUN"  # by Hydra, where it composes a command for the second time


def remember() -> None:
    """Have Hydra copy what it has composed before, and repeat what it has refused."""
    ConfigLoaderImpl.load_configuration = _remembering(ConfigLoaderImpl.load_configuration)  # type: ignore[method-assign]
    config_loader_impl.create_defaults_list = _choosing_once(config_loader_impl.create_defaults_list)
    ConfigRepository.load_config = _reading_once(ConfigRepository.load_config)  # type: ignore[method-assign]
    ConfigRepository.__deepcopy__ = lambda repo, memo: copy.copy(repo)  # its sources are replaced, and never changed
    DictConfig.__deepcopy__ = _copying_by_pickle(DictConfig.__deepcopy__)  # type: ignore[method-assign]
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    ConfigLoaderImpl._compose_config_from_defaults_list = _merging_once(merge)  # type: ignore[method-assign]
    OverridesParser.parse_rule = _parsing_once(OverridesParser.parse_rule)  # type: ignore[method-assign]
    overrides_parser.create_functions = functools.cache(overrides_parser.create_functions)
    defaults_list._create_interpolation_map = functools.partial(_Later, defaults_list._create_interpolation_map)
    InputDefault._resolve_interpolation_impl = _resolving(InputDefault._resolve_interpolation_impl)


def forget() -> None:
    """Have Hydra compose as ever, as where its plug-ins are looked for anew and their classes are others then."""
    ConfigLoaderImpl.load_configuration = ConfigLoaderImpl.load_configuration.__wrapped__  # type: ignore[method-assign]
    config_loader_impl.create_defaults_list = config_loader_impl.create_defaults_list.__wrapped__
    ConfigRepository.load_config = ConfigRepository.load_config.__wrapped__  # type: ignore[method-assign]
    merge = ConfigLoaderImpl._compose_config_from_defaults_list.__wrapped__
    ConfigLoaderImpl._compose_config_from_defaults_list = merge  # type: ignore[method-assign]


def _parsing_once(parse: Any) -> Any:
    """Words of a command line; what calls a function, as shuffle(...), may be another each time."""
    known: dict[tuple[str, str], Any] = {}

    @functools.wraps(parse)
    def parsed(parser: OverridesParser, word: str, rule: str) -> Any:
        if "(" in word:
            return parse(parser, word, rule)
        if (word, rule) not in known:
            known[word, rule] = parse(parser, word, rule)
        return copy.deepcopy(known[word, rule])

    return parsed


def _copying_by_pickle(copied: Any) -> Any:
    """A whole config; what is a part of one keeps the parent that it has, which pickle would copy, too."""

    @functools.wraps(copied)
    def deepcopy(config: DictConfig, memo: dict[int, Any]) -> DictConfig:
        if config._get_parent() is not None or memo:
            return copied(config, memo)
        try:
            return pickle.loads(pickle.dumps(config))
        except (pickle.PicklingError, TypeError, AttributeError):  # of an object that was made by what a key names
            return copied(config, memo)

    return deepcopy


class _Later:
    """What Hydra makes for each file that has defaults, a third of the time of a choice, and seldom looks into."""

    def __init__(self, make: Any, *arguments: Any):
        self._make, self._arguments = make, arguments

    @functools.cached_property
    def made(self) -> DictConfig:
        return self._make(*self._arguments)


def _resolving(resolve: Any) -> Any:
    @functools.wraps(resolve)
    def resolved(default: InputDefault, known_choices: _Later | DictConfig, value: str | None) -> str:
        made = known_choices.made if isinstance(known_choices, _Later) else known_choices
        return resolve(default, made, value)

    return resolved


def _remembering(compose: Any) -> Any:
    known: dict[tuple[Any, ...], bytes | HydraException] = {}

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
                config = compose(loader, config_name, typed, run_mode, from_shell, validate_sweep_overrides)
                known[key] = pickle.dumps(config)
            except HydraException as error:
                known[key] = error
        stored = known[key]
        if isinstance(stored, HydraException):
            raise stored
        config = pickle.loads(stored)
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


def _choosing_once(choose: Any) -> Any:
    """Which files a command line chooses hangs on its choices alone, not on its values."""
    known: dict[tuple[Any, ...], DefaultsList] = {}

    @functools.wraps(choose)
    def chosen(
        repo: IConfigRepository,
        config_name: str | None,
        overrides_list: list[Override],
        prepend_hydra: bool,
        skip_missing: bool,
    ) -> DefaultsList:
        given = [override for override in overrides_list if not override.is_sweep_override()]
        is_choice = [repo.group_exists(each.key_or_group) and not isinstance(each.value(), dict) for each in given]
        choices = [override for override, chooses in zip(given, is_choice, strict=True) if chooses]
        key = (config_name, *(override.input_line for override in choices), prepend_hydra, skip_missing)
        if not _is_of_our_files(repo):
            return choose(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        if key not in known:
            known[key] = choose(repo, config_name, choices, prepend_hydra, skip_missing)
        result = copy.copy(known[key])
        result.config_overrides = [override for override in given if override not in choices]
        return result

    return chosen


def _reading_once(read: Any) -> Any:
    known: dict[str, bytes] = {}

    @functools.wraps(read)
    def result(repo: ConfigRepository, config_path: str) -> Any:
        if not _is_of_our_files(repo):
            return read(repo, config_path)
        if config_path not in known:
            known[config_path] = pickle.dumps(read(repo, config_path))
        return pickle.loads(known[config_path])

    return result


def _merging_once(merge: Any) -> Any:
    known: dict[str, bytes] = {}

    @functools.wraps(merge)
    def merged(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        if not _is_of_our_files(repo):
            return merge(loader, defaults, repo)
        key = repr(defaults)
        if key not in known:
            known[key] = pickle.dumps(merge(loader, defaults, repo))
        return pickle.loads(known[key])

    return merged


def _is_of_our_files(repo: IConfigRepository) -> bool:
    return {source.path for source in repo.get_sources()} <= _SOURCES
