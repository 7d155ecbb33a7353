"""Files of a stranger, or of a disk that fails: each is read as it was saved, or is refused in a line."""

import io
import os
import pickle
import sys
import time
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.checkpoints.changing import INF, same
from vae_lightning.checkpoints.expectations import plain
from vae_lightning.checkpoints.reader import UnreadableError, stored


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "forged.ckpt"


def test_every_kind_of_data_is_read_as_it_was_saved(file):
    weights = torch.randn(4, 3, 2, 2)
    kinds = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    data = {
        "tensors": {kind: weights.mul(3).to(getattr(torch, kind)) for kind in kinds},
        "laid out": [weights.contiguous(memory_format=torch.channels_last), weights[1:3], weights.permute(3, 1, 0, 2)],
        "small": [torch.zeros(0, 5), torch.zeros(3, 0), torch.tensor(3.0), torch.ones(1, 1)],
        "numbers": [0, -1, 255, 65535, 2**31 - 1, -(2**40), 0.1, float("inf"), True, False, None],
        "text": ["", "ä\n\u2028", "x" * 300],
        "others": ({1, 2}, b"\x00\xff", OrderedDict(a=1), (), (1,), (1, 2, 3, 4), torch.Size([2, 3])),
        7: {"many": {str(number): number for number in range(300)}},
    }
    torch.save(data, file)
    with stored(file) as contents:
        read = plain(contents, "")
    assert same(read | {"others": ()}, data | {"others": ()})
    assert read["others"] == data["others"]


# Files that are no checkpoints, or promise what they have not


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Storage:
    """Pickled as a storage, of so many values, whose bytes are in a file of the archive."""

    def __init__(self, key="0", size=4, kind=torch.FloatStorage, told="storage"):
        self.persistent = (told, kind, key, "cpu", size)


class Pickler(pickle._Pickler):
    def persistent_id(self, obj):
        return getattr(obj, "persistent", None) if isinstance(obj, Storage) else None


def forge(file: Path, value: Any, *, protocol: int = 2, pickled: bytes | None = None, **options: Any) -> None:
    """An archive as `torch.save` writes it, of any pickle; storage 0 has 16 bytes."""
    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(value)
    compression = options.get("compression", zipfile.ZIP_STORED)
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue() if pickled is None else pickled)
        archive.writestr("archive/byteorder", options.get("byteorder", sys.byteorder))
        archive.writestr("archive/data/0", options.get("content", bytes(16)))
        for name in options.get("more", []):
            archive.writestr(name, b"x")


def rebuilt(storage=None, offset=0, shape=(4,), stride=(1,), function=torch._utils._rebuild_tensor_v2, more=()):
    return Call(function, storage or Storage(), offset, shape, stride, False, OrderedDict(), *more)


def doubled(times: int) -> list[Any]:
    value: list[Any] = [1]
    for _ in range(times):
        value = [value, value]
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["x"] = value
    return value


def check_unreadable(file: Path, name: str) -> None:
    with pytest.raises(UnreadableError) as error, stored(file) as contents:
        plain(contents, "")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
    assert REASONS.get(name, "") in str(error.value)


# By which of the limits it is refused, where others would refuse it later, or after it has taken memory.
REASONS = {
    **dict.fromkeys(
        ["a storage longer than its bytes", "a little longer", "shorter", "a storage of another kind"],
        "a storage of another type or size than its bytes",
    ),
    **dict.fromkeys(
        [
            "a persistent thing that is no storage",
            "a storage by a number",
            "a size that is none",
            "a number for a kind",
        ],
        "a storage without a name or a size",
    ),
    **dict.fromkeys(
        ["a shape beyond its storage", "a shape of terabytes", "strides beyond", "an offset beyond"],
        "a tensor that reaches beyond its storage",
    ),
    **dict.fromkeys(
        ["a negative offset", "a negative stride", "a negative shape", "a shape of truths", "a text for a storage"],
        "a tensor without a shape",
    ),
    **dict.fromkeys(
        ["more strides than sizes", "fewer strides than sizes", "26 dimensions", "a conjugated tensor"],
        "a tensor without a shape",
    ),
    **dict.fromkeys(["doubled", "endless", "61 lists", "a million numbers"], "its values are nested too deep"),
    **dict.fromkeys(["a long key", "an infinite key", "a set of a long number"], "a key that is a"),
    **dict.fromkeys(
        ["a meta tensor", "an object", "a call of os.system", "a quantized storage"], "which no run's checkpoint does"
    ),
    "a text that doubles": "bytes in a code of their own",
    **dict.fromkeys(["a mark in a mark", "another protocol", "a state of a number"], "its pickle has the instruction"),
    "a dict that is a number": "a dict that is none",
    "a list that is a number": "a list that is none",
    **dict.fromkeys(
        ["a call of a number", "a call without a tuple", "a call of a kind"], "it calls what is no function"
    ),
    **dict.fromkeys(["an archive of nothing", "two of one name"], "an archive of nothing, or of two files of one name"),
    **dict.fromkeys(["compressed", "compressed to the same size"], "an archive whose files are compressed"),
    "a storage beyond the file": "an archive of more bytes than the file has",
    **dict.fromkeys(["an archive without a pickle", "another order of bytes"], "an archive without data.pkl, or of"),
    **dict.fromkeys(["a pickle of 70 MB", "gigabytes of nothing"], "an archive with too long a part"),
}


VALUES = {
    "a storage longer than its bytes": rebuilt(Storage(size=2**40), shape=(2**40,)),
    "a little longer": rebuilt(Storage(size=5), shape=(5,)),
    "shorter": rebuilt(Storage(size=3), shape=(3,)),
    "no such storage": rebuilt(Storage(key="1")),
    "a storage outside": rebuilt(Storage(key="../data.pkl")),
    "a storage of another kind": {"a": rebuilt(), "b": rebuilt(Storage(kind=torch.IntStorage))},
    "a negative size": rebuilt(Storage(size=-4)),
    "a storage by a number": rebuilt(Storage(key=0)),
    "a size that is none": rebuilt(Storage(size=4.0)),
    "a number for a kind": rebuilt(Storage(kind=3)),
    "a persistent thing that is no storage": rebuilt(Storage(told="module")),
    "a shape beyond its storage": rebuilt(shape=(5,)),
    "a shape of terabytes": rebuilt(shape=(2**40,), stride=(0,)),
    "strides beyond": rebuilt(shape=(2, 2), stride=(4, 1)),
    "an offset beyond": rebuilt(offset=1),
    "a negative offset": rebuilt(offset=-1),
    "a negative stride": rebuilt(offset=3, stride=(-1,)),
    "a negative shape": rebuilt(shape=(-1,)),
    "a shape of texts": rebuilt(shape=("a",)),
    "a shape of truths": rebuilt(shape=(True,)),
    "a text for a storage": rebuilt("x"),
    "more strides than sizes": rebuilt(stride=(1, 1)),
    "fewer strides than sizes": rebuilt(shape=(4, 1)),
    "26 dimensions": rebuilt(shape=(1,) * 26, stride=(1,) * 26),
    "a conjugated tensor": rebuilt(more=({"conj": True},)),
    "a meta tensor": Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (2**50,), (1,), False),
    "a sparse tensor": Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (rebuilt(), rebuilt(), (9,))),
    "a quantized tensor": rebuilt(function=torch._utils._rebuild_qtensor),
    "a tensor of another version": rebuilt(function=torch._utils._rebuild_tensor_v3, more=(torch.float32,)),
    "a subclass": Call(torch._tensor._rebuild_from_type_v2, torch.Tensor, torch.nn.Parameter, (3,), {}),
    "a complex storage": rebuilt(Storage(kind=torch.ComplexFloatStorage, size=2), shape=(2,)),
    "a quantized storage": rebuilt(Storage(kind=torch.QInt8Storage, size=16), shape=(16,)),
    "a tensor of terabytes": Call(torch.Tensor, 2**45),
    "an array of bytes": Call(bytearray, 2**45),
    "a call of eval": Call(eval, "1/0"),
    "a call of os.system": Call(os.system, "true"),
    "a text that doubles": Call(__import__("_codecs").encode, "x", "hex"),
    "an object": Call(object),
    "a NumPy number": np.float64(3.0),
    "a complex number": 1j,
    "doubled": doubled(60),
    "endless": endless(),
    "61 lists": nested(61),
    "a million numbers": [0] * 1_000_000,
    "a long key": {10**30: 1},
    "a set of a long number": {10**30},
    "an infinite key": {INF: 1},
    "a key that is a tuple": {(1, 2): 3},
    "a key that is a tensor": {None: 3},
    "a call of a text": Call(print, "x"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_forged_pickle_is_refused(file, name):
    forge(file, VALUES[name])
    started = time.process_time()
    check_unreadable(file, name)
    assert time.process_time() - started < 10


PICKLES = {
    "deep": b"\x80\x02" + b"]" * 9_000 + b"a" * 8_999 + b".",
    "nothing": b"",
    "no end": b"\x80\x02}",
    "an empty stack": b"\x80\x02.",
    "a mark that is missing": b"\x80\x02u.",
    "a dict of three": b"\x80\x02}(K\x01K\x02K\x03u.",
    "a dict that is a number": b"\x80\x02K\x01K\x01K\x01s.",
    "a list that is a number": b"\x80\x02K\x01K\x01a.",
    "a memo that is missing": b"\x80\x02h\x07.",
    "a text beyond the end": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a text that is none": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "a call of a kind": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a call without a tuple": b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
    "a state of a number": b"\x80\x02K\x01}b.",
    "a persistent number": b"\x80\x02K\x01Q.",
    "another protocol": b"\x80\x05}.",
    "an instance of old": b"(i__builtin__\nprint\n.",
    "a storage that is a dtype": b"\x80\x02(X\x07\x00\x00\x00storageK\x01K\x01K\x01K\x01tQ.",
    "no pickle": b"\xff\xfe\xfd",
    "a name that takes a terminal over": b"\x80\x02c\x1b[2J" + b"x" * 1000 + b"\nprint\n.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_that_is_none_is_refused(file, name):
    forge(file, {}, pickled=PICKLES[name])
    check_unreadable(file, name)


def giant(file: Path, *, field: int, marker: bytes = b"PK\x01\x02") -> None:
    """Have the last record of the archive's list of contents, or its end, hold a giant number."""
    patch(file, field, b"\xf0\xff\xff\x7f", marker)


def patch(file: Path, field: int, value: bytes, marker: bytes = b"PK\x01\x02") -> None:
    content = bytearray(file.read_bytes())
    place = content.rindex(marker) + field
    content[place : place + len(value)] = value
    file.write_bytes(content)


ARCHIVES = {
    "text": lambda file: file.write_text("not a checkpoint"),
    "a picture": lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "nothing": lambda file: file.write_bytes(b""),
    "a folder": lambda file: file.mkdir(),
    "a named pipe": lambda file: os.mkfifo(file),
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "nowhere": lambda file: None,
    "the old format": lambda file: torch.save({"epoch": 1}, file, _use_new_zipfile_serialization=False),
    "a pickle": lambda file: file.write_bytes(pickle.dumps({"epoch": 1})),
    "an archive of nothing": lambda file: zipfile.ZipFile(file, "w").close(),
    "an archive without a pickle": lambda file: _archive(file, "archive/x"),
    "compressed": lambda file: forge(file, {}, compression=zipfile.ZIP_DEFLATED, content=bytes(10**7)),
    "two of one name": lambda file: forge(file, {}, more=["archive/data/0"]),
    "another order of bytes": lambda file: forge(file, {}, byteorder="middle"),
    "a storage of gigabytes": lambda file: (forge(file, rebuilt()), giant(file, field=24)),
    "packed gigabytes": lambda file: (forge(file, rebuilt()), giant(file, field=20)),
    "a storage beyond the file": lambda file: (forge(file, rebuilt()), giant(file, field=20), giant(file, field=24)),
    "compressed to the same size": lambda file: (forge(file, rebuilt()), patch(file, 10, b"\x0e\x00")),
    "a storage far away": lambda file: (forge(file, rebuilt()), giant(file, field=42)),
    "a list of contents of gigabytes": lambda file: (forge(file, {}), giant(file, field=12, marker=b"PK\x05\x06")),
    "a list of contents far away": lambda file: (forge(file, {}), giant(file, field=16, marker=b"PK\x05\x06")),
    "a pickle of 70 MB": lambda file: forge(file, {}, pickled=b"\x80\x02" + b"N" * 70_000_000),
    "gigabytes of nothing": lambda file: (forge(file, {}), os.truncate(file, 2**35), giant_end(file)),
}


def giant_end(file: Path) -> None:
    """At the end of a sparse file, an end of an archive whose list of contents is all that is before."""
    with file.open("r+b") as stream:
        stream.seek(0, io.SEEK_END)
        stream.write(b"PK\x05\x06" + bytes(4) + b"\x01\x00\x01\x00" + b"\x00\x00\x00\x70" + bytes(4) + bytes(2))


def _archive(file: Path, name: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_file_that_is_no_checkpoint_is_refused(file, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile's, of two of one name
        ARCHIVES[name](file)
    check_unreadable(file, name)
