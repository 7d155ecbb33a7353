"""What pytest puts on every function of the package: the types are checked by beartype, the shapes by jaxtyping.

To be imported before the package is: jaxtyping's import hook decorates each function as `jaxtyping.jaxtyped` says.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any, ForwardRef, Literal, get_args, get_origin, get_type_hints
from unittest import mock

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import _import_hook

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))  # an int is welcome as a float
_with_shapes = jaxtyping.jaxtyped


def sparing(fn: Any = None, *, typechecker: Callable | None = None) -> Any:
    """As `jaxtyping.jaxtyped`, but each parameter is checked once, and shapes only where a signature has any.

    jaxtyping's own way binds and checks the parameters twice a call, a quarter of the time of these tests.
    """
    if fn is None:
        return sparing
    if inspect.isclass(fn):
        if dataclasses.is_dataclass(fn) and not hasattr(fn.__init__, "__wrapped__"):
            fn.__init__ = sparing(fn.__init__)
        return fn
    if isinstance(fn, classmethod | staticmethod):
        return type(fn)(sparing(fn.__func__))
    if isinstance(fn, property):
        return property(*(each and sparing(each) for each in (fn.fget, fn.fset, fn.fdel)))
    if inspect.isgeneratorfunction(fn):  # which runs, and is checked, after it was called
        return _with_shapes(fn, typechecker=checked)
    parts = [part for each in getattr(fn, "__annotations__", {}).values() for part in _parts(each)]
    if any(isinstance(part, str | ForwardRef) for part in parts):
        return functools.update_wrapper(sparing(_without_names(fn)), fn)
    if any(inspect.isclass(part) and issubclass(part, jaxtyping.AbstractArray) for part in parts):
        return _with_axes_of_its_own(_checked(fn))
    return _checked(fn)


def _without_names(fn: Any) -> Any:
    """The function, where what an annotation names is not there may be anything, as for jaxtyping."""
    plain = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    plain.__kwdefaults__, plain.__module__, plain.__qualname__ = fn.__kwdefaults__, fn.__module__, fn.__qualname__
    plain.__annotations__ = {name: _meant(each, fn.__globals__) for name, each in fn.__annotations__.items()}
    return plain


def _meant(annotation: Any, names: dict[str, Any]) -> Any:
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True)["it"]
    except Exception:  # a name may be of anything
        return Any


_of_inner: dict[CodeType, Any] = {}


def _checked(fn: Any) -> Any:
    """As beartype decorates it; what a function defines anew at each call has its checks compiled once."""
    if "<locals>" not in fn.__qualname__:
        return checked(fn)
    known = _of_inner.get(fn.__code__)
    if known is None or known.__wrapped__.__annotations__ != fn.__annotations__:
        known = checked(fn)
        if known is not fn:
            _of_inner[fn.__code__] = known
        return known
    again = FunctionType(known.__code__, known.__globals__, fn.__name__, known.__defaults__, known.__closure__)
    again.__kwdefaults__ = known.__kwdefaults__ | {"__beartype_func": fn}
    return functools.update_wrapper(again, fn)


def _with_axes_of_its_own(fn: Callable) -> Callable:
    @functools.wraps(fn)
    def called(*args: Any, **kwargs: Any) -> Any:
        with _with_shapes("context"):
            return fn(*args, **kwargs)

    return called


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in () if get_origin(annotation) is Literal else get_args(annotation):
        yield from _parts(inner)


jaxtyping.jaxtyped = sparing


def _mark_nothing_else(loader: type[SourceFileLoader]) -> None:
    """jaxtyping marks the stored code of what the package imports, too, and Python compiles PyTorch's modules anew."""

    def get_code(self: Any, name: str) -> CodeType | None:
        marked = functools.partial(_import_hook._optimized_cache_from_source, self._typechecker.get_hash())
        with mock.patch("importlib._bootstrap_external.cache_from_source", marked):
            return SourceFileLoader.get_code(self, name)

    loader.get_code = get_code
    loader.exec_module = SourceFileLoader.exec_module


_mark_nothing_else(_import_hook._JaxtypingLoader)


def _spare_walks(find: Callable) -> Callable:
    """Frames of code that was never in a file have no module, for which `inspect.stack` walks through all.

    Above every test there are pytest-xdist's, and within it beartype's.
    """

    @functools.wraps(find)
    def found(object: Any, _filename: str | None = None) -> Any:
        made_up = inspect.isframe(object) and object.f_code.co_filename.startswith("<")
        return None if made_up else find(object, _filename)

    return found


inspect.getmodule = _spare_walks(inspect.getmodule)
