"""Where things are written: `~` is the home folder in every place that is typed, and a name leads nowhere."""

import sys
from pathlib import Path

import pytest

from tests.conftest import TINY, refusal
from vae_lightning.command_line.places import typed_with_home, with_home


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))  # which it would make at home
    return tmp_path / "home"


def test_home_stands_for_itself_in_every_place(home):
    texts = (
        "output_dir",
        "run_dir",
        "sweep_dir",
        "resume",
        "init_from",
        "sweep",
        "run",
        "checkpoint",
        "ckpt",
        "out",
        "output",
    )
    config = {name: f"~/{name}" for name in texts}
    config |= {"runs": ["~/a", "b/~"], "data": {"root": "~", "archive": "~/a.zip", "cache_dir": None, "seed": 0}}
    config |= {"samples": {"weights": "~/w.pth"}, "name": "~/name"}
    expanded = with_home(config)
    assert {name: expanded[name] for name in texts} == {name: f"{home}/{name}" for name in texts}
    assert expanded["runs"] == [f"{home}/a", "b/~"]
    assert expanded["data"] == {"root": str(home), "archive": f"{home}/a.zip", "cache_dir": None, "seed": 0}
    assert expanded["samples"] == {"weights": f"{home}/w.pth"}
    assert expanded["name"] == "~/name"


TYPED = {
    "output_dir=~/x": "output_dir={home}/x",
    "+data.root=~": "+data.root={home}",
    "runs=[~/a*, b, ~/c]": "runs=['{home}/a*', b, {home}/c]",
    "data.root=~/a,~/b": "data.root={home}/a,{home}/b",
    "out=~/it's": "out='{home}/it\\'s'",
    "out='~/quoted'": "out='~/quoted'",
    "run=best@~/x": "run=best@{home}/x",
    "run=best@~/it's": "run='best@{home}/it\\'s'",
    "run=a~b": "run=a~b",
    "~callbacks.samples": "~callbacks.samples",
    "run=~nobody-of-this-name/x": "run=~nobody-of-this-name/x",
    "--cfg": "--cfg",
}


@pytest.mark.parametrize("argument", TYPED)
def test_home_may_be_typed_as_the_shell_leaves_it(home, argument):
    assert typed_with_home(argument) == TYPED[argument].format(home=home)


def test_what_is_no_text_is_left_alone():
    config = {"checkpoint": {"best": {"filename": "~"}}, "data": None, "runs": "~nobody-of-this-name/x", "sweep": None}
    assert with_home(dict(config)) == config


def test_a_run_is_written_resumed_generated_evaluated_and_reported_by_its_place_at_home(home, command, monkeypatch):
    from vae_lightning.evaluate import main as evaluate
    from vae_lightning.generate import main as generate
    from vae_lightning.report import main as report

    command(*TINY, "callbacks=none", "logger=none", "trainer.max_epochs=1", "output_dir=~/outputs", "name=tiny")
    (run,) = (home / "outputs").glob("*/*_tiny")
    place = f"~/{run.relative_to(home)}"
    command(f"resume={place}", "trainer.max_epochs=2")
    for main, arguments in {
        generate: (f"run={place}", "device=cpu", "out=~/generated"),
        evaluate: (f"run={place}", "device=cpu", "metrics=elbo", "out=~/figures.json"),
        report: (f"runs=[{place}]", "output=~/report"),
    }.items():
        monkeypatch.setattr(sys, "argv", ["vae", *arguments])
        main()
    assert {path.name for path in home.iterdir()} == {"outputs", "generated", "figures.json", "report"}
    assert not Path("~").exists()


def test_the_jobs_of_a_sweep_are_placed_at_home(home, error_of):
    from vae_lightning.command_line.schema import _sweep_place

    assert _sweep_place(None, "~/sweeps/x", "outputs") == f"{home}/sweeps/x"
    assert "no such directory" in error_of("-m", "seed=1,2", "sweep=~/none")
    (home / "none").mkdir()
    assert f"sweep={home}/none: not a sweep's directory" in error_of("-m", "seed=1,2", "sweep=~/none")


@pytest.mark.parametrize("override", ["name=../../x", "name='a\nb'", f"name={'n' * 300}"])
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=1,2"]], ids=["run", "sweep"])
def test_a_wrong_name_is_refused_before_anything_is_made(error_of, tmp_path, override, sweep):
    assert error_of(*sweep, *TINY, override).startswith("name=")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "arguments", [["run_dir='a\nb'"], ["output_dir='a\nb'"], ["-m", "seed=1,2", "sweep_dir='a\nb'"]]
)
def test_no_line_breaks_are_made_in_paths(error_of, tmp_path, arguments):
    assert "a\\nb" in error_of(*arguments[:1], *TINY, *arguments[1:])
    assert list(tmp_path.rglob("*")) == []


def test_a_message_with_a_place_of_two_lines_is_one(command):
    assert "resume=a\\nb: no such directory" in refusal(command, "resume='a\nb'")
