"""The best run of a sweep, by its name: `best@<the sweep's directory>`."""

import logging
import os
from pathlib import Path

from vae_lightning.errors import UserError
from vae_lightning.machine.world import given_world
from vae_lightning.reports.comparison import Comparison, Ranking
from vae_lightning.reports.entries import best_entry, entries, views
from vae_lightning.reports.runs import RunRecord, find_runs, is_run, read_runs
from vae_lightning.reports.wording import nats, shortened
from vae_lightning.runs.latest import named_latest, named_sweep
from vae_lightning.runs.records import typed

log = logging.getLogger("vae_lightning")
BEST = "best@"
_LONGEST = 300  # letters of what the sets of runs are


def named_best(place: str, key: str, output_dir: str = "outputs") -> str:
    """What a run is called by: its directory where it is called the best of a sweep, else the name as it is.

    Args:
        place: as it was typed; a directory that is called best@something is one.
        key: the config key that has it, for the messages.
        output_dir: the folder of all runs, for `best@latest`.

    Raises:
        UserError: as `best_run`; or there are several ranks.
    """
    if not place.startswith(BEST) or os.path.lexists(place):
        return place
    if given_world().size > 1:  # the sweep may still be going on
        raise UserError(f"{key}={place}: ranks might find different ones; name the run's directory")
    sweep = place.removeprefix(BEST)
    if not sweep:
        example = f"{key}={BEST}outputs/sweeps/<date>/<time>_<name>"
        raise UserError(f"{key}={place}: give a sweep's directory, as in {example}")
    best = best_run(Path(named_sweep(os.path.expanduser(sweep), f"{key}={BEST}", output_dir)), key)
    log.info("%s=%s: %s", key, place, best)
    return str(best)


def named_origin(place: str, output_dir: str) -> str:
    """What `init_from` names: the best of a sweep and the latest run by their directories, anything else as it is.

    Raises:
        UserError: as `named_best`; or there is no run yet.
    """
    return named_latest(named_best(place, "init_from", output_dir), "init_from", output_dir)


def best_run(sweep: Path, key: str = "run") -> Path:
    """The directory of a sweep's best run, as its report ranks them: of the highest validation ELBO among the finished.

    Of several seeds it is the best run of the settings whose mean is the best: another's may be the luckiest.

    Args:
        sweep: the sweep's directory.
        key: the config key that asks for it, for the messages.

    Raises:
        UserError: no such directory, a run instead of a sweep, no finished run with a validation ELBO, or runs that
            can't be compared.
    """
    told = f"{key}={BEST}{sweep}"
    if not sweep.is_dir():
        raise UserError(f"{told}: no such directory")
    runs = find_runs(sweep)
    if not runs:
        is_one = f"this is a run, not a sweep; {typed(key, sweep)} names it"
        raise UserError(f"{told}: {is_one if is_run(sweep) else 'there is no run in it (a folder with a config.yaml)'}")
    comparison = Comparison(read_runs(runs))
    bests = [(ranking.kind, _best(comparison, ranking)) for ranking in comparison.rankings]
    found = [(kind, best) for kind, best in bests if best is not None]
    if not found:
        raise UserError(f"{told}: none of its {len(runs)} runs has finished with a validation ELBO")
    first = found[0][1]
    if len(found) > 1:
        sets = shortened("; ".join(f"{kind}: {best.name} ({nats(best.val_elbo)})" for kind, best in found), _LONGEST)
        raise UserError(
            f"{told}: its runs can't all be compared, since their figures are of different kinds, or of different "
            f"images; name one, as in {typed(key, first.path)} (best of each: {sets})"
        )
    return first.path


def _best(comparison: Comparison, ranking: Ranking) -> RunRecord | None:
    best = best_entry(entries(comparison, ranking, views(comparison)[0]))
    return None if best is None else max(best.counted, key=lambda run: run.metrics["val/elbo"])
