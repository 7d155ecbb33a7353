import io
import os
import sys
import zipfile

import h5py
import numpy as np
import pytest

from vae_lightning.data.array_containers import KINDS, Hdf5, Npy, Npz
from vae_lightning.data.arrays import open_arrays
from vae_lightning.errors import UserError

IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)


class Runs:
    """What would run code if it were unpickled."""

    def __reduce__(self):
        return os.system, ("touch unpickled",)


@pytest.mark.parametrize("values", [IMAGES, np.asfortranarray(IMAGES), IMAGES.astype(">f4"), IMAGES[:0]])
def test_arrays_are_mapped_whatever_their_order_and_type(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", other=np.arange(3), images=values)
    np.savez_compressed(tmp_path / "b.npz", images=values)
    for file, name in ((Npy(tmp_path / "a.npy"), "a.npy"), (Npz(tmp_path / "a.npz"), "images")):
        assert file.entries[name][:2] == (values.shape, values.dtype)
        assert np.array_equal(file.take(name), values)
        assert isinstance(file.take(name), np.memmap) or not len(values)
    assert np.array_equal(Npz(tmp_path / "b.npz", tmp_path / "scratch").take("images"), values)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_objects_are_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([Runs(), Runs()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=objects)
    for file, name in ((Npy(tmp_path / "a.npy"), "a.npy"), (Npz(tmp_path / "a.npz"), "images")):
        assert "an array of Python objects" in file.entries[name].fault
        with pytest.raises(ValueError, match="never read"):
            file.take(name)
    assert not (tmp_path / "unpickled").exists()


def test_what_a_file_does_not_hold_is_refused_before_memory_is_taken(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "a.npy").write_bytes(buffer.getvalue() + bytes(100))
    with pytest.raises(ValueError, match="an array of 8000000000000 bytes, of which 100 are there"):
        Npy(tmp_path / "a.npy").take("a.npy")
    for packing, match in (
        (zipfile.ZIP_STORED, "of which 100"),
        (zipfile.ZIP_DEFLATED, "more than data.max_archive_gb"),
    ):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
            archive.writestr("images.npy", buffer.getvalue() + bytes(100))
        with pytest.raises(ValueError, match=match):
            Npz(tmp_path / "a.npz").take("images")


def test_a_compressed_array_that_is_short_or_long_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    for content, match in (
        (buffer.getvalue()[:-3], "ends too early"),
        (buffer.getvalue() + b"x", "goes on after its end"),
    ):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", content)
        with pytest.raises(ValueError, match=match):
            Npz(tmp_path / "a.npz").take("images")
    with pytest.raises(ValueError, match=r"more than data\.max_archive_gb=1e-07 allows"):
        Npz(tmp_path / "a.npz", most_bytes=100).take("images")


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_is_packed_so_that_it_may_fill_memory_is_refused(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
        archive.writestr("images.npy", bytes(1000))
    with pytest.raises(ValueError, match="compressed in another way than by deflate"):
        Npz(tmp_path / "a.npz").entries  # noqa: B018


def test_an_archive_of_very_many_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for number in range(1100):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(ValueError, match="more than 1,000 arrays"):
        Npz(tmp_path / "a.npz").entries  # noqa: B018


def test_a_disk_that_is_too_small_is_told(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    monkeypatch.setattr("shutil.disk_usage", lambda _: os.statvfs_result and type("Usage", (), {"free": 100})())
    with pytest.raises(ValueError, match="unpacks to 1 MB, and 0 MB are free"):
        Npz(tmp_path / "a.npz").take("images")


def test_hdf5_is_read_in_parts_and_nothing_beside_it(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = IMAGES
    (tmp_path / "raw.bin").write_bytes(bytes(1000))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=True, compression="gzip")
        file.create_dataset("labels", data=["cat", "dog"])
        file.create_group("group")
        file["link"] = h5py.ExternalLink("other.h5", "secret")
        file["soft"] = h5py.SoftLink("/images")
        file.create_dataset("outside", (10,), np.uint8, external=[(str(tmp_path / "raw.bin"), 0, 10)])
        layout = h5py.VirtualLayout(IMAGES.shape, IMAGES.dtype)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "secret", IMAGES.shape)
        file.create_virtual_dataset("virtual", layout)
    found = Hdf5(tmp_path / "a.h5")
    assert set(found.entries) == {"images", "labels"}
    assert np.array_equal(found.take("images")[1:2], IMAGES[1:])
    assert found.take("labels").tolist() == ["cat", "dog"]


def test_without_h5py_it_is_told_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"pip install 'vae-lightning\[hdf5\]'"):
        Hdf5(tmp_path / "a.h5")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("suffix", KINDS)
def test_a_pipe_is_not_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match="no regular file"):
        KINDS[suffix](tmp_path / f"a{suffix}")


def npy_header_of(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".packed.npz", ".h5"])
def test_images_that_a_file_states_and_does_not_hold_are_refused_before_they_get_names(tmp_path, suffix):
    path, most = tmp_path / f"a{suffix}", (2**40, 8, 8)
    if suffix == ".npy":
        path.write_bytes(npy_header_of(most))
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("images", most, "u1", chunks=(1, 8, 8))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if "packed" in suffix else zipfile.ZIP_STORED) as archive:
            archive.writestr("images.npy", npy_header_of(most))
    with pytest.raises(UserError, match=f"an array of {2**46} bytes, of which 0 (are there|were ever written)$"):
        open_arrays(path, 1, "auto", "images", 1000, 1e9)


def test_of_images_there_are_no_more_than_names_fit_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.data.arrays._MOST_IMAGES", 10)
    np.save(tmp_path / "a.npy", np.zeros((11, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"a\.npy has 11 images, of which at most 10 are read"):
        open_arrays(tmp_path / "a.npy", 1, "auto", "images", 1000, 1e9)


def test_a_shape_that_is_no_numbers_is_refused(tmp_path):
    content = npy_header_of((60, 8, 8)).replace(b"(60, 8, 8)", b"(True,8,8)")
    (tmp_path / "a.npy").write_bytes(content + bytes(60 * 64))
    with pytest.raises(UserError, match=r"a\.npy: an array of shape \[True, 8, 8\]"):
        open_arrays(tmp_path / "a.npy", 1, "auto", "images", 1000, 1e9)


def test_a_changed_byte_of_an_array_that_is_not_packed_is_found(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((60, 80, 80), np.uint8))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[100_000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        Npz(tmp_path / "a.npz").take("images")


def test_parts_of_hdf5_that_were_never_written_are_told(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (60, 8, 8), "u1", chunks=(1, 8, 8))[:40] = 7
    told = open_arrays(tmp_path / "a.h5", 1, "auto", "images", 1000, 1e9).told
    assert "20 of 60 parts of images were never written, and hold one value" in told


def test_hdf5_says_where_it_does_not_look(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/images"] = np.zeros((60, 8, 8), np.uint8)
    with pytest.raises(UserError, match="there are none; groups, links and what lies in other files are not looked"):
        open_arrays(tmp_path / "a.h5", 1, "auto", "images", 1000, 1e9)
