"""All that was found of some images, for the table, the page and what is printed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.detection import Detection
from vae_lightning.scores.rows import Rows
from vae_lightning.scores.score import AnomalyScore
from vae_lightning.scores.scoring import Values
from vae_lightning.scores.thresholds import Threshold
from vae_lightning.scores.truth import BAD, GOOD, UNKNOWN

GROUPS = ((GOOD, "good"), (BAD, "bad"), (UNKNOWN, "images"))


@dataclass(frozen=True)
class Findings:
    """All that was found of some images.

    Attributes:
        run: whose model has scored them.
        scores: by name; the first is the one that all is sorted by.
        values: of each score and image.
        rows: what the images are called.
        thresholds: of the scores that have one.
        detections: how well each score tells good from bad, where that is known.
        told: lines for whoever looks at the page.
    """

    run: TrainedRun
    scores: Mapping[str, AnomalyScore]
    values: Values
    rows: Rows
    thresholds: Mapping[str, Threshold]
    detections: Mapping[str, Detection]
    told: Sequence[str]

    @property
    def order(self) -> Int64[np.ndarray, " N"]:
        """The rows, the worst by the first score first."""
        name = next(iter(self.scores))
        strangeness = np.nan_to_num(self.scores[name].strangeness(self.values[name]), nan=np.inf)
        return np.argsort(-strangeness, kind="stable")

    def flagged(self, name: str) -> Bool[np.ndarray, " N"]:
        """Which images count as strange by a score that has a threshold."""
        return self.thresholds[name].flags(self.scores[name], self.values[name])

    def columns(self) -> dict[str, list[Any]]:
        """The table of all images: what they are called, every score, and whether they count as strange."""
        found = self.rows.columns()
        found |= {name: values.tolist() for name, values in self.values.items()}
        return found | {f"{name}_flagged": self.flagged(name).astype(int).tolist() for name in self.thresholds}

    def counted(self, name: str) -> str:
        """How many images count as strange by a score that has a threshold, in words."""
        kinds, flagged = self.rows.kinds, self.flagged(name)
        groups = [(kinds == kind, label) for kind, label in GROUPS if (kinds == kind).any()]
        return ", ".join(f"{int(flagged[some].sum()):,} of {int(some.sum()):,} {label}" for some, label in groups)

    def facts(self) -> dict[str, Any]:
        """The figures of every score with its settings, as plain data."""
        return {name: self._facts_of(name) for name in self.scores}

    def _facts_of(self, name: str) -> dict[str, Any]:
        score: Any = self.scores[name]  # each is a dataclass of plain values
        found: dict[str, Any] = {"settings": asdict(score), "strange": score.worse, "unit": score.unit}
        if name in self.thresholds:
            found["threshold"] = asdict(self.thresholds[name])
        if name in self.detections:
            found |= asdict(self.detections[name])
        return found
