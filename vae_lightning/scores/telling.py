"""What is printed of scores."""

from vae_lightning.data.tables import counted
from vae_lightning.scores.detection import Estimate
from vae_lightning.scores.findings import Findings


def table_of(result: Findings) -> str:
    """A line for each score: how well it tells good from bad, and what its threshold finds; and what is told."""
    lines = [counted(len(result.rows.kinds), "image")]
    rows = [[score.label, *_cells(result, name)] for name, score in result.scores.items()]
    if result.detections or result.thresholds:
        heads = ["score", *(["AUROC", "average precision"] if result.detections else [])]
        heads += ["threshold", "count as strange"] if result.thresholds else []
        lines += _aligned([heads, *rows])
    return "\n".join([*lines, *result.told])


def _cells(result: Findings, name: str) -> list[str]:
    cells = []
    if result.detections:
        found = result.detections.get(name)
        cells += ["-", "-"] if found is None else [_told(found.auroc), _told(found.average_precision)]
    if result.thresholds:
        threshold = result.thresholds.get(name)
        digits = result.scores[name].digits
        cells += ["-", "-"] if threshold is None else [f"{threshold.value:,.{digits}f}", result.counted(name)]
    return cells


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
