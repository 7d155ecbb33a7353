"""What Hydra's errors mean, in a line that names the key and what may stand there."""

import re
import sys
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from vae_lightning.building.arguments import below, unknown_key
from vae_lightning.command_line.choices import config_dir, groups, options, options_with, without_bases
from vae_lightning.command_line.places import searched
from vae_lightning.command_line.quoting import or_with_spaces
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.config import takes
from vae_lightning.runs.records import for_shell

_TYPO = 0.85  # of the similarity of two names: more is one of them mistyped
_UNKNOWN_KEY = r"is not in struct|not in '\w+Config'|No match in the defaults list"
_OF_THE_RUN = {  # optional arguments of a `_target_` that a run gives itself, by group
    "trainer": {"callbacks", "default_root_dir", "enable_checkpointing", "enable_progress_bar", "logger", "plugins"},
    "logger": {"run_dir", "first_step", "output_dir"},
}


def explanation(error: Exception, config_name: str) -> str:
    """What an error of Hydra's means, in a line."""
    resolver = re.search(r"UserError raised while resolving interpolation: (.*)", str(error))
    if resolver:
        return resolver[1]
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        valid = without_bases(group, error.options)
        return unknown_key(f"{group}={option}", valid).replace("no such key", "no such option")
    unloaded = re.search(r"Could not load '([^']+)/([^'/]+)'", str(error))
    if unloaded:
        return f"{unloaded[1]}={unloaded[2]}: no such option; valid here: {', '.join(options(unloaded[1]))}"
    key = re.search(r"Could not override '([^']+)'", str(error))
    if key and re.search(_UNKNOWN_KEY, _whole(error)):
        return _no_such_key(key[1], config_name)
    if isinstance(error, OverrideParseException) and "=" not in error.override:
        return or_with_spaces(error.override, sys.argv[1:], config_name)
    several = re.search(r"Ambiguous value for argument '(.*?)'", str(error), re.DOTALL)
    if several:
        return _one_of_several(several[1])
    value = re.search(r"(Value '.*?'.*)", _whole(error))
    if key and value:
        return f"{key[1]}: {value[1]}"
    merge = re.search(r"full_key: (\S+)", _whole(error))
    if value and merge:
        return f"{merge[1]}: {value[1]}"
    return " ".join(str(error).split())


def _one_of_several(word: str) -> str:
    """What to say of values to sweep over where no sweep was asked for."""
    key, _, value = word.partition("=")
    return f"{word}: several values are a sweep, python -m vae_lightning.train -m; as one list it is {key}=[{value}]"


def _whole(error: BaseException) -> str:
    return f"{error}\n{_whole(error.__cause__)}" if error.__cause__ else str(error)


def _no_such_key(key: str, config_name: str) -> str:
    config, choices = _composed(config_name), groups(config_name)
    if config is None:
        return _no_such_part(key) if "/" in key else _of_another_option(key, []) or f"{key}: no such key"
    parent, node = key, None
    while "." in parent and not isinstance(node, DictConfig):
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent)
    if not isinstance(node, DictConfig):
        siblings = sorted({str(name) for name in config if name != "hydra"} - {"_target_"} | choices)
    else:
        siblings = [str(name) for name in node]
    if "." not in key and (place := _place_of(key, config)):
        return f"{key}: no such key at the top; did you mean {place}?"
    if key in siblings:  # a key that was typed as if it were a group to choose from
        return f"{key}: has no options to choose from here; give single keys, {key}.<key>=..., as in --help"
    told = _unlisted(key, parent, node) or _of_ones_own(key, parent)
    if told is None and not siblings and parent in choices:  # such as averaging=none
        return f"{key}: no such key, for {parent} has none; choose another option of {', '.join(options(parent))}"
    return told or _of_another_option(key, siblings) or unknown_key(key, siblings)


def _of_another_option(key: str, siblings: list[str]) -> str | None:
    """What to say of a key that other options of its group have than the one that is chosen."""
    from difflib import get_close_matches

    group, is_typo = key.partition(".")[0], bool(get_close_matches(key.rpartition(".")[2], siblings, cutoff=_TYPO))
    having = options_with(key) if "." in key and not is_typo and (CONF_DIR / group).is_dir() else []
    if not having:
        return None
    chosen = next((word for word in reversed(sys.argv) if word.startswith(f"{group}=")), "")
    without = f"{chosen} has" if chosen and "," not in chosen else f"what is chosen of {group} has"
    others = f"of {group} {_and(having)} {'has' if len(having) == 1 else 'have'} it"
    valid = f"; valid here: {', '.join(sorted(siblings))}" if siblings else ""
    return f"{key}: {without} no such key, but {others}{valid}"


def _and(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _no_such_part(key: str) -> str:
    """Of a part, as in model/prior, that the option which is chosen of its group does not have."""
    group = key.partition("/")[0]
    chosen = next((word for word in reversed(sys.argv) if word.startswith(f"{group}=")), f"what is chosen of {group}")
    return f"{key}: {chosen} has no such part; leave it out, or choose another option of {', '.join(options(group))}"


def _place_of(name: str, config: DictConfig, above: str = "") -> str | None:
    """Where in a config there is a key of that name, the first and highest one."""
    nodes = {str(key): config._get_node(key) for key in config if key != "hydra"}
    if above and name in nodes:
        return below(above, name)
    found = (_place_of(name, node, below(above, key)) for key, node in nodes.items() if isinstance(node, DictConfig))
    return next((place for place in found if place), None)


def _composed(config_name: str) -> DictConfig | None:
    """The config that the chosen groups compose, without single keys; None where they compose none."""
    known = groups(config_name)
    choices = [argument for argument in sys.argv[1:] if re.split("[=@]", argument)[0].partition("/")[0] in known]
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return hydra.compose(config_name, overrides=[*choices, *searched(config_dir())], return_hydra_config=True)
    except HydraException:
        return None


def _unlisted(key: str, parent: str, node: Any) -> str | None:
    """What to say of a key that the YAML does not list, where the class that it names has such an argument."""
    name = key.removeprefix(f"{parent}.")
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    typed = next((word for word in sys.argv[1:] if word.startswith(f"{key}=")), None)
    if (
        target is None
        or typed is None
        or name in _OF_THE_RUN.get(parent.partition(".")[0], ())
        or not takes(target, name)
    ):
        return None
    return f"{key}: is not listed, but {target.rpartition('.')[2]} takes it: {for_shell(f'+{typed}')} adds it"


def _of_ones_own(key: str, parent: str) -> str | None:
    """What to say of a callback or a logger that was typed as one that there is already."""
    typed = next((word for word in sys.argv[1:] if word.startswith(f"{key}={{")), None)
    if typed is None or parent not in ("callbacks", "logger"):
        return None
    return f"{key}: {parent} has none of this name: {for_shell(f'+{typed}')} adds it"


def not_chosen(config_name: str) -> str:
    """Of a group that was given null, or of a key that is a group of another command's."""
    words = [word.partition("=") for word in sys.argv[1:]]
    known = groups(config_name)
    nested = {key for key, _, _ in words if key.partition("/")[0] in known and (CONF_DIR / key).is_dir()}
    for group in (key for key, _, value in words if value == "null" and key in known | nested):
        return f"{group}=null: choose an option; valid here: {', '.join(options(group))}"
    key = next((key for key, _, _ in words if key not in known and key and (CONF_DIR / key).is_dir()), "a group")
    return f"{key}: has no options to choose from here; give single keys, {key}.<key>=..., as in --help"
