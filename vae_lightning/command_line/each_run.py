"""Hydra's sweeper of a command that takes several runs: each is a job of the launcher, with `run=` in their place.

A job is called with what was typed, but for `sweep=` and `runs=`, and returns why it failed, or an empty text. The
launchers are Hydra's: one after another, joblib, submitit. Nothing is written but what a job writes into its run.
"""

import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, flag_override

from vae_lightning.command_line.console import command
from vae_lightning.command_line.places import with_home
from vae_lightning.config import plain
from vae_lightning.errors import UserError, first_line, one_line, plain_lines
from vae_lightning.machine.interruption import Interrupted, number_of
from vae_lightning.machine.terminal import beside, width_within
from vae_lightning.machine.world import given_world
from vae_lightning.reports.runs import find_runs, given_runs, is_run, read_runs, runs_of_sweep
from vae_lightning.reports.wording import shortened
from vae_lightning.runs.latest import named_sweep
from vae_lightning.runs.records import RunDir, as_word, for_shell, typed
from vae_lightning.sweeps.summary import tell_report

log = logging.getLogger("vae_lightning")
_KEYS = ("run", "sweep", "runs")


def register(check: Callable[[dict[str, Any]], None]) -> None:
    """Make the sweeper known to Hydra, under the name that conf/hydra/sweeper/each_run.yaml gives it.

    Args:
        check: refuses settings with which no run's job could work, before there is any.
    """
    EachRun.check = staticmethod(check)
    Plugins.instance().class_name_to_class["hydra_plugins.vae_lightning.EachRun"] = EachRun


class EachRun(Sweeper):
    """Has the launcher call the command for each run that `sweep=` or `runs=` names, and tells how they ended."""

    check: Callable[[dict[str, Any]], None] = staticmethod(lambda settings: None)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Call the command for each run.

        Raises:
            UserError: settings that can't be; no such runs; at the end the runs for which it has failed.
            Interrupted: Ctrl-C, with the command that goes on.
        """
        assert self.config is not None
        settings = with_home({str(key): plain(self.config[key]) for key in self.config if key != "hydra"})
        _check_typed(settings, arguments)
        self.check(settings)
        named = _named(settings)
        left_out = named.left_out()
        ready = [run for run in named.runs if run not in left_out]
        words = [word for word in arguments if word.partition("=")[0] not in _KEYS]
        results = self._launched(named.place, ready, words) if ready else []
        failed = {run: reason for run, result in zip(ready, results, strict=True) if (reason := _reason(result))}
        if len(failed) == len(ready) > 1 and len(set(failed.values())) == 1:  # which is no run's fault
            raise UserError(failed[ready[0]])
        named.tell()
        named.raise_failed(failed if named.sweep else left_out | failed)
        return [results]

    def _launched(self, place: Path, runs: list[Path], words: list[str]) -> Sequence[JobReturn]:
        """What the launcher has of the runs' jobs; one that keeps files of its own, as submitit does, has a place."""
        assert self.config is not None
        assert self.hydra_context is not None
        with flag_override(self.config, ["readonly", "struct"], False):
            self.config.hydra.sweep.dir = str(place)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        try:
            return launcher.launch([[*words, f"run={as_word(str(run))}"] for run in runs], initial_job_idx=0)
        except KeyboardInterrupt as interrupt:
            typed_again = shlex.join(["python", "-m", "vae_lightning.evaluate", *sys.argv[1:]])
            way_on = "begin anew with" if self.config.again else "what is recorded stays; go on with"
            raise Interrupted(number_of(interrupt), f"{way_on} {typed_again}") from None


def _check_typed(settings: dict[str, Any], arguments: list[str]) -> None:
    world = given_world()
    if world.size > 1:
        raise UserError(f"{world.launcher} has started {world.size} processes, which share one run: give run=")
    given = [f"{key}={settings[key]}" for key in _KEYS if settings[key]]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)}: give one of run=, sweep= and runs=")
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        if override.is_sweep_override():
            line = str(override.input_line)
            key, _, value = line.partition("=")
            raise UserError(f"{line}: one value is taken, or a list: {for_shell(f'{key}=[{value}]')}")


@dataclass(frozen=True)
class _Named:
    """The runs that were named.

    Attributes:
        sweep: whose they are; None where they were named one by one.
        patterns: by which they were named.
        runs: their directories, each once.
    """

    sweep: Path | None
    patterns: list[str]
    runs: list[Path]

    @property
    def place(self) -> Path:
        """Where a launcher may keep its files: not in a run, where a link that leads out is refused."""
        return self.sweep or self.runs[0].parent

    def name(self, run: Path) -> str:
        return run.name if self.sweep else str(run)

    def left_out(self) -> dict[Path, str]:
        """Why some runs are left out, told in a line each.

        Raises:
            UserError: none of a sweep's has finished.
        """
        left = {run: why for run in self.runs if (why := _why_not(RunDir(run)))}
        for run, why in left.items():
            log.info("%s is left out: %s", f"job {run.name}" if self.sweep else run, why)
        if self.sweep and len(left) == len(self.runs):
            raise UserError(f"sweep={self.sweep}: none of its {len(left)} runs has finished")
        return left

    def tell(self) -> None:
        """The table of the runs; of a sweep its report, too, and of others how one is made."""
        from vae_lightning.reports.summary import terminal_table

        if self.sweep:
            tell_report(self.sweep)
            return
        print(f"\n{plain_lines(terminal_table(read_runs(self.runs), width_within(120)))}\n")
        words = for_shell(f"runs=[{','.join(map(as_word, self.patterns))}]")
        print(beside("report", one_line(f"{shlex.join(command('vae-report', 'report'))} {words}"), 16))

    def raise_failed(self, failed: dict[Path, str]) -> None:
        """Fail where a run has."""
        for run, reason in failed.items():
            print(f"{shortened(self.name(run), 60):<15} {shortened(reason, 300)}")
        if failed:
            names = ", ".join(self.name(run) for run in self.runs if run in failed)
            raise UserError(f"{len(failed)} of {len(self.runs)} runs could not be evaluated: {names}")


def _named(settings: dict[str, Any]) -> _Named:
    given = settings["runs"]
    patterns = [str(run) for run in (given if isinstance(given, list) else [given])]
    if settings["sweep"] is None:
        sweep, runs = None, given_runs(patterns)
    else:
        sweep = Path(named_sweep(str(settings["sweep"])))
        if sweep.is_dir() and is_run(sweep) and not find_runs(sweep):
            raise UserError(f"sweep={sweep}: this is a run, not a sweep; {typed('run', sweep)} names it")
        runs = runs_of_sweep(sweep)
    return _Named(sweep, patterns, list({run.resolve(): run for run in runs}.values()))


def _why_not(run: RunDir) -> str:
    """Why a run can't be evaluated yet, or never; empty where nothing of that is known."""
    try:
        status = run.real_status()
    except (OSError, ValueError) as error:
        return f"its status.json can't be read ({first_line(error)})"
    what = str(status.get("status", "finished"))
    if what == "finished":
        return ""
    if what in ("starting", "running"):
        return "it is still being trained"
    reason = status.get("reason")
    return f"it has not finished ({shortened(what, 40)})" + (f": {shortened(str(reason), 200)}" if reason else "")


def _reason(result: JobReturn) -> str:
    """Why a job has failed; empty where it has not."""
    if result.status == JobStatus.COMPLETED:
        return str(result.return_value or "")
    try:
        return str(result.return_value)
    except Exception as error:  # as which it is kept
        return first_line(error) or type(error).__name__
