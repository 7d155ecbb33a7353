"""generate on a sweep, or on several runs: their pictures beside each other."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.conftest import refusal


@pytest.fixture
def sweep(plane_run, tmp_path) -> Path:
    """Four settings, of one of which there are two seeds, all of them the same model; and a run that has failed."""
    settings = [(1, 1, 0), (1, 4, 0), (2, 1, 0), (2, 4, 0), (2, 4, 1), (2, 1, 1)]
    for number, (epochs, beta, seed) in enumerate(settings):
        run = tmp_path / f"sweep/{number}"
        shutil.copytree(plane_run.path, run, ignore=shutil.ignore_patterns("generated", "images"))
        typed = [f"trainer.limit_val_batches={epochs}", f"objective.beta={beta}", f"seed={seed}"]
        (run / "overrides.yaml").write_text(yaml.safe_dump(typed))
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["trainer"]["limit_val_batches"], config["objective"]["beta"], config["seed"] = epochs, float(beta), seed
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "sweep/5/status.json").write_text(json.dumps({"status": "failed", "reason": "why"}))
    return tmp_path / "sweep"


def test_a_sweeps_pictures_stand_in_its_grid(generate, sweep):
    printed = generate(f"sweep={sweep}", "mode=manifold", "num_points=3", "format=[png,svg]", "columns=2")
    folder = sweep / "generated/manifold"
    assert printed.splitlines() == ["sweep sweep", str(folder), "  manifold.png", "  manifold.svg"]
    svg = (folder / "manifold.svg").read_text()
    assert svg.count("<image") == 4
    for text in ("beta = 1", "beta = 4", "limit_val_batches = 1", "limit_val_batches = 2", "sweep sweep"):
        assert svg.count(f">{text}<") == 1
    with Image.open(folder / "manifold.png") as image:
        assert image.width == round(6.75 * 300)
    facts = json.loads((folder / "generate.json").read_text())
    assert (facts["mode"], len(facts["runs"])) == ("manifold", 6)
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "1", "2", "3", "4", "5", "generated"]


def test_of_a_mode_that_writes_more_only_the_pictures_are_kept(generate, sweep):
    generate(f"runs=[{sweep}/0,{sweep}/1]", "mode=units", "num_images=9", "caption=false", "out=units")
    assert sorted(path.name for path in Path("units").iterdir()) == [
        *("aggregated_posterior.png", "generate.json", "latent_units.png"),
    ]


def test_samples_of_each_are_one_grid(generate, sweep):
    generate(f"runs=[{sweep}/0,{sweep}/1]", "num_images=4", "out=samples")
    assert sorted(path.name for path in Path("samples").iterdir()) == ["generate.json", "samples.png"]


def test_mistakes_are_told_in_one_line(generate, sweep, monkeypatch, capsys):
    def error_of(*arguments: str) -> str:
        return refusal(generate, *arguments)

    run = sweep / "0"
    assert "give one of them" in error_of(f"sweep={sweep}", f"run={run}")
    assert error_of(f"sweep={sweep / 'none'}") == f"sweep={sweep / 'none'}: no such directory"
    assert "this is a run, not a sweep" in error_of(f"sweep={run}")
    assert "there is no picture with mode=encode" in error_of(f"sweep={sweep}", "mode=encode")
    assert "mode=group_samples is" in error_of(f"sweep={sweep}", "mode=group_samples")
    assert not (sweep / "generated").exists()
    assert error_of("mode=samples").startswith("run: give a run directory")


def test_a_run_without_such_a_picture_is_left_out_wherever_it_stands(generate, sweep, digits_run, tmp_path):
    for number in range(4):  # a whole line of them, before those that have one
        shutil.copytree(digits_run.path, tmp_path / f"mixed/{number}")
    shutil.copytree(sweep / "0", tmp_path / "mixed/9")
    printed = generate(f"runs=[{tmp_path}/mixed/*]", "mode=manifold", "num_points=2", "out=mixed")
    assert Path("mixed/manifold.png").is_file()
    assert printed.count(" is left out: mode=manifold is for two latent dimensions") == 4


def test_a_sweep_that_leads_elsewhere_is_not_written_to(generate, sweep, tmp_path):
    (tmp_path / "outside").mkdir()
    (sweep / "generated").symlink_to(tmp_path / "outside")
    assert "a link leads out of" in refusal(generate, f"sweep={sweep}", "mode=manifold", "num_points=2")
    assert list((tmp_path / "outside").iterdir()) == []
    generate(f"sweep={sweep}", "mode=manifold", "num_points=2", "out=there")
    assert Path("there/manifold.png").is_file()
