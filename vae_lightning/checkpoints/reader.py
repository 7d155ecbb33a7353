"""How a checkpoint file is read: plain data in 300 MB of memory at most, and tensors as they are asked for.

A checkpoint may come from a stranger. PyTorch's own loader, asked for weights only, runs no code of the file's, but it
believes what the file says of sizes, calls whatever allocates memory, and does not notice a flipped bit. So the format
that `torch.save` has written since PyTorch 1.6, a zip archive of one pickle and of each storage's bytes, is read here
by the few instructions that a checkpoint needs; every other is refused. What the pickle makes
is counted as it is made, for one text can be made bytes of thousands of times. Bytes are compared with their checksums;
those of a tensor are read only when it is asked for, and all tensors together have sixteen times the file's at most.
"""

import math
import os
import pickletools
import sys
import zipfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from vae_lightning.disk.files import open_regular

_MOST_AT_ONCE = 16 << 20  # bytes: the archive's list of contents, and the pickle, are smaller
_CHUNK = 1 << 20  # bytes of a storage that are read at a time
_MOST_DEEP = 60  # containers within one another
_MOST_VALUES = 1_000_000
_MOST_WORK = 2_000_000  # instructions, and values that calls go through; 1,000 weights, Adam and averages take 150,000
_LETTERS = 8  # take as much room as one value
_MOST_DIMS = 25  # of a tensor
_MOST_OFTEN = 16  # that all of a file's bytes are given out: weights may be tied, and a checkpoint looked at twice


class UnreadableError(Exception):
    """Why a file can't be read as a checkpoint, in a line."""


class StoredTensor(ABC):
    """A tensor that still lies in the file."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """As that of a tensor."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of the values that `read` gives."""

    @abstractmethod
    def read(self) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            UnreadableError: its bytes are not those that were written.
        """


@dataclass(frozen=True, eq=False)
class _ZippedTensor(StoredTensor):
    """A tensor of a checkpoint.

    Attributes:
        size, stride, offset: as those of a tensor, in values; it lies within its storage and is no larger than that.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    _storage: "_Storage" = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size

    @property
    def dtype(self) -> torch.dtype:
        return self._storage.dtype

    def read(self) -> Tensor:
        with _told():
            self._storage.spend(math.prod(self.shape) * self.dtype.itemsize)
            return self._storage.values.as_strided(self.shape, self.stride, self.offset)


@contextmanager
def stored(path: Path) -> Iterator[Any]:
    """What a checkpoint file holds: dicts, lists, tuples, sets, strings, bytes, numbers, None and `StoredTensor`s.

    The file is open in the block, for tensors to be read.

    Raises:
        UnreadableError: it is not as `torch.save` writes it, or is damaged.
    """
    with _told():
        file = open_regular(path, sys.maxsize)
    with file:
        with _told():
            contents = _contents(zipfile.ZipFile(_Bounded(file)), os.fstat(file.fileno()).st_size)  # type: ignore[arg-type]
        yield contents


@contextmanager
def _told() -> Iterator[None]:
    """Tell what goes wrong with the bytes of a file as `UnreadableError`."""
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:  # a forged pickle takes from an empty stack, adds to a number, has text that is none
        raise UnreadableError(_line(str(error) or type(error).__name__)) from error


class _Bounded:
    """A file that gives only so many bytes at a time, whatever an archive says of its list of contents."""

    def __init__(self, file: BinaryIO):
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        if size > _MOST_AT_ONCE:
            raise UnreadableError("an archive with too long a part")
        return self._read(size if size >= 0 else _MOST_AT_ONCE)


class _Budget:
    """What reading a file may take, spent as it is read: afterwards would be too late."""

    def __init__(self, most: int, told: str):
        self._left, self._told = most, told

    def __call__(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise UnreadableError(self._told)


class _Storage:
    """The bytes of one storage, read when they are needed, and once."""

    def __init__(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, dtype: torch.dtype, spend: "_Budget"):
        self.dtype = dtype
        self.num_bytes = entry.file_size
        self.spend = spend
        self._archive, self._entry = archive, entry

    @cached_property
    def values(self) -> Tensor:
        content = torch.empty(self.num_bytes, dtype=torch.uint8)
        with self._archive.open(self._entry) as file:
            for place in content.split(_CHUNK) if self.num_bytes else ():
                place.copy_(torch.frombuffer(bytearray(file.read(len(place))), dtype=torch.uint8))
        return content.view(self.dtype)


def _contents(archive: zipfile.ZipFile, size: int) -> Any:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if not entries or len(entries) < len(archive.infolist()):
        raise UnreadableError("an archive of nothing, or of two files of one name")
    if any(entry.compress_type or entry.compress_size != entry.file_size for entry in entries.values()):
        raise UnreadableError("an archive whose files are compressed")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise UnreadableError("an archive of more bytes than the file has")
    root = next(iter(entries)).split("/")[0]  # torch.save puts everything into one folder, whatever its name
    if f"{root}/data.pkl" not in entries or archive.read(f"{root}/byteorder") != sys.byteorder.encode():
        raise UnreadableError("an archive without data.pkl, or of a machine with another order of bytes")
    spend = _Budget(_MOST_OFTEN * size, "its tensors share their bytes too often")
    value = _Machine(_Storages(archive, root, spend)).run(archive.read(f"{root}/data.pkl"))
    _check_depth(value)
    return value


class _Storages:
    """The storages of an archive, by what a pickle says of them."""

    def __init__(self, archive: zipfile.ZipFile, root: str, spend: _Budget):
        self._archive, self._root, self._spend = archive, root, spend
        self._known: dict[str, _Storage] = {}

    def __call__(self, kind: Any, dtype: Any, key: Any, _place: Any, size: Any) -> _Storage:
        if kind != "storage" or type(key) is not str or type(size) is not int or not isinstance(dtype, torch.dtype):
            raise UnreadableError("a storage without a name or a size")
        if key not in self._known:
            entry = self._archive.getinfo(f"{self._root}/data/{key}")
            self._known[key] = _Storage(self._archive, entry, dtype, self._spend)
        storage = self._known[key]
        if storage.dtype != dtype or storage.num_bytes != size * dtype.itemsize:
            raise UnreadableError("a storage of another type or size than its bytes")
        return storage


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, *more: Any) -> StoredTensor:
    whole = all(type(number) is int and number >= 0 for number in (offset, *shape, *stride))
    known = isinstance(storage, _Storage) and not any(more)
    if not whole or not known or len(shape) != len(stride) or len(shape) > _MOST_DIMS:
        raise UnreadableError("a tensor without a shape")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if 0 not in shape and max(last + 1, math.prod(shape)) * storage.dtype.itemsize > storage.num_bytes:
        raise UnreadableError("a tensor that reaches beyond its storage")
    return _ZippedTensor(tuple(shape), tuple(stride), offset, storage)


def _ordered() -> OrderedDict[Any, Any]:
    return OrderedDict()


def _size(sizes: Any) -> tuple[int, ...]:
    if type(sizes) not in (tuple, list) or len(sizes) > _MOST_DIMS or any(type(size) is not int for size in sizes):
        raise UnreadableError("a shape that is none")
    return tuple(sizes)


def _set(values: list[Any]) -> set[Any]:
    return {_key(value) for value in values}


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise UnreadableError("bytes in a code of their own")
    return text.encode("latin1")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "collections OrderedDict": _ordered,
    "torch Size": _size,
    "_codecs encode": _bytes,
    "__builtin__ set": _set,
}
_DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}
_NAMED: dict[str, Any] = _FUNCTIONS | _DTYPES
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_ARGUMENTS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_CONTAINERS: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Carries out a pickle of protocol 2: the instructions that plain data and tensors need, and no other."""

    def __init__(self, storage: _Storages):
        self._storage = storage
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[Any, Any] = {}
        self._spend = _Budget(_MOST_WORK, "its pickle makes too many values")

    def run(self, pickled: bytes) -> Any:
        for instruction, argument, _ in pickletools.genops(pickled):
            self._spend(1)
            name = instruction.name
            if name in _ARGUMENTS:
                self._stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT"):
                self._memo[argument] = self._stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self._stack.append(self._memo[argument])
            elif name in _LITERALS:
                self._stack.append(_LITERALS[name])
            elif name in _CONTAINERS:
                self._stack.append(_CONTAINERS[name]())
            elif name == "STOP":
                return self._stack.pop()
            else:
                self._carry_out(name, argument)
        raise UnreadableError("its pickle has no end")

    def _carry_out(self, name: str, argument: Any) -> None:
        """What takes values off the stack, or is rare."""
        pop = self._stack.pop
        match name:
            case "PROTO" if argument == 2:
                pass
            case "GLOBAL":
                self._stack.append(_named(argument))
            case "MARK":
                self._marks.append(self._stack)
                self._stack = []
            case "TUPLE":
                values = tuple(self._since_mark())
                self._stack.append(values)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._stack.append(tuple([pop() for _ in range(_TUPLES[name])][::-1]))
            case "APPEND":
                self._extend([pop()])
            case "APPENDS":
                self._extend(self._since_mark())
            case "SETITEM":
                self._update([pop(), pop()][::-1])
            case "SETITEMS":
                self._update(self._since_mark())
            case "REDUCE":
                arguments, function = pop(), pop()
                self._stack.append(self._called(function, arguments))
            case "BUILD" if type(self._stack[-2]) is OrderedDict:
                pop()  # what PyTorch notes about a state_dict, of which nothing is needed
            case "BINPERSID":
                self._stack.append(self._storage(*pop()))
            case _:
                raise UnreadableError(f"its pickle has the instruction {name}")

    def _called(self, function: Any, arguments: Any) -> Any:
        if function not in _FUNCTIONS.values() or type(arguments) is not tuple:
            raise UnreadableError("it calls what is no function")
        for part in arguments:  # an instruction of two bytes takes it from the memo, whatever its length
            if isinstance(part, str):
                self._spend(len(part) // _LETTERS)
            elif isinstance(part, list | tuple | dict | set):
                self._spend(len(part))
        return function(*arguments)

    def _since_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._marks.pop()
        return values

    def _extend(self, values: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise UnreadableError("a list that is none")
        self._stack[-1].extend(values)

    def _update(self, values: list[Any]) -> None:
        if type(self._stack[-1]) not in (dict, OrderedDict):
            raise UnreadableError("a dict that is none")
        self._stack[-1].update((_key(key), value) for key, value in zip(values[::2], values[1::2], strict=True))


def _named(name: str) -> Any:
    if name not in _NAMED:
        raise UnreadableError(f"it holds {_line(name.replace(' ', '.'))}, which no run's checkpoint does")
    return _NAMED[name]


def _key(value: Any) -> str | int:
    """What may be a key of a dict: other values, and larger numbers, can be made to have one hash all of them."""
    if type(value) is str or (type(value) is int and abs(value) < 2**60):
        return value
    raise UnreadableError(f"a key that is a {type(value).__name__}")


def _check_depth(value: Any) -> None:
    """Refuse what is nested so deep, or so often, that going through it would not end well."""
    waiting, count = [(value, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        count += 1 + len(parts)
        if depth > _MOST_DEEP or count > _MOST_VALUES:
            raise UnreadableError("its values are nested too deep")
        waiting.extend((part, depth + 1) for part in parts if isinstance(part, dict | list | tuple))


def _line(text: str) -> str:
    """One short line of visible characters."""
    return repr(" ".join(text.split()))[1:-1][:200]
