"""vae-data clean: what it lists, what it removes, and what it never touches."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import refusal
from tests.data.test_decoded_folder import decode
from vae_lightning.data.__main__ import main
from vae_lightning.data.cleaning import chosen, contents, num_bytes_of
from vae_lightning.data.provenance import about, note_use, told_of
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.errors import UserError

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef0123"


@pytest.fixture
def cache(tmp_path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def clean(monkeypatch, capsys, cache):
    """Call the command and return what it printed."""

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-data", "clean", *words, f"cache_dir={cache}"])
        capsys.readouterr()  # what another command's log has brought here
        main()
        return capsys.readouterr().out

    return call


def filled(cache: Path, name: str, days: float = 0) -> Path:
    path = cache / name
    if "." in name.removeprefix("."):
        path.write_text("x" * 2000)
    else:
        path.mkdir()
        (path / "pixels.npy").write_bytes(bytes(3_000_000))
    used(path, days)
    return path


def used(path: Path, days: float) -> None:
    moment = time.time() - days * 24 * 60 * 60
    os.utime(path, (moment, moment))


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()} - {".lock"}


def test_it_lists_what_is_there_and_of_what_and_removes_nothing(pictures, cache, clean):
    decode(pictures, cache, value_range="auto")
    StoredPixels(Cache(str(cache)), "sprites", "the sprites", (1,), (0, 4, 4, 1))(lambda: iter(()))
    before = names(cache)
    old = filled(cache, f"images-{KEY}", 3.5)
    lines = clean().splitlines()
    assert lines[1].split() == [old.name, "3", "MB", "3", "days", "ago"]
    assert lines[2] == "  unknown"
    told = dict(zip(lines[1:-2:2], lines[2:-2:2], strict=True))
    (images,) = (of for line, of in told.items() if line.startswith("images-") and KEY not in line)
    assert images == f"  {pictures}: 8 x 8, 3 channels, fit=crop"
    assert "  the sprites: 0 of 4 x 4" in told.values()
    assert "  what numbers a folder of files holds" in told.values()
    assert lines[-2].startswith(f"{cache}: 4 things, 3 MB")
    assert lines[-1].startswith("nothing is removed")
    assert names(cache) == before | {old.name}
    assert max(len(line) for line in lines[:-2] if not line.startswith("  ")) <= 80


def test_what_is_named_goes_with_what_lies_beside_it(pictures, cache, clean):
    (pictures / "07.png").write_bytes(b"no picture")
    decode(pictures, cache, max_bad_fraction=0.1)
    assert len(names(cache)) == 3
    other = filled(cache, f"celeba-{KEY}")
    (name,) = (name for name in names(cache) if name.startswith("images-"))
    assert "1 thing, " in clean(name, "dry_run=true")
    assert len(names(cache)) == 4
    assert clean(name).splitlines()[-1].startswith("removed 1 thing, ")
    assert names(cache) == {other.name}
    assert refusal(clean, name).startswith(f"{name}: the cache holds nothing of this name")


def test_all_goes_that_is_old_enough_and_is_asked_to_go(cache, clean):
    for number, days in enumerate((0, 9.5, 10.5, 400)):
        filled(cache, f"archive-{KEY[:-1]}{number}", days)
    filled(cache, f".building-images-{KEY}", 11)
    note_use(cache / f"archive-{KEY[:-1]}3", "faces.zip")  # used again today
    assert "removed" not in clean("older_than_days=10").splitlines()[-1].split()[0]
    assert clean("older_than_days=10", "remove=true").splitlines()[-1].startswith("removed 2 things, ")
    kept = {f"archive-{KEY[:-1]}{number}" for number in (0, 1, 3)}
    assert names(cache) == kept | {f"about-archive-{KEY[:-1]}3.json"}
    clean("remove=true")
    assert names(cache) == set()
    assert clean("remove=true") == f"{cache}: 0 things, 0 kB\n"


def test_what_is_not_ours_is_never_touched_and_no_link_is_followed(cache, clean, tmp_path):
    ours = filled(cache, f"images-{KEY}")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "photo.png").write_bytes(bytes(50_000))
    (ours / "link").symlink_to(outside)
    (cache / f"hub-{KEY}").symlink_to(outside)
    (cache / f"values-{KEY}.json").symlink_to(outside / "photo.png")
    (cache / ".building-0123456789abcdef").symlink_to(outside)
    others = [
        "notes.txt",
        "images-mine",
        f"images-{KEY}0",
        f"photos-{KEY}",
        ".building-mine",
        ".mine.part",
        "values.json",
    ]
    for name in others:
        filled(cache, name)
    assert num_bytes_of(ours) < 3_040_000
    told = clean("remove=true")
    assert "1 thing, 3 MB; 10 things in there not ours, and left alone" in told
    assert len(names(cache)) == 10
    assert (outside / "photo.png").stat().st_size == 50_000
    for name in others:
        assert refusal(clean, name).startswith(f"{name}: the cache holds nothing of this name")


def test_a_file_beside_a_folder_that_is_gone_goes_too(cache, clean):
    for name in (f"bad_files-{KEY}.txt", f"about-images-{KEY}.json", f".values-{KEY}.json.0123456789abcdef.part"):
        filled(cache, name)
    assert [entry.of for entry in contents(cache).entries].count("a folder that is gone") == 2
    clean("remove=true")
    assert names(cache) == set()


def test_nothing_goes_while_another_process_builds(cache, clean):
    filled(cache, f".building-images-{KEY}")
    filled(cache, f"images-{KEY}")
    before = names(cache)
    with FileLock(cache / ".lock"):
        assert "another process is building in there now" in clean()
        assert refusal(clean, "remove=true").startswith(f"cache_dir={cache}: another process is building in it")
    assert names(cache) == before
    clean("remove=true")
    assert names(cache) == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["older_than=3"],
            "older_than: no such key; clean takes cache_dir, older_than_days, remove, dry_run and names",
        ),
        (["older_than_days=-1"], "older_than_days=-1: choose a number of days from 0 on"),
        (["older_than_days=nan"], "older_than_days=nan: choose a number of days from 0 on"),
        (["remove=yes", "dry_run=true"], "remove=yes: choose true or false"),
        (["--all"], "--all: no such option; clean takes "),
        (["../photos"], "../photos: the cache holds nothing of this name"),
    ],
)
def test_a_mistake_is_one_line(cache, clean, words, message):
    filled(cache, f"images-{KEY}")
    assert refusal(clean, *words).startswith(message)
    assert names(cache) == {f"images-{KEY}"}


def test_a_cache_that_is_not_there_is_told_if_it_was_typed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for words in ([], ["remove=true"]):
        monkeypatch.setattr(sys, "argv", ["vae-data", "clean", *words])
        main()
        assert capsys.readouterr().out == f"{tmp_path / 'vae_lightning'}: 0 things, 0 kB\n"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "argv", ["vae-data", "clean", "cache_dir=nowhere"])
    assert refusal(main) == "cache_dir=nowhere: there is no such folder"


def test_what_is_noted_is_read_again_and_a_use_makes_it_young(cache):
    folder = filled(cache, f"images-{KEY}", 20)
    note_use(folder, "/faces\x1b[2J", "8 x 8")
    used(about(folder), 15)
    assert contents(cache).entries[0].days() == 15
    note_use(folder, "/faces\x1b[2J", "8 x 8")
    assert contents(cache).entries[0].days() == 0
    assert told_of(folder) == "/faces\x1b[2J: 8 x 8"
    for nonsense in (b"", b"[1]", b"\xff", b'{"of": 1}'):
        about(folder).write_bytes(nonsense)
        assert told_of(folder) == "unknown"


def test_a_name_with_any_bytes_is_listed(cache, clean):
    note_use(filled(cache, f"images-{KEY}"), "/\x1b[2J\udcff", "8 x 8")
    assert "  /\\x1b[2J\\udcff: 8 x 8\n" in clean()


def test_those_of_a_name_and_an_age_are_chosen(cache):
    filled(cache, f"images-{KEY}", 5)
    entries = contents(cache).entries
    assert chosen(entries, [f"images-{KEY}"], 6) == []
    assert chosen(entries, [], 4) == list(entries)
    with pytest.raises(UserError, match="nothing of this name"):
        chosen(entries, ["images-x"], 0)


def test_it_is_answered_without_torch(cache):
    script = "import sys; from vae_lightning.data.__main__ import main; main(); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, "clean", f"cache_dir={cache}"], cwd=ROOT, check=False)
    assert done.returncode == 0
