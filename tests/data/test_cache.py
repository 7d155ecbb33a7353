import time
from pathlib import Path

import pytest

from vae_lightning.data.cache import build_once, cache_folder, cache_key
from vae_lightning.errors import UserError


def write_one(folder: Path) -> None:
    (folder / "one").write_text("1")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_the_default_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "vae_lightning"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / ".cache" / "vae_lightning"
    assert cache_folder("~/here") == tmp_path / "here"


def test_a_key_depends_on_each_part():
    assert cache_key("a", 1) == cache_key("a", 1)
    assert len({cache_key("a", 1), cache_key("a", 2), cache_key("b", 1), cache_key("a", "1")}) == 4


def test_a_folder_is_built_once(tmp_path):
    calls = []
    target = tmp_path / "cache" / "target"
    for _ in range(2):
        assert build_once(target, lambda folder: (calls.append(folder), write_one(folder))) == target
    assert len(calls) == 1
    assert names(target.parent) == {"target"}
    assert (target / "one").read_text() == "1"


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt()])
def test_a_failed_build_leaves_nothing(tmp_path, error):
    def fail(folder):
        write_one(folder)
        raise error

    with pytest.raises(type(error)):
        build_once(tmp_path / "target", fail)
    assert names(tmp_path) == set()


def test_what_killed_builders_left_is_cleared_and_their_lock_does_not_block(tmp_path):
    (tmp_path / ".building-other").mkdir()
    (tmp_path / ".building-target").mkdir()
    (tmp_path / ".building-target" / "half").touch()
    (tmp_path / ".lock").write_text("4194304")
    start = time.monotonic()
    build_once(tmp_path / "target", write_one)
    assert time.monotonic() - start < 10
    assert names(tmp_path) == {"target"}
    assert names(tmp_path / "target") == {"one"}


@pytest.mark.parametrize("cache_dir", ["file/cache", "/proc/cache"])
def test_a_cache_that_cannot_be_written_is_named(tmp_path, cache_dir):
    (tmp_path / "file").touch()
    folder = tmp_path / cache_dir
    with pytest.raises(UserError) as error:
        build_once(folder / "target", write_one)
    assert str(error.value).startswith(f"data.cache_dir={folder}: cannot be written (")
    assert "\n" not in str(error.value)


def test_a_full_disk_is_told(tmp_path):
    def fill(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"data\.cache_dir=.*No space left on device"):
        build_once(tmp_path / "target", fill)
    assert names(tmp_path) == set()


def test_what_killed_builders_left_takes_no_room_from_the_next(tmp_path):
    (tmp_path / "cache/.building-0123").mkdir(parents=True)
    found = []
    build_once(tmp_path / "cache/target", lambda folder: found.extend(folder.parent.glob(".building-*")))
    assert len(found) == 1


def test_that_a_cache_cannot_be_written_is_told_before_its_lock_is_waited_for(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(.*Permission denied\)$"):
        build_once(tmp_path / "target", Path.mkdir)
