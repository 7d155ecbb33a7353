"""What is said before a training of images that teach nothing."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY
from vae_lightning.runs.records import RunDir
from vae_lightning.training.run import build
from vae_lightning.training.variety import preview_command

FOLDER = [*TINY, "data=folder", "data.image_size=16", "data.batch_size=4", "data.val_fraction=0.2"]
FOLDER += ["data.test_fraction=0.2", "data.root=pictures", "trainer.max_epochs=1"]


@pytest.fixture
def wide(tmp_path) -> Path:
    """40 pictures of 64 x 16, with something to see at both ends."""
    (tmp_path / "pictures").mkdir()
    for number, end in enumerate(np.random.default_rng(0).integers(0, 256, (40, 16, 20, 3), dtype=np.uint8)):
        pixels = np.zeros((16, 64, 3), np.uint8)
        pixels[:, :20], pixels[:, -20:] = end, end
        Image.fromarray(pixels).save(tmp_path / f"pictures/{number:02}.png")
    return tmp_path / "pictures"


def told_by(run: Path) -> list[str]:
    return [line for line in (run / "train.log").read_text().splitlines() if "of one colour" in line]


def test_a_crop_that_leaves_nothing_is_refused_with_what_shows_more(wide, error_of):
    message = error_of(*FOLDER)
    assert message.startswith("data: there is nothing to learn: the pixels of ")
    assert (
        " training images are all 0 of 255, with a deviation of 0; data.fit=crop keeps the middle 16 x 16 of "
        in message
    )
    assert (
        "of 64 x 16: data.fit=pad or data.image_size=[16,64] shows the whole; python -m vae_lightning.data" in message
    )
    words = " ".join(word for word in FOLDER[7:] if word.startswith("data"))
    assert message.endswith(f"python -m vae_lightning.data preview data=digits {words} shows what the network sees")
    assert not (wide.parent / "outputs").exists()


@pytest.mark.parametrize("cure", ["data.fit=pad", "data.image_size=[16,64]", "data.fit=stretch"])
def test_and_it_does_train_so(wide, command, cure):
    command(*FOLDER, cure, "run_dir=run", "callbacks=none")
    assert RunDir(wide.parent / "run").is_tested()


def test_squares_are_told_of_no_crop(wide, error_of):
    for file in wide.iterdir():
        Image.new("RGB", (32, 32), "red").save(file)
    message = error_of(*FOLDER, "data.keep_duplicates_together=false")
    assert "are 0 to 255 of 255, with a deviation of 0; python -m vae_lightning.data preview" in message


def test_many_pictures_of_one_colour_are_told_once_with_the_first(wide, command):
    for number in range(12):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(wide / f"{number:02}.png")
    command(*FOLDER, "data.fit=pad", "run_dir=run", "callbacks=none")
    (line,) = told_by(wide.parent / "run")
    assert " data: 3 of 19 training images are of one colour throughout, the first is 0" in line
    assert "; python -m vae_lightning.data preview data=" in line


def test_a_few_of_them_are_no_matter(wide, command):
    Image.new("RGB", (32, 32), "red").save(wide / "00.png")
    command(*FOLDER, "data.fit=pad", "run_dir=run", "callbacks=none")
    assert told_by(wide.parent / "run") == []


def test_a_run_on_them_that_has_begun_can_be_gone_on_with(wide, command):
    """An earlier version has trained on anything."""
    command(*FOLDER, "data.fit=pad", "data.keep_duplicates_together=false", "run_dir=run", "callbacks=none")
    for file in wide.iterdir():
        Image.new("RGB", (32, 32), "red").save(file)
    run = RunDir(wide.parent / "run")
    config = run.config()
    config["trainer"]["max_epochs"] = 2
    assert build(config, run, resume=True).notes == []


def test_the_command_is_as_it_can_be_typed(monkeypatch):
    typed = ["vae-train", "data=folder", "model=conv", "data.root='my photos'", "+data.fit=pad", "seed=3"]
    monkeypatch.setattr(sys, "argv", typed)
    expected = "python -m vae_lightning.data preview data=folder data.root=\"'my photos'\" +data.fit=pad seed=3"
    assert preview_command() == expected
    monkeypatch.setattr(sys, "argv", [*typed, "-m", "data.image_size=16,32"])  # which are several
    assert preview_command() == "python -m vae_lightning.data preview"
