"""Files of weights alone: the same tensors are the same bytes, half precision is read as float32."""

import os

import pytest
import torch
from safetensors.torch import save_file

from vae_lightning.checkpoints.reader import UnreadableError
from vae_lightning.checkpoints.safe_tensors import stored_safely, write_safely

TENSORS = {"weight": torch.randn(3, 2), "count": torch.tensor(7), "mask": torch.tensor([True, False])}


def read(path) -> dict[str, torch.Tensor]:
    with stored_safely(path) as found:
        return {name: each.read() for name, each in found.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_was_written_is_read(tmp_path, dtype):
    for name in ("one", "two"):
        write_safely(tmp_path / name, TENSORS, dtype)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = read(tmp_path / "one")
    assert torch.equal(found["weight"], TENSORS["weight"].to(dtype).float())
    assert found["weight"].dtype == torch.float32
    assert torch.equal(found["count"], TENSORS["count"])
    assert torch.equal(found["mask"], TENSORS["mask"])


def test_shape_and_type_are_told_before_anything_is_read(tmp_path):
    write_safely(tmp_path / "file", TENSORS, torch.float16)
    with stored_safely(tmp_path / "file") as found:
        assert (found["weight"].shape, found["weight"].dtype) == ((3, 2), torch.float32)


def test_other_types_are_refused(tmp_path):
    save_file({"weight": torch.zeros(2, dtype=torch.int16)}, tmp_path / "file")
    with (
        pytest.raises(UnreadableError, match="'weight' has values of type I16"),
        stored_safely(tmp_path / "file") as it,
    ):
        _ = it["weight"].dtype


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "cut", "huge header"])
def test_what_is_no_such_file(tmp_path, kind):
    file = tmp_path / "file"
    write_safely(tmp_path / "whole", TENSORS, torch.float32)
    whole = (tmp_path / "whole").read_bytes()
    {
        "missing": lambda: None,
        "folder": file.mkdir,
        "pipe": lambda: os.mkfifo(file),
        "empty": file.touch,
        "cut": lambda: file.write_bytes(whole[:-3]),
        "huge header": lambda: file.write_bytes((2**62).to_bytes(8, "little") + whole),
    }[kind]()
    with pytest.raises(UnreadableError) as error:
        read(file)
    assert "\n" not in str(error.value)
