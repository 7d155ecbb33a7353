"""In which processes a run trains: in this one, in fresh ones, or in the ranks that torchrun or srun has started."""

import gc
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.building.early import check_early
from vae_lightning.building.trust import Trust
from vae_lightning.launch.children import train_in_children
from vae_lightning.launch.output import silent
from vae_lightning.machine.gpus import check_gpu
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.world import World, given_world, joined_world
from vae_lightning.runs.directories import check_new_place, reserved
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.resuming import check_one_beginning
from vae_lightning.runs.seals import seal_services
from vae_lightning.runs.training_lock import locked
from vae_lightning.training.settings import check_root, check_settings

if TYPE_CHECKING:
    from vae_lightning.training.run import Parts


def refuse_early(config: dict[str, Any]) -> None:
    """Refuse at once what needs no PyTorch to be refused; `training.run.build` checks the rest.

    Args:
        config: the resolved config of a new run, as its user has typed it.

    Raises:
        UserError: a value of the wrong type or out of its range, settings that can't work, a folder that is not there.
    """
    trainer = {name: value for name, value in config["trainer"].items() if value != "auto"}  # chosen when it is built
    chosen = config | {"trainer": trainer}
    if isinstance(config.get("model"), dict) and config["model"].get("num_classes") == "auto":
        chosen["model"] = {name: value for name, value in config["model"].items() if name != "num_classes"}
    check_early(chosen)
    check_settings(config)
    check_root(config["data"])
    check_gpu(config["trainer"]["accelerator"])


def start(config: dict[str, Any], overrides: list[str], path: Path) -> RunDir | None:
    """Check everything, take a new run directory and train.

    Args:
        config: the resolved config as plain data.
        overrides: what was typed.
        path: where the run is to write; a number is put behind a name that is taken.

    Returns:
        the run directory; None on ranks other than zero, which have nothing to tell.

    Raises:
        UserError: a config that can't work, of which nothing is left behind; or a run that failed.
    """
    if given_world().size == 1:  # ranks find the same one after another, and agree on it below
        refuse_early(config)
    check_new_place("run_dir", path)
    check_one_beginning(config, overrides)
    _import_training()
    with joined_world(config["trainer"]["accelerator"]) as world, ExitStack() as held:
        with ExitStack() as until_checked:
            run_dir = world.agree(lambda: until_checked.enter_context(reserved(path)))
            world.agree(lambda: held.enter_context(locked(run_dir.path, "run_dir")))
            built = [prepared(world, config, run_dir)]
        _train(world, built, overrides)
    return run_dir if world.rank == 0 else None


def resume(config: dict[str, Any], overrides: list[str], run_dir: RunDir, *, trusted: Trust) -> RunDir | None:
    """Go on with a run from its last checkpoint; `trusted` as in `config.instantiate`, the rest as in `start`.

    Raises:
        UserError: as `start`; or another process is training the run, in which nothing has been changed then.
    """
    _import_training()
    with joined_world(config["trainer"]["accelerator"]) as world, ExitStack() as held:
        world.agree(lambda: held.enter_context(locked(run_dir.path, f"resume={run_dir.path}")))
        built = [prepared(world, config, run_dir, resume=True, trusted=trusted)]
        _train(world, built, run_dir.overrides() + overrides, trusted)
    return run_dir if world.rank == 0 else None


def _import_training() -> None:
    """PyTorch and Lightning, seconds of imports, once it is known that they are needed."""
    with undivided():
        import vae_lightning.training.run  # noqa: F401


def prepared(
    world: World,
    config: dict[str, Any],
    run_dir: RunDir,
    *,
    resume: bool = False,
    trusted: Trust | None = None,
) -> "Parts":
    """The parts of a run, built and checked on every rank of the world; rank zero's config counts.

    Raises:
        UserError: as `training.run.build`, on every rank when it is raised on one; or too little disk space.
    """
    from vae_lightning.training.run import build

    config = world.agree(lambda: config)  # its places may hold the time, which ranks read at different moments

    def checked() -> "Parts":
        with silent(world.rank > 0):
            parts = build(config, run_dir, resume=resume, trusted=trusted)
        run_dir.check_space(parts.needed_bytes)
        return parts

    return world.in_turns(checked)


def _train(world: World, built: list["Parts"], overrides: list[str], trusted: Trust | None = None) -> None:
    from vae_lightning.training.run import run

    parts = built.pop()  # so that nobody else holds them
    run_dir, num_ranks, resumed = parts.run_dir, parts.trainer.num_devices, parts.resume
    if world.rank == 0:
        run_dir.write_config(parts.config, overrides)
        seal_services(run_dir, parts.config, trusted)
    if world.size > 1 or num_ranks == 1:
        run(parts)
    else:
        # The children build their own, beside which these would take the memory of one rank more.
        del parts
        gc.collect()  # for the data know their trainer, and it knows them
        train_in_children(run_dir, num_ranks, resume=resumed, trusted=trusted, is_told=True)
