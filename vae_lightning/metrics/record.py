"""How an evaluation is told: as keys of metrics.json, and as lines of text."""

from typing import Any

from vae_lightning.metrics.score import Figure, Score
from vae_lightning.runs.images import SPLIT_NAMES

_WIDTH = 38


def flat(scores: dict[str, Score], split: str) -> dict[str, Any]:
    """The figures, their standard errors and the facts behind each metric, by key: `test/nll`, `test/nll_stderr`."""
    record: dict[str, Any] = {}
    for metric, score in scores.items():
        for name, figure in score.figures.items():
            record[f"{split}/{name}"] = figure.value
            if figure.stderr is not None:
                record[f"{split}/{name}_stderr"] = figure.stderr
            if figure.interval is not None:
                record[f"{split}/{name}_interval"] = list(figure.interval)
            if figure.reason is not None:
                record[f"{split}/{name}_reason"] = figure.reason
        record |= {f"{split}/{metric}_{name}": value for name, value in score.facts.items()}
    return record


def replaced(scores: dict[str, Score], split: str) -> set[str]:
    """All keys that `flat` may write of these figures: what an earlier evaluation has left of them is out of date."""
    names = [f"{split}/{name}" for score in scores.values() for name in score.figures]
    return {f"{name}{suffix}" for name in names for suffix in ("", "_stderr", "_interval", "_reason")}


def paragraph(score: Score, split: str) -> str:
    """The figures of one metric as lines of text."""
    shown = [figure for figure in score.figures.values() if figure.label]
    lines = [_line(figure) for figure in shown if figure.reason is None]
    for reason in dict.fromkeys(figure.reason for figure in shown if figure.reason is not None):
        lines.append(
            f"{', '.join(figure.label.strip() for figure in shown if figure.reason == reason)}: none, {reason}"
        )
    return "\n".join([*lines, _told(score.facts, split)])


def _line(figure: Figure) -> str:
    number = f"{figure.value:,}" if isinstance(figure.value, int) else f"{figure.value:,.{figure.digits}f}"
    error = "" if figure.stderr is None else f" +- {figure.stderr:,.{figure.digits}f}"
    low, high = figure.interval or (0.0, 0.0)
    span = "" if figure.interval is None else f" 95%: {low:,.{figure.digits}f} to {high:,.{figure.digits}f}"
    return f"{figure.label:<{_WIDTH}}{number:>12}{error:<10} {figure.unit}{span}".rstrip()


def _told(facts: dict[str, Any], split: str) -> str:
    words = []
    if "num_images" in facts:
        words.append(f"{facts['num_images']:,} {SPLIT_NAMES[split]} images")
    if "num_samples" in facts:
        words.append(f"{facts['num_samples']:,} {'sample' if facts['num_samples'] == 1 else 'samples'}")
    words.append(f"{facts['seconds']:,.1f} s")
    if facts.get("max_seconds") is not None:
        words.append(f"as many as fit into {facts['max_seconds']:g} s")
    return f"({', '.join(words)})"
