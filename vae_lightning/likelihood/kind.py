"""What a model's log-probabilities are: no density is to pass for a probability, nor a cross-entropy for either."""

from typing import Any

DENSITY = "log-density of pixels in [0, 1]"
CROSS_ENTROPY = "cross-entropy of grey levels, no likelihood"
_BINARY = "log-likelihood of binary images"
_LEVELS = "log-likelihood of {} levels"
_GIVEN = ", given the label"
_NO_NATS = "no likelihood and no nats"


def kind_of(likelihood: Any, binarize: str, *, given_labels: bool = False) -> str:
    """The kind in words.

    Args:
        likelihood: the model's, which tells by `levels` how many values of a pixel it gives a probability, None for a
            density, and by `measure` what it is where it is no likelihood at all.
        binarize: the data's setting; "none" leaves the 256 levels that images have.
        given_labels: whether the model is told labels: log p(x|y) compares with log p(x) no more than others do.
    """
    return _of_images(likelihood, binarize) + (_GIVEN if given_labels else "")


def _of_images(likelihood: Any, binarize: str) -> str:
    if measure := getattr(likelihood, "measure", ""):
        return f"{measure}, {_NO_NATS}"
    levels: int | None = likelihood.levels
    if levels is None:
        return DENSITY
    if levels == 2:
        return CROSS_ENTROPY if binarize == "none" else _BINARY
    return _LEVELS.format(levels)


def is_likelihood(kind: str) -> bool:
    """Whether figures of this kind are log-probabilities of discrete pixels, of which bits/dim can be told."""
    return is_in_nats(kind) and kind.removesuffix(_GIVEN) not in (DENSITY, CROSS_ENTROPY)


def is_density(kind: str) -> bool:
    """Whether figures of this kind are logarithms of densities."""
    return kind.removesuffix(_GIVEN) == DENSITY


def is_in_nats(kind: str) -> bool:
    """Whether figures of this kind are logarithms of anything, of which a bound on log p(x) can be told."""
    return _NO_NATS not in kind
