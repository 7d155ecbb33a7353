"""Folders of hundreds of thousands of files: what is kept of each is small, and that it goes on is told."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.warm import run
from vae_lightning.data import waiting
from vae_lightning.data.cache import cache_key
from vae_lightning.data.decoded_folder import FolderDecoder
from vae_lightning.data.picture_files import PictureFile, named_paths_of, paths_of
from vae_lightning.data.splitting import same_files
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.data.survey import found_in_files
from vae_lightning.data.tiling import planned
from vae_lightning.data.values import Reading
from vae_lightning.data.waiting import watched

ROOT = Path(__file__).parents[2]
NUM_FOLDERS, NUM_LINKS = 5, 20_000  # no file system need give a file more than some ten thousand names


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder of 100,000 names of five tiny files."""
    root = tmp_path_factory.mktemp("large")
    for folder in range(NUM_FOLDERS):
        (root / f"clip{folder}").mkdir()
        opened = os.open(root / f"clip{folder}", os.O_RDONLY)
        (root / f"clip{folder}" / "frame_00000.png").write_bytes(bytes([folder]))
        for number in range(1, NUM_LINKS):
            os.link("frame_00000.png", f"frame_{number:05}.png", src_dir_fd=opened, dst_dir_fd=opened)
        os.close(opened)
    yield root
    shutil.rmtree(root)


MEMORY = """
import tracemalloc
from pathlib import Path
from vae_lightning.data.decoded_folder import FolderDecoder
from vae_lightning.data.picture_files import paths_of
from vae_lightning.data.splitting import Splitting

large = Path({large!r})
decoder = FolderDecoder(large, Path({cache!r}), 8, 3, 0.01, "data.root=large")
tracemalloc.start()
files = decoder._files()
decoder._folder(files)
paths = paths_of(large, files)
print(tracemalloc.get_traced_memory()[1] / len(files))
names = [file.name for file in files]
assert len(Splitting("data.root=large", 0.05, 0.05)(names, large)) == len(names)
print(tracemalloc.get_traced_memory()[1] / len(files), len(paths), paths[-1].relative_to(large))
"""


@pytest.mark.skipif(os.link not in os.supports_dir_fd, reason="this system links no files in an open folder")
def test_some_hundred_bytes_of_memory_are_taken_for_each_file(large, tmp_path):
    """Some 200 for its name and facts, with what sorts them and makes their key, and 100 while the splits are dealt."""
    # In a process of its own: what other threads of this one ask for would be counted, too.
    program = MEMORY.format(large=str(large), cache=str(tmp_path / "cache"))
    done = run("tests.script", program, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    scanned, dealt, count, last = done.stdout.split()
    assert float(scanned) < 260
    assert float(dealt) < 325
    assert (int(count), last) == (NUM_FOLDERS * NUM_LINKS, "clip4/frame_19999.png")


def test_paths_are_made_when_they_are_asked_for(tmp_path):
    files = [PictureFile(f"{number}.png", 1, 2) for number in range(5)]
    paths = paths_of(tmp_path, files)
    assert list(paths) == [tmp_path / file.name for file in files]
    assert list(paths[1:4:2]) == [tmp_path / "1.png", tmp_path / "3.png"]
    assert named_paths_of(tmp_path, files)[2] == ("2.png", tmp_path / "2.png")
    with pytest.raises(IndexError):
        paths[5]


@pytest.mark.parametrize(
    "parts",
    [(), (1,), ("a", [PictureFile("b'\n.png", 1, 2)], ("c", None)), ([], [1, 2]), ([["a"]], 2.5, np.float64(3))],
)
def test_a_key_made_in_pieces_is_that_of_earlier_versions(parts):
    import hashlib

    assert cache_key(*parts) == hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


# What is told


@pytest.fixture
def impatient(monkeypatch, caplog):
    monkeypatch.setattr(waiting, "_PATIENCE", -1.0)
    monkeypatch.setattr(waiting, "_EVERY", -1.0)
    caplog.set_level("INFO")
    return caplog


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if "so far" in record.getMessage()]


def test_what_takes_long_says_in_the_log_how_far_it_has_come(impatient):
    assert list(watched("abc", "reading", "letter")) == ["a", "b", "c"]
    assert list(watched(iter("ab"), "searching", "letter")) == ["a", "b"]
    expected = [f"reading: {number} of 3 so far" for number in (1, 2, 3)]
    assert told(impatient) == [*expected, "searching: 1 so far", "searching: 2 so far"]


def test_what_is_quick_says_nothing(caplog, capsys):
    caplog.set_level("INFO")
    assert list(watched(range(1000), "reading", "letter")) == list(range(1000))
    assert caplog.text == capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_once_it_takes_long(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(watched(range(10), "reading", "letter")) == list(range(10))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(waiting, "_PATIENCE", 0.0)
    assert list(watched(range(10), "reading", "letter")) == list(range(10))
    assert "reading:" in capsys.readouterr().err


def test_searching_looking_for_copies_and_reading_sizes_and_numbers_tell(impatient, pictures, tmp_path):
    files = FolderDecoder(pictures, tmp_path / "cache", 8, 3, 0.01, "data.root=faces")._files()
    assert "searching data.root=faces: 60 so far" in told(impatient)
    paths = paths_of(pictures, files)
    planned(paths, (4, 4), 1000)
    assert told(impatient)[-1] == "reading the sizes of images: 60 of 60 so far"
    found_in_files(named_paths_of(pictures, files), 3, 1000, Reading())
    assert told(impatient)[-1] == "looking at the files' numbers: 4 of 4 so far"
    shutil.copy(pictures / "00.png", pictures / "60.png")
    same_files([file.name for file in files] + ["60.png"], pictures, "data.root=faces")
    assert "looking for copies in pictures: 61 of 61 so far" in told(impatient)


def test_decoding_and_making_tell(impatient, pictures, tmp_path):
    FolderDecoder(pictures, tmp_path / "cache", 8, 3, 0.01, "data.root=faces")()
    assert told(impatient)[-1] == "decoding images: 60 of 60 so far"
    pixels = np.zeros((6, 2, 2, 1), np.uint8)
    stored = StoredPixels(Cache(str(tmp_path)), "sprites", "the sprites", (1,), pixels.shape)
    stored(lambda: iter((pixels[:4], pixels[4:])))
    assert told(impatient)[-2:] == ["making the sprites: 4 of 6 so far", "making the sprites: 6 of 6 so far"]


def test_files_are_given_to_processes_as_they_are(tmp_path):
    import pickle

    named = named_paths_of(tmp_path, [PictureFile("a.png", 1, 2)])
    assert pickle.loads(pickle.dumps(named))[0] == ("a.png", Path(tmp_path) / "a.png")
