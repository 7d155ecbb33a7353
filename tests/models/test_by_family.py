"""A function that each family of distributions has its own way of."""

import pytest
from torch.distributions import Distribution, Normal

from vae_lightning.models.by_family import ByFamily


class Narrow(Normal):
    pass


def told() -> ByFamily:
    @ByFamily
    def tell(distribution: Distribution, more: str = "") -> str:
        """What it says."""
        raise NotImplementedError(type(distribution).__name__)

    @tell.register
    def _tell_normal(distribution: Normal, more: str = "") -> str:
        return f"normal{more}"

    return tell


def test_what_is_registered_is_for_derived_classes_too_until_they_have_their_own():
    tell = told()
    assert tell(Normal(0.0, 1.0)) == tell(Narrow(0.0, 1.0)) == "normal"
    assert tell(Narrow(0.0, 1.0), more="!") == "normal!"

    @tell.register
    def _tell_narrow(distribution: Narrow, more: str = "") -> str:
        return f"narrow{more}"

    assert tell(Narrow(0.0, 1.0), "?") == "narrow?"
    assert tell(Normal(0.0, 1.0)) == "normal"


def test_a_family_that_is_not_registered_is_for_the_function_itself():
    tell = told()
    assert tell.__doc__ == "What it says."
    with pytest.raises(NotImplementedError, match="Distribution"):
        tell(Distribution(validate_args=False))
