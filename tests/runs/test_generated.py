"""The folder of what was generated: whole or not at all, and never over what the command has not written itself."""

import json
from pathlib import Path

import pytest

from vae_lightning.errors import UserError
from vae_lightning.runs.generated import listed, output_folder

FACTS = {"mode": "samples", "settings": {"seed": 3}}


def write(out: Path, *names: str, overwrite: bool = False, fail: bool = False) -> None:
    with output_folder(out, overwrite, FACTS) as folder:
        assert list(folder.iterdir()) == []
        for name in names:
            (folder / name).write_text(name)
        if fail:
            raise KeyboardInterrupt


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def refusal(out: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        write(out, "a.png", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_files_arrive_with_a_list_of_themselves(tmp_path):
    write(tmp_path / "new" / "out", "b.png", "a.png")
    manifest = json.loads((tmp_path / "new/out/generate.json").read_text())
    assert manifest == FACTS | {"files": ["a.png", "b.png"]}
    assert sorted(content(tmp_path)) == ["new/out/a.png", "new/out/b.png", "new/out/generate.json"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "b.png", "generate.json", "new", "out"]


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    write(tmp_path, "a.png")
    assert sorted(content(tmp_path)) == ["a.png", "generate.json"]


def test_a_folder_with_something_in_it_is_refused_unless_told_otherwise(tmp_path):
    (tmp_path / "photo.png").write_text("mine")
    message = refusal(tmp_path)
    expected = "is not empty; overwrite=true replaces what was generated there, or give another out"
    assert message == f"out={tmp_path}: {expected}"
    assert content(tmp_path) == {"photo.png": "mine"}


def test_overwriting_takes_away_what_was_generated_and_nothing_else(tmp_path):
    write(tmp_path, "kept.png", "stale.png")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "album").mkdir()
    (tmp_path / "album/photo.png").write_text("mine")
    write(tmp_path, "kept.png", "new.png", overwrite=True)
    names = ["album/photo.png", "generate.json", "kept.png", "new.png", "notes.txt"]
    assert sorted(content(tmp_path)) == names
    assert json.loads((tmp_path / "generate.json").read_text())["files"] == ["kept.png", "new.png"]


def test_a_file_that_the_user_has_removed_meanwhile_is_not_missed(tmp_path):
    write(tmp_path, "a.png")
    (tmp_path / "a.png").unlink()
    write(tmp_path, "b.png", overwrite=True)
    assert sorted(content(tmp_path)) == ["b.png", "generate.json"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_nothing_where_there_was_nothing(tmp_path, overwrite):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new" / "out", "a.png", overwrite=overwrite, fail=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_is_there_untouched(tmp_path):
    write(tmp_path / "out", "a.png")
    (tmp_path / "out/notes.txt").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", "a.png", "b.png", overwrite=True, fail=True)
    assert content(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "generate.json", "notes.txt"]


def test_the_work_is_done_on_the_disk_that_it_is_for(tmp_path):
    # A folder that is there may be a disk of its own, to which files can't be renamed from its parent.
    with output_folder(tmp_path, False, FACTS) as folder:
        assert folder.parent == tmp_path


@pytest.mark.parametrize(
    "manifest",
    [
        {"files": ["../victim.txt", "{victim}", "album", "..", ""]},
        {"files": 3},
        {"files": [7]},
        {"other": 1},
        [],
        "not json",
    ],
)
def test_a_list_from_a_stranger_deletes_nothing_outside(tmp_path, manifest):
    out = tmp_path / "out"
    (out / "album").mkdir(parents=True)
    (tmp_path / "victim.txt").write_text("mine")
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    (out / "generate.json").write_text(text.replace("{victim}", str(tmp_path / "victim.txt")))
    write(out, "a.png", overwrite=True)
    assert sorted(content(tmp_path)) == ["out/a.png", "out/generate.json", "victim.txt"]
    assert (out / "album").is_dir()


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    for overwrite in (False, True):
        message = refusal(tmp_path / "file", overwrite=overwrite)
        assert message == f"out={tmp_path / 'file'}: can't be written to (there is a file of that name)"
        below = refusal(tmp_path / "file/new/out", overwrite=overwrite)
        assert below == f"out={tmp_path / 'file/new/out'}: can't be written to (Not a directory)"
    assert content(tmp_path) == {"file": "mine"}


def test_numbered_files_are_told_as_one_line(tmp_path):
    names = [f"sample_{index:06d}.png" for index in range(1200)] + [
        "samples.png",
        "loc_12.csv",
        "reconstruction_0000.png",
    ]
    for name in [*names, "somebody_elses.png"]:
        (tmp_path / name).touch()
    (tmp_path / "generate.json").write_text(json.dumps({"files": names}))
    assert listed(tmp_path) == [
        "loc_12.csv",
        "reconstruction_0000.png",
        "sample_000000.png to sample_001199.png (1,200 files)",
        "samples.png",
    ]


def test_a_file_of_the_users_own_is_not_overwritten(tmp_path):
    write(tmp_path, "old.png")
    (tmp_path / "a.png").write_text("mine")
    message = refusal(tmp_path, overwrite=True)
    assert message == f"out={tmp_path}: a.png is there already, and was not generated; move it or give another out"
    assert content(tmp_path)["a.png"] == "mine"
    assert content(tmp_path)["old.png"] == "old.png"


@pytest.mark.parametrize("target", ["out", "nowhere"])
def test_a_link_that_leads_nowhere_is_no_folder(tmp_path, target):
    (tmp_path / "out").symlink_to(target)
    with pytest.raises(UserError, match="there is a file of that name"), output_folder(tmp_path / "out", True, {}):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
