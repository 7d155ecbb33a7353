"""vae-data: what it tells and draws of images before anything is trained, and what it answers to mistakes."""

import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import refusal
from tests.warm import run
from vae_lightning.data.__main__ import main

PICTURES = ["data=folder", "data.root=pictures", "data.image_size=[8,16]", "data.val_fraction=0.2"]
PICTURES += ["data.test_fraction=0.2", "data.max_bad_fraction=0.1"]


@pytest.fixture
def vae_data(monkeypatch, tmp_path, capsys):
    """Call the command in an empty folder and return what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-data", *words])
        main()
        return capsys.readouterr().out

    return call


def lines(text: str) -> dict[str, str]:
    return {line[:10].strip(): line[10:] for line in text.splitlines()}


def test_it_tells_what_training_gets_and_draws_it(vae_data, pictures, tmp_path):
    (pictures / "07.png").write_bytes(b"no picture")
    Image.new("RGB", (5, 30)).save(pictures / "08.png")
    told = lines(vae_data("preview", *PICTURES, "data.horizontal_flip=true", "num_images=9"))
    total, _, splits = told["images"].partition(": ")
    assert total == "59"
    assert sum(int(part.split()[0]) for part in splits.split(", ")) == 59
    assert told["format"] == "16 x 8 RGB, fit=crop, flipped at random"
    assert told["values"].startswith("0 to 255 of 255, mean 1")
    assert told["left out"] == "1 can't be read"
    assert told["originals"] == "10 x 12 to 5 x 30 pixels, of 59 looked at"
    assert told["picture"] == "preview.png"
    assert "refused" not in told
    picture = np.asarray(Image.open(tmp_path / "preview.png"))
    assert picture.shape[2] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "preview.png"]


def test_it_shows_what_training_refuses(vae_data, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(30):
        wide = np.zeros((8, 64, 3), np.uint8)
        wide[:, :8] = wide[:, -8:] = 8 * number
        Image.fromarray(wide).save(tmp_path / f"pictures/{number}.png")
    told = lines(vae_data("preview", *PICTURES, "out=seen.png"))
    assert told["refused"].startswith("there is nothing to learn: the pixels of ")
    assert told["refused"].endswith("of 64 x 8: data.fit=pad or data.image_size=[8,64] shows the whole")
    assert Image.open(tmp_path / "seen.png").size
    told = lines(vae_data("preview", *PICTURES, "data.fit=tile"))
    assert told["but"].endswith(".png#0,1")


def test_it_takes_the_words_of_a_training(vae_data):
    words = ["experiment=demo", "data=digits", "data.binarize=dynamic", "model.latent_dim=3", "seed=4"]
    told = lines(vae_data("preview", *words))
    assert told["images"] == "1,797: 1,257 train, 180 val, 360 test"
    assert told["format"] == "28 x 28 grey, fit=crop, binarize=dynamic"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no command; choose preview, info, clean"),
        (["previews"], "previews: no such command; choose preview, info, clean"),
        (["preview", "data=digit"], "data=digit: no such "),
        (["preview", "data=digits", "data.fit=fill"], "data.fit='fill': expected crop, pad, stretch"),
        (["preview", "data=digits", "data.image_size=[0,4]"], "data.image_size must be a positive number of pixels"),
        (["preview", "data=folder", "data.root=nowhere"], "data.root=nowhere: there is no folder"),
        (["preview", "data=digits", "-m"], "-m: preview has no such option"),
        (["info", "data=digits", "-m"], "-m: info has no such option"),
        (["info", "data=digits", "out=seen.png"], "out: no such key"),
        (["preview", "data=digits", "out=seen.jpg"], "out=seen.jpg: a PNG is written; give a name that ends in .png"),
        (["preview", "data=digits", "out=no/seen.png"], "out=no/seen.png: there is no folder no"),
        (["preview", "data=digits", "num_images=0"], "num_images=0: choose 1 to 1000"),
        (["preview", "data=digits", "nun_images=3"], "nun_images: no such key"),
    ],
)
def test_a_mistake_is_one_line(vae_data, words, message, tmp_path):
    assert refusal(vae_data, *words).startswith(message)
    assert list(tmp_path.glob("*.png")) == []


def test_its_help_names_its_keys(vae_data):
    for words in (["--help"], ["preview", "-h"]):
        text = vae_data(*words)
        assert "python -m vae_lightning.data preview" in text
        assert "num_images=" in text


def test_it_is_started_as_a_module(tmp_path):
    done = run("vae_lightning.data", "preview", "data=digits", f"out={tmp_path / 'seen.png'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("images    1,797: ")
    assert (tmp_path / "seen.png").is_file()
