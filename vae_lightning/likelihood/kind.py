"""What a model's log-probabilities are: no density is to pass for a probability, nor a cross-entropy for either."""

from typing import Any

DENSITY = "log-density of pixels in [0, 1]"
CROSS_ENTROPY = "cross-entropy of grey levels, no likelihood"
_BINARY = "log-likelihood of binary images"
_LEVELS = "log-likelihood of {} levels"


def kind_of(likelihood: Any, binarize: str) -> str:
    """The kind in words.

    Args:
        likelihood: the model's, which tells by `levels` how many values of a pixel it gives a probability; None for a
            density.
        binarize: the data's setting; "none" leaves the 256 levels that images have.
    """
    levels = _levels_of(likelihood)
    if levels is None:
        return DENSITY
    if levels == 2:
        return CROSS_ENTROPY if binarize == "none" else _BINARY
    return _LEVELS.format(levels)


def _levels_of(likelihood: Any) -> int | None:
    """`levels`, or 2 or None by `is_discrete`, as classes of users' own say that were written when there was no more.

    Of the two what the most derived class says counts: it may be derived from one of this package.
    """
    for owner in (likelihood, *type(likelihood).__mro__):
        if "levels" in vars(owner):
            return likelihood.levels
        if "is_discrete" in vars(owner):
            return 2 if likelihood.is_discrete else None
    raise AttributeError(f"{type(likelihood).__name__} says nothing of its levels")


def is_likelihood(kind: str) -> bool:
    """Whether figures of this kind are log-probabilities of discrete pixels, of which bits/dim can be told."""
    return kind not in (DENSITY, CROSS_ENTROPY)
