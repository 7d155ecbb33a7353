"""A few cases of each part of the soak hold, and what is planted for it to find is found."""

import json
from collections import Counter
from pathlib import Path

import pytest

from soak.canary import changes, listing, prepare
from soak.forks import forked
from soak.moments import Operations
from soak.parts import FULL, SMALL
from soak.records import Log, Outcome
from soak.table import _BEGIN, _END, PAGE, table
from soak.watch import violations
from tests.pages import page
from tests.test_config import composed
from tests.warm import Warm

ROOT = Path(__file__).parent.parent


def test_half_a_minute_of_the_soak_holds(tmp_path):
    log = tmp_path / "record.jsonl"
    process = Warm("soak", "--small", "--log", str(log), cwd=ROOT)
    out, errors = process.communicate(timeout=600)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry for entry in entries if entry["outcomes"] != ["held"]] == [], out + errors
    tried = Counter()
    for entry in entries:
        tried[entry["part"]] += entry["tried"]
    assert tried.keys() == FULL.keys()
    assert tried["planted"] >= 30
    assert all(tried[part] >= count for part, count in SMALL.items() if part != "planted")
    assert process.returncode == 0, errors


def test_a_place_tells_what_was_touched(tmp_path):
    place = prepare(tmp_path / "place")
    before = listing(place)
    assert changes(before, listing(place)) == []
    (place.root / "tmp/allowed").write_text("x")
    (place.outside / "secret.txt").unlink()
    (place.outside / "train.log").write_text("another's")
    (place.cwd / "new").mkdir()
    assert changes(before, listing(place)) == [
        "changed: outside/train.log",
        "deleted: outside/secret.txt",
        "written: cwd/new",
    ]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (["write", "ROOT/outside/x"], "written: write <place>/outside/x"),
        (["write", "ROOT/run/x"], None),
        (["write", "/proc/123/clear_refs"], None),
        (["write", "/proc/123/mem"], "written: write /proc/123/mem"),
        (["write", "ROOT/run/../x"], "written: write <place>/run/../x"),
        (["read", "ROOT/outside/secret.txt"], "read: <place>/outside/secret.txt"),
        (["read", "/etc/passwd"], "read: /etc/passwd"),
        (["read", "ROOT/data/a.png"], None),
        (["read", "ROOT/data/a.txt"], "read: <place>/data/a.txt"),
        (["os.remove", "ROOT/home/.profile"], "written: os.remove <place>/home/.profile"),
        (["socket.connect", "", "('127.0.0.1', 9)"], "socket: socket.connect ('127.0.0.1', 9)"),
        (["subprocess.Popen", "'sh'", "['sh']"], "executed: subprocess.Popen 'sh' ['sh']"),
        (["subprocess.Popen", "'git'", "['git', '-C', 'x', 'rev-parse', 'HEAD']"], None),
        (["import", "canary_module"], "executed: import canary_module"),
    ],
)
def test_what_a_strangers_file_may_cause(tmp_path, event, told):
    place = prepare(tmp_path / "place")
    for file in ("data/a.png", "data/a.txt"):
        (place.root / file).write_text("x")
    filled = [value.replace("ROOT", str(place.root)) for value in event]
    assert violations(place, [filled], [place.root / "data"]) == ([told] if told else [])


@pytest.mark.parametrize(
    ("fatal", "torn", "left"),
    [
        (1, False, {}),
        (2, False, {"a": ""}),
        (2, True, {"a": "abc"}),
        (3, False, {"a": "abcdef"}),
        (9, True, {"b": "abcdef"}),
    ],
)
def test_a_process_kills_itself_at_its_operation(tmp_path, fatal, torn, left):
    """Opened, written, renamed: three operations on files."""

    def act():
        Operations(tmp_path, fatal, torn).watch()
        with (tmp_path / "a").open("w") as file:
            file.write("abcdef")
        (tmp_path / "a").rename(tmp_path / "b")

    ended = forked(act, cwd=tmp_path, limit_s=60)
    assert ended.was_killed == (fatal <= 3)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == left


def test_the_log_knows_what_was_done_and_the_table_tells_it(tmp_path):
    log = Log(tmp_path / "record.jsonl", seed=3)
    log.add(Outcome("kills", "0000 fp32", ("held",), 4))
    log.add(Outcome("kills", "0001 bf16", ("lost", "hung"), 2, ("pictures: a.png is missing",)))
    log.add(Outcome("kills", "0001 bf16", ("lost",), 3, ("pictures: a.png is missing",)))
    assert log.done("kills") == {"0000 fp32": 4, "0001 bf16": 3}
    assert Log(log.file, seed=4).done("kills") == {}
    told = table(list(log.entries()))
    assert "| SIGKILLs of training runs | 7 | 2 | 1 | 0 | 0 | 0 | 0 |" in told
    assert "| bf16 | 3 | 1 | 1 | 0 | 0 | 0 | 0 |" in told
    assert "| SIGKILLs of training runs | 2 | 1 | 1 | 0 | 0 | 1 | 0 |" in told.partition("tried again")[2]
    assert "tried again" not in table(list(log.entries())[:2])


def test_the_page_has_a_place_for_the_table_and_a_command_that_composes():
    told = page(str(PAGE.relative_to(ROOT)))
    assert 0 < told.text.index(_BEGIN) < told.text.index(_END)
    (command,) = told.commands
    assert composed(*command.removeprefix("python -m vae_lightning.train ").split())["resume"] == "latest"
