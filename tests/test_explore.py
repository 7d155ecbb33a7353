"""The explore command: what it writes, and what it refuses."""

import sys
from pathlib import Path

import pytest

from tests.conftest import refusal
from vae_lightning.explore import main
from vae_lightning.explorer.page import MARK


@pytest.fixture
def explore(monkeypatch, tmp_path, capsys):
    """Call the command in an empty folder, and return what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-explore", *arguments])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-explore", *arguments])
        return refusal(main)

    return call


def test_it_writes_one_file_and_tells_how_large_it_is(explore, digits_run):
    pytest.importorskip("onnxruntime")
    told = explore(f"run={digits_run.path}", "out=page.html", "num_images=5", "num_neighbours=5").splitlines()
    assert [file.name for file in Path().iterdir()] == ["page.html"]
    page = Path("page.html").read_text()
    assert told == ["digits_mlp · epoch 2", f"page.html ({len(page) / 1e6:.1f} MB)"]
    assert MARK in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out=page.html"], "run: give a run directory, as in run=outputs/<date>/<time>_<name>"),
        (["run={run}"], "out: give the file to write, as in out=explorer.html"),
        (["run={run}", "out=[a,b]"], "out=['a', 'b']: expected the name of a file"),
        (["run={run}", "out=page.html", "overwrite=1"], "overwrite=1: expected true or false"),
        (["run={run}", "out=."], "out=.: is a folder; give the name of a file, as in out=explorer.html"),
        (["run={run}", "out=page.html", "num_images=-1"], "num_images must be at least 0, got -1"),
        (
            ["run={run}", "out=page.html", "thumbnails=some"],
            "thumbnails='some': expected reconstructions, originals",
        ),
        (["run={run}", "out=page.html", "num_image=3"], "num_image: no such key; did you mean num_images?"),
        (["run=hf://some/where/else", "out=page.html"], "hf://"),
        (["run=nowhere", "out=page.html"], "nowhere"),
        (["-m", "run=a,b", "out=page.html"], "-m: explore takes one run; start it for each"),
    ],
)
def test_mistakes_are_told_in_a_line(refused, digits_run, arguments, message):
    told = refused(*(each.format(run=digits_run.path) for each in arguments))
    assert message in told
    assert list(Path().iterdir()) == []


def test_a_run_without_a_checkpoint_is_told_and_leaves_nothing(refused, moved, digits_run):
    run = moved(digits_run)
    for file in run.checkpoints.iterdir():
        file.unlink()
    assert "it has no checkpoint yet" in refused(f"run={run.path}", "out=page.html")
    assert not Path("page.html").exists()
