import io
import os
import zipfile

import numpy as np
import pytest

from vae_lightning.data.npz import NpzFile

ARRAYS = {"images": np.arange(24, dtype=np.uint8).reshape(6, 2, 2), "labels": np.arange(6)[:, None]}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_a_whole_and_in_pieces(tmp_path, monkeypatch, save):
    monkeypatch.setattr("vae_lightning.data.npz._BLOCK_BYTES", 9)
    save(tmp_path / "it.npz", **ARRAYS)
    with NpzFile(tmp_path / "it.npz") as file:
        assert [block.shape for block in file.blocks("images")] == [(2, 2, 2)] * 3
        assert all(np.array_equal(file.array(name), array) for name, array in ARRAYS.items())
        assert (file.headers["labels"].shape, file.headers["labels"].dtype) == ((6, 1), np.int64)


def test_objects_are_never_read(tmp_path):
    np.savez(tmp_path / "it.npz", **ARRAYS, metadata=np.array([{"a": 1}], dtype=object))
    with NpzFile(tmp_path / "it.npz") as file:
        assert file.headers.keys() == ARRAYS.keys()
        with pytest.raises(ValueError, match="an array of Python objects"):
            file.array("metadata")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense" * 100])
def test_what_is_no_archive_is_told(tmp_path, content):
    (tmp_path / "it.npz").write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        NpzFile(tmp_path / "it.npz")


@pytest.mark.usefixtures("in_time")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "it.npz")
    with pytest.raises(ValueError, match="named pipe"):
        NpzFile(tmp_path / "it.npz")


def member(shape: tuple[int, ...], content: bytes, tmp_path, order: bool = False) -> NpzFile:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": order, "shape": shape})
    with zipfile.ZipFile(tmp_path / "it.npz", "w") as archive:
        archive.writestr("images.npy", file.getvalue() + content)
    return NpzFile(tmp_path / "it.npz")


def test_an_array_that_is_shorter_than_it_says_is_told(tmp_path):
    with member((10**6, 10**6), b"abc", tmp_path) as file, pytest.raises(ValueError, match="images ends too early"):
        list(file.blocks("images"))


def test_an_array_that_is_too_large_is_not_read_as_a_whole(tmp_path):
    with member((10**6, 10**6), b"abc", tmp_path) as file, pytest.raises(ValueError, match="has more than 1,000 MB"):
        file.array("images")


def test_columns_in_place_of_rows_are_told(tmp_path):
    with member((2, 2), b"abcd", tmp_path, order=True) as file, pytest.raises(ValueError, match="column by column"):
        file.array("images")


def test_a_byte_that_was_changed_is_found_by_the_archives_checksum(tmp_path):
    np.savez(tmp_path / "it.npz", images=np.full((4, 5), 77, np.uint8))
    content = (tmp_path / "it.npz").read_bytes()
    (tmp_path / "it.npz").write_bytes(content.replace(b"M" * 20, b"M" * 19 + b"N"))
    with pytest.raises(ValueError, match="CRC"), NpzFile(tmp_path / "it.npz") as file:
        file.array("images")


def test_an_archive_of_very_many_arrays_is_refused_before_they_are_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "it.npz", "w") as archive:
        for number in range(1100):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(ValueError, match="it has more than 1,000 arrays"):
        NpzFile(tmp_path / "it.npz")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_packed_in_a_way_that_takes_memory_without_limit_is_refused(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "it.npz", "w", packing) as archive:
        archive.writestr("images.npy", bytes(10**6))
    with pytest.raises(ValueError, match="compressed in another way than by deflate"):
        NpzFile(tmp_path / "it.npz")
