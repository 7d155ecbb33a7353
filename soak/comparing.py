"""Whether two run directories hold the same: weights, figures, rows, pictures and events, bit by bit but for times."""

import csv
import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_TIMES = ("seconds", "train/images_per_s", "peak_memory_mb", "peak_gpu_memory_mb")
_TIMES_IN_TENSORBOARD = ("6 speed/images_per_s", "(final)/seconds", "(final)/images_per_s")


def differences(run: Path, reference: Path) -> list[str]:
    """What of the reference is not the same in the run, in words; empty where nothing is."""
    found: list[str] = []
    for kind, read in _READERS.items():
        try:
            expected = read(reference)
            mine = read(run)
        except Exception as error:  # whatever a damaged file makes its reader trip over
            found.append(f"{kind}: can't be read ({type(error).__name__}: {str(error).splitlines()[:1]})")
            continue
        found += [f"{kind}: {line}" for line in _unlike(mine, expected)]
    return found


def _unlike(mine: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    missing = [f"{name} is missing" for name in expected.keys() - mine.keys()]
    more = [f"{name} is too much" for name in mine.keys() - expected.keys()]
    other = [f"{name} is another" for name in mine.keys() & expected.keys() if not _same(mine[name], expected[name])]
    return sorted(missing + more + other)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


def _checkpoint(name: str, run: Path) -> dict[str, Any]:
    """Weights, optimizer, epoch and steps; the states of callbacks hold scores of the same, and places."""
    stored = torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True)
    kept = {key: stored[key] for key in ("epoch", "global_step", "state_dict", "optimizer_states")}
    return dict(_flat(kept))


def _flat(node: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, dict):
        return [leaf for name, inner in node.items() for leaf in _flat(inner, f"{path}/{name}")]
    if isinstance(node, list | tuple):
        return [leaf for index, inner in enumerate(node) for leaf in _flat(inner, f"{path}/{index}")]
    return [(path, node)]


def _metrics(run: Path) -> dict[str, Any]:
    stored = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in stored.items() if name not in _TIMES}


def _rows(run: Path) -> dict[str, Any]:
    """The rows of metrics.csv that hold more than the time, by their number."""
    with (run / "metrics.csv").open(newline="") as stream:
        rows = [
            {name: value for name, value in row.items() if value and name not in _TIMES}
            for row in csv.DictReader(stream)
        ]
    return {f"row {number}": row for number, row in enumerate(row for row in rows if row.keys() - {"epoch", "step"})}


def _pictures(run: Path) -> dict[str, Any]:
    files = [*(path for path in run.rglob("*") if path.suffix in (".png", ".gif") and path.is_file())]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _events(run: Path) -> dict[str, Any]:
    """TensorBoard's scalars and images as it would show them: of each tag the steps and values, in their order.

    The epoch's tag is left out: it stands beside every figure, also beside times, of which there are other numbers.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every purge
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    shown: dict[str, Any] = {}
    for tag in tags["scalars"]:
        if tag not in (*_TIMES_IN_TENSORBOARD, "5 schedules/epoch"):
            shown[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    for tag in tags["images"]:
        digests = [hashlib.sha256(event.encoded_image_string).hexdigest() for event in events.Images(tag)]
        shown[tag] = list(zip([event.step for event in events.Images(tag)], digests, strict=True))
    return shown


def _status(run: Path) -> dict[str, Any]:
    return {"status": json.loads((run / "status.json").read_text())["status"]}


_READERS = {
    "last.ckpt": lambda run: _checkpoint("last.ckpt", run),
    "best.ckpt": lambda run: _checkpoint("best.ckpt", run),
    "metrics.json": _metrics,
    "metrics.csv": _rows,
    "pictures": _pictures,
    "TensorBoard": _events,
    "status.json": _status,
}
