"""Which numbers become which of the 256 grey levels: one scale for all files of a dataset."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Shaped, UInt8

Layout = Literal["auto", "NHWC", "NCHW"]
Kind = Literal["bytes", "integers", "floats"]

_BLOCK = 2**20  # numbers scaled at a time
MOST_UNREAD = 1000  # names
WITHOUT_DATA = "pixels that it marks as without data, which don't count for the range"
_What = TypeVar("_What", int, str)
_LONGEST = 2.0**64  # beyond which a number is told in a short way
_FEWEST_BITS = 8  # of a scale that is found: what fits into bytes has the scale of bytes


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` as the levels 0 to 255, evenly; what lies beyond is clipped."""

    low: float
    high: float

    def levels(self, values: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """The level of each number, rounded; NaN is 0."""
        flat, step = values.reshape(-1), 255 / (self.high - self.low)
        levels = np.empty(flat.shape, np.uint8)
        for start in range(0, len(flat), _BLOCK):
            scaled = (flat[start : start + _BLOCK].astype(np.float64) - self.low) * step
            levels[start : start + _BLOCK] = np.nan_to_num(scaled, nan=0.0).clip(0, 255).round()
        return levels.reshape(values.shape)

    @property
    def is_of_bytes(self) -> bool:
        """Whether pictures of 8 bits are read by it, too.

        One that reaches beyond 255 is that of deeper files, and one within [0, 1] of floats: bytes keep their levels.
        """
        return 1 < self.high <= 255 and (self.low, self.high) != (0, 255)

    @property
    def pair(self) -> list[float]:
        """Both ends as plain numbers: whole ones without a point."""
        return [
            int(end) if float(end).is_integer() and abs(end) < 2**53 else float(end) for end in (self.low, self.high)
        ]


@dataclass(frozen=True)
class Reading:
    """How the files of a dataset are read where one scale holds for all of them.

    Attributes:
        scale: of files deeper than 8 bits; None where there are none: others are taken by the scale of their type.
        layout: of arrays; `auto` goes by their shape.
    """

    scale: Scale | None = None
    layout: Layout = "auto"

    @property
    def scales_bytes(self) -> bool:
        """Whether pictures of 8 bits are read by its scale, too."""
        return self.scale is not None and self.scale.is_of_bytes


def given_scale(value_range: str | Sequence[float] | None) -> Scale | None:
    """The scale of `data.value_range=[low, high]`; None for `auto` and null.

    Raises:
        ValueError: it is no range; begins with the parameter's name.
    """
    if value_range is None or value_range == "auto":
        return None
    ends = [] if isinstance(value_range, str) else list(value_range)
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(numbers) != 2 or len(ends) != 2 or not is_scale(*map(float, numbers)):
        raise ValueError(f"value_range must be auto, null or [low, high] with low < high, got {value_range}")
    return Scale(float(numbers[0]), float(numbers[1]))


@dataclass(frozen=True)
class Found:
    """What numbers some files hold.

    Attributes:
        num_files: how many were read.
        num_bytes, num_integers, num_floats: those of 8 bits, of deeper whole numbers, and of floats.
        bits: of the deepest whole numbers.
        low, high: the least and the largest number in files deeper than 8 bits, infinite where there are none.
        num_values, num_outside: numbers that were looked at, and those of them outside of a given scale.
        num_not_finite, not_finite: files, or parts of arrays, with NaN or infinity, and the first of them.
        num_later: files of formats that an earlier version did not read.
        channels: how many files have so many channels, and the first of them; of pictures, which are brought to 1, 3
            or 4 channels, 0.
        unread: the names of files that could not be read; of more than MOST_UNREAD one more than that.
        notes: what is to be told, of how many files, and the first of them.
    """

    num_files: int = 0
    num_bytes: int = 0
    num_integers: int = 0
    num_floats: int = 0
    bits: int = 0
    low: float = math.inf
    high: float = -math.inf
    num_values: int = 0
    num_outside: int = 0
    num_not_finite: int = 0
    not_finite: str = ""
    num_later: int = 0
    channels: tuple[tuple[int, int, str], ...] = ()
    unread: tuple[str, ...] = ()
    notes: tuple[tuple[str, int, str], ...] = ()

    def __add__(self, other: "Found") -> "Found":
        counts = {
            name: getattr(self, name) + getattr(other, name)
            for name in (each.name for each in fields(self))
            if name.startswith("num_")
        }
        return Found(
            **counts,
            bits=max(self.bits, other.bits),
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            not_finite=self.not_finite or other.not_finite,
            unread=(self.unread + other.unread)[: MOST_UNREAD + 1],
            channels=_counted(self.channels + other.channels),
            notes=_counted(self.notes + other.notes),
        )

    def but_unread(self) -> "Found":
        """The same of the files that could be read."""
        return replace(self, num_files=self.num_files - len(self.unread), unread=())

    @property
    def is_deep(self) -> bool:
        """Whether there are files of more than 8 bits."""
        return self.num_integers + self.num_floats > 0

    def scale(self) -> Scale | None:
        """The one scale of the files deeper than 8 bits, None where there are none.

        Of whole numbers it goes from 0 to the smallest 2^k - 1 that holds them all, of floats in [0, 1] it is [0, 1],
        of others, and where some are negative, it goes from the least to the largest.

        Raises:
            ValueError: no scale can be that of all files; says why.
        """
        if not self.is_deep:
            return None
        in_units = self.low >= 0 and self.high <= 1
        if self.num_integers and self.num_floats:
            raise ValueError(
                f"{self.num_integers} files of whole numbers and {self.num_floats} of floats share no scale"
            )
        if not self.num_floats and self.low >= 0:
            return Scale(0.0, 2.0 ** max(_FEWEST_BITS, int(self.high).bit_length()) - 1)
        if self.num_floats and in_units:
            return Scale(0.0, 1.0)
        if self.num_floats and self.num_bytes:
            raise ValueError(
                f"{self.num_floats} files of floats from {self.low:g} to {self.high:g} and {self.num_bytes} of 8 bits "
                "share no scale"
            )
        high = self.high if self.high > self.low else self.low + max(1.0, 1e-9 * abs(self.low))
        if not is_scale(self.low, high):
            raise ValueError(f"floats from {self.low:g} to {self.high:g} are too far apart for a scale")
        return Scale(self.low, high)

    def told(self, scale: Scale) -> str:
        """A line on the scale that was taken, be it given or found: of a run that goes on, it is not known which."""
        kind = (
            f"{self.bits}-bit files" if self.num_integers else "files of floats" if self.num_floats else "8-bit files"
        )
        seen = f"{kind}, {_number(self.low)} to {_number(self.high)} found" if self.is_deep else kind
        whole = self.num_integers > 0 and scale.low == 0 and float(scale.high).is_integer()
        step = f"{scale.high + 1:,.0f} levels become 256" if whole else "values become 256 levels"
        taken = f"[{', '.join(map(str, scale.pair))}] taken; {step}"
        share = f"; {self.num_outside / max(1, self.num_values):.1%} of the values lie outside and are clipped"
        return f"value_range: {seen}: {taken}{share if self.num_outside else ''}"

    def as_dict(self) -> dict[str, Any]:
        """As plain data for a JSON file; `from_dict` reads it."""
        return asdict(self) | ({} if self.is_deep else {"low": 0.0, "high": 0.0})

    @classmethod
    def from_dict(cls, stored: Any) -> "Found":
        """What `as_dict` gave; raises ValueError, TypeError or KeyError for anything else."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = stored[field.name]
            if field.name == "channels":
                value = tuple((int(number), int(count), str(first)) for number, count, first in value)
            elif field.name == "unread":
                value = tuple(map(str, value))
            elif field.name == "notes":
                value = tuple((str(note), int(count), str(first)) for note, count, first in value)
            elif type(value) is not type(field.default) or (isinstance(value, float) and not math.isfinite(value)):
                raise ValueError(f"{field.name} is {value!r}")
            values[field.name] = value
        found = cls(**values)
        return found if found.is_deep else cls(**values | {"low": math.inf, "high": -math.inf})


def found_in(values: Shaped[np.ndarray, "..."], kind: Kind, scale: Scale | None, name: str, channels: int = 0) -> Found:
    """What numbers a file holds, of which `values` are some or all.

    Args:
        values: the numbers.
        kind: of the file's numbers.
        scale: outside of which they are counted; None counts none.
        name: of the file.
        channels: that the file has; 0 for a picture.
    """
    finite = np.isfinite(values) if kind == "floats" else None
    known = values if finite is None or bool(finite.all()) else values[finite]
    outside = 0 if scale is None or known.size == 0 else int(((known < scale.low) | (known > scale.high)).sum())
    is_deep = kind != "bytes" and known.size > 0
    has_bad = known.size < values.size
    return Found(
        num_files=1,
        num_bytes=int(kind == "bytes"),
        num_integers=int(kind == "integers"),
        num_floats=int(kind == "floats"),
        bits=8 * values.dtype.itemsize if kind == "integers" else 0,
        low=float(known.min()) if is_deep else math.inf,
        high=float(known.max()) if is_deep else -math.inf,
        num_values=int(values.size),
        num_outside=outside,
        num_not_finite=int(has_bad),
        not_finite=name if has_bad else "",
        channels=((channels, 1, name),),
    )


def _counted(facts: Sequence[tuple[_What, int, str]]) -> tuple[tuple[_What, int, str], ...]:
    """Each once, with the sum of its counts and the first of its files."""
    known: dict[_What, tuple[int, str]] = {}
    for what, count, first in facts:
        before = known.get(what, (0, first))
        known[what] = before[0] + count, before[1]
    return tuple((what, count, first) for what, (count, first) in sorted(known.items()))


def with_data(values: Shaped[np.ndarray, "..."], no_data: float | None) -> Shaped[np.ndarray, "..."]:
    """The numbers but for those that stand where there is no pixel, flat; where there are none, the array itself."""
    if no_data is None or math.isnan(no_data):
        return values
    with np.errstate(over="ignore"):
        is_lacking = values == no_data
    return values[~is_lacking] if is_lacking.any() else values


def kind_of(dtype: np.dtype) -> Kind:
    """Of numbers of this type; raises ValueError for what is no number of a picture."""
    if dtype.kind == "b" or dtype == np.uint8:
        return "bytes"
    if dtype.kind in "iu":
        return "integers"
    if dtype.kind == "f":
        return "floats"
    raise ValueError(f"values of type {dtype} are no pixels; whole numbers, floats or bool are")


def full_scale(dtype: np.dtype, largest: float) -> Scale:
    """The scale of numbers whose dataset has none: what is customary for their type.

    Pillow's 32 bits carry 16-bit grey, too. Floats don't say what white is: 1, 255 and 65535 are in use.
    """
    customary = (1.0, 255.0, 65535.0) if dtype.kind == "f" else (65535.0,)
    return Scale(0.0, next((high for high in customary if largest <= high), largest))


def as_levels(values: Shaped[np.ndarray, "..."], scale: Scale | None) -> UInt8[np.ndarray, "..."]:
    """The levels of a file's numbers by the one scale; bytes keep theirs unless the scale is of bytes.

    Raises:
        ValueError: they are no numbers of a picture, or some are not finite.
    """
    kind = kind_of(values.dtype)
    if kind == "bytes":
        levels = values.astype(np.uint8) * np.uint8(255 if values.dtype.kind == "b" else 1)
        return scale.levels(levels) if scale is not None and scale.is_of_bytes else levels
    if kind == "floats" and not bool(np.isfinite(values).all()):
        raise ValueError(f"{int((~np.isfinite(values)).sum())} values are not finite")
    if scale is None:
        scale = full_scale(values.dtype, float(values.max()) if values.size else 0.0)
    return scale.levels(values)


def is_scale(low: float, high: float) -> bool:
    """Whether there are levels between two numbers: those that lie too far apart, or too close, have none."""
    return low < high and math.isfinite(high - low) and math.isfinite(255 / (high - low))


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < _LONGEST else f"{value:g}"
