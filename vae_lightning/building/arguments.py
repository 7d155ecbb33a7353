"""Arguments that a config gives, held against the signature of what it names: their names, their types, all there."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from vae_lightning.errors import UserError, first_line

_LONGEST = 200  # characters of a value in a message


def below(key: str, name: str) -> str:
    """The key of a part; the config's top level has none itself."""
    return ".".join(part for part in (key, name) if part)


def group_of(key: str, name: str) -> str:
    """How the config group of a part is written: model/prior for the key model.prior."""
    return below(key, name).replace(".", "/")


def imported(path: Any, key: str) -> Any:
    """The class or function of that name, which a `_target_` at this place of the config names.

    Raises:
        UserError: there is none, or its module fails.
    """
    try:
        names = str(path).split(".")
        found = importlib.import_module(names[0])
        for number, name in enumerate(names[1:], 2):
            if not hasattr(found, name):
                _import_part(".".join(names[:number]), path)
            found = getattr(found, name)
    except Exception as error:
        raise UserError(f"{below(key, '_target_')}={path}: can't be imported ({first_line(error)})") from error
    return found


def _import_part(module: str, path: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        parent, _, name = module.rpartition(".")
        raise AttributeError(f"{parent} has no {name}") from error


def parameters_of(target: Any) -> dict[str, inspect.Parameter] | None:
    """What the target can be given, by name; None for a built-in callable that has none to show."""
    try:
        return dict(inspect.signature(target).parameters)
    except ValueError:
        return None


def named_by(target: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that the target's signature names; what it would take besides, by `**kwargs`, it does not
    ask for."""
    names = parameters_of(target) or {}
    return {name: value for name, value in offered.items() if name in names}


def check_arguments(
    target: Any, node: dict[str, Any], key: str, given: frozenset[str], *, builds_parts: bool = True
) -> None:
    """Check the arguments of a node against the target's signature.

    Args:
        target: a class or a function.
        node: the arguments by name, beside the node's special keys such as `_target_`.
        key: the node's place in the config.
        given: the names of further arguments, which the caller gives.
        builds_parts: whether a value with a `_target_` becomes an object before it is given.

    Raises:
        UserError: an argument that there is not, of the wrong type, or that is missing.
    """
    parameters = parameters_of(target)
    if parameters is None:
        return
    names = {name: value for name, value in node.items() if not (name.startswith("_") and name.endswith("_"))}
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, value in names.items():
        if name not in parameters:
            if open_ended:
                continue
            raise UserError(unknown_key(below(key, name), [p for p in parameters if p != "self" and p not in given]))
        check_value(parameters[name], value, key, builds_parts=builds_parts)
    _check_required(parameters, node, key, given)


def check_value(parameter: inspect.Parameter, value: Any, key: str, *, builds_parts: bool = True) -> None:
    """Check one argument of the node at this place of the config; the rest as in `check_arguments`."""
    name, hint = parameter.name, parameter.annotation
    if value == "???":
        raise UserError(f"{below(key, name)} must be given: {below(key, name)}=...")
    if (builds_parts and isinstance(value, dict) and "_target_" in value) or isinstance(hint, str):
        return  # becomes an object first; or an annotation that is only text
    if isinstance(value, str) and get_origin(hint) is Callable:
        raise UserError(f"{below(key, name)}={shown(value)}: options are chosen as {group_of(key, name)}=<option>")
    if hint is not inspect.Parameter.empty and not _fits(value, hint):
        raise UserError(f"{below(key, name)}={shown(value)}: expected {_describe(hint)}")


def _check_required(parameters: Any, node: dict[str, Any], key: str, given: frozenset[str]) -> None:
    if node.get("_partial_"):
        return
    for name, parameter in parameters.items():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and name not in node and name not in given:
            raise UserError(f"{below(key, name)} must be given: {below(key, name)}=...")


def _fits(value: Any, hint: Any) -> bool:
    if not isinstance(value, list):
        return _bears(value, hint)
    # Beartype looks at one item of a sequence, drawn at random: a list of one item repeated leaves it no choice.
    lists = [value, *([item] * len(value) for item in value)]
    return all(_bears(items, hint) or _bears(tuple(items), hint) for items in lists)  # YAML has no tuples


def _bears(value: Any, hint: Any) -> bool:
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    return is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))  # the tower lets an int stand for a float


def _describe(hint: Any) -> str:
    """An annotation in a user's words: int | None becomes "int or null"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is type(None):
        return "null"
    if origin is Literal:
        return ", ".join(str(argument) for argument in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_describe(argument) for argument in arguments))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list of {_describe(arguments[0])}"
    return str(getattr(hint, "__name__", hint))


def unknown_key(key: str, valid: list[str]) -> str:
    """The message for a key, or a group=option, that does not exist among its valid siblings."""
    import difflib

    name = key.replace("=", ".").rpartition(".")[2]
    close = difflib.get_close_matches(name, valid, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{key}: no such key; {hint}valid here: {', '.join(sorted(valid))}"


def construction_message(cause: BaseException, place: str) -> str:
    """One line on why the object at a place of the config was not made; a ValueError begins with its parameter."""
    message = first_line(cause)
    if message.startswith("image_size"):  # networks are told the image's shape, which the data's keys set
        return f"data.{message}"
    if " must " in message.split(",")[0]:
        return below(place, message)
    return f"{place}: {message}" if place else message


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, and no longer than that is of use."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
