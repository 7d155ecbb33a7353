"""Trains a run for Python code, as the command line does it."""

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from vae_lightning.building.trust import Trust, trusting
from vae_lightning.command_line.composing import composed, typed_as
from vae_lightning.errors import ArgumentError, UserError
from vae_lightning.face.devices import named_device
from vae_lightning.face.run import Run
from vae_lightning.face.surroundings import undisturbed
from vae_lightning.launch.output import configure_logging
from vae_lightning.launch.start import resume, start
from vae_lightning.machine.terminal import quietly
from vae_lightning.machine.world import given_world
from vae_lightning.reports.best import named_origin
from vae_lightning.runs.directories import check_name
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.resuming import resumed_config, run_to_resume
from vae_lightning.runs.trained import Device, open_trained


def fit(
    overrides: Iterable[str] = (),
    *,
    config_dir: str | os.PathLike[str] | None = None,
    device: Device | torch.device = "auto",
    quiet: bool = False,
) -> Run:
    """Train a run as `python -m vae_lightning.train` does with these overrides, and open it.

    It trains in this process, with several devices in processes of their own, prints what the command prints while it
    trains, and leaves this process as it was: signals, logging, warnings, random numbers. With `resume=` it goes on
    with a run. A run that was interrupted can be gone on with, too.

    Args:
        overrides: such as ["data=digits", "model=mlp", "trainer.max_epochs=3"].
        config_dir: a folder with YAML of one's own, as `--config-dir` names it.
        device: where the opened run computes.
        quiet: print nothing but warnings; the run's train.log has every line.

    Raises:
        UserError: an override that can't work, or a run that failed, on one line; a ValueError, too, of an argument
            that can't be one.
        KeyboardInterrupt: Ctrl-C; the run has been saved.
    """
    wanted = 'give a list of text, as in ["data=digits", "model=mlp"]'
    if isinstance(overrides, str | Mapping) or not isinstance(overrides, Iterable):
        raise ArgumentError(f"overrides: {type(overrides).__name__} is no list; {wanted}")
    overrides = list(overrides)  # a generator gives them once
    if not all(isinstance(override, str) for override in overrides):
        raise ArgumentError(f"overrides: {wanted}")
    if option := next((override for override in overrides if override.startswith("-")), None):
        raise ArgumentError(f"overrides: {option}: is none; -m and the like are for python -m vae_lightning.train")
    if config_dir is not None and not isinstance(config_dir, str | os.PathLike):
        raise ArgumentError(f"config_dir: expected a path, got {config_dir!r}")
    if config_dir is not None and not os.path.isdir(config_dir := os.path.expanduser(config_dir)):
        raise ArgumentError(f"config_dir: {config_dir}: no such folder")
    if not isinstance(quiet, bool):
        raise ArgumentError(f"quiet: expected True or False, got {quiet!r}")
    place, world = named_device(device), given_world()
    if world.size > 1:
        raise UserError(
            f"fit: {world.launcher} has started {world.size} processes; python -m vae_lightning.train trains in them"
        )
    with undisturbed(), quietly() if quiet else nullcontext():
        configure_logging()
        config, typed = composed("train", overrides, config_dir)
        if config["init_from"] is not None and config["resume"] is None:
            config["init_from"] = named_origin(config["init_from"], config["output_dir"])
        with typed_as("vae-train", overrides):
            run_dir, own = _trained(config, typed)
        return Run(open_trained(str(run_dir.path), device=place, trust=own.packages, typed=sorted(own.typed)))


def _trained(config: dict[str, Any], overrides: list[str]) -> tuple[RunDir, Trust]:
    """The run, and how far its config has been typed here: the whole of a new one, so that it may build anything."""
    check_name(config["name"])
    if config["sweep"] is not None:
        raise UserError(f"sweep={config['sweep']}: a sweep is gone on with by python -m vae_lightning.train -m")
    if config["resume"] is None:
        done, trusted = start(config, overrides, Path(config["run_dir"])), trusting((), ("data", "model", "objective"))
    else:
        run, checkpoint = run_to_resume(config["resume"], config["output_dir"])
        stored, trusted = resumed_config(run, config, overrides)
        done = resume(stored | {"resume": checkpoint}, overrides, run, trusted=trusted)
    assert done is not None  # as it is on the only rank
    return done, trusted
