"""A run's entry in TensorBoard's hparams tab: hyperparameters, final figures and how it ended."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vae_lightning.loggers.event_files import EventFile

_SUFFIX = ".hparams"
_GROUPS = ("data", "model", "initialization", "objective", "optimizer", "averaging", "schedule", "trainer")
_PLACES = ("data.root", "data.archive", "data.cache_dir", "data.seed")
# The tab shows the first five settings: of those that differ between runs, by name in ASCII. These are what runs of
# different models and data are compared by, and are given numbers to come before the many that only some of them have.
_COMPARED = {
    "data": "1 data",
    "model.encoder": "2 model.encoder",
    "model.latent_dim": "3 model.latent_dim",
    "model.latent_dims": "3 model.latent_dims",
    "model.groups": "3 model.groups",
    "objective.beta": "4 objective.beta",
    "optimizer.lr": "5 optimizer.lr",
    "seed": "6 seed",
}
# The tab shows the first five figures of a run's, by name in ASCII: these, for their bracket. Where curves are, digits
# come before it, so that these single points do not stand before them.
_FIGURES = {
    "(final)/distortion": "test/distortion",
    "(final)/elbo": "test/elbo",
    "(final)/images_per_s": "train/images_per_s",
    "(final)/rate": "test/rate",
    "(final)/seconds": "seconds",
    "(final)/validation_elbo": "val/elbo",
}


def write_entry(run_dir: Path, config: dict[str, Any], status: str, metrics: dict[str, Any]) -> None:
    """Write the entry of a run, in place of the one it had.

    It has an event file of its own: TensorBoard keeps the first status that it reads, and a failed run may be resumed.
    What all runs have in common is not declared, or TensorBoard would show one run's hyperparameters only.

    Args:
        run_dir: where the event files are.
        config: the resolved config as plain data.
        status: starting, running, finished, failed or interrupted.
        metrics: the final figures there are.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams import summary_v2

    for old in run_dir.glob(f"*{_SUFFIX}"):
        if not old.is_dir() or old.is_symlink():
            old.unlink(missing_ok=True)
    settings = {_COMPARED.get(name, name): value for name, value in hyperparameters(config).items()}
    summaries = [summary_v2.hparams_pb(settings, trial_id=_trial(run_dir)), *_figures(metrics)]
    if status not in ("starting", "running"):
        summaries.append(_session_end(status))
    writer = EventFile(run_dir, _SUFFIX)
    for content in summaries:
        writer.add_event(Event(wall_time=time.time(), step=0, summary=content))
    writer.close()


def _trial(run_dir: Path) -> str:
    """What the tab calls a run, such that no two runs are one trial: its first dozen letters are all that is seen."""
    *_, above, folder, name = "", "", *run_dir.absolute().parts
    return f"{name} in {above}/{folder}"


def hyperparameters(config: dict[str, Any]) -> dict[str, bool | int | float | str]:
    """The settings that runs differ by, with dotted names; a part of the model or the data is named by its class."""
    flat = {"name": config.get("name", ""), "seed": config.get("seed", 0)}
    if config.get("tags"):
        flat["tags"] = ", ".join(config["tags"])
    for group in _GROUPS:
        flat |= dict(_flat(group, config.get(group)))
    return {name: value for name, value in flat.items() if value is not None and name not in _PLACES}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value if isinstance(value, bool | int | float | str | None) else str(value)
        return
    if "_target_" in value:
        yield name, value["_target_"].rpartition(".")[2]
    for key, part in value.items():
        if not key.startswith("_"):
            yield from _flat(f"{name}.{key}", part)


def _session_end(status: str) -> Any:
    # tensorboard.plugins.hparams.summary has this, but imports TensorFlow.
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    ended = api_pb2.STATUS_SUCCESS if status == "finished" else api_pb2.STATUS_FAILURE
    content = plugin_data_pb2.SessionEndInfo(status=ended, end_time_secs=time.time())
    data = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=content))
    return Summary(value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=data)])


def _figures(metrics: dict[str, Any]) -> Iterator[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    for tag, name in _FIGURES.items():
        value = metrics.get(name)
        if value is not None and math.isfinite(value):  # an absent figure is an empty cell
            yield Summary(value=[Summary.Value(tag=tag, simple_value=value)])
