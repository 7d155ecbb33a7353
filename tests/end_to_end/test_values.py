"""Data of more than 8 bits, and of more than three channels, from the files to the pictures and back."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY
from vae_lightning import open_run
from vae_lightning.generate import main as generate
from vae_lightning.runs.records import RunDir

SMALL = ["data.image_size=16", "data.batch_size=8", "data.val_fraction=0.2", "data.test_fraction=0.2"]
VALUES = np.random.default_rng(0).integers(0, 2500, (60, 16, 16), dtype=np.uint16)


@pytest.fixture
def train(command, tmp_path):
    def call(*overrides: str) -> RunDir:
        place = f"run_dir={tmp_path / 'run'}"
        own = [word for word in TINY if not word.startswith("data=")]
        command(*own, "data=folder", *SMALL, "trainer.max_epochs=1", place, *overrides)
        return RunDir(tmp_path / "run")

    return call


def test_the_range_that_was_found_is_the_runs_own(train, command, tmp_path):
    root = tmp_path / "files"
    root.mkdir()
    for number, values in enumerate(VALUES):
        Image.fromarray(values).save(root / f"{number:02}.png")
    run = train("data.channels=1", f"data.root={root}")
    assert run.config()["data"]["value_range"] == [0, 4095]
    stored = torch.load(run.last, weights_only=True)["config"]
    assert stored["data"]["value_range"] == [0, 4095]
    files = [root / f"{number:02}.png" for number in range(3)]
    kept = shutil.copytree(root, tmp_path / "kept")
    shutil.rmtree(root)
    opened = open_run(run.path)  # without the data
    by_files = opened.encode([kept / file.name for file in files])
    assert np.array_equal(opened.encode(VALUES[:3]), by_files)
    np.save(tmp_path / "own.npy", VALUES[:3])
    assert np.array_equal(opened.encode(tmp_path / "own.npy"), by_files)
    shutil.move(kept, root)
    command(f"resume={run.path}", "trainer.max_epochs=2")
    assert run.config()["data"]["value_range"] == [0, 4095]


def test_five_channels_train_and_are_drawn_as_chosen(train, tmp_path, monkeypatch, capsys):
    images = np.zeros((60, 16, 16, 5), np.uint8)
    images[..., 3] = 255
    images[::2, ..., 0] = 250
    np.savez(tmp_path / "bands.npz", images=images, labels=np.arange(60) % 3)
    run = train("data.channels=5", f"data.root={tmp_path / 'bands.npz'}", "data.shown_channels=[3,3,4]")
    with Image.open(run.path / "images" / "reconstructions" / "epoch_0001.png") as picture:
        pixels = np.asarray(picture)
    assert (pixels == (255, 255, 0)).all(axis=2).mean() > 0.2  # the input, channels 3, 3 and 4
    monkeypatch.setattr(
        "sys.argv", ["vae-generate", f"run={run.path}", "mode=samples", "save=[png,npz]", f"out={tmp_path / 'out'}"]
    )
    generate()
    assert "epoch 1 · channels 3, 3, 4 of 5\n" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "samples.npz") as samples:
        assert samples["images"].shape == (64, 16, 16, 5)
    with Image.open(tmp_path / "out" / "sample_000000.png") as sample:
        assert (sample.mode, sample.size) == ("RGB", (16, 16))
        assert (np.asarray(sample)[..., 1] != np.asarray(sample)[..., 2]).any()
    other = ["mode=samples", "save=png", "data.shown_channels=[0,1,1]", f"out={tmp_path / 'other'}"]
    monkeypatch.setattr("sys.argv", ["vae-generate", f"run={run.path}", *other])
    generate()
    assert "channels 0, 1, 1 of 5\n" in capsys.readouterr().out
    with Image.open(tmp_path / "other" / "sample_000000.png") as sample:
        assert (np.asarray(sample)[..., 1] == np.asarray(sample)[..., 2]).all()
