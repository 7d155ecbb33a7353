"""Pictures that would fill the memory, reach another program or never end are told as such, and the rest works."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from tests.data.mutations import mutated_pictures, seed_pictures
from tests.data.test_decoded_folder import decode
from vae_lightning.data import decode as decoding
from vae_lightning.data import decoded_blocks
from vae_lightning.data.decode import decode_grey, decode_image
from vae_lightning.data.digits import Digits
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.memory import MemoryBudget
from vae_lightning.data.picture_files import find_pictures
from vae_lightning.errors import UserError

REPOSITORY = Path(__file__).parents[2]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"


@pytest.fixture
def cache_dir(tmp_path) -> Path:
    return tmp_path / "cache"


def bad_files(cache_dir: Path) -> str:
    (listing,) = cache_dir.glob("bad_files-*.txt")
    return listing.read_text()


# Size


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "bmp", "jpg"])
def test_a_picture_of_more_pixels_is_refused_by_its_header_and_one_of_as_many_is_not(tmp_path, suffix, recwarn):
    path = tmp_path / f"picture.{suffix}"
    Image.new("RGB", (40, 30), "red").save(path)
    assert decode_image(path, 8, 3, max_pixels=1200).shape == (8, 8, 3)
    for limit in (1199, 100):
        with pytest.raises(ValueError, match=rf"(40 x 30|1200) pixels are more than data\.max_pixels={limit}$"):
            decode_image(path, 8, 3, max_pixels=limit)
    assert decode_grey(path, max_pixels=1200).shape == (30, 40)
    with pytest.raises(ValueError, match=r"more than data\.max_pixels"):
        decode_grey(path, max_pixels=1199)
    assert len(recwarn) == 0
    assert Image.MAX_IMAGE_PIXELS == 89_478_485  # Pillow's own, for others


def test_the_limit_may_be_higher_than_pillows_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for suffix in ("png", "gif", "webp"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / f"picture.{suffix}")
        assert decode_image(tmp_path / f"picture.{suffix}", 8, 3).shape == (8, 8, 3)


def test_a_folder_tells_which_pictures_are_too_large(pictures, cache_dir):
    Image.new("L", (400, 400)).save(pictures / "large.png")
    folder = decode(pictures, cache_dir, max_pixels=150_000, max_bad_fraction=0.1)
    assert np.flatnonzero(~folder.readable).tolist() == [60]
    assert bad_files(cache_dir) == ("'large.png': ValueError: 400 x 400 pixels are more than data.max_pixels=150000\n")
    assert decode(pictures, cache_dir, max_pixels=160_000).readable.all()


def peak_of(path: Path) -> int:
    """Bytes of memory that a fresh process takes for decoding a picture, over what it has before."""
    program = f"""
import resource
from vae_lightning.data.decode import decode_image
decode_image({str(path.parent / "small.png")!r}, 8, 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_image({str(path)!r}, 64, 3, max_pixels=10**9)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    return 1024 * int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_a_large_picture_takes_two_copies_at_most(tmp_path, mode):
    Image.new("RGB", (9, 9)).save(tmp_path / "small.png")
    Image.new(mode, (4000, 4000)).save(tmp_path / "large.png", compress_level=1)
    assert peak_of(tmp_path / "large.png") < (12 + 2) * 4000**2


# Memory over all processes


def test_who_needs_much_waits_for_the_others_and_who_needs_little_does_not():
    budget, in_use, most, lock = MemoryBudget(100 * 10**6), [0], [0], threading.Lock()

    def use(num_bytes: int) -> None:
        with budget.lent(num_bytes):
            with lock:
                in_use[0] += num_bytes
                most[0] = max(most[0], in_use[0])
            time.sleep(0.01)
            with lock:
                in_use[0] -= num_bytes

    threads = [threading.Thread(target=use, args=(40 * 10**6,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    with budget.lent(10**6):  # at once, whoever waits
        pass
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert most[0] == 80 * 10**6  # 40 are two units of 16 and some more
    with budget.lent(10**15):  # more than there is: all of it
        pass
    with pytest.raises(KeyError), budget.lent(90 * 10**6):
        raise KeyError
    with budget.lent(90 * 10**6):
        pass


@pytest.mark.parametrize("num_processes", [0, 3])
def test_decoding_processes_share_one_budget(tmp_path, cache_dir, monkeypatch, num_processes):
    """Each notes when it began and ended with a large picture: no two at once."""
    root = tmp_path / "large"
    root.mkdir()
    for number in range(8):
        Image.new("L", (1500, 1500), number).save(root / f"{number}.png")
    monkeypatch.setattr(decoded_blocks, "_FEWEST_FOR_WORKERS", 1 if num_processes else 100)
    monkeypatch.setattr(decoded_blocks, "num_cpus", lambda: num_processes or 1)
    monkeypatch.setattr(decoded_blocks, "MemoryBudget", lambda: MemoryBudget(30 * 10**6))
    notes = tmp_path / "notes"

    def noting(image):
        with notes.open("a") as file:
            file.write("begin\n")
        time.sleep(0.02)
        with notes.open("a") as file:
            file.write("end\n")
        return image

    monkeypatch.setattr(decoding, "_opaque", noting)
    folder = decode(root, cache_dir)
    assert folder.pixels[:, 0, 0, 0].tolist() == list(range(8))
    assert notes.read_text() == "begin\nend\n" * 8


def test_a_process_that_was_killed_for_its_memory_is_told_in_a_line(pictures, cache_dir, monkeypatch):
    monkeypatch.setattr(decoded_blocks, "_FEWEST_FOR_WORKERS", 1)
    monkeypatch.setattr(decoded_blocks, "num_cpus", lambda: 2)

    def die(path, *_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(decoded_blocks, "decode_image", die)
    with pytest.raises(UserError, match=r"^data\.max_pixels=128000000: a process .* was killed, .* memory") as error:
        decode(pictures, cache_dir)
    assert "\n" not in str(error.value)
    left = {path.name.rpartition("-")[0] for path in cache_dir.iterdir()} - {""}
    assert left == {".building-images"}  # to be gone on with where there is more memory
    monkeypatch.setattr(decoded_blocks, "decode_image", decode_image)
    assert decode(pictures, cache_dir).readable.all()


# Formats


@pytest.mark.parametrize("content", [EPS, seed_pictures()["plain.tiff"], b"P6 2 2 255\n" + bytes(12)])
def test_other_formats_are_none_whatever_their_name(tmp_path, monkeypatch, content):
    called = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_: called.append(arguments))
    monkeypatch.setattr(os, "system", called.append)
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with Image.open(path) as image:
        assert image.format in ("EPS", "TIFF", "PPM")
    for read in (lambda: decode_image(path, 8, 3), lambda: decode_grey(path)):
        with pytest.raises(OSError, match="cannot identify"):
            read()
    for data in (Digits(), ImageFolder(root="/gone")):
        with pytest.raises(UserError, match=r"can't be read as a picture \(cannot identify"):
            data.read_images([path])
    assert called == []


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_no_other_frame_is_looked_at(tmp_path, suffix):
    frames = [Image.new("RGB", (60, 60), (level, 0, 0)) for level in range(200)]
    path = tmp_path / f"animation.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert decode_image(path, 8, 3).max() == 0
    if suffix == "webp":
        return  # its decoder wants the whole file before it shows the first frame
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    assert decode_image(path, 8, 3).max() == 0


@pytest.mark.parametrize("kind", ["text", "compressed text", "profile"])
def test_a_bomb_beside_the_pixels_is_refused(tmp_path, kind):
    info = PngImagePlugin.PngInfo()
    if kind != "profile":
        num_letters = 70_000_000 if kind == "text" else 2_000_000
        info.add_text("Comment", "a" * num_letters, zip=kind == "compressed text")
    profile = {"icc_profile": bytes(2_000_000)} if kind == "profile" else {}
    Image.new("RGB", (9, 9)).save(tmp_path / "picture.png", pnginfo=info, **profile)
    with pytest.raises(ValueError, match=r"(?i)too (large|much)"):
        decode_image(tmp_path / "picture.png", 8, 3)


def test_mutated_pictures_are_pixels_or_an_error_and_soon(tmp_path):
    path, ends, num_whole = tmp_path / "picture", {True: 0, False: 0}, 0
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _, content in mutated_pictures(np.random.default_rng(0), 600):
        path.write_bytes(content)
        try:
            pixels = decode_image(path, 8, 3)
        except Exception as error:  # as decoded_blocks takes it: Pillow's plugins raise anything
            ends[type(error) not in (MemoryError, RecursionError)] += 1
        else:
            num_whole += 1
            assert (pixels.shape, pixels.dtype) == ((8, 8, 3), np.uint8)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    assert ends[False] == 0
    assert ends[True] > 60
    assert num_whole > 60
    assert spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime < 10


def test_a_folder_of_mutated_pictures_keeps_its_whole_ones(tmp_path, cache_dir):
    root = tmp_path / "mutated"
    root.mkdir()
    for name, content in mutated_pictures(np.random.default_rng(1), 100):
        (root / name).write_bytes(content)
    for number, content in enumerate(list(seed_pictures().values())[:10]):
        (root / f"whole-{number}.png").write_bytes(content)
    folder = decode(root, cache_dir, max_bad_fraction=1.0)
    assert folder.readable[-10:].all()
    assert (~folder.readable).sum() == len(bad_files(cache_dir).splitlines()) > 10


# Entries that are no pictures


def odd_entries(folder: Path) -> set[str]:
    """Make entries that can't be used, with the names of pictures."""
    (folder / "self").symlink_to("self")
    (folder / "self.png").symlink_to("self.png")
    (folder / "nowhere.png").symlink_to("gone/away.png")
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.getcwd()
        os.chdir(folder)  # a socket's name must be short
        try:
            unix.bind("socket.png")
        finally:
            os.chdir(here)
    (folder / "circle").symlink_to(".")
    return {"self", "self.png", "nowhere.png", "pipe.png", "socket.png"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_entries_that_cannot_be_used_are_left_out_and_counted(pictures, cache_dir, caplog):
    before = sorted(find_pictures(pictures))
    assert caplog.text == ""
    useless = odd_entries(pictures)
    assert sorted(find_pictures(pictures)) == before
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(f"{pictures}: {len(useless)} entries are left out, for they can't be used: ")
    assert "\n" not in line
    assert decode(pictures, cache_dir).readable.all()


def test_each_folder_is_searched_once_whatever_links_lead_to_it(tmp_path):
    outside = tmp_path / "outside"
    folders = [tmp_path / "root" / f"{number:02}" for number in range(12)]
    for folder in [outside, *folders]:
        folder.mkdir(parents=True)
        (folder / "a.png").touch()
    for folder in folders:
        for other in [outside, *folders]:
            (folder / f"to_{other.name}").symlink_to(other)
    names = [found.name for found in find_pictures(tmp_path / "root")]
    assert sorted(names) == ["00/a.png", "00/to_outside/a.png", *(f"{number:02}/a.png" for number in range(1, 12))]


def test_a_folder_that_cannot_be_searched_is_left_out_and_a_root_is_an_error(pictures, caplog, monkeypatch):
    for folder in (pictures / "closed", pictures.parent / "gone"):
        folder.mkdir()
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith(("closed", "gone")):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert len(list(find_pictures(pictures))) == 60
    assert "1 entries are left out, for they can't be used: 'closed/' (Permission denied)" in caplog.text
    with pytest.raises(PermissionError):
        list(find_pictures(pictures.parent / "gone"))


def test_folders_a_thousand_deep_are_searched(tmp_path):
    folders = [tmp_path / ("a/" * depth) for depth in range(1, 1201)]
    for folder in folders:
        folder.mkdir()
    (folders[-1] / "picture.png").touch()
    try:
        assert [picture.name for picture in find_pictures(tmp_path)] == ["a/" * 1200 + "picture.png"]
    finally:
        (folders[-1] / "picture.png").unlink()
        for folder in reversed(folders):  # deeper than what pytest would clear away
            folder.rmdir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for_nor_a_file_that_vanished(pictures, cache_dir, monkeypatch):
    """As they may become one between the listing and the decoding."""
    os.mkfifo(pictures / "pipe.png")
    for read in (lambda path: decode_image(path, 8, 3), decode_grey):
        with pytest.raises(OSError, match="no regular file"):
            read(pictures / "pipe.png")
        with pytest.raises(OSError, match="Is a directory"):
            read(pictures)
    with pytest.raises(UserError, match=r"can't be read as a picture \(no regular file"):
        Digits().read_images([pictures / "pipe.png"])
    (pictures / "pipe.png").unlink()
    listed = list(find_pictures(pictures))
    monkeypatch.setattr("vae_lightning.data.decoded_folder.find_pictures", lambda *_: listed)
    (pictures / "00.png").unlink()
    (pictures / "01.png").unlink()
    os.mkfifo(pictures / "01.png")
    folder = decode(pictures, cache_dir, max_bad_fraction=0.04)
    assert np.flatnonzero(~folder.readable).tolist() == [0, 1]
    assert "FileNotFoundError" in bad_files(cache_dir)
    assert torch.from_numpy(folder.pixels[2:].copy()).float().std() > 0
