"""Where the configs lie, what their top level may hold, and the words that Hydra is taught."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, ListConfig, OmegaConf

from vae_lightning.building.table import MOVED_CALLBACKS
from vae_lightning.config import CONF_DIR
from vae_lightning.errors import UserError
from vae_lightning.runs.latest import named_sweep
from vae_lightning.search.sweeper import register as register_sweeper
from vae_lightning.sweeps import preparing

__all__ = ["CONF_DIR", "ReportConfig", "TrainConfig", "register"]


@dataclass
class TrainConfig:
    """The top level of a training config; the groups' own keys are the parameters of the classes they name."""

    name: str = MISSING
    seed: int = 0
    output_dir: str = "outputs"
    run_dir: str = MISSING
    resume: str | None = None
    init_from: str | None = None
    sweep_dir: str = MISSING
    sweep: str | None = None
    trial: int | None = None
    trust: list[str] = field(default_factory=list)
    tags: Any = field(default_factory=list)  # a list of words; a single one will do
    print_config: bool = False
    data: Any = MISSING
    model: Any = MISSING
    initialization: Any = None
    objective: Any = MISSING
    optimizer: Any = MISSING
    averaging: Any = None
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
    table: Any = None
    fields: Any = None  # a list of names; a single one will do
    watch: Any = False


def register() -> None:
    """Make the schema, the resolvers and the sweeper of searches known to Hydra; harmless when repeated."""
    register_sweeper()
    sys.modules.setdefault(MOVED_CALLBACKS, preparing)
    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    ConfigStore.instance().store(name="report_schema", node=ReportConfig)
    OmegaConf.register_new_resolver("fused_optimizer", _fused_optimizer, replace=True)
    OmegaConf.register_new_resolver("image_shape", _image_shape, replace=True)
    OmegaConf.register_new_resolver("choice", _choice, replace=True)
    OmegaConf.register_new_resolver("sweep_place", _sweep_place, replace=True, use_cache=True)  # it may be `latest`
    OmegaConf.register_new_resolver("run_mode", _run_mode, replace=True)


def _image_shape(channels: Any, image_size: Any) -> list[Any]:
    """Channels, height and width of images whose size is one number or two; what can't be one is refused elsewhere."""
    return [channels, *image_size] if isinstance(image_size, ListConfig) else [channels, image_size, image_size]


def _run_mode(sweep: Any, runs: Any) -> str:
    """Hydra's mode of a command that takes one run, or several, each of which is a job."""
    return "RUN" if sweep is None and not runs else "MULTIRUN"


def _sweep_place(sweep: str | None, sweep_dir: str, output_dir: str) -> str:
    """Where the jobs of `-m` go: into the sweep that is gone on with, else into a new one."""
    sweep, sweep_dir = sweep and os.path.expanduser(sweep), os.path.expanduser(sweep_dir)
    if sweep is not None:
        sweep = named_sweep(sweep, output_dir=os.path.expanduser(output_dir))
    if sweep is not None and not Path(sweep).is_dir():
        raise UserError(f"sweep={sweep}: no such directory; sweep_dir= names the place of a new sweep")
    if sweep is not None and not (Path(sweep) / "multirun.yaml").is_file():
        raise UserError(f"sweep={sweep}: not a sweep's directory (it has no multirun.yaml)")
    return sweep_dir if sweep is None else sweep


def _choice(group: str, *, _root_: Any) -> str:
    """The option chosen in a config group; unlike `hydra:runtime.choices` it is known where a sweep is named, too.

    `hydra.compose` without Hydra's own node keeps no choices: there a group is called by the module of its class.
    """
    from hydra.core.hydra_config import HydraConfig

    if "hydra" in _root_:
        return _root_.hydra.runtime.choices[group]
    if HydraConfig.initialized() and group in HydraConfig.get().runtime.choices:
        return HydraConfig.get().runtime.choices[group]
    target = _root_[group]["_target_"]
    if target.endswith(".build_vae"):  # which makes any of them
        target = _root_[group].encoder["_target_"]
    return target.rpartition(".")[0].rpartition(".")[2]


def _fused_optimizer(precision: Any, gradient_clip_val: Any, skip_gradient_norm: Any = None) -> bool:
    """Whether an optimizer can run fused: in fp16 it unscales the gradients itself, too late for looking at them."""
    return not (gradient_clip_val or skip_gradient_norm) or str(precision) not in ("16", "16-mixed")
