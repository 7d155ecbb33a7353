"""Functions that each family of distributions has its own way of."""

import functools
from collections.abc import Callable
from typing import Any, get_type_hints

from torch.distributions import Distribution


class ByFamily:
    """A function of a distribution, as `functools.singledispatch` makes one, that torch.compile can follow.

    What is registered for a class is called for classes derived from it as well, unless they have their own. That of
    functools looks through abstract classes when it meets a class for the first time, where torch.compile breaks off.

    Args:
        otherwise: is called for a family that has not registered.
    """

    def __init__(self, otherwise: Callable[..., Any]):
        functools.update_wrapper(self, otherwise)
        self._otherwise = otherwise
        self._known: dict[type, Callable[..., Any]] = {}

    def register(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called for the class that its first argument is annotated with."""
        self._known[next(iter(get_type_hints(function).values()))] = function
        return function

    def __call__(self, distribution: Distribution, *arguments: Any, **options: Any) -> Any:
        for kind in type(distribution).__mro__:
            if kind in self._known:
                return self._known[kind](distribution, *arguments, **options)
        return self._otherwise(distribution, *arguments, **options)
