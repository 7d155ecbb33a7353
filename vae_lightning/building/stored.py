"""Builds a stored config: of plain data, without Hydra and OmegaConf, for it is resolved already, and by one table."""

import functools
import importlib
import inspect
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vae_lightning.building.arguments import (
    below,
    check_arguments,
    construction_message,
    imported,
    named_by,
    parameters_of,
    shown,
    unknown_key,
)
from vae_lightning.building.table import FAMILIES, FAMILY_PARTS, MOVED, PARTIAL, TABLE, Entry
from vae_lightning.building.trust import Trust
from vae_lightning.errors import UserError

log = logging.getLogger("vae_lightning")

_NEEDED = ("data", "model", "objective", "optimizer", "trainer")
_OPTIONAL = ("initialization", "averaging", "schedule", "callbacks", "checkpoint", "logger")
_SPECIAL = re.compile(r"_.*_")
_OF_A_PATH = re.compile(r"[.\[\]=]|\$\{")
_PLAIN = (str, int, float, bool, type(None))
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_DEEPEST = 20  # levels of a config
_LONGEST = 1000  # items of a list, whose types are all looked at
_LONGEST_NAME = 255  # bytes, of which it names a folder
_MOST_TOLD = 6  # names of classes in a message
_OWN = ("vae_lightning", "lightning", "torch", "optuna")  # too much to be opened as a whole


def check_config(config: Any, trust: Trust, needed: Iterable[str] = _NEEDED) -> None:
    """Check the form of a whole stored config before anything is read out of it.

    Args:
        config: what the file held.
        trust: what the user has typed beside it.
        needed: the groups that it must have.

    Raises:
        ValueError: it is no config.
        UserError: a value that is no plain data, or that is still to be resolved.
    """
    if type(config) is not dict:
        raise ValueError("it holds no keys")
    check_plain(config, "", trust)
    name, seed = config.get("name"), config.get("seed")
    if type(name) is not str or not name.isprintable() or len(os.fsencode(name)) > _LONGEST_NAME:
        raise ValueError(f"name={shown(name)}: expected a line of text, of {_LONGEST_NAME} bytes at most")
    if type(seed) is not int:
        raise ValueError(f"seed={shown(seed)}: expected int")
    groups = {group: config.get(group) for group in _NEEDED + _OPTIONAL}
    for group in ("callbacks", "logger", "checkpoint"):
        groups |= {f"{group}.{name}": node for name, node in _items(groups[group])}
    for key, node in groups.items():
        if type(node) is not dict and (node is not None or key in needed):
            raise ValueError(f"{key}={shown(node)}: expected keys")


def _items(node: Any) -> Iterable[tuple[Any, Any]]:
    """What a group of any number of objects has; `checkpoint` was one once."""
    return node.items() if isinstance(node, dict) and "_target_" not in node else ()


def check_plain(value: Any, key: str, trust: Trust, depth: int = 0) -> None:
    """Check that a stored value is plain data with nothing to be resolved, and no special keys but two.

    Raises:
        UserError: it is not, with the key.
    """
    if key and trust.is_typed(key):
        return
    if depth > _DEEPEST:
        raise UserError(f"{shown(key)}: lies deeper in a stored config than {_DEEPEST} levels")
    if type(value) is dict:
        for name, part in value.items():
            _check_name(name, part, value, key)
            check_plain(part, below(key, str(name)), trust, depth + 1)
    elif type(value) is list:
        if len(value) > _LONGEST:
            raise UserError(f"{key}: a list of {len(value)} items, where a stored config may have {_LONGEST}")
        for index, item in enumerate(value):
            check_plain(item, f"{key}[{index}]", trust, depth + 1)
    elif type(value) not in _PLAIN:
        raise UserError(f"{key}: {_unfit(type(value).__name__)}")
    elif isinstance(value, str) and "${" in value:
        raise UserError(f"{key}={shown(value)}: a stored config is resolved, and may not hold ${{")


def _check_name(name: Any, value: Any, node: dict[Any, Any], key: str) -> None:
    if type(name) is int and type(value) not in (dict, list):  # else it would take the place of the same in letters
        return
    # A key's place is told by its path: a name with a dot would take another's, maybe one that was typed.
    if type(name) is not str or not name.isprintable() or not 0 < len(name) <= 100 or _OF_A_PATH.search(name):
        raise UserError(f"{key or 'config.yaml'}: {shown(name)} can't be a key of a stored config")
    if not _SPECIAL.fullmatch(name):
        return
    kind = {"_target_": str, "_partial_": bool}.get(name)
    if kind is None or "_target_" not in node:
        raise UserError(
            f"{below(key, name)}: can't be a key of a stored config; of its kind only _target_ and _partial_ can"
        )
    if type(value) is not kind:
        raise UserError(f"{below(key, name)}={shown(value)}: expected {kind.__name__}")


def _unfit(kind: str) -> str:
    return f"a stored config holds text, numbers, true, false, null, lists and keys, but no {kind}"


@dataclass(frozen=True)
class _Call:
    """A node that was found good: what it calls, with which arguments."""

    key: str
    target: Any
    arguments: dict[str, Any]
    is_partial: bool
    read_only: frozenset[str]

    def make(self, extra: Mapping[str, Any]) -> Any:
        arguments = {name: _made(value) for name, value in self.arguments.items()} | dict(extra)
        if self.is_partial:
            return functools.partial(self.target, **arguments)
        try:
            built = self.target(**arguments)
        except UserError:
            raise
        except Exception as error:  # a stranger's values may fail anywhere
            raise UserError(construction_message(error, self.key)) from error
        if self.read_only:
            built.read_only = self.read_only
        return built


def _made(value: Any) -> Any:
    if isinstance(value, _Call):
        return value.make({})
    if isinstance(value, list):
        return [_made(item) for item in value]
    return {name: _made(part) for name, part in value.items()} if isinstance(value, dict) else value


def build(node: Any, key: str, trust: Trust, *, offered: Mapping[str, Any] | None = None, **extra: Any) -> Any:
    """Build the object that a node of a stored config describes, once all of it has been found good.

    Args:
        node: plain data; None builds nothing, and neither does what must be typed and is not, which is told.
        key: its place in the config, which says what may stand there.
        trust: what the user has typed beside the config.
        offered: arguments that the outermost target gets if its signature names them.
        extra: further keyword arguments of the outermost target, which no value of the config replaces.

    Raises:
        UserError: whatever it is that a stored config may not do, or that can't work.
    """
    check_plain(node, key, trust)
    if node is None:
        return None
    if type(node) is not dict or "_target_" not in node:
        raise UserError(f"{key}={shown(node)}: names no class; expected a _target_")
    if _must_be_typed(node, key, trust):
        return None
    offered = offered or {}
    call = _call(node, key, key.partition(".")[0], trust, frozenset(extra) | frozenset(offered))
    return call.make(named_by(call.target, offered) | extra)


def _must_be_typed(node: dict[str, Any], key: str, trust: Trust) -> bool:
    """Whether it is what a stored config alone does not build, which is told then: see `Entry.typed_as`."""
    entry = TABLE.get(MOVED.get(node["_target_"], node["_target_"]))
    is_in_place = entry is not None and key.partition(".")[0] in entry.slots
    if entry is None or not is_in_place or not entry.typed_as or trust.is_typed(below(key, "_target_")):
        return False
    log.warning(
        "%s: is told nothing of a resumed run until it is typed, with its settings, as in %s", key, entry.typed_as
    )
    return True


def _call(node: dict[str, Any], key: str, slot: str | None, trust: Trust, given: frozenset[str]) -> _Call:
    name = MOVED.get(node["_target_"], node["_target_"])
    entry = TABLE.get(name) or _of_a_family(name, slot)
    if entry is not None and slot is not None and slot not in entry.slots:
        entry = None
    if entry is None:
        target = _opened(name, key, slot, trust)
    else:
        target = imported(name, key)
        _check_partial(node, key, entry)
    taken = _taken(node, key, entry, target, trust, given)
    check_arguments(target, taken, key, given)
    arguments = {
        argument: _part(value, below(key, argument), _slot(entry, argument), trust)
        for argument, value in taken.items()
        if not _SPECIAL.fullmatch(argument)
    }
    places = entry.read_only if entry else ()
    read_only = frozenset(one for one in places if not (trust.is_typed(below(key, one)) or trust.is_typed(one)))
    return _Call(key, target, arguments, node.get("_partial_", False), read_only)


def _of_a_family(name: str, slot: str | None) -> Entry | None:
    """What a class may do that has no entry of its own, but is of the kind that a slot is for, and lies in its room."""
    family = FAMILIES.get(slot or "")
    module, _, own = name.rpartition(".")
    if family is None or name in family.but or len(name) > _LONGEST or not f"{module}.".startswith(f"{family.room}."):
        return None
    try:
        found = getattr(importlib.import_module(module), own)
    except (ImportError, AttributeError, ValueError):  # there is none of that name
        return None
    is_own = isinstance(found, type) and found.__module__ == module and not inspect.isabstract(found)
    entry = Entry((slot or "",), withheld=family.withheld, parts=FAMILY_PARTS)
    return entry if is_own and issubclass(found, imported(family.kind, "")) else None


def _slot(entry: Entry | None, argument: str) -> str | None:
    """What may be built in an argument: an opened class takes anything of the table (None), others say it."""
    return None if entry is None else entry.parts.get(argument, "")


def _part(value: Any, key: str, slot: str | None, trust: Trust) -> Any:
    if isinstance(value, list):
        return [_part(item, f"{key}[{index}]", slot, trust) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "_target_" in value:
        return _call(value, key, slot, trust, frozenset())
    return {name: _part(part, below(key, str(name)), slot, trust) for name, part in value.items()}


def _check_partial(node: dict[str, Any], key: str, entry: Entry) -> None:
    """What is made later, by its user, says so; nothing else does, or it would be no object of its kind."""
    is_partial, expected = node.get("_partial_", False), not PARTIAL.isdisjoint(entry.slots)
    if is_partial is not expected and "layer" not in entry.slots:
        must = "must be true" if expected else "must be false or left out"
        raise UserError(f"{below(key, '_partial_')}={str(is_partial).lower()}: {must} for {node['_target_']}")


def _taken(
    node: dict[str, Any], key: str, entry: Entry | None, target: Any, trust: Trust, given: frozenset[str]
) -> dict[str, Any]:
    """The node without the arguments that a stored config does not decide, which are told."""
    if entry is None:
        return node
    parameters = parameters_of(target) or {}
    named = [name for name, parameter in parameters.items() if parameter.kind not in _VARIADIC]
    allowed = set(named if entry.arguments is None else entry.arguments) - set(entry.withheld) - given
    taken = {}
    for name, value in node.items():
        place = below(key, name)
        if _SPECIAL.fullmatch(name) or trust.is_typed(place) or (name in allowed and _is_choice(entry, name, value)):
            _check_limit(entry, name, value, place, trust)
            taken[name] = value
        elif name not in parameters:
            raise UserError(unknown_key(place, sorted(allowed)))
        elif name not in given and value != parameters[name].default:
            log.info("%s=%s: is not taken from a stored config; it counts when it is typed", place, shown(value))
    return taken


def _check_limit(entry: Entry, name: str, value: Any, place: str, trust: Trust) -> None:
    most = entry.at_most.get(name)
    if most is not None and type(value) in (int, float) and not value <= most and not trust.is_typed(place):
        raise UserError(f"{place}={shown(value)}: is more than a stored config may choose ({most}); type it, too")


def _is_choice(entry: Entry, name: str, value: Any) -> bool:
    return name not in entry.choices or value in entry.choices[name]


def _opened(path: str, key: str, slot: str | None, trust: Trust) -> Any:
    """A target that TABLE does not have there: the user has typed it, or trusts its package."""
    if trust.is_typed(below(key, "_target_")) or path in trust.packages:
        return imported(path, key)
    # By its name first: importing a module runs it. Then by its home: my_networks.os.system is os.system.
    if trust.opens(path) and all(name.isidentifier() and not name.startswith("__") for name in path.split(".")):
        found = imported(path, key)
        if trust.opens(f"{getattr(found, '__module__', None)}.{path.rpartition('.')[2]}"):
            return found
    raise UserError(_distrust(path, key, slot))


def _distrust(path: str, key: str, slot: str | None) -> str:
    place, told = below(key, "_target_"), path if re.fullmatch(r"[\w.]{1,200}", path) else shown(path)
    valid = sorted(name.rpartition(".")[2] for name, entry in TABLE.items() if slot in (None, *entry.slots))
    package = path.split(".")[0]
    hint = package if package.isidentifier() and package not in _OWN else told
    if len(valid) > _MOST_TOLD:  # what is to be done comes last, and has to be seen
        valid = [*valid[: _MOST_TOLD - 1], f"{len(valid) - _MOST_TOLD + 1} others"]
    here = f"one of {', '.join(valid)} here" if valid else "no class here"
    if slot in FAMILIES:
        kind, room = FAMILIES[slot].kind.rpartition(".")[2], FAMILIES[slot].room
        here = " or ".join([*valid, f"what is derived from {kind} in {room}"])
    way = f"trust=[{hint}]"
    if slot == "logger" and package == "lightning":  # Lightning's loggers are ordinary, and several may stand there
        way = f"trust=[{told}], or trust=[lightning]"
    return f"{place}={told}: a stored config may only build {here}; if you trust it, add it: {way}"
