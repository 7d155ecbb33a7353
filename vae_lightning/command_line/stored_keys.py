"""Keys of a resumed run's own config, of which Hydra composes nothing: it knows the options typed, or the default ones.

`resume=<run> data.max_pixels=...` is a key of the run's folder of pictures, whatever data set a new run has by default.
Hydra takes such a key as one to be added; whether the run has it is checked when it is put into the run's config.
"""

import re
from collections.abc import Iterable, Sequence

from vae_lightning.runs.resuming import OPTIONAL_KEYS

_KEY = re.compile(rf"(?:{'|'.join(OPTIONAL_KEYS)})\.[^=]+=")
_ADDED = "++"


def for_hydra(words: Sequence[str]) -> list[str]:
    """What Hydra is to read: where a run is resumed, its single keys are added to what Hydra composes."""
    if not any(word.startswith("resume=") for word in words):
        return list(words)
    return [f"{_ADDED}{word}" if _KEY.match(word) else word for word in words]


def as_typed(overrides: Iterable[str], words: Iterable[str]) -> list[str]:
    """The overrides that Hydra has read, as they are among the words that were typed."""
    known = set(words)
    return [override if override in known else override.removeprefix(_ADDED) for override in overrides]
