"""From a config to plain data, and from plain data to objects: the one place that instantiates."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from vae_lightning.building.arguments import (
    below,
    check_arguments,
    construction_message,
    imported,
    named_by,
    unknown_key,
)
from vae_lightning.building.declared import declared
from vae_lightning.building.stored import build
from vae_lightning.building.table import MOVED
from vae_lightning.building.trust import Trust
from vae_lightning.disk.files import check_integers, load_yaml
from vae_lightning.errors import UserError, first_line

T = TypeVar("T")
_PACKAGE = Path(__file__).parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # wheel, or source tree


def plain(config: Any) -> Any:
    """The config as resolved plain data: dicts, lists, numbers, strings.

    Raises:
        UserError: a whole number of more than 64 bits.
    """
    data = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    _check_whole_numbers(data, "")
    return data


def _check_whole_numbers(value: Any, key: str) -> None:
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            _check_whole_numbers(part, below(key, str(name)))
        return
    try:
        check_integers(value)
    except ValueError as error:
        raise UserError(f"{key}={str(value)[:20]}...: {error}") from error


def instantiate(
    node: Any, key: str, *, trusted: Trust | None = None, offered: Mapping[str, Any] | None = None, **extra: Any
) -> Any:
    """Build the object that a config node describes with `_target_`, its parts first.

    Every value is checked beforehand against the type that the target's signature gives it. A `_target_` of an earlier
    version is found where it lies today.

    Args:
        node: the config node.
        key: its place in the config, for the messages; empty for the top level.
        trusted: for a config that was found in a file, what its user has typed; it may build what `table.TABLE` lists.
            None for a config that the user typed, which may build anything.
        offered: arguments that the outermost target gets if its signature names them, whatever the node has there.
        extra: further keyword arguments of the outermost target.

    Raises:
        UserError: an unknown key, a value of the wrong type, a value the target refuses, a target that may not run.
    """
    if trusted is not None and not trusted.is_typed(key):
        return build(node, key, trusted, offered=offered or {}, **extra)
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    node = _todays(plain(node))
    if offered and isinstance(node, dict) and "_target_" in node:
        extra |= named_by(imported(node["_target_"], key), offered)
    _check_node(node, key, frozenset(extra))
    try:
        return hydra_instantiate(node, **extra, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        inner = str(error).rpartition("full_key: ")[2].strip() if "full_key: " in str(error) else ""
        raise UserError(construction_message(error.__cause__ or error, below(key, inner))) from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{key}: {first_line(error)}" if key else first_line(error)) from error


def named_option(group: str, name: str, key: str) -> Any:
    """What an option of a config group describes, where the option is a value: `samples.sampler=gmm`.

    Args:
        group: of the config.
        name: of the option; one whose file describes nothing is None.
        key: what was given the name, for the messages.

    Raises:
        UserError: an option that there is not.
    """
    files = {file.stem: file for file in sorted((CONF_DIR / group).glob("*.yaml"))}
    if name not in files:
        raise UserError(unknown_key(f"{key}={name}", list(files)).replace("no such key", "no such option"))
    node = load_yaml(files[name].read_text())
    return None if node is None else instantiate(node, key)


def checked(function: Callable[..., T], arguments: dict[str, Any], key: str = "") -> T:
    """Call a function, or a class, of this project with arguments that a user has given, checked against its signature.

    Args:
        function: what is called.
        arguments: by name, as plain data.
        key: their place in the config, for the messages; empty for the top level.

    Raises:
        UserError: an unknown key, one that is missing, a value of the wrong type or one that is refused.
    """
    check_arguments(function, arguments, key, frozenset(), builds_parts=False)
    try:
        return function(**arguments)
    except UserError:
        raise
    except Exception as error:  # a value may fail anywhere
        raise UserError(construction_message(error, key)) from error


def _todays(node: Any) -> Any:
    """A plain config with each `_target_` by the name that it has today."""
    if isinstance(node, list):
        return [_todays(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: _todays(value) for name, value in node.items()}
    target = node.get("_target_")
    return node | {"_target_": MOVED[target]} if isinstance(target, str) and target in MOVED else node


def _check_node(node: Any, key: str, given: frozenset[str]) -> None:
    """Walk a plain config and check each `_target_` node: does it know its keys, do the types fit."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_node(item, f"{key}[{index}]", frozenset())
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        check_arguments(imported(node["_target_"], key), node, key, given)
    for name, value in node.items():
        _check_node(value, below(key, str(name)), frozenset())


def takes(target: str, name: str) -> bool:
    """Whether what a `_target_` names has an optional argument of this name, as far as its source file says so."""
    found = declared(MOVED.get(target, target))
    parameter = found.parameters.get(name) if found is not None else None
    return parameter is not None and parameter.default is not parameter.empty
