"""What a part of a checkpoint must be before it is used.

An `Expectation` takes what a file holds and where it stands there, and returns what of it is believed: tensors that are
read, and no key that nobody has asked for. Each raises an `UnexpectedError` for what it can't use.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from vae_lightning.checkpoints.reader import StoredTensor

Expectation = Callable[[Any, str], Any]
Values = Literal["finite", "infinite", "all"]  # what a tensor may have: no infinite ones, no NaNs, or whatever there is

_MOST = 2**53  # of a count
_MOST_ROWS = 10_000  # of a tensor of any size
_LONGEST_TEXT = 10_000


class UnexpectedError(Exception):
    """What of a checkpoint can't be used, where it stands there and why, in a line."""


class OtherModelError(UnexpectedError):
    """A checkpoint's weights are those of another model: how they differ, in a few words."""


class NotFiniteError(UnexpectedError):
    """A checkpoint has NaNs, or infinite values: where it has them."""


def tensor(
    shape: Sequence[int | None], dtype: torch.dtype, *, allowed: Values = "finite", most: int = _MOST_ROWS
) -> Expectation:
    """A tensor of this shape, where None is any size up to `most`, of finite values, infinite ones or NaNs, too."""
    return partial(_tensor, shape=tuple(shape), dtype=dtype, allowed=allowed, most=most)


def _tensor(
    value: Any,
    where: str,
    shape: tuple[int | None, ...],
    dtype: torch.dtype,
    allowed: Values,
    most: int = _MOST_ROWS,
) -> Tensor:
    if not isinstance(value, StoredTensor):
        raise UnexpectedError(f"{where} is {_kind(value)} where a tensor should be")
    if not _fits(value.shape, shape, most) or value.dtype != dtype:  # before a byte of it is read
        wanted = str([f"up to {most}" if size is None else size for size in shape]).replace("'", "")
        found = f"{list(value.shape)[:8]} of {_name(value.dtype)}"
        raise UnexpectedError(f"{where} is a tensor {found}, not {wanted} of {_name(dtype)}")
    return _read(value, where, allowed)


def tensor_like(example: Tensor, *, allowed: Values = "finite") -> Expectation:
    """A tensor of the example's shape and type, which is laid out in memory as the example is.

    The fused optimizers go through a parameter and its states as if they were laid out alike, without a look.
    """
    return partial(_tensor_like, example=example, allowed=allowed)


def _tensor_like(value: Any, where: str, example: Tensor, allowed: Values) -> Tensor:
    values = _tensor(value, where, tuple(example.shape), example.dtype, allowed)
    if values.stride() == example.stride():
        return values
    return torch.empty_strided(example.shape, example.stride(), dtype=example.dtype).copy_(values)


def score(value: Any, where: str) -> Tensor:
    """What a callback remembers as the best so far, maybe an infinite one: a tensor of one number."""
    if isinstance(value, StoredTensor):
        dtype = value.dtype if value.dtype.is_floating_point else torch.float32
        return _tensor(value, where, (), dtype, allowed="infinite")
    return torch.tensor(_number(value, where, -math.inf, math.inf, finite=False))


def whole(lowest: int = 0, highest: int = _MOST) -> Expectation:
    """A whole number."""
    return partial(_whole, lowest=lowest, highest=highest)


def _whole(value: Any, where: str, lowest: int, highest: int) -> int:
    if type(value) is not int or not lowest <= value <= highest:
        raise UnexpectedError(f"{where} is {_shown(value)}, not a whole number from {lowest} to {highest}")
    return value


def number(lowest: float = -math.inf, below: float = math.inf, *, finite: bool = True) -> Expectation:
    """A number, whole or not, of at least `lowest` and less than `below`; an infinite one unless `finite`."""
    return partial(_number, lowest=lowest, below=below, finite=finite)


def _number(value: Any, where: str, lowest: float, below: float, finite: bool) -> int | float:
    known = type(value) is float or (type(value) is int and abs(value) <= _MOST)
    if not known or math.isnan(value) or (finite and math.isinf(value)):
        raise UnexpectedError(f"{where} is {_shown(value)}, not a number")
    if finite and not lowest <= value < below:
        raise UnexpectedError(f"{where} is {_shown(value)}, not a number from {lowest} to below {below}")
    return value


def text(value: Any, where: str) -> str:
    """A string that is no novel."""
    if type(value) is not str or len(value) > _LONGEST_TEXT:
        raise UnexpectedError(f"{where} is {_shown(value)}, not a text")
    return value


def flag(value: Any, where: str) -> bool:
    """True or False."""
    if type(value) is not bool:
        raise UnexpectedError(f"{where} is {_shown(value)}, not true or false")
    return value


def nothing(value: Any, where: str) -> None:
    """None."""
    if value is not None:
        raise UnexpectedError(f"{where} is {_shown(value)}, not empty")


def optional(expected: Expectation) -> Expectation:
    """None, or what is expected."""
    return lambda value, where: None if value is None else expected(value, where)


def mapping(required: Mapping[Any, Expectation], may_have: Mapping[Any, Expectation] | None = None) -> Expectation:
    """A dict with these keys, of which others are left out."""
    return partial(_mapping, required=required, may_have=may_have or {})


def _mapping(
    value: Any, where: str, required: Mapping[Any, Expectation], may_have: Mapping[Any, Expectation]
) -> dict[Any, Any]:
    _check_dict(value, where)
    missing = [key for key in required if key not in value]
    if missing:
        raise UnexpectedError(f"it has no {_at(where, missing[0])}")
    known = {**required, **may_have}
    return {key: known[key](value[key], _at(where, key)) for key in known if key in value}


def sequence(expected: Sequence[Expectation]) -> Expectation:
    """A list or a tuple of so many values, each as expected."""
    return partial(_sequence, expected=expected)


def _sequence(value: Any, where: str, expected: Sequence[Expectation]) -> Any:
    if not isinstance(value, list | tuple) or len(value) != len(expected):
        raise UnexpectedError(f"{where} is {_kind(value)} where {len(expected)} values should be")
    parts = [take(part, f"{where}[{index}]") for index, (take, part) in enumerate(zip(expected, value, strict=True))]
    return parts if isinstance(value, list) else tuple(parts)


def table(key: Expectation, expected: Expectation, most: int = 100_000) -> Expectation:
    """A dict of any keys of one kind, each with what is expected."""
    return partial(_table, key=key, expected=expected, most=most)


def _table(value: Any, where: str, key: Expectation, expected: Expectation, most: int) -> dict[Any, Any]:
    if len(_check_dict(value, where)) > most:
        raise UnexpectedError(f"{where} has {len(value)} keys, more than {most}")
    return {key(name, where): expected(part, _at(where, _shown(name))) for name, part in value.items()}


def plain(value: Any, where: str) -> Any:
    """Data of any shape, for whom only its owner knows better; tensors of it are finite."""
    if isinstance(value, StoredTensor):
        return _read(value, where, "finite")
    if isinstance(value, dict):
        return type(value)((key, plain(part, _at(where, _shown(key)))) for key, part in value.items())
    if isinstance(value, list | tuple):
        return type(value)(plain(part, f"{where}[{index}]") for index, part in enumerate(value))
    return value


def settings(value: Any, where: str) -> Any:
    """Data as a config has it, of any shape, without a tensor: what is compared with one is neither true nor false."""
    if isinstance(value, StoredTensor):
        raise UnexpectedError(f"{where} is a tensor where a setting should be")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        settings(part, where)
    return value


def like(example: Any) -> Expectation:
    """Data of the example's shape: its keys, its lengths, tensors of its tensors' shapes and types, numbers, texts."""
    if isinstance(example, Tensor):
        return tensor_like(example)
    if isinstance(example, dict):
        return mapping({key: like(value) for key, value in example.items()})
    if isinstance(example, list | tuple):
        return sequence([like(value) for value in example])
    return _LIKE[type(example)]


_LIKE: dict[type, Expectation] = {bool: flag, int: whole(), float: number(), str: text, type(None): nothing}


def _check_dict(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise UnexpectedError(f"{where} is {_kind(value)} where a dict should be")
    return value


def _fits(found: Sequence[int], wanted: Sequence[int | None], most: int) -> bool:
    return len(found) == len(wanted) and all(
        size <= most if expected is None else size == expected for size, expected in zip(found, wanted, strict=True)
    )


def _read(value: StoredTensor, where: str, allowed: Values) -> Tensor:
    values = value.read()
    wrong = {"finite": lambda: ~values.isfinite(), "infinite": values.isnan, "all": lambda: values.new_zeros(())}
    if values.is_floating_point() and wrong[allowed]().any():
        raise NotFiniteError(where)
    return values if _is_dense(values) else values.contiguous()


def _is_dense(values: Tensor) -> bool:
    """Whether its values lie side by side, each once."""
    expected = 1
    for step, size in sorted(
        (step, size) for step, size in zip(values.stride(), values.shape, strict=True) if size > 1
    ):
        if step != expected:
            return False
        expected *= size
    return True


def _at(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    return {"dict": "a dict", "StoredTensor": "a tensor"}.get(type(value).__name__, _shown(value))


def _shown(value: Any) -> str:
    """A value of a file on one short line; of a container only its kind, for it may be of any size."""
    if isinstance(value, str | int | float | bool | None):
        shown = repr(value[:60]) if isinstance(value, str) else str(value)[:60]
        return shown.encode("ascii", "backslashreplace").decode()
    return f"a {type(value).__name__}"
