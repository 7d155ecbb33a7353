"""The score command: what it writes, and what it refuses."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import refusal
from tests.trained import DIGITS, train_once
from vae_lightning.runs.records import RunDir
from vae_lightning.score import main


@pytest.fixture
def score(monkeypatch, tmp_path, capsys):
    """Call the command in an empty folder, and return what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["vae-score", *arguments])
        main()
        return capsys.readouterr().out.splitlines()

    return call


@pytest.fixture
def refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-score", *arguments])
        return refusal(main)

    return call


@pytest.fixture(scope="module")
def without_three(tmp_path_factory) -> RunDir:
    overrides = [*DIGITS, "data.exclude_labels=[3]", "data.binarize=fixed", "trainer.max_epochs=1"]
    return train_once(tmp_path_factory.mktemp("trained") / "run", *overrides)


def pictures(folder: Path, count: int, *, noise: bool = False, seed: int = 0) -> list[Path]:
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    files = [folder / f"{number}.png" for number in range(count)]
    for file in files:
        levels = generator.integers(0, 256, (28, 28)) if noise else np.zeros((28, 28))
        levels[10:18, 12:15] = 255
        Image.fromarray(levels.astype(np.uint8)).save(file)
    return files


def rows_of(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(file).open()))


def test_a_folder_is_scored_the_worst_first(score, digits_run):
    pictures(Path("photos/plain"), 3)
    pictures(Path("photos/noise"), 2, noise=True)
    told = score(f"run={digits_run.path}", "images=photos", "out=scores", "batch_size=2")
    assert told[:2] == ["digits_mlp · epoch 2", "cross-entropy of grey levels, no likelihood"]
    assert told[-4:] == ["5 images", "scores", "  scores.csv", "  scores.html"]
    rows = rows_of("scores/scores.csv")
    assert list(rows[0]) == ["file", "elbo", "nll", "reconstruction", "rate"]
    assert [row["file"].split("/")[0] for row in rows] == ["noise", "noise", "plain", "plain", "plain"]
    elbo = [float(row["elbo"]) for row in rows]
    assert elbo == sorted(elbo)
    facts = json.loads(Path("scores/score.json").read_text())
    assert facts["files"] == ["scores.csv", "scores.html"]
    assert facts["scores"]["nll"]["settings"] == {"num_samples": 16}
    assert facts["num_images"] == 5


def test_good_and_bad_ones_give_an_auroc_and_broken_ones_are_left_out(score, digits_run, moved):
    run = moved(digits_run)
    pictures(Path("good"), 6)
    pictures(Path("bad"), 4, noise=True)
    Path("bad/broken.png").write_bytes(b"no picture")
    wanted = ["good=good", "bad=bad", "out=scores", "scores=[elbo,rate]", "score.false_alarms=0.05"]
    told = score(f"run={run.path}", *wanted)
    line = next(line for line in told if line.startswith("ELBO"))
    assert line.startswith("ELBO    1.000 (1.000 to 1.000)   1.000 (1.000 to 1.000)")
    assert line.endswith("of 6 good, 4 of 4 bad")
    assert "1 of 11 pictures can't be read and are left out; see unreadable.txt" in told
    assert "broken.png" in Path("scores/unreadable.txt").read_text()
    rows = rows_of("scores/scores.csv")
    assert list(rows[0]) == ["file", "truth", "elbo", "rate", "elbo_flagged", "rate_flagged"]
    assert [row["truth"] for row in rows[:4]] == ["bad"] * 4
    assert [row["elbo_flagged"] for row in rows[:4]] == ["1"] * 4
    facts = json.loads(Path("scores/score.json").read_text())["scores"]["elbo"]
    assert facts["auroc"] == [1, 1, 1]
    assert facts["num_bad"] == 4
    assert "intervals of 6 good and 4 bad images say little: they are few" in told
    kept = json.loads((run.path / "thresholds.json").read_text())["best.ckpt"]
    assert kept["elbo"]["false_alarms"] == 0.05
    again = score(f"run={run.path}", "images=good", "out=again", "scores=[elbo]")
    assert any(line.split() == ["score", "threshold", "count", "as", "strange"] for line in again)
    assert "elbo_flagged" in rows_of("again/scores.csv")[0]


def test_of_a_split_what_training_left_out_is_bad(score, without_three):
    told = score(f"run={without_three.path}", "out=scores", "scores=[elbo,nll]", "nll.num_samples=2")
    assert "360 images" in told
    rows = rows_of("scores/scores.csv")
    assert {row["label"] for row in rows if row["truth"] == "bad"} == {"3"}
    assert sum(row["truth"] == "good" for row in rows) == sum(row["label"] != "3" for row in rows)
    assert any(line.startswith("ELBO") and "(" in line for line in told)
    page = Path("scores/scores.html").read_text()
    assert "AUROC" in page
    assert "default-src 'none'" in page


def test_class_folders_say_what_is_good(score, digits_run):
    pictures(Path("parts/good"), 3)
    pictures(Path("parts/hole"), 2, noise=True)
    told = score(f"run={digits_run.path}", "images=parts", "labels=folders", "out=scores", "scores=elbo")
    assert any(line.startswith("ELBO    1.000 (1.000 to 1.000)") for line in told)
    assert [row["label"] for row in rows_of("scores/scores.csv")] == ["hole", "hole", "good", "good", "good"]


def test_a_model_that_is_told_labels_takes_them_of_folders_or_one_for_all(score, refused, named_run):
    """Pictures without a label can't be scored by it."""
    photos = named_run.path.parent / "pictures"
    told = score(f"run={named_run.path}", f"images={photos}", "labels=folders", "bad_labels=owl", "out=scores")
    assert any(line.startswith("ELBO") for line in told)
    score(f"run={named_run.path}", f"images={photos}", "label=cat", "out=as_cats", "scores=[elbo]")
    as_cats = {row["file"]: row["elbo"] for row in rows_of("as_cats/scores.csv")}
    own = {row["file"]: (row["label"], row["elbo"]) for row in rows_of("scores/scores.csv")}
    assert all((as_cats[file] == elbo) == (label == "cat") for file, (label, elbo) in own.items())
    assert "label: this run's model is told labels" in refused(f"run={named_run.path}", f"images={photos}", "out=s")


def test_thresholds_need_the_runs_data_once(score, moved, plane_run):
    run = moved(plane_run)
    pictures(Path("photos"), 3)
    typed = [f"run={run.path}", "images=photos", "scores=[elbo,typicality]", "overwrite=true", "out=scores"]
    first = score(*typed, "score.false_alarms=0.1")
    config = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(
        config.replace("vae_lightning.data.digits.Digits", "vae_lightning.data.mnist.MNIST")
    )
    assert [line for line in score(*typed) if "of 3" in line] == [line for line in first if "of 3" in line]


def test_a_name_that_is_html_is_text_on_the_page(score, digits_run):
    folder = Path("photos/<img src=x onerror=alert(1)>")
    pictures(folder, 1)
    pictures(Path("photos/other"), 1)
    score(f"run={digits_run.path}", "images=photos", "out=scores")
    page = Path("scores/scores.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out=s"], "run: give a run directory, as in run=outputs/<date>/<time>_<name>"),
        (["run={run}"], "out: give the folder to write, as in out=scores"),
        (["run={run}", "out=s", "images=nowhere"], "images: nowhere: no such file"),
        (["run={run}", "out=s", "good=nowhere", "bad=."], "good: nowhere: no such file"),
        (["run={run}", "out=s", "good=photos"], "good and bad: an AUROC takes both; give the two of them, or neither"),
        (["run={run}", "out=s", "good=photos", "bad=photos"], "images: 2 files given twice"),
        (["run={run}", "out=s", "images=photos", "bad_labels=[x]"], "good_labels and bad_labels: are of labels="),
        (["run={run}", "out=s", "labels=folders"], "labels: are of images=, and none are given"),
        (["run={run}", "out=s", "images=photos", "labels=folders"], "images=photos: labels=folders wants"),
        (["run={run}", "out=s", "bad_labels=[12]"], "bad_labels=[12]: no image has label 12"),
        (["run={run}", "out=s", "scores=likely"], "scores=likely: no such score; valid here: all, elbo, nll,"),
        (
            ["run={run}", "out=s", "scores=[elbo,complexity]"],
            "scores=complexity: these are no bits: the model has cross-",
        ),
        (["run={run}", "out=s", "score.false_alarms=2"], "score.false_alarms=2: expected a fraction between 0 and 1"),
        (["run={run}", "out=s", "score.false_alarms=0.001"], "score.false_alarms=0.001: is less than one of 180"),
        (["run={run}", "out=s", "num_shown=0"], "num_shown must be at least 1, got 0"),
        (["run={run}", "out=s", "invert=true"], "invert=true: inverts images of your own, and none are given"),
        (["run={run}", "out=s", "image=3"], "image: no such key; did you mean images?"),
        (["-m", "run=a,b", "out=s"], "-m: score takes one run; start it for each"),
    ],
)
def test_mistakes_are_told_in_a_line(refused, digits_run, moved, arguments, message):
    run = moved(digits_run)
    pictures(Path("photos"), 2)
    assert message in refused(*(each.format(run=run.path) for each in arguments))
    assert not Path("s").exists()
    assert not (run.path / "thresholds.json").exists()


def test_where_no_picture_can_be_read_that_is_told(refused, digits_run):
    Path("photos").mkdir()
    Path("photos/a.png").write_bytes(b"x")
    told = refused(f"run={digits_run.path}", "images=photos", "out=s")
    assert told.startswith("images: none can be read as a picture; the first is photos/a.png")
