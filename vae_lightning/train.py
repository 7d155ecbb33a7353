"""Entry point: `python -m vae_lightning.train data=anime model=conv5`, or `vae-train`."""

import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vae_lightning.command_line.commands import is_sweep, jobs_at_once, jobs_follow, run_command
from vae_lightning.errors import UserError
from vae_lightning.machine.process import run_as_program
from vae_lightning.machine.world import given_world


def main() -> None:
    """Compose the config from the command line, train, and tell what there is to look at."""
    run_command("train", _train, check=_refuse_many_sweeps, after_sweep=_summarize)


def _refuse_many_sweeps(is_sweep: bool) -> None:
    world = given_world()
    if is_sweep and world.size > 1:
        how = "start the sweep once; trainer=ddp trainer.devices=N gives each of its jobs N ranks"
        raise UserError(f"{world.launcher} has started {world.size} processes, and each would run the sweep: {how}")


def _train(config: DictConfig) -> dict[str, Any] | None:
    # Imported here: `--help` must answer without torch.
    from hydra.core.hydra_config import HydraConfig

    from vae_lightning.command_line.places import with_home
    from vae_lightning.command_line.stored_keys import as_typed
    from vae_lightning.command_line.unread import tell_unread
    from vae_lightning.config import plain
    from vae_lightning.reports.best import named_origin
    from vae_lightning.runs.directories import check_name
    from vae_lightning.runs.tags import checked_tags

    typed, overrides = with_home(plain(config)), as_typed(HydraConfig.get().overrides.task, sys.argv)
    if typed["init_from"] is not None and typed["resume"] is None:
        typed["init_from"] = named_origin(typed["init_from"], typed["output_dir"])
    check_name(typed["name"])
    typed["tags"] = checked_tags(typed["tags"])
    tell_unread(config)
    return _train_job(typed, overrides) if is_sweep() else _train_run(typed, overrides)


def _train_run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any] | None:
    from vae_lightning.command_line.console import print_run
    from vae_lightning.launch.start import resume, start
    from vae_lightning.reports.best import BEST
    from vae_lightning.runs.resuming import resumed_config, run_to_resume

    if config["sweep"] is not None:
        raise UserError(f"sweep={config['sweep']}: a sweep is gone on with by -m and what was typed to start it")
    if config["resume"] is not None:
        if config["resume"].startswith(BEST) and not os.path.lexists(config["resume"]):
            raise UserError(f"resume={config['resume']}: name its directory, or begin a new run from it by init_from=")
        run, checkpoint = run_to_resume(config["resume"], config["output_dir"])
        stored, trusted = resumed_config(run, config, overrides)
        _print(config, stored)
        done = resume(stored | {"resume": checkpoint}, overrides, run, trusted=trusted)
    else:
        _print(config, config)
        done = start(config, overrides, Path(config["run_dir"]))
    if done is None:
        return None
    print_run(done, config["output_dir"])
    return done.metrics()


def _print(asked: dict[str, Any], config: dict[str, Any]) -> None:
    """Print the config that is trained with where the one that was composed asks for it."""
    from vae_lightning.command_line.printed_config import print_config

    if asked["print_config"] and not given_world().rank:
        print_config(config)


def _train_job(config: dict[str, Any], overrides: list[str]) -> dict[str, Any] | None:
    from hydra.core.hydra_config import HydraConfig

    from vae_lightning.runs.resuming import check_one_beginning
    from vae_lightning.sweeps.jobs import Job, run_job

    check_one_beginning(config, overrides)
    _print(config, config)
    hydra = HydraConfig.get()
    place = Path(hydra.sweep.dir)
    return run_job(Job(config, overrides, place, int(hydra.job.num), jobs_at_once(), jobs_follow()))


def _summarize(sweep: Path) -> None:
    from vae_lightning.sweeps.summary import summarize

    summarize(sweep)


if __name__ == "__main__":
    run_as_program(main)
