"""What it takes to have these runs again: the command, the code, the versions, the hardware and the data."""

import math
from typing import Any

from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import is_place
from vae_lightning.reports.wording import shortened, visible
from vae_lightning.runs.records import RunDir, for_shell

_LONGEST = 400  # letters of a line
_MOST = 4  # values that are told one by one
_DATA = ("data._target_", "data.image_size", "data.channels", "data.binarize", "data.fit")


def repeating(comparison: Comparison) -> dict[str, Any]:
    """`card`: what is told of it, by name; without what no run tells.

    Where something lies on this machine's disk is left out, and with it `init_from`.
    """
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
    typed = [words for run in comparison.runs if (words := _typed(run))]
    if not typed:
        return ""
    keys = dict.fromkeys(key for words in typed for key in words)
    values = {key: list(dict.fromkeys(words.get(key) for words in typed)) for key in keys}
    different = {tuple(words.get(key) for key in keys) for words in typed}
    is_whole = len(typed) == len(comparison.runs) == len(different) == math.prod(map(len, values.values()))
    if len(typed) > 1 and is_whole and not any(None in found for found in values.values()):
        swept = [f"{key}={','.join(map(str, found))}" if any(found) else key for key, found in values.items()]
        return _joined("vae-train -m", swept)
    best = next((run for run in comparison.records if _typed(run)), comparison.runs[0])
    of_best = [f"{key}={value}" if value else key for key, value in _typed(best).items()]
    return _joined("vae-train", of_best) + ("" if len(comparison.runs) == 1 else f"  # run {best.name}")


def _typed(run: RunRecord) -> dict[str, str]:
    """Key, with any sign before it, -> value, of what was typed last; without places on this machine's disk."""
    found: dict[str, str] = {}
    for word in run.overrides:
        key, _, value = word.partition("=")
        name = key.lstrip("+~")
        if not is_place(name) and name != "init_from" and (value or key.startswith("~")):
            found[key] = value
    return found


def _joined(command: str, words: list[str]) -> str:
    return " ".join([command, *map(for_shell, words)])


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
