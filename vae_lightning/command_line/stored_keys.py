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
    """What Hydra is to read: where a run is resumed, its single keys are added to what Hydra composes.

    Not those of a group whose option is typed beside them, which Hydra knows.
    """
    if not any(word.lstrip("+").startswith("resume=") for word in words):
        return list(words)
    chosen = {re.split("[=@]", word)[0] for word in words}
    return [f"{_ADDED}{word}" if _KEY.match(word) and word.partition(".")[0] not in chosen else word for word in words]


def as_typed(overrides: Iterable[str], words: Iterable[str]) -> list[str]:
    """The overrides that Hydra has read, as they are among the words that were typed."""
    known = set(words)
    return [override if override in known else override.removeprefix(_ADDED) for override in overrides]


def unmarked(message: str, words: Iterable[str]) -> str:
    """A message of Hydra's with the words in it as they were typed."""
    for word in words:
        message = message.replace(f"{_ADDED}{word}", word)
    return message
