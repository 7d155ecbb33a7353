"""Where the configs lie, what the top level may hold, and the one place that turns a config into objects."""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from vae_lightning.errors import UserError

_PACKAGE = Path(__file__).parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # wheel, or source tree

# What each group of a config found in a run directory may build, since it may come from a stranger: classes of these
# modules, and two functions. Any function at all would be too much: one that writes a file is as good as code.
_TRUSTED = {
    "data": ("vae_lightning.data",),
    "model": ("vae_lightning.models", "torch.nn"),
    "initialization": ("vae_lightning.models",),
    "objective": ("vae_lightning.objectives",),
    "schedule": ("vae_lightning.learning_rates",),
    "optimizer": ("torch.optim",),
    "trainer": ("lightning.pytorch.trainer", "vae_lightning.stepping"),
    "callbacks": ("vae_lightning.callbacks", "lightning.pytorch.callbacks", "optuna.pruners"),
    "checkpoint": ("vae_lightning.callbacks.checkpoints",),
    "logger": ("vae_lightning.loggers",),
}
_TRUSTED_FUNCTIONS = ("vae_lightning.models.vae.build_vae", "vae_lightning.models.likelihoods.default_likelihood")


@dataclass
class TrainConfig:
    """The top level of a training config; the groups' own keys are the parameters of the classes they name."""

    name: str = MISSING
    seed: int = 0
    output_dir: str = "outputs"
    run_dir: str = MISSING
    resume: str | None = None
    sweep_dir: str = MISSING
    sweep: str | None = None
    trial: int | None = None
    trust: list[str] = field(default_factory=list)
    data: Any = MISSING
    model: Any = MISSING
    initialization: Any = None
    objective: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = None
    trainer: Any = MISSING
    callbacks: Any = None
    logger: Any = None
    checkpoint: Any = None


@dataclass
class ReportConfig:
    """The top level of a report's config: one of `sweep` and `runs` says what it is on."""

    sweep: str | None = None
    runs: Any = field(default_factory=list)  # a list of names; a single one will do
    output: str | None = None


def register() -> None:
    """Make the schema, the resolvers and the sweeper known to Hydra; harmless when repeated."""
    from vae_lightning.search import register as register_sweeper

    register_sweeper()
    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    ConfigStore.instance().store(name="report_schema", node=ReportConfig)
    OmegaConf.register_new_resolver("fused_optimizer", _fused_optimizer, replace=True)
    OmegaConf.register_new_resolver("choice", _choice, replace=True)
    OmegaConf.register_new_resolver("sweep_place", _sweep_place, replace=True)


def _sweep_place(sweep: str | None, sweep_dir: str) -> str:
    """Where the jobs of `-m` go: into the sweep that is gone on with, else into a new one."""
    sweep, sweep_dir = sweep and os.path.expanduser(sweep), os.path.expanduser(sweep_dir)
    if sweep is not None and not Path(sweep).is_dir():
        raise UserError(f"sweep={sweep}: no such directory; sweep_dir= names the place of a new sweep")
    if sweep is not None and not (Path(sweep) / "multirun.yaml").is_file():
        raise UserError(f"sweep={sweep}: not a sweep's directory (it has no multirun.yaml)")
    return sweep_dir if sweep is None else sweep


def _choice(group: str, *, _root_: Any) -> str:
    """The option chosen in a config group; unlike `hydra:runtime.choices` it is known where a sweep is named, too."""
    from hydra.core.hydra_config import HydraConfig

    hydra_config = _root_.hydra if "hydra" in _root_ else HydraConfig.get()
    return hydra_config.runtime.choices[group]


def _fused_optimizer(precision: Any, gradient_clip_val: Any) -> bool:
    """Whether an optimizer can run fused: in fp16 it unscales the gradients itself, too late for clipping them."""
    return not gradient_clip_val or str(precision) not in ("16", "16-mixed")


def plain(config: Any) -> Any:
    """The config as resolved plain data: dicts, lists, numbers, strings."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def instantiate(node: Any, key: str, *, trusted: tuple[str, ...] | None = None, **extra: Any) -> Any:
    """Build the object that a config node describes with `_target_`, its parts first.

    Every value is checked beforehand against the type that the target's signature gives it.

    Args:
        node: the config node.
        key: its place in the config, for the messages; empty for the top level.
        trusted: module prefixes that may be built besides this project's own, for a config that was found in a
            file; None for a config that the user typed, which may build anything.
        extra: further keyword arguments of the outermost target.

    Raises:
        UserError: an unknown key, a value of the wrong type, a value the target refuses, a target that may not run.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    node = plain(node)
    _check_node(node, key, trusted, frozenset(extra))
    try:
        return hydra_instantiate(node, **extra, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(_construction_message(error, key)) from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{key}: {_first_line(error)}" if key else _first_line(error)) from error


def _below(key: str, name: str) -> str:
    """The key of a part; the config's top level has none itself."""
    return ".".join(part for part in (key, name) if part)


def _check_node(node: Any, key: str, trusted: tuple[str, ...] | None, given: frozenset[str]) -> None:
    """Walk a plain config and check each `_target_` node: may it run, does it know its keys, do the types fit."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_node(item, f"{key}[{index}]", trusted, frozenset())
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        target = _locate(node["_target_"], key, trusted)
        _check_arguments(target, node, key, given)
    for name, value in node.items():
        _check_node(value, _below(key, name), trusted, frozenset())


def _locate(path: str, key: str, trusted: tuple[str, ...] | None) -> Any:
    from hydra.utils import get_object

    own = tuple(f"{name}." for name in _TRUSTED.get(key.partition(".")[0], ()))
    typed = tuple(f"{name}." for name in trusted or ())
    # By its name first: importing a module runs it. Lightning shows its Trainer one level up.
    if trusted is not None and not path.startswith((*own, *typed, "lightning.pytorch.Trainer")):
        raise UserError(_distrust(path, key))
    try:
        target = get_object(path)
    except Exception as error:
        raise UserError(
            f"{_below(key, '_target_')}={path}: can't be imported ({_first_line(error.__cause__ or error)})"
        ) from error
    # Then by its home: vae_lightning.models.x.os.system is os.system.
    home = f"{getattr(target, '__module__', '')}."
    is_own = home.startswith(own) and (isinstance(target, type) or path in _TRUSTED_FUNCTIONS)
    if trusted is not None and not is_own and not home.startswith(typed):
        raise UserError(_distrust(path, key))
    return target


def _distrust(path: str, key: str) -> str:
    return (
        f"{_below(key, '_target_')}={path}: a stored config may only build classes of vae_lightning and torch; "
        f"if you trust it, add its package: trust=[{path.split('.')[0]}]"
    )


def _check_arguments(target: Any, node: dict[str, Any], key: str, given: frozenset[str]) -> None:
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # some built-in callables have none to show
        return
    names = {name: value for name, value in node.items() if not (name.startswith("_") and name.endswith("_"))}
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, value in names.items():
        if name not in parameters:
            if open_ended:
                continue
            raise UserError(unknown_key(_below(key, name), [p for p in parameters if p != "self" and p not in given]))
        hint = parameters[name].annotation
        if value == "???":
            raise UserError(f"{_below(key, name)} must be given: {_below(key, name)}=...")
        if (isinstance(value, dict) and "_target_" in value) or isinstance(hint, str):
            continue  # becomes an object first; or an annotation that is only text
        if hint is not inspect.Parameter.empty and not _fits(value, hint):
            raise UserError(f"{_below(key, name)}={value!r}: expected {_describe(hint)}")
    _check_required(parameters, node, key, given)


def _check_required(parameters: Any, node: dict[str, Any], key: str, given: frozenset[str]) -> None:
    if node.get("_partial_"):
        return
    for name, parameter in parameters.items():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and name not in node and name not in given:
            raise UserError(f"{_below(key, name)} must be given: {_below(key, name)}=...")


def _fits(value: Any, hint: Any) -> bool:
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    def bears(candidate: Any) -> bool:
        # The tower lets an int stand for a float.
        return is_bearable(candidate, hint, conf=BeartypeConf(is_pep484_tower=True))

    if not isinstance(value, list):
        return bears(value)
    # Beartype looks at one item of a sequence, drawn at random: a list of one item repeated leaves it no choice.
    lists = [value, *([item] * len(value) for item in value)]
    return all(bears(items) or bears(tuple(items)) for items in lists)  # YAML has no tuples


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


def _construction_message(error: Exception, key: str) -> str:
    """One line out of Hydra's InstantiationException; constructors begin a ValueError with the parameter's name."""
    cause = error.__cause__ or error
    inner = str(error).rpartition("full_key: ")[2].strip() if "full_key: " in str(error) else ""
    place = _below(key, inner)
    message = _first_line(cause)
    if message.startswith("image_size"):  # networks are told the image's shape, which the data's keys set
        return f"data.{message}"
    if " must " in message.split(",")[0]:
        return _below(place, message)
    return f"{place}: {message}" if place else message


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
