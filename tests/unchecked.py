"""Constructors as users call them, without the checks of types that the tests run under."""

import inspect
from collections.abc import Callable
from typing import Any


def unchecked(kind: type) -> Callable[..., Any]:
    """What makes an object of the class of arguments of any type."""

    def make(**arguments: Any) -> Any:
        made = kind.__new__(kind)
        inspect.unwrap(kind.__init__)(made, **arguments)
        return made

    return make
