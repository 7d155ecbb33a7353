"""Files that hold arrays by their names: .npy, .npz and HDF5. Nothing in them is run, and nothing beside them read."""

import math
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from vae_lightning.data.array_files import NpyHeader, npy_header, num_bytes
from vae_lightning.data.npz import NpzFile

_MOST_BYTES = 20e9
_MOST_PACKED = 1100  # bytes that a byte of a file can become: deflate makes 1,032 of it
_LITTLE = 10_000  # bytes of which nothing can be said by that


class StoredArray(NamedTuple):
    """An array of a file before its numbers are read; `fault` says why they can't be, `note` what is to be told."""

    shape: tuple[int, ...]
    dtype: np.dtype = np.dtype(np.float32)
    fault: str = ""
    note: str = ""


class ArrayContainer(ABC):
    """Arrays by their names.

    Args:
        path: of the file.
        scratch: a folder for what is compressed, in files without a name; None is the system's own.
        most_bytes: that one of them may unpack to.

    Raises:
        ValueError, OSError: it can't be read, as do its methods.
    """

    def __init__(self, path: Path, scratch: Path | None = None, most_bytes: float = _MOST_BYTES):
        if not path.is_file():
            raise ValueError("no regular file")
        self.path = path
        self.scratch = scratch
        self.most_bytes = most_bytes

    @property
    @abstractmethod
    def entries(self) -> Mapping[str, StoredArray]:
        """All of them."""

    @abstractmethod
    def take(self, name: str) -> Any:
        """One of them, of which slices are read."""

    @property
    def without(self) -> str:
        """What such a file may hold besides that is not looked into; nothing but for some kinds."""
        return ""


class Npy(ArrayContainer):
    """NumPy's file of one array, which goes by the name of the file."""

    @property
    def entries(self) -> Mapping[str, StoredArray]:
        with self.path.open("rb") as file:
            return {self.path.name: _entry_of(file)}

    def take(self, name: str) -> Any:
        with self.path.open("rb") as file:
            return _mapped(file, npy_header(file), self.path.stat().st_size)


class Npz(ArrayContainer):
    """NumPy's archive of several."""

    @property
    def entries(self) -> Mapping[str, StoredArray]:
        with NpzFile(self.path) as file:
            found = {name: _stored(header, file.num_held(name)) for name, header in file.headers.items()}
            return found | {name: StoredArray((), fault=fault) for name, fault in file.faults.items()}

    def take(self, name: str) -> Any:
        with NpzFile(self.path) as file:
            place = file.stored_at(name)
            if place is None:
                return self._unpacked(file, name)
            header = file.headers[name]._replace(start=place[0])
            with self.path.open("rb") as stored:
                mapped = _mapped(stored, header, place[1])
            for _ in file.contents(name):  # whose checksum is compared at the end; nobody does so once it is mapped
                pass
            return mapped

    def _unpacked(self, file: NpzFile, name: str) -> Any:
        """What is compressed, in a file of its own without a name, which goes with the last who looks at it."""
        header = file.headers[name]
        needed = num_bytes(header.shape, header.dtype)
        if needed > self.most_bytes:
            raise ValueError(
                f"unpacks to {needed} bytes, more than data.max_archive_gb={self.most_bytes / 1e9:g} allows"
            )
        if self.scratch is not None:
            self.scratch.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.scratch or tempfile.gettempdir()).free
        if needed > free:
            raise ValueError(f"unpacks to {-(-needed // 10**6)} MB, and {free // 10**6} MB are free")
        with tempfile.TemporaryFile(dir=self.scratch) as unpacked:
            for content in file.contents(name):
                unpacked.write(content)
            unpacked.flush()
            return _mapped(unpacked, header._replace(start=0), needed)


class Hdf5(ArrayContainer):
    """Those at the top of an HDF5 file, by h5py."""

    def __init__(self, path: Path, scratch: Path | None = None, most_bytes: float = _MOST_BYTES):
        super().__init__(path, scratch, most_bytes)
        try:
            import h5py
        except ImportError as error:
            raise ValueError("HDF5 needs h5py: pip install 'vae-lightning[hdf5]'") from error
        self._h5py: Any = h5py
        self._file: Any = h5py.File(path, "r")

    @property
    def entries(self) -> Mapping[str, StoredArray]:
        found = {name: dataset for name in self._file if (dataset := self._dataset(name)) is not None}
        return {name: _dataset_entry(dataset) for name, dataset in found.items()}

    @property
    def without(self) -> str:
        """What is said where images are not found."""
        return "groups, links and what lies in other files are not looked into"

    def take(self, name: str) -> Any:
        dataset = self._dataset(name)
        is_text = self._h5py.check_string_dtype(dataset.dtype) is not None
        return np.array(dataset.asstr()[:], dtype=np.str_) if is_text else dataset

    def _dataset(self, name: str) -> Any:
        """One that lies in this file itself: links, and what lies elsewhere, could name any file."""
        if not isinstance(self._file.get(name, getlink=True), self._h5py.HardLink):
            return None
        found = self._file[name]
        is_own = isinstance(found, self._h5py.Dataset) and not found.is_virtual and not found.external
        return found if is_own and found.shape is not None else None


KINDS: dict[str, type[ArrayContainer]] = {".npy": Npy, ".npz": Npz, ".h5": Hdf5, ".hdf5": Hdf5}


def _entry_of(file: Any) -> StoredArray:
    try:
        header = npy_header(file)
        return _stored(header, os.fstat(file.fileno()).st_size)
    except ValueError as error:
        return StoredArray((), fault=str(error))


def _stored(header: NpyHeader, end: int) -> StoredArray:
    """One that is there up to this byte: what a header says may be a lie, and of each image there is a name."""
    return StoredArray(header.shape, header.dtype, fault=_lacking(header, end))


def _dataset_entry(dataset: Any) -> StoredArray:
    """HDF5 reads zeros where nothing was ever written."""
    shape, needed = tuple(dataset.shape), num_bytes(dataset.shape, dataset.dtype)
    held = dataset.id.get_storage_size()
    if needed > _MOST_PACKED * held + _LITTLE or (needed and not held):
        return StoredArray(shape, dataset.dtype, f"an array of {needed} bytes, of which {held} were ever written")
    if dataset.chunks is None:
        return StoredArray(shape, dataset.dtype)
    parts = math.prod(-(-length // part) for length, part in zip(shape, dataset.chunks, strict=True))
    lacking = parts - dataset.id.get_num_chunks()
    note = f"{lacking:,} of {parts:,} parts of {dataset.name[1:]} were never written, and hold one value"
    return StoredArray(shape, dataset.dtype, note=note if lacking > 0 else "")


def _lacking(header: NpyHeader, end: int) -> str:
    needed = num_bytes(header.shape, header.dtype)
    if header.start + needed <= end:
        return ""
    return f"an array of {needed} bytes, of which {max(0, end - header.start)} are there"


def _mapped(file: Any, header: NpyHeader, end: int) -> Any:
    needed = num_bytes(header.shape, header.dtype)
    if lacking := _lacking(header, end):
        raise ValueError(lacking)
    if needed == 0:
        return np.empty(header.shape, header.dtype)
    order: Literal["F", "C"] = "F" if header.is_transposed else "C"
    return np.memmap(file, header.dtype, "r", header.start, header.shape, order)
