"""What a run directory knows of its run at a service, and what of a stranger's file is believed."""

import errno
import json
import os

import pytest

from tests.disk.full import failing
from vae_lightning.errors import UserError
from vae_lightning.loggers import told as module
from vae_lightning.loggers.told import Told

PATTERN = "[a-z0-9]{4}"


def resumed(tmp_path) -> Told:
    return Told(tmp_path / "service.json", PATTERN, is_resumed=True)


def left_by_a_run(tmp_path) -> None:
    told = Told(tmp_path / "service.json", PATTERN, is_resumed=False)
    told.begin("ab12")
    told.add({"val/elbo": 1.0, "train/loss": 2.0}, 8)
    told.add({"val/elbo": 1.0}, 17)
    told.write()


def test_a_resumed_run_has_its_name_and_knows_what_has_been_told(tmp_path):
    left_by_a_run(tmp_path)
    told = resumed(tmp_path)
    assert told.run == "ab12"
    assert [told.is_new("val/elbo", step) for step in (8, 17, 18)] == [False, False, True]
    assert [told.is_new("train/loss", step) for step in (8, 9)] == [False, True]
    assert told.is_new("images/samples", 0)
    assert told.is_new("val/elbo", None)


def test_what_this_process_tells_is_new_to_itself(tmp_path):
    told = resumed(tmp_path)
    told.add({"epoch": 1}, 8)
    assert told.is_new("epoch", 8)  # with other figures of the same step


def test_a_fresh_run_does_not_look_at_what_is_there(tmp_path):
    left_by_a_run(tmp_path)
    assert Told(tmp_path / "service.json", PATTERN, is_resumed=False).run is None


def test_another_run_has_been_told_nothing(tmp_path):
    left_by_a_run(tmp_path)
    told = resumed(tmp_path)
    told.begin("cd34")
    assert told.is_new("val/elbo", 8)
    assert resumed(tmp_path).run == "cd34"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"run": "ab12"}),
        json.dumps({"run": "ab12", "steps": {}, "entity": "stranger"}),
        json.dumps({"run": "../x", "steps": {}}),
        json.dumps({"run": "ab12\n", "steps": {}}),
        json.dumps({"run": 3, "steps": {}}),
        json.dumps({"run": "ab12", "steps": []}),
        json.dumps({"run": "ab12", "steps": {"a": -1}}),
        json.dumps({"run": "ab12", "steps": {"a": 1.5}}),
        json.dumps({"run": "ab12", "steps": {"a": True}}),
        json.dumps({"run": "ab12", "steps": {"a" * 300: 1}}),
        json.dumps({"run": "ab12", "steps": {str(number): 1 for number in range(20_000)}}),
        " " * 2_000_000,
    ],
)
def test_a_strangers_file_says_no_more_than_that(tmp_path, content):
    (tmp_path / "service.json").write_text(content)
    with pytest.raises(UserError, match=r"service\.json: can't be read \(.*\); remove it") as error:
        resumed(tmp_path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("tags", [["a" * 300], [f"{n}" for n in range(20_000)], [f"{n:0250}" for n in range(8_000)]])
def test_what_a_run_notes_of_itself_can_be_read_again(tmp_path, tags):
    told = Told(tmp_path / "service.json", PATTERN, is_resumed=False)
    told.begin("ab12")
    told.add({"\0\U0001f600" * 125: 1, "val/elbo": 1}, 2**53)
    told.add(dict.fromkeys(tags, 1), 2**53)
    told.add({"val/elbo": 1}, 9)
    told.write()
    assert not resumed(tmp_path).is_new("val/elbo", 2**53)
    assert resumed(tmp_path).is_new(tags[-1], 8)  # it is told again rather than never
    assert resumed(tmp_path).is_new(tags[0], 8) is (len(tags) == 1)


def test_no_file_is_read_through_a_link_or_a_pipe(tmp_path, in_time):
    (tmp_path / "run").mkdir()
    left_by_a_run(tmp_path)
    (tmp_path / "run/service.json").symlink_to(tmp_path / "service.json")
    with pytest.raises(UserError, match="a link leads out"):
        resumed(tmp_path / "run")
    (tmp_path / "run/service.json").unlink()
    os.mkfifo(tmp_path / "run/service.json")
    with pytest.raises(UserError, match="a named pipe"):
        resumed(tmp_path / "run")


def test_a_full_disk_is_tried_again(tmp_path, monkeypatch):
    told = resumed(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", lambda *_: failing(errno.ENOSPC))
        told.begin("ab12")
    told.write()
    assert resumed(tmp_path).run == "ab12"
