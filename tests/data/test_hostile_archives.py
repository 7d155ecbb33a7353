"""Archives that were made to do harm are refused in a line, or unpacked, and nothing else is touched."""

import os
import tarfile
import time
from pathlib import Path

import pytest

from tests.data.hostile_archives import hostile_archives, many_entries, picture, tarred, zipped
from tests.memory import peak_bytes, peak_bytes_alone
from vae_lightning.data.archive import Unpacker
from vae_lightning.data.archive_members import members_of
from vae_lightning.errors import UserError


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> list[Path]:
    return hostile_archives(tmp_path_factory.mktemp("hostile"))


def outcome(archive: Path, cache_dir: Path) -> str:
    """What became of it: the message, or "taken"."""
    try:
        folder = Unpacker(archive, cache_dir, max_gigabytes=0.01, max_files=2000)()
    except UserError as error:
        return str(error)
    assert folder.is_dir()
    assert all(path.resolve().is_relative_to(folder) and not path.is_symlink() for path in folder.rglob("*"))
    return "taken"


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_each_is_refused_in_a_line_or_taken_and_touches_nothing_else(archives, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = everything(archives[0].parent)
    wrong = {}
    for archive in archives:
        cache_dir = tmp_path / "cache" / archive.name
        told = outcome(archive, cache_dir)
        left = {path.name for path in cache_dir.iterdir() if not path.name.startswith("about-")} - {".lock"}
        expected = archive.name.partition("-")[0]
        if (told == "taken") == (expected == "refused") and expected != "either":
            wrong[archive.name] = told
        if told != "taken":
            assert told.startswith(f"data.archive={archive}: ")
            assert "\n" not in told
            assert len(told) - len(str(archive)) < 400
            assert "data.cache_dir" not in told
        assert len(left) == (told == "taken"), archive.name
    assert wrong == {}
    assert everything(archives[0].parent) == before
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not [path for path in Path("/tmp").iterdir() if path.name in ("up.png", "absolute.png")]


@pytest.mark.parametrize(
    "name", ["many.zip", "many-small.tgz", "giant-name.tgz", "giant-pax.tgz", "sparse-map.tgz", "bzip2.zip", "xz.tar"]
)
def test_little_that_stands_for_much_takes_no_memory(archives, tmp_path, name):
    (archive,) = (path for path in archives if path.name == f"refused-{name}")

    def refuse() -> None:
        assert outcome(archive, tmp_path / "cache") != "taken"

    assert peak_bytes(refuse, 8_000_000) < 8_000_000


@pytest.mark.parametrize(("kind", "packed"), [("zip", zipped), ("tar", tarred)])
def test_as_many_members_as_allowed_are_taken_and_one_more_is_not(tmp_path, kind, packed):
    members = [(f"{number}.png", picture()) for number in range(5)]
    archive, cache_dir = tmp_path / f"five.{kind}", tmp_path / "cache"
    archive.write_bytes(packed(members))
    with pytest.raises(UserError, match=rf"five\.{kind}: has more members than data\.max_archive_files=4$"):
        Unpacker(archive, cache_dir, 1.0, 4)()
    assert len(list(Unpacker(archive, cache_dir, 1.0, 5)().iterdir())) == 5


def test_members_of_a_tar_are_not_kept(tmp_path):
    (tmp_path / "many.tar").write_bytes(tarfile.TarInfo("a").tobuf() * 5000)

    def read() -> None:
        assert sum(1 for _ in members_of(tmp_path / "many.tar", 1.0, 5000)) == 5000

    assert peak_bytes_alone(read) < 1_500_000


def test_a_member_that_leads_back_is_refused(tmp_path):
    header = bytearray(tarfile.TarInfo("a").tobuf())
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "back.tar").write_bytes(tarfile.TarInfo("b").tobuf() * 2 + bytes(header) + bytes(1024))
    with pytest.raises(UserError, match=r"cannot be read \("):
        Unpacker(tmp_path / "back.tar", tmp_path / "cache", 1.0, 10)()


def test_a_directory_of_millions_of_members_is_not_even_read(tmp_path):
    (tmp_path / "many.zip").write_bytes(many_entries(400_000))

    def refuse() -> None:
        with pytest.raises(UserError, match="has more members than"):
            Unpacker(tmp_path / "many.zip", tmp_path / "cache", 1.0, 1000)()

    began = time.thread_time()
    most = peak_bytes(refuse, 2_000_000)
    assert time.thread_time() - began < 1
    assert most < 2_000_000  # of 19 MB


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_archive_and_not_waited_for(tmp_path, in_time):
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UserError, match=r"pipe\.zip: is no file$"):
        Unpacker(tmp_path / "pipe.zip", tmp_path / "cache", 1.0)()
