"""Numbers as Python code gives them."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from vae_lightning.errors import ArgumentError
from vae_lightning.models.latent_model import Temperature

_HOTTEST = 1e30  # a temperature; float32 has no latents of more


def given_temperature(given: Temperature) -> Temperature:
    """One number of at least 0, or a list of them.

    Raises:
        ArgumentError: it is neither.
    """
    each = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    are_numbers = all(isinstance(one, Real) and not isinstance(one, bool) for one in each)
    if not are_numbers or not all(0 <= one < _HOTTEST for one in each):
        raise ArgumentError(f"temperature: expected a number of at least 0, got {given!r}")
    return float(each[0]) if isinstance(given, Real) else [float(one) for one in each]


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number of at least so much.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)
