"""What it takes to have these runs again: the command, the code, the versions, the hardware and the data."""

import math
from typing import Any

from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting
from vae_lightning.reports.wording import shortened, visible
from vae_lightning.runs.records import RunDir, as_word, for_shell

_LONGEST = 400  # letters of a line
_MOST = 4  # values that are told one by one
_DATA = ("data._target_", "data.image_size", "data.channels", "data.binarize", "data.fit")


def repeating(comparison: Comparison) -> dict[str, Any]:
    """`card`: what is told of it, by name; without what no run tells. Places on this machine's disk are left out."""
    recorded = [RunDir(run.path).environment() for run in comparison.runs]
    lines = {
        "command": _command(comparison),
        "code": _of_all(f"commit {one['git_commit']}" if one.get("git_commit") else "" for one in recorded),
        "versions": _of_all(_versions(one.get("versions")) for one in recorded),
        "hardware": _of_all(_hardware(one) for one in recorded),
        "precision": _of_all(str(one.get("precision") or "") for one in recorded),
        "data": _of_all(_data(run) for run in comparison.runs),
        "started": _started([str(one["started"]) for one in recorded if one.get("started")]),
    }
    return {"card": {name: shortened(text, 2 * _LONGEST) for name, text in lines.items() if text}}


def _command(comparison: Comparison) -> str:
    """The sweep's, where the runs are all that it would train; else that of the best run."""
    known = [run for run in comparison.runs if run.typed]
    if not known:
        return ""
    keys = dict.fromkeys(key for run in known for key in run.typed or {})
    values = {key: dict.fromkeys(run.typed.get(key) for run in known if run.typed is not None) for key in keys}
    is_whole = math.prod(map(len, values.values())) == len(known) == len(comparison.runs)
    if len(known) == 1 or not is_whole or any(None in found for found in values.values()):
        best = next((run for run in comparison.records if run.typed), known[0])
        words = [f"{key}={_word(value)}" for key, value in (best.typed or {}).items()]
        told = "" if len(known) == 1 else f"  # run {best.name}"
        return _joined("vae-train", words) + told
    return _joined("vae-train -m", [f"{key}={','.join(map(_word, found))}" for key, found in values.items()])


def _joined(command: str, words: list[str]) -> str:
    return " ".join([command, *(for_shell(visible(word)) for word in words)])


def _word(value: Setting | None) -> str:
    if not isinstance(value, str):
        return repr(value)
    return value if value in ("true", "false", "null") or value.startswith("[") else as_word(value)


def _versions(versions: Any) -> str:
    if not isinstance(versions, dict):
        return ""
    return ", ".join(f"{name} {version}" for name, version in list(versions.items())[:20])


def _hardware(recorded: dict[str, Any]) -> str:
    ranks = recorded.get("num_ranks")
    several = f", {ranks} ranks" if isinstance(ranks, int) and ranks > 1 else ""
    cores = f", {recorded['num_cpus']} cores" if recorded.get("num_cpus") else ""
    return f"{recorded['device']}{several}{cores}; {recorded.get('platform', '')}" if recorded.get("device") else ""


def _data(run: RunRecord) -> str:
    known = {key: run.settings[key] for key in _DATA if run.settings.get(key) not in (None, "null")}
    told = [str(value) if key == _DATA[0] else f"{key.removeprefix('data.')}={value}" for key, value in known.items()]
    tested = run.metrics.get("test/num_images")
    return ", ".join([*told, *([f"{tested:,.0f} test images"] if tested else [])])


def _of_all(texts: Any) -> str:
    """What all runs share, or the different texts beside each other."""
    found = [visible(text) for text in dict.fromkeys(texts) if text]
    if len(found) > _MOST:
        return f"{found[0][:_LONGEST]}; and {len(found) - 1} others"
    return "; or ".join(found)


def _started(times: list[str]) -> str:
    if not times:
        return ""
    first, last = min(times), max(times)
    return visible(first) if first == last else f"{visible(first)} to {visible(last)}"
