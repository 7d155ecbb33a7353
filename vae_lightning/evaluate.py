"""Entry point: `python -m vae_lightning.evaluate run=outputs/<date>/<time>_<name>`, or `vae-evaluate`."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vae_lightning.building.early import check_early
from vae_lightning.command_line.commands import (
    chosen_nodes,
    jobs_at_once,
    refusing_sweeps,
    run_command,
    take,
    take_opening,
)
from vae_lightning.command_line.each_run import register
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain
from vae_lightning.errors import UserError, first_line, plain_lines
from vae_lightning.launch.output import labelled, silent
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program

log = logging.getLogger("vae_lightning")


def main() -> None:
    """Compose the config from the command line, open the run or each of several, compute the metrics, record them."""
    register(_check_for_each)
    several = "several runs are given as sweep=<a sweep's directory> or runs=[first,second]"
    run_command("evaluate", _evaluate, check=refusing_sweeps(f"evaluate takes one run; {several}"))


def _evaluate(config: DictConfig) -> str | None:
    settings = with_home(plain(config))
    again = _checked_again(settings.get("again"))
    if not OmegaConf.is_missing(HydraConfig.get().job, "num"):
        return _evaluate_job(settings, again=again)
    _evaluate_run(settings, again=True)
    return None


def _check_for_each(settings: dict[str, Any]) -> None:
    """Refuse once what would be refused of each run."""
    out, again, wanted = take(dict(settings), "out", "again", "metrics").values()
    if out is not None:
        raise UserError(f"out={out}: is one run's; the figures of several go into the directory of each")
    _checked_again(again)
    check_early(chosen_nodes(settings, wanted, "metrics", "metric"))


def _checked_again(again: Any) -> bool:
    if not isinstance(again, bool):
        raise UserError(f"again={again}: expected true or false")
    return again


def _evaluate_job(settings: dict[str, Any], *, again: bool) -> str:
    """Evaluate one of several runs, and return why that has failed; an empty text where it has not."""
    run = settings["run"]
    with labelled(f"[{Path(run).name}] " if jobs_at_once() > 1 else ""):
        try:
            _evaluate_run(settings, again=again)
            return ""
        except UserError as error:
            reason = str(error)
        except Exception as error:
            log.exception("%s", run)
            reason = first_line(error) or type(error).__name__
        log.error("%s can't be evaluated: %s", run, reason)
    return reason


def _evaluate_run(settings: dict[str, Any], *, again: bool) -> None:
    """Compute the metrics of a run; unless again, those alone that are not recorded yet."""
    take(settings, "sweep", "runs", "again")
    opening, choice = take_opening(settings), take(settings, "split", "seed", "batch_size")
    out, wanted = take(settings, "out", "metrics").values()
    nodes = chosen_nodes(settings, wanted, "metrics", "metric")
    check_early(nodes)
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.machine.hardware import flush_denormals
        from vae_lightning.machine.world import joined_world
        from vae_lightning.metrics.evaluation import Evaluation
        from vae_lightning.runs.trained import open_trained

        metrics = {name: instantiate(node, name) for name, node in nodes.items()}
    flush_denormals()
    with joined_world(opening["device"]) as world, silent(world.rank > 0):
        run = checked(open_trained, opening)
        evaluation = checked(Evaluation, choice)
        of_each = {name: {key: value for key, value in nodes[name].items() if key != "_target_"} for name in nodes}
        if not again:
            is_moved = any(value is not None for key, value in opening["data"].items() if key != "cache_dir")
            for name in (known := evaluation.recorded(run, of_each, is_moved=is_moved)):
                del metrics[name]
            if known:
                log.info("%s: recorded already: %s; again=true computes that anew", opening["run"], ", ".join(known))
        if metrics:
            evaluation(run, metrics, of_each, world, out, _tell)


def _tell(text: str) -> None:
    """A paragraph on the terminal; of several runs at once without the lines between them, which would be mixed."""
    print(plain_lines(text if jobs_at_once() == 1 else text.strip("\n")), flush=True)


if __name__ == "__main__":
    run_as_program(main)
