"""The config of a resumed run: what the run directory holds, changed only where the command line may change it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vae_lightning.building.arguments import unknown_key
from vae_lightning.building.stored import check_config
from vae_lightning.building.table import MOVED, TABLE
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.config import takes
from vae_lightning.errors import UserError, first_line
from vae_lightning.runs.latest import LATEST
from vae_lightning.runs.opening import named_run, open_run
from vae_lightning.runs.records import CHECKPOINTS, RunDir, typed
from vae_lightning.runs.seals import own_services
from vae_lightning.runs.shared import is_given_away

# What changes nothing that is trained, nor what is kept of it.
PLACES = ("resume", "run_dir", "output_dir", "sweep", "sweep_dir", "trust", "name", "print_config")
# Groups whose options have keys of their own: those of the run's option may be typed, not those of the default one.
OPTIONAL_KEYS = (
    *("averaging", "callbacks", "data", "initialization", "logger", "model", "objective", "optimizer", "schedule"),
)
_REPLACEABLE = ("callbacks", "logger")
AUTO = "auto"
NUM_CLASSES = "model.num_classes"  # of which AUTO, typed when a run began, has become a number


def check_one_beginning(config: dict[str, Any], overrides: list[str]) -> None:
    """Raise a UserError where both were typed, whose weights a new run starts from and how they are to be drawn."""
    drawn = [override for override in overrides if override.lstrip("+").startswith("initialization")]
    if config["init_from"] is not None and drawn:
        raise UserError(
            f"init_from={config['init_from']} and {drawn[0]}: both say where the weights start; give one of them"
        )


def run_to_resume(place: str, output_dir: str = "outputs") -> tuple[RunDir, str | None]:
    """The run that `resume=` names, and the name of the checkpoint in it to go on from; None is last.ckpt.

    Args:
        place: a run directory, `latest`, or the path of a checkpoint in its checkpoints/.
        output_dir: where the latest is looked for.

    Raises:
        UserError: as `open_run`; or there is no such checkpoint, or it lies in no run directory.
    """
    if place == LATEST:
        place, _ = named_run(place, "resume", output_dir)
    path = Path(place)
    if is_given_away(place):
        raise UserError(
            f"resume={place}: is a model that was given away, of weights alone; {typed('init_from', place)} starts a "
            "new run from them"
        )
    if path.suffix != ".ckpt" or path.is_dir():
        return open_run(place, "resume"), None
    if path.parent.name != CHECKPOINTS or not os.path.lexists(path.parent.parent / "config.yaml"):
        raise UserError(
            f"resume={place}: a checkpoint is gone on from where it lies, in the {CHECKPOINTS} folder of its run; "
            "init_from= starts a new run from its weights"
        )
    run = open_run(str(path.parent.parent), "resume")
    if path.name == run.last.name:
        return run, None
    if not path.is_file():
        raise UserError(f"resume={place}: no such file; {typed('resume', run.path)} goes on from last.ckpt")
    return run, path.name


def resumed_checkpoint(run: RunDir, config: dict[str, Any]) -> Path:
    """The file that a resumed run goes on from: last.ckpt, or another that the command has named in the config."""
    return run.last if config.get("resume") is None else run.checkpoints / Path(config["resume"]).name


def resumed_config(run: RunDir, composed: dict[str, Any], overrides: list[str]) -> tuple[dict[str, Any], Trust]:
    """The stored config with the keys that were typed put in; what was typed when the run began may be repeated.

    Args:
        run: the run to go on with.
        composed: the config that Hydra composed from the command line alone.
        overrides: what was typed.

    Returns:
        the config, and how far it is the command line's: a `trust` in the file counts for nothing.

    Raises:
        UserError: a config that can't be read or may not be built, or an override that would make another model or
            another setting of it.
    """
    with _named(run, "overrides.yaml"):
        known = run.overrides()
        if type(known) is not list or not all(type(override) is str for override in known):
            raise ValueError("expected a list of text")
    with _named(run, "config.yaml"):
        stored = run.config()
        services, output_dir = own_services(run, stored)
        typed = _put_in(stored, composed, overrides, known, run) | {f"logger.{name}" for name in services}
        trust = trusting(composed["trust"], typed | {"output_dir"})
        check_config(stored, trust)
        # What does not go into the run goes where the command says, typed or by default, whatever the file has.
        is_told = output_dir is None or any(override.lstrip("+").startswith("output_dir=") for override in overrides)
        stored["output_dir"] = composed["output_dir"] if is_told else output_dir
        stored["trainer"] = composed["trainer"] | stored["trainer"]  # a run of an earlier version lacks later keys
    return stored, trust


def _put_in(
    stored: dict[str, Any], composed: dict[str, Any], overrides: list[str], known: list[str], run: RunDir
) -> set[str]:
    """Put what was typed into the stored config, and return the keys whose values are the command line's then."""
    typed = set()
    for override in sorted(overrides, key=_depth):  # a choice first, which has keys that are typed beside it
        key = override.partition("=")[0].lstrip("+~").partition("@")[0]
        if key in PLACES:
            continue
        path = key.replace("/", ".")
        value = _get(composed, path)
        if override in known and (path == "init_from" or (path == NUM_CLASSES and value == AUTO)):
            continue  # `latest` was another run then
        # A choice that the run began with stands for all that it is made of, which may have been changed since.
        if override not in known or not _is_choice(path, stored):
            if path.startswith(tuple(f"{group}." for group in OPTIONAL_KEYS)) and override[0] not in "+~":
                _check_place(override, path, stored, run)
            _check_override(override, path, value, stored, run)
            _set(stored, path, value)
        if value == _get(stored, path):
            typed.add(path)
    if "data.root" in typed and "data.archive" not in typed and _get(stored, "data.archive") is not None:
        _set(stored, "data.archive", None)  # in whose place the root was typed
    return typed


@contextmanager
def _named(run: RunDir, name: str) -> Iterator[None]:
    """Say of which file and run it is that something is wrong."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # YAML that is damaged or would build something, or of another form
        raise UserError(f"resume={run.path}: {name} can't be read ({first_line(error)})") from error


def _check_override(override: str, path: str, value: Any, stored: dict[str, Any], run: RunDir) -> None:
    if path == "init_from" and value != _get(stored, path):
        raise UserError(f"{override}: {run.path} has weights already; without resume= it starts a new run")
    if path.split(".")[0] in ("model", "seed") and value != _get(stored, path):
        raise UserError(f"{override}: {run.path} was trained with another, which a resumed run keeps")
    if _is_choice(path, stored):
        raise UserError(f"{override}: a resumed run keeps its {path}; give single keys, such as trainer.max_epochs=40")


def _check_place(override: str, path: str, stored: dict[str, Any], run: RunDir) -> None:
    """Check that the run has what the key is said to be one of, and the key, unless a later version has added it."""
    parent, _, name = path.rpartition(".")
    siblings = _get(stored, parent)
    if not isinstance(siblings, dict):
        raise UserError(f"{override}: {run.path} has no {parent}")
    target = siblings.get("_target_")
    is_known = isinstance(target, str) and MOVED.get(target, target) in TABLE  # others are not even imported
    if name not in siblings and not (is_known and takes(str(target), name)):
        raise UserError(unknown_key(path, sorted(key for key in siblings if key != "_target_")))


def _depth(override: str) -> int:
    return override.partition("=")[0].count(".")


def _is_choice(path: str, stored: dict[str, Any]) -> bool:
    """Whether it was one of an option of a group, or of a whole node, that a resumed run keeps."""
    return path not in _REPLACEABLE and (path in ("experiment", "debug") or isinstance(_get(stored, path), dict))


def _get(config: dict[str, Any], path: str) -> Any:
    node: Any = config
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    node = config
    for parent in parents:
        node = node.setdefault(parent, {})
    node[name] = value
