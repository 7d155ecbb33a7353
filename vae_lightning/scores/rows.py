"""What the images that are scored are called, and what is known of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int64

from vae_lightning.data.class_names import Names
from vae_lightning.runs.images import NamedImages
from vae_lightning.scores.truth import BAD, GOOD, UNKNOWN, Truth

_KINDS = {GOOD: "good", BAD: "bad", UNKNOWN: ""}


@dataclass(frozen=True)
class Rows:
    """One row an image, in the order in which they are scored.

    Attributes:
        truth: what is known of them beforehand.
        class_names: of the labels that the data give them.
    """

    truth: Truth
    class_names: Names
    _kind: list[str] = field(default_factory=list)
    _names: list[Any] = field(default_factory=list)
    _labels: list[np.ndarray] = field(default_factory=list)
    _kinds: list[np.ndarray] = field(default_factory=list)

    def add(self, images: NamedImages) -> None:
        """The next ones."""
        kinds, labels = self.truth.of(images.names, images.labels)
        self._kind[:] = [images.kind]
        self._names.extend(images.names)
        self._kinds.append(kinds)
        if labels is not None:
            self._labels.append(labels)

    @property
    def kinds(self) -> Int64[np.ndarray, " N"]:
        """GOOD, BAD or UNKNOWN of each."""
        return np.concatenate(self._kinds)

    def columns(self) -> dict[str, list[Any]]:
        """As columns of a table, without those that say nothing."""
        found: dict[str, list[Any]] = {self._kind[0]: self._names}
        if self._labels:
            names = self.truth.names or self.class_names
            found["label"] = [
                str(label) if names is None else names[label] for label in np.concatenate(self._labels).tolist()
            ]
        kinds = self.kinds
        if (kinds != UNKNOWN).any():
            found["truth"] = [_KINDS[kind] for kind in kinds.tolist()]
        return found
