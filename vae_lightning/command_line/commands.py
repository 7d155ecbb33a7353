"""Runs a Hydra command such that every mistake on the command line is answered with one line."""

import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lightning.building.arguments import unknown_key
from vae_lightning.command_line.console import reporting_errors
from vae_lightning.command_line.places import typed_with_home
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.errors import UserError
from vae_lightning.launch.output import configure_logging
from vae_lightning.machine.environment import environment
from vae_lightning.machine.interruption import Interrupted, interruptible, number_of
from vae_lightning.sweeps.preparing import PrepareSweep, RefusedSweep, forget_sweep, go_on

_FULL_ERROR = "HYDRA_FULL_ERROR"
_UNKNOWN_KEY = r"is not in struct|not in '\w+Config'|No match in the defaults list"


def run_command(
    config_name: str,
    task: Callable[[DictConfig], Any],
    *,
    check: Callable[[bool], None] = lambda is_sweep: None,
    after_sweep: Callable[[Path], None] = lambda sweep: None,
) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and run the task on it, once or once a job of a sweep.

    Args:
        config_name: of the top-level config.
        task: what it returns is what a sweeper is told of the job.
        check: called first, with whether a sweep is asked for.
        after_sweep: called with the sweep's directory once all jobs have ended, whether well or not.
    """
    register()
    wanted = os.environ.get(_FULL_ERROR)
    failures: list[UserError] = []
    PrepareSweep.directories.clear()

    def guarded(config: DictConfig) -> Any:
        configure_logging()  # a launcher may have brought the task to another process
        try:
            with environment(HYDRA_FULL_ERROR=wanted):
                return task(config)
        except UserError as error:
            if is_sweep():  # Hydra goes on with the next job and raises it at the end
                raise UserError(f"job {HydraConfig.get().job.num}: {error}") from error
            failures.append(error)
            return None

    with reporting_errors(), interruptible(_let_jobs_save):
        sys.argv[1:] = map(typed_with_home, sys.argv[1:])
        wants_sweep = not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(sys.argv)
        check(wants_sweep)
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


def _run(task: Callable[[DictConfig], Any], config_name: str) -> list[UserError]:
    """Call the task through Hydra, and return what a sweep failed of."""
    # conf/hydra/launcher/submitit_slurm.yaml: its plugin's schema has the same name, and is meant to check it.
    warnings.filterwarnings("ignore", message="(?s).*is validated against ConfigStore schema with the same name")
    # Hydra would print its errors itself, over many lines and with advice for its own users.
    with environment(HYDRA_FULL_ERROR="1"):
        try:
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)(task)()
        except (HydraException, OmegaConfBaseException) as error:
            forget_sweep()
            raise UserError(_explain(error, config_name)) from error
        except RefusedSweep as refusal:
            raise refusal.error from None
        except UserError as error:
            return [error]
        except Exception as error:
            if str(error).startswith("Only one of --"):
                raise UserError("-m, --cfg and --info: choose one of them") from error
            if str(error).startswith("Config group override must be"):
                raise UserError(_not_chosen(config_name)) from error
            if not PrepareSweep.directories:
                raise
            return [_failed_launcher(error)]
    return []


def _not_chosen(config_name: str) -> str:
    """Of a group that was given null, or of a key that is a group of another command's."""
    words = [word.partition("=") for word in sys.argv[1:]]
    groups = _groups(config_name)
    nested = {key for key, _, _ in words if key.partition("/")[0] in groups and (CONF_DIR / key).is_dir()}
    for group in (key for key, _, value in words if value == "null" and key in groups | nested):
        return f"{group}=null: choose an option; valid here: {', '.join(_options(group))}"
    key = next((key for key, _, _ in words if key not in groups and key and (CONF_DIR / key).is_dir()), "a group")
    return f"{key}: has no options to choose from here; give single keys, {key}.<key>=..., as in --help"


def _options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml"))


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
        UserError: no run, or two checkpoints, by the two names of one key.
    """
    opening = take(settings, "run", "ckpt", "device", "data", "trust")
    if opening["run"] is None:
        raise UserError("run: give a run directory, as in run=outputs/<date>/<time>_<name>")
    checkpoint = settings.pop("checkpoint", None)
    if checkpoint is not None and opening["ckpt"] not in ("best", checkpoint):
        raise UserError(f"checkpoint={checkpoint} and ckpt={opening['ckpt']}: are two names of one key; give one")
    return opening if checkpoint is None else opening | {"ckpt": checkpoint}


def _explain(error: Exception, config_name: str) -> str:
    resolver = re.search(r"UserError raised while resolving interpolation: (.*)", str(error))
    if resolver:
        return resolver[1]
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return unknown_key(f"{group}={option}", list(error.options)).replace("no such key", "no such option")
    unloaded = re.search(r"Could not load '([^']+)/([^'/]+)'", str(error))
    if unloaded:
        return f"{unloaded[1]}={unloaded[2]}: no such option; valid here: {', '.join(_options(unloaded[1]))}"
    key = re.search(r"Could not override '([^']+)'", str(error))
    if key and re.search(_UNKNOWN_KEY, _whole(error)):
        siblings = _siblings(key[1], config_name)
        if key[1] in siblings:  # a key that was typed as if it were a group to choose from
            return f"{key[1]}: has no options to choose from here; give single keys, {key[1]}.<key>=..., as in --help"
        return unknown_key(key[1], siblings) + _of_a_resumed_run(key[1])
    value = re.search(r"(Value '.*?'.*)", _whole(error))
    if key and value:
        return f"{key[1]}: {value[1]}"
    merge = re.search(r"full_key: (\S+)", _whole(error))
    if value and merge:
        return f"{merge[1]}: {value[1]}"
    return " ".join(str(error).split())


def _of_a_resumed_run(key: str) -> str:
    """What to say of a key that may be one of another option than a command chooses without its run."""
    resumes = any(argument.startswith("resume=") for argument in sys.argv[1:])
    if not resumes or key.partition(".")[0] not in ("model", "objective"):
        return ""
    return "; beside resume= name the option that the key is of, too, as in objective=geco objective.tolerance=0.1"


def _whole(error: BaseException) -> str:
    return f"{error}\n{_whole(error.__cause__)}" if error.__cause__ else str(error)


def _siblings(key: str, config_name: str) -> list[str]:
    """The keys that exist beside a key that does not, in the config that the chosen groups compose."""
    groups = _groups(config_name)
    choices = [argument for argument in sys.argv[1:] if re.split("[=@]", argument)[0].partition("/")[0] in groups]
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = hydra.compose(config_name, overrides=choices, return_hydra_config=True)
    except HydraException:
        return []
    parent = key
    while "." in parent:
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig):
            return [str(name) for name in node]
    return sorted({str(name) for name in config if name != "hydra"} - {"_target_"} | groups)


def _groups(config_name: str) -> set[str]:
    """The config groups that a command chooses from."""
    defaults = yaml.safe_load((CONF_DIR / f"{config_name}.yaml").read_text())["defaults"]
    named = {name for entry in defaults if isinstance(entry, dict) for name in entry}
    return {name for name in named if (CONF_DIR / name).is_dir()} - {"hydra"}
