"""Whatever becomes of a cache, of its pictures, or of who builds it: no other pixels are trained on without a word."""

import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.test_decoded_folder import built, decode
from vae_lightning.data import pixel_cache
from vae_lightning.data.cache import cache_key
from vae_lightning.data.decoded_folder import FolderDecoder
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.picture_files import PictureFile
from vae_lightning.errors import UserError


@pytest.fixture
def cache_dir(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cached(pictures, cache_dir) -> Path:
    """The folder of the decoded pictures."""
    decode(pictures, cache_dir)
    (name,) = built(cache_dir)
    return cache_dir / name


@pytest.fixture
def decoded(monkeypatch) -> list[Path]:
    """What is decoded from now on."""
    from vae_lightning.data import decoded_blocks

    paths: list[Path] = []
    plain = decoded_blocks.decode_image
    monkeypatch.setattr(decoded_blocks, "decode_image", lambda path, *rest: paths.append(path) or plain(path, *rest))
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def everything(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in folder.rglob("*")}


class Harm:
    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def scribble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in random.Random(0).sample(range(len(content)), len(content) // 2):
        content[place] ^= 1
    path.write_bytes(content)


def flip_the_last_bit(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # by its name numpy would make another of some
        np.save(file, array, allow_pickle=True)


def pickle_into(path: Path) -> None:
    save(path, np.array([Harm(path.parent.parent / "harm")], dtype=object))
    path.write_bytes(path.read_bytes() + pickle.dumps(Harm(path.parent.parent / "harm")))


def make_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "scribbled on": scribble,
    "one bit": flip_the_last_bit,
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "another shape": lambda path: save(path, np.zeros((7, 8, 8, 3), np.uint8)),
    "another type": lambda path: save(path, np.zeros((60, 8, 8, 3), np.float32)),
    "transposed": lambda path: save(path, np.asfortranarray(np.zeros((60, 8, 8, 3), np.uint8))),
    "a pickle": pickle_into,
    "gone": Path.unlink,
    "a pipe": make_a_pipe,
    "a folder": make_a_folder,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["pixels.npy", "readable.npy", "checksums.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_told_and_built_anew(pictures, cache_dir, cached, caplog, name, damage):
    before = contents(cached)
    DAMAGES[damage](cached / name)
    folder = decode(pictures, cache_dir)
    assert contents(cached) == before
    assert folder.pixels.tobytes() == before["pixels.npy"][-60 * 192 :]
    if (name, damage) == ("checksums.json", "gone"):  # as a cache of an earlier version
        assert caplog.text == ""
    else:
        (line,) = (record.getMessage() for record in caplog.records)
        assert line.startswith(f"data.cache_dir={cache_dir}: {cached.name} is damaged (")
        assert line.endswith(") and built anew")
        assert "\n" not in line
    assert {path.name for path in cache_dir.iterdir()} == {cached.name, f"about-{cached.name}.json", ".lock"}


def test_a_block_far_in_is_checked_too(pictures, cache_dir, monkeypatch, caplog):
    monkeypatch.setattr(pixel_cache, "_BLOCK", 1000)
    decode(pictures, cache_dir)
    (name,) = built(cache_dir)
    content = bytearray((cache_dir / name / "pixels.npy").read_bytes())
    content[7500] ^= 1
    (cache_dir / name / "pixels.npy").write_bytes(content)
    decode(pictures, cache_dir)
    assert "pixels.npy differs from its checksums at byte 7000 or after" in caplog.text


@pytest.mark.parametrize("num_bytes", [0, 1, 999, 1000, 1001, 9_500])
def test_checksums_are_the_same_by_any_number_of_threads(tmp_path, monkeypatch, num_bytes):
    monkeypatch.setattr(pixel_cache, "_BLOCK", 1000)
    content = random.Random(num_bytes).randbytes(num_bytes)
    (tmp_path / "file").write_bytes(content)
    expected = [zlib.crc32(content[start : start + 1000]) for start in range(0, num_bytes, 1000)]
    for num_threads in (1, 2, 3, 64):
        monkeypatch.setattr(pixel_cache, "num_cpus", lambda count=num_threads: count)
        assert pixel_cache._checksums(tmp_path / "file") == expected


def test_a_damaged_cache_that_cannot_be_built_anew_is_an_error_in_a_line(pictures, cache_dir, cached, monkeypatch):
    scribble(cached / "pixels.npy")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vae_lightning.data.cache.locked", refuse)
    with pytest.raises(UserError, match=r"^data\.cache_dir=.*: cannot be written \(.*Permission denied\)$"):
        decode(pictures, cache_dir)


# Other versions


def test_a_cache_of_an_earlier_version_stays_valid_and_gets_checksums(pictures, cache_dir, cached, decoded, caplog):
    caplog.set_level("INFO")
    before = contents(cached)
    (cached / "checksums.json").unlink()
    decode(pictures, cache_dir)
    assert decoded == []
    assert contents(cached) == before
    assert f"{cached} is of an earlier version and valid; from now on it has checksums" in caplog.text
    scribble(cached / "pixels.npy")
    decode(pictures, cache_dir)
    assert len(decoded) == 60
    assert contents(cached) == before


def test_a_cache_of_an_earlier_version_that_cannot_be_written_is_used(
    pictures, cache_dir, cached, monkeypatch, decoded
):
    (cached / "checksums.json").unlink()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pixel_cache, "write_atomically", refuse)
    assert decode(pictures, cache_dir).readable.all()
    assert decoded == []


def test_the_key_of_a_cache_is_the_same_as_in_all_versions_so_far(tmp_path):
    files = [PictureFile("a.png", 12, 34), PictureFile("deep/b.jpg", 56, 78)]
    decoder = FolderDecoder(Path("/faces"), tmp_path, 64, 3, 0.01, "data.root=/faces")
    assert decoder._folder(files).name == "images-" + cache_key(1, "/faces", 64, 3, files)
    assert decoder._folder(files).name == "images-d05bbd6cf5db5dcc28c8"


def test_checksums_of_another_version_are_none_of_ours(pictures, cache_dir, cached, caplog):
    stored = json.loads((cached / "checksums.json").read_text())
    (cached / "checksums.json").write_text(json.dumps({**stored, "algorithm": "crc64"}))
    decode(pictures, cache_dir)
    assert "its checksums are of another version" in caplog.text
    assert json.loads((cached / "checksums.json").read_text()) == stored


# A cache that is only read


def valid(root: Path, cache_dir: Path):
    return FolderDecoder(root, cache_dir, 8, 3, 0.01, f"data.root={root}").open_valid()


@pytest.mark.parametrize("damage", [None, *DAMAGES])
def test_a_cache_that_is_only_read_is_used_where_it_is_sound_and_left_as_it_is(pictures, cache_dir, cached, damage):
    if damage is not None:
        DAMAGES[damage](cached / "pixels.npy")
    before = everything(cache_dir)
    found = valid(pictures, cache_dir)
    assert (found is not None) == (damage is None)
    assert everything(cache_dir) == before


def test_a_cache_that_is_only_read_must_be_there_and_is_given_no_checksums(pictures, cache_dir, cached, tmp_path):
    (cached / "checksums.json").unlink()  # as earlier versions left them
    assert valid(pictures, cache_dir) is not None
    assert not has_new(cached)
    assert valid(pictures, tmp_path / "elsewhere") is None
    assert not (tmp_path / "elsewhere").exists()


def has_new(cached: Path) -> bool:
    return {path.name for path in cached.iterdir()} != {"pixels.npy", "readable.npy"}


def folder_of(root: Path, cache_dir: Path, **options) -> ImageFolder:
    fractions = {"val_fraction": 0.2, "test_fraction": 0.2}
    return ImageFolder(root=str(root), cache_dir=str(cache_dir), image_size=8, batch_size=4, **fractions, **options)


@pytest.mark.parametrize("is_sound", [True, False])
def test_data_whose_cache_is_only_read_use_it_or_the_users_own(
    pictures, cache_dir, cached, monkeypatch, tmp_path, is_sound
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    if not is_sound:
        scribble(cached / "pixels.npy")
    before = everything(cache_dir)
    data = folder_of(pictures, cache_dir)
    data.read_only = frozenset({"cache_dir"})
    data.prepare_data()
    data.setup()
    assert everything(cache_dir) == before
    assert (tmp_path / "own").exists() is not is_sound
    assert torch.equal(data.splits["val"].pixels, folder_of(pictures, tmp_path / "third").splits["val"].pixels)


# What becomes of pictures and of a cache under a run


def epoch(data: ImageFolder) -> torch.Tensor:
    return torch.cat([batches.images.flatten(0, 1) for batches in data.train_dataloader()])


def test_a_run_goes_on_with_the_pictures_that_it_began_with(pictures, cache_dir):
    data = folder_of(pictures, cache_dir)
    data.prepare_data()
    before = epoch(data)
    for path in list(pictures.iterdir())[:30]:
        path.unlink()
    Image.new("RGB", (9, 9), "red").save(pictures / "30.png")
    data.prepare_data()  # as Lightning asks for it again before a test
    data.setup("test")
    assert torch.equal(epoch(data), before)
    shutil.rmtree(pictures)
    data.prepare_data()
    assert torch.equal(epoch(data), before)
    with pytest.raises(UserError) as error:
        folder_of(pictures, cache_dir).prepare_data()
    gone = f"data.root={pictures}: there is no folder {pictures}"
    moved = "if it has moved, data.root= says where it lies now"
    assert str(error.value) == f"{gone}; what was decoded into {cache_dir} before is not used without it: {moved}"


def test_a_cache_that_is_removed_or_built_anew_under_a_run_stays_what_it_was(pictures, cache_dir, cached):
    data = folder_of(pictures, cache_dir)
    before = epoch(data)
    (cached / "checksums.json").write_text("{}")
    decode(pictures, cache_dir)  # another process that finds it damaged
    assert torch.equal(epoch(data), before)
    shutil.rmtree(cache_dir)
    assert torch.equal(epoch(data), before)
    data.prepare_data()
    assert not cache_dir.exists()


def test_a_cache_that_is_cut_short_under_a_run_ends_it_with_a_line_and_not_with_a_bus_error(
    pictures, cache_dir, cached
):
    data = folder_of(pictures, cache_dir)
    batches = iter(data.train_dataloader())
    next(batches)
    os.truncate(cached / "pixels.npy", 1000)
    with pytest.raises(UserError, match=r"^data\.cache_dir: the decoded images were cut short .* decoded anew$"):
        next(batches)
    assert len(epoch(folder_of(pictures, cache_dir))) > 0


# Clocks


@pytest.mark.parametrize("seconds", [-(10**9), 0, 4 * 10**9])
def test_a_clock_that_was_wrong_does_no_harm(pictures, cache_dir, cached, decoded, seconds):
    for path in (*pictures.iterdir(), *cached.iterdir(), cached, cache_dir / ".lock", cache_dir):
        os.utime(path, (seconds, seconds))
    decode(pictures, cache_dir)
    assert len(decoded) == 60  # the pictures' times are others
    decode(pictures, cache_dir)
    assert len(decoded) == 60


# Kills


def build_in_a_process(pictures: Path, cache_dir: Path, seconds_per_image: float) -> multiprocessing.Process:
    def work() -> None:
        from vae_lightning.data import decoded_blocks

        plain = decoded_blocks.decode_image
        decoded_blocks.decode_image = lambda *given: time.sleep(seconds_per_image) or plain(*given)
        decode(pictures, cache_dir)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_whenever_a_builder_is_killed_the_next_one_builds_it_whole(pictures, cache_dir, tmp_path):
    expected = contents_of_one(decode(pictures, tmp_path / "expected"), tmp_path / "expected")
    moments = random.Random(0)
    num_killed = 0
    for _ in range(15):
        process = build_in_a_process(pictures, cache_dir, 0.001)
        time.sleep(moments.uniform(0, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        num_killed += process.exitcode == -signal.SIGKILL
        assert contents_of_one(decode(pictures, cache_dir), cache_dir) == expected
        assert not list(cache_dir.glob(".building-*"))
        shutil.rmtree(cache_dir)
    assert num_killed > 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_of_two_builders_the_one_that_waits_goes_on_when_the_other_is_killed(pictures, cache_dir, tmp_path):
    expected = contents_of_one(decode(pictures, tmp_path / "expected"), tmp_path / "expected")
    first = build_in_a_process(pictures, cache_dir, 60)
    while not list(cache_dir.glob(".building-*/pixels.npy")):
        time.sleep(0.01)
    second = build_in_a_process(pictures, cache_dir, 0)
    time.sleep(0.1)
    assert second.is_alive()
    first.kill()
    second.join(30)
    assert second.exitcode == 0
    assert contents_of_one(None, cache_dir) == expected
    first.join()


def contents_of_one(_: object, cache_dir: Path) -> dict[str, bytes]:
    (name,) = built(cache_dir)
    return contents(cache_dir / name)
