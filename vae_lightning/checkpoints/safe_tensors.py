"""How a file of weights alone is read and written, in the safetensors format, which holds nothing that could run."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vae_lightning.checkpoints.reader import StoredTensor, UnreadableError
from vae_lightning.disk.files import open_regular, write_atomically
from vae_lightning.errors import first_line

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float32,  # half as large in a file, and single in use
    "BF16": torch.float32,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, eq=False)
class _SafeTensor(StoredTensor):
    name: str
    file: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.file.get_slice(self.name).get_shape())

    @property
    def dtype(self) -> torch.dtype:
        kind = self.file.get_slice(self.name).get_dtype()
        if kind not in _TYPES:
            raise UnreadableError(f"{self.name!r:.80} has values of type {kind}")
        return _TYPES[kind]

    def read(self) -> Tensor:
        return self.file.get_tensor(self.name).to(self.dtype)


@contextmanager
def stored_safely(path: Path) -> Iterator[dict[str, StoredTensor]]:
    """The tensors of a file by name; those of half precision are read as float32. The file is open in the block.

    Raises:
        UnreadableError: it is no file of this format, or is damaged.
    """
    try:
        open_regular(path, sys.maxsize).close()  # of a pipe the library would wait for the end
        with safe_open(os.path.realpath(path), framework="pt", device="cpu") as file:
            yield {name: _SafeTensor(name, file) for name in file.keys()}  # noqa: SIM118  (it is no dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise UnreadableError(first_line(error)) from error


def write_safely(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write tensors, those of floating point as this type; the same tensors give the same bytes.

    Raises:
        OSError: it can't be written.
    """
    content = {
        name: each.detach().cpu().to(dtype if each.is_floating_point() else each.dtype).contiguous()
        for name, each in tensors.items()
    }
    # Of two facts the order would be by chance.
    write_atomically(path, save(content, metadata={"format": "pt"}))
