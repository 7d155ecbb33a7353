import logging
from collections import namedtuple

import numpy as np
import pytest
import torch

from tests.data.sets import noise
from vae_lightning.data.packed_bits import packed
from vae_lightning.data.provenance import told_of
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.errors import UserError

IMAGES = noise(6, 4, 4, 1)


class Maker:
    def __init__(self):
        self.num_calls = 0

    def __call__(self):
        self.num_calls += 1
        yield from np.split(IMAGES, 3)


@pytest.fixture
def make() -> Maker:
    return Maker()


def stored(cache: Cache, **others) -> StoredPixels:
    fields = {"kind": "things", "what": "the things", "key": (1,), "shape": (6, 4, 4, 1)} | others
    return StoredPixels(cache, **fields)


def test_they_are_made_once_and_that_is_told_with_their_size(tmp_path, make, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(2):
        pixels, pages = stored(Cache(str(tmp_path)))(make)
        assert torch.equal(pixels, torch.from_numpy(IMAGES))
        pages.must_be_there()
    assert make.num_calls == 1
    assert caplog.text.count(f"the things take 1 MB, made once, in {tmp_path}") == 1


def test_other_keys_and_shapes_are_others(tmp_path):
    cache = Cache(str(tmp_path))
    folders = {stored(cache).folder, stored(cache, key=(2,)).folder, stored(cache, shape=(6, 4, 2, 2)).folder}
    assert len(folders) == 3


def test_packed_ones_are_kept_as_bits_and_told_by_the_size_of_the_images(tmp_path, caplog):
    images = noise(6, 4, 16, 1, most=1) * np.uint8(255)
    fields = {"shape": images.shape, "is_packed": True}
    for _ in range(2):
        pixels, _ = stored(Cache(str(tmp_path)), **fields)(lambda: iter(np.split(images, 3)))
        assert torch.equal(pixels, torch.from_numpy(packed(images)))
    folder = stored(Cache(str(tmp_path)), **fields).folder
    assert folder != stored(Cache(str(tmp_path)), shape=images.shape).folder
    assert told_of(folder) == "the things: 6 of 16 x 4"
    assert np.load(folder / "pixels.npy").nbytes == images.size / 8
    (folder / "pixels.npy").write_bytes((folder / "pixels.npy").read_bytes()[:-1] + b"?")
    stored(Cache(str(tmp_path)), **fields)(lambda: iter(np.split(images, 3)))
    assert "is damaged (pixels.npy differs from its checksums" in caplog.text
    assert np.array_equal(np.load(folder / "pixels.npy"), packed(images))


def test_packed_ones_need_an_eighth_of_the_room(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")(1024 // 8)
    monkeypatch.setattr("vae_lightning.data.stored_pixels.disk_usage", lambda _: usage)
    images = np.zeros((1, 32, 32, 1), np.uint8)
    stored(Cache(str(tmp_path)), shape=images.shape, is_packed=True)(lambda: iter([images]))
    with pytest.raises(UserError, match="the things take 1 MB, and 0 MB are free; "):
        stored(Cache(str(tmp_path)), shape=images.shape)(lambda: iter([images]))


def test_no_room_is_told_before_anything_is_made(tmp_path, make, monkeypatch):
    usage = namedtuple("usage", "free")(90)
    monkeypatch.setattr("vae_lightning.data.stored_pixels.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=rf"^data\.cache_dir={tmp_path}: the things take 1 MB, and 0 MB are free; "):
        stored(Cache(str(tmp_path)))(make)
    assert make.num_calls == 0


def test_a_maker_that_fails_leaves_nothing(tmp_path):
    def fail():
        yield IMAGES[:2]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        stored(Cache(str(tmp_path)))(fail)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_was_damaged_is_made_anew(tmp_path, make, caplog):
    stored(Cache(str(tmp_path)))(make)
    file = stored(Cache(str(tmp_path))).folder / "pixels.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    pixels, _ = stored(Cache(str(tmp_path)))(make)
    assert torch.equal(pixels, torch.from_numpy(IMAGES))
    assert "is damaged (pixels.npy differs from its checksums" in caplog.text


def test_a_strangers_cache_is_read_and_not_written(tmp_path, make, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    theirs = Cache(str(tmp_path / "theirs"), is_read_only=True)
    stored(theirs)(make)
    assert not (tmp_path / "theirs").exists()
    stored(Cache(str(tmp_path / "theirs")))(make)
    before = sorted(tmp_path.rglob("*"))
    assert stored(theirs).folder.parent == tmp_path / "theirs"
    stored(theirs)(make)
    assert make.num_calls == 2
    assert sorted(tmp_path.rglob("*")) == before
    (stored(theirs).folder / "pixels.npy").write_bytes(b"junk")
    stored(theirs)(make)
    assert (tmp_path / "theirs" / stored(theirs).folder.name / "pixels.npy").read_bytes() == b"junk"
