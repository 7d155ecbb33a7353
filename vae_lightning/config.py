"""Where the configs lie, what the top level may hold, and the one place that turns a config into objects."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from vae_lightning.building import build
from vae_lightning.errors import UserError
from vae_lightning.files import check_integers
from vae_lightning.signatures import below, check_arguments, construction_message, first_line
from vae_lightning.stored import Trust

_PACKAGE = Path(__file__).parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # wheel, or source tree


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


def instantiate(node: Any, key: str, *, trusted: Trust | None = None, **extra: Any) -> Any:
    """Build the object that a config node describes with `_target_`, its parts first.

    Every value is checked beforehand against the type that the target's signature gives it.

    Args:
        node: the config node.
        key: its place in the config, for the messages; empty for the top level.
        trusted: for a config that was found in a file, what its user has typed; it may build what `stored.TABLE` lists.
            None for a config that the user typed, which may build anything.
        extra: further keyword arguments of the outermost target.

    Raises:
        UserError: an unknown key, a value of the wrong type, a value the target refuses, a target that may not run.
    """
    if trusted is not None and not trusted.is_typed(key):
        return build(node, key, trusted, **extra)
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    node = plain(node)
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


def _check_node(node: Any, key: str, given: frozenset[str]) -> None:
    """Walk a plain config and check each `_target_` node: does it know its keys, do the types fit."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_node(item, f"{key}[{index}]", frozenset())
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        check_arguments(_locate(node["_target_"], key), node, key, given)
    for name, value in node.items():
        _check_node(value, below(key, name), frozenset())


def _locate(path: str, key: str) -> Any:
    from hydra.utils import get_object

    try:
        return get_object(path)
    except Exception as error:
        reason = first_line(error.__cause__ or error)
        raise UserError(f"{below(key, '_target_')}={path}: can't be imported ({reason})") from error
