"""A small checkpoint of a stranger takes little memory, whatever its pickle does with what it has once made."""

import struct
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tests.warm import run
from vae_lightning.checkpoints.expectations import plain
from vae_lightning.checkpoints.reader import UnreadableError, stored

ROOT = Path(__file__).parents[2]
OPEN = """
import resource, sys
from pathlib import Path
from vae_lightning.checkpoints.reader import UnreadableError, stored
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with stored(Path(sys.argv[1])):
        print("read")
except UnreadableError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of what the system counts in


def text(letters: str) -> bytes:
    return b"X" + struct.pack("<I", len(letters.encode())) + letters.encode()


def function(name: str, place: bytes) -> bytes:
    return b"c" + name.replace(".", "\n").encode() + b"\nq" + place


LONG = text("a" * 4_000_000) + b"q\x00"
LIST = b"]q\x00(" + b"".join(b"J" + struct.pack("<i", number) for number in range(400_000)) + b"e"
MANY = "its pickle makes too many values"
BOMBS = {
    "a text as a shape, again and again": (LONG + function("torch.Size", b"\x01") + b"h\x01h\x00\x85R" * 60, "a shape"),
    "a list as a shape": (LIST + function("torch.Size", b"\x01") + b"h\x01h\x00\x85R" * 400, "a shape"),
    "a text as bytes": (
        LONG + text("latin1") + b"q\x02" + function("_codecs.encode", b"\x01") + b"h\x01h\x00h\x02\x86R" * 300,
        MANY,
    ),
    "a list as a set": (LIST + function("__builtin__.set", b"\x01") + b"h\x01h\x00\x85R" * 60, MANY),
    "dicts": (b"}" * 8_000_000, MANY),
    "marks": (b"(" * 8_000_000, MANY),
    "ordered dicts": (function("collections.OrderedDict", b"\x01") + b"h\x01)R" * 3_000_000, MANY),
    "a long pickle": (b"N" * 40_000_000, "an archive with too long a part"),
}


def archive(file: Path, pickled: bytes, num_more: int = 0) -> None:
    with zipfile.ZipFile(file, "w") as entries:
        entries.writestr("archive/data.pkl", b"\x80\x02" + pickled + b".")
        entries.writestr("archive/byteorder", sys.byteorder)
        for number in range(num_more):
            entries.writestr(f"archive/data/{number}", b"")


def opened(file: Path) -> tuple[str, int]:
    """What is said of a file, in a process of its own, and the bytes of memory that it took."""
    done = run("tests.script", OPEN, str(file), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said, size = done.stdout.splitlines()
    return said, int(size) * UNIT


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_pickle_makes_little_of_much(tmp_path, name):
    pickled, told = BOMBS[name]
    archive(tmp_path / "small.ckpt", pickled)
    said, size = opened(tmp_path / "small.ckpt")
    assert size < 200e6
    assert said.startswith(told)


def test_the_most_that_a_pickle_may_make_is_read(tmp_path):
    wide = text("a" * 14_000_000 + "\U0001f600") + b"q\x00"  # a letter of four bytes, so that each takes four
    archive(tmp_path / "most.ckpt", wide + b"](" + b"]" * 490_000 + b"e")
    said, size = opened(tmp_path / "most.ckpt")
    assert said == "read"
    assert size < 300e6


def test_a_state_of_thousands_of_weights_is_read(tmp_path):
    weights = {f"vae.encoder.layers.{number}.convolution.weight": torch.ones(1) for number in range(3_000)}
    states = {number: {"step": torch.ones(()), "exp_avg": torch.ones(1)} for number in range(3_000)}
    torch.save({"state_dict": weights, "optimizer_states": [{"state": states}]}, tmp_path / "large.ckpt")
    with stored(tmp_path / "large.ckpt") as contents:
        assert plain(contents, "")["state_dict"].keys() == weights.keys()


def test_bytes_that_many_tensors_share_are_not_copied_for_each(tmp_path):
    shared = torch.zeros(1000, 1000)
    torch.save([shared[:, :-1] for _ in range(30)], tmp_path / "shared.ckpt")
    with stored(tmp_path / "shared.ckpt") as contents, pytest.raises(UnreadableError, match="share their bytes"):
        plain(contents, "")
    torch.save([shared.t() for _ in range(12)], tmp_path / "tied.ckpt")  # as weights are that several layers have
    with stored(tmp_path / "tied.ckpt") as contents:
        assert len(plain(contents, "")) == 12
