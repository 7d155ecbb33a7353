"""Runs a Hydra command such that every mistake on the command line is answered with one line."""

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lightning import __version__
from vae_lightning.command_line.choices import check_choices, option_groups
from vae_lightning.command_line.completion import is_query, only_choices, tell_zsh_of_bash
from vae_lightning.command_line.console import quiet_when_unread, reporting_errors
from vae_lightning.command_line.explanations import explanation, not_chosen
from vae_lightning.command_line.options import options_first
from vae_lightning.command_line.places import typed_with_home
from vae_lightning.command_line.plain_keys import as_keys, as_values, with_values
from vae_lightning.command_line.quoting import check_words
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.command_line.stored_keys import for_hydra, unmarked
from vae_lightning.errors import UserError
from vae_lightning.launch.output import configure_logging
from vae_lightning.machine.environment import environment
from vae_lightning.machine.interruption import Interrupted, interruptible, number_of
from vae_lightning.machine.terminal import outlasting_readers
from vae_lightning.reports.best import named_best
from vae_lightning.runs.latest import LATEST
from vae_lightning.runs.opening import named_run, open_run
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.shared import find_shared
from vae_lightning.sweeps.preparing import PrepareSweep, RefusedSweep, forget_sweep, go_on

_FULL_ERROR = "HYDRA_FULL_ERROR"


def run_command(
    config_name: str,
    task: Callable[[DictConfig], Any],
    *,
    check: Callable[[bool], None] = lambda is_sweep: None,
    after_sweep: Callable[[Path], None] = lambda sweep: None,
    is_for_reading: bool = False,
) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and run the task on it, once or once a job of a sweep.

    Args:
        config_name: of the top-level config.
        task: what it returns is what a sweeper is told of the job.
        check: called first, with whether a sweep is asked for.
        after_sweep: called with the sweep's directory once all jobs have ended, whether well or not.
        is_for_reading: end the command when what it prints is read no further; else it goes on to its end.
    """
    register()
    OmegaConf.register_new_resolver("option_groups", lambda: option_groups(config_name), replace=True)
    wanted = os.environ.get(_FULL_ERROR)
    failures: list[UserError] = []
    PrepareSweep.directories.clear()
    while_read = quiet_when_unread if is_for_reading else outlasting_readers

    def guarded(config: DictConfig) -> Any:
        configure_logging()  # a launcher may have brought the task to another process
        try:
            with environment(HYDRA_FULL_ERROR=wanted), while_read():  # Hydra would tell of it over several lines
                return task(config)
        except UserError as error:
            if is_sweep():  # Hydra goes on with the next job and raises it at the end
                raise UserError(f"job {HydraConfig.get().job.num}: {error}") from error
            failures.append(error)
            return None

    with while_read(), reporting_errors(), interruptible(_let_jobs_save):
        sys.argv[1:] = map(typed_with_home, sys.argv[1:])
        wants_sweep = not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(sys.argv)
        if "--version" in sys.argv[1:]:
            print(f"vae_lightning {__version__}")
            return
        if is_query(sys.argv[1:]):
            with only_choices():
                _run(guarded, config_name)
            return
        tell_zsh_of_bash(sys.argv[1:])
        check(wants_sweep)
        check_choices(sys.argv[1:])
        check_words(sys.argv[1:], is_sweep=wants_sweep)
        try:
            failures += _run(guarded, config_name)
        except KeyboardInterrupt as interrupt:
            raise (_interrupted_sweep(interrupt) if PrepareSweep.directories else interrupt) from None
        try:
            for directory in PrepareSweep.directories:
                after_sweep(directory)
        except UserError as error:
            failures.append(error)
        if failures:
            raise UserError("; ".join(map(str, failures))) from failures[0]


def refusing_sweeps(reason: str) -> Callable[[bool], None]:
    """A `check` of `run_command` for a command that does one thing."""

    def check(is_sweep: bool) -> None:
        if is_sweep:
            raise UserError(f"-m: {reason}")

    return check


def _run(task: Callable[[DictConfig], Any], config_name: str) -> list[UserError]:
    """Call the task through Hydra, and return what a sweep failed of."""
    # conf/hydra/launcher/submitit_slurm.yaml: its plugin's schema has the same name, and is meant to check it.
    warnings.filterwarnings("ignore", message="(?s).*is validated against ConfigStore schema with the same name")
    # Hydra would print its errors itself, over many lines and with advice for its own users.
    with environment(HYDRA_FULL_ERROR="1"):
        typed = sys.argv

        def as_typed(config: DictConfig) -> Any:
            sys.argv = typed  # which messages and records tell
            return task(with_values(config, config_name))

        try:
            sys.argv = [typed[0], *options_first(as_values(for_hydra(typed[1:]), config_name))]
            try:
                hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)(as_typed)()
            finally:
                sys.argv = typed
        except (HydraException, OmegaConfBaseException) as error:
            forget_sweep()
            told = as_keys(unmarked(explanation(error, config_name), typed), typed, config_name)
            raise UserError(told) from error
        except RefusedSweep as refusal:
            raise refusal.error from None
        except UserError as error:
            return [error]
        except Exception as error:
            if str(error).startswith("Only one of --"):
                raise UserError("-m, --cfg and --info: choose one of them") from error
            if str(error).startswith("Config group override must be"):
                raise UserError(not_chosen(config_name)) from error
            if not PrepareSweep.directories:
                raise
            return [_failed_launcher(error)]
    return []


def _failed_launcher(error: Exception) -> UserError:
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    told = UserError(f"the sweep's launcher failed: {type(error).__name__}: {reason}; go on with {go_on()}")
    told.__cause__ = error
    return told


def _let_jobs_save(number: int) -> None:
    if PrepareSweep.directories:
        from vae_lightning.sweeps.jobs import let_jobs_save

        let_jobs_save(PrepareSweep.directories[0], number)


def _interrupted_sweep(interrupt: KeyboardInterrupt) -> KeyboardInterrupt:
    return Interrupted(number_of(interrupt), f"go on with {go_on()}")


def is_sweep() -> bool:
    """Whether the task runs as a job of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def jobs_at_once() -> int:
    """How many jobs of this sweep its launcher runs at a time on one machine."""
    launcher = HydraConfig.get().launcher
    if not launcher["_target_"].endswith(".JoblibLauncher"):
        return 1
    from joblib import effective_n_jobs

    return effective_n_jobs(launcher.n_jobs)


def jobs_follow() -> bool:
    """Whether the process of this job runs others after it: not where each is submitted to a cluster, say."""
    return HydraConfig.get().launcher["_target_"].endswith((".BasicLauncher", ".JoblibLauncher"))


def take(settings: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Take keys of the command's own out of its config.

    Raises:
        UserError: one that a tilde has deleted.
    """
    for key in keys:
        if key not in settings:
            raise UserError(f"~{key}: can't be left out; give a value, as in --help")
    return {key: settings.pop(key) for key in keys}


def take_opening(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the keys that open a run, the arguments of `open_trained`, out of the config of a command.

    Raises:
        UserError: no run, no best one of a sweep, or two checkpoints, by the two names of one key.
    """
    opening = take(settings, "run", "ckpt", "device", "data", "trust")
    if opening["run"] is None:
        raise UserError("run: give a run directory, as in run=outputs/<date>/<time>_<name>")
    if isinstance(opening["run"], str):
        opening["run"] = named_best(opening["run"], "run")
        shared = find_shared(opening["run"])
        if shared is not None:
            shared.config()
        elif opening["run"] != LATEST:  # of which a line would be logged twice
            open_run(named_run(opening["run"], "run")[0], "run", idle=False)
    checkpoint = settings.pop("checkpoint", None)
    if checkpoint is not None and opening["ckpt"] not in ("best", checkpoint):
        raise UserError(f"checkpoint={checkpoint} and ckpt={opening['ckpt']}: are two names of one key; give one")
    return opening if checkpoint is None else opening | {"ckpt": checkpoint}


def take_out(settings: dict[str, Any], example: str, kind: str = "folder") -> tuple[Path, bool]:
    """Take the keys that say where a command writes out of its config: the place, and whether it may be overwritten.

    Args:
        settings: the config.
        example: of a place, for the message.
        kind: of the place, in words.

    Raises:
        UserError: no place, or values of other kinds.
    """
    out, overwrite = take(settings, "out", "overwrite").values()
    if not isinstance(overwrite, bool):
        raise UserError(f"overwrite={overwrite}: expected true or false")
    if out is None:
        raise UserError(f"out: give the {kind} to write, as in out={example}")
    if not isinstance(out, str):
        raise UserError(f"out={out}: expected the name of a {kind}")
    return Path(out).expanduser(), overwrite


def chosen_nodes(settings: Mapping[str, Any], wanted: Any, key: str, group: str) -> dict[str, Any]:
    """The nodes of a config that are wanted, of those that name a class, in their order.

    Args:
        settings: the config.
        wanted: `all`, a name or a list of names.
        key: that says what is wanted, as `metrics`.
        group: of the config that the nodes come from, as `metric`.

    Raises:
        UserError: no node at all, none wanted, or a name that no node has.
    """
    known = [name for name, node in settings.items() if isinstance(node, dict) and "_target_" in node]
    if not known:
        raise UserError(f"{group}=[]: leaves no {group}; choose one at least, as in {group}=[elbo]")
    names = known if wanted == "all" else [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not names:
        raise UserError(f"{key}={wanted}: choose all or some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UserError(f"{key}={name}: no such {group}; valid here: all, {', '.join(known)}")
    return {name: settings[name] for name in known if name in names}


def recorded_config(opening: dict[str, Any]) -> dict[str, Any]:
    """The config of the run that `take_opening` has looked at; empty for `latest`, which is looked for later."""
    run = opening["run"]
    shared = find_shared(run) if isinstance(run, str) else None
    if shared is not None:
        return shared.config()
    return {} if not isinstance(run, str) or run == LATEST else RunDir(Path(named_run(run, "run")[0])).config()
