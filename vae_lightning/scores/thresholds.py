"""From which value on an image counts as strange: found on validation images, kept with the run."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from vae_lightning.disk.files import load_json, read_text, write_atomically
from vae_lightning.disk.locks import alone_in
from vae_lightning.errors import UserError, first_line
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore

log = logging.getLogger("vae_lightning")

THRESHOLDS = "thresholds.json"
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Threshold:
    """Of one score.

    Attributes:
        value: an image of a worse one counts as strange.
        false_alarms: the fraction of validation images that may be worse, and are not more.
        num_images: validation images that it was found on.
        usual: what the score had learned of them, if it learns anything.
    """

    value: float
    false_alarms: float
    num_images: int
    usual: float | None = None

    def flags(self, score: AnomalyScore, values: Float64[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Which images count as strange; one whose score is no number does."""
        return ~(score.strangeness(values) <= score.strangeness(np.array([self.value]))[0])


def allowed(false_alarms: float, num_images: int) -> int:
    """How many of so many usual images may pass a threshold.

    Raises:
        UserError: not even one.
    """
    most = min(math.floor(false_alarms * num_images + 1e-9), num_images - 1)
    if most < 1:
        least = math.ceil(1e6 / max(num_images, 1)) / 1e6
        raise UserError(
            f"score.false_alarms={false_alarms:g}: is less than one of {num_images:,} validation images; choose "
            f"{least:g} or more"
        )
    return most


def threshold_of(score: AnomalyScore, usual: Float64[np.ndarray, " N"], false_alarms: float) -> Threshold:
    """The threshold that at most this fraction of usual images passes, and as many as can; raises as `allowed`."""
    ordered = np.sort(score.strangeness(usual))
    value = score.strangeness(ordered[[len(ordered) - 1 - allowed(false_alarms, len(usual))]])[0]
    return Threshold(float(value), false_alarms, len(usual), score.learned)


def keep_thresholds(run: TrainedRun, thresholds: Mapping[str, Threshold], scores: Mapping[str, AnomalyScore]) -> None:
    """Write them into the run directory, over earlier ones of the same scores of this checkpoint.

    Raises:
        UserError: it can't be written.
    """
    file = run.run_dir.path / THRESHOLDS
    found = {name: asdict(threshold) | _of(run, scores[name]) for name, threshold in thresholds.items()}
    try:
        with alone_in(file.parent):  # another command may be keeping its own
            known = _read(run)
            known[run.checkpoint] = _by_checkpoint(known, run) | found
            write_atomically(file, json.dumps(known, indent=2))
    except OSError as error:
        raise UserError(f"{file}: can't be written ({error.strerror or error})") from error


def kept_thresholds(run: TrainedRun, scores: Mapping[str, AnomalyScore]) -> dict[str, Threshold]:
    """Those that the run directory has of these scores of this checkpoint, of scores with the same settings."""
    found = {}
    for name, node in _by_checkpoint(_read(run), run).items():
        if name not in scores or not isinstance(node, dict):
            continue
        if {key: node.get(key) for key in ("epoch", "settings")} != _of(run, scores[name]):
            log.info("%s: the threshold that is kept is of other weights or settings, and not used", name)
            continue
        threshold = _checked(node)
        if threshold is None:
            log.warning("%s: the threshold of %s can't be, and is passed over", run.run_dir.path / THRESHOLDS, name)
        else:
            found[name] = threshold
    return found


def _checked(node: dict[str, Any]) -> Threshold | None:
    """What a file has of a threshold; None where that can be none, for the file may be anybody's."""
    found: Any = (node.get(key) for key in ("value", "false_alarms", "num_images", "usual"))
    value, false_alarms, count, usual = found
    if not _is_finite(value) or not _is_finite(false_alarms) or not (usual is None or _is_finite(usual)):
        return None
    if type(count) is not int or count < 1 or not 0 < false_alarms < 1:
        return None
    return Threshold(value, false_alarms, count, usual)


def _is_finite(number: Any) -> bool:
    return type(number) is float and math.isfinite(number)


def _of(run: TrainedRun, score: AnomalyScore) -> dict[str, Any]:
    """What a threshold is of: it serves nothing else."""
    settings: Any = score  # each is a dataclass of plain values
    return {"epoch": run.epoch, "settings": asdict(settings)}


def _by_checkpoint(known: dict[str, Any], run: TrainedRun) -> dict[str, Any]:
    found = known.get(run.checkpoint)
    return found if isinstance(found, dict) else {}


def _read(run: TrainedRun) -> dict[str, Any]:
    """What is kept; nothing of a file that can't be read, which is told."""
    file = run.run_dir.path / THRESHOLDS
    if not file.exists():
        return {}
    try:
        known = load_json(read_text(file, _MOST_BYTES))
        if not isinstance(known, dict):
            raise ValueError("it has no thresholds by checkpoint")
    except (OSError, ValueError) as error:
        log.warning("%s: can't be read, and is passed over (%s)", file, first_line(error))
        return {}
    return known
