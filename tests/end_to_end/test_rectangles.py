"""Images that are no squares, from the command line to the last picture."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae_lightning
from tests.callbacks.test_same_pictures import FEW
from tests.test_generate import WRITES
from tests.trained import DIGITS, train_once
from vae_lightning.runs.records import RunDir

HEIGHT, WIDTH = 12, 20


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    """Two latent dimensions, everything drawn, and gone on with after its first epoch."""
    place = tmp_path_factory.mktemp("trained") / "run"
    size = ["data.image_size=[12,20]", "data.fit=pad", "model.latent_dim=2"]
    few = [f"callbacks.{each}" for each in FEW]
    run = train_once(place, *DIGITS, *size, *few, "trainer.max_epochs=1", callbacks="all")
    return train_once(place, f"resume={run.path}", "trainer.max_epochs=2", callbacks="all")


def test_every_picture_of_a_training_is_drawn(run):
    drawn = {folder.name for folder in (run.path / "images").iterdir()}
    assert {"samples", "reconstructions", "manifold", "traversals", "transition", "tsne", "neighbours"} <= drawn
    assert Image.open(run.path / "training.gif").n_frames == 3


@pytest.mark.parametrize("mode", WRITES)
def test_every_mode_shows_it(run, generate, mode, tmp_path):
    short, files = WRITES[mode]
    generate(f"run={run.path}", f"mode={mode}", *short, f"out={tmp_path / 'out'}")
    assert set(files) <= {path.name for path in (tmp_path / "out").iterdir()}
    if mode == "samples":
        assert Image.open(tmp_path / "out" / files[0]).size == (WIDTH, HEIGHT)


def test_it_is_evaluated_and_reported(run, monkeypatch, tmp_path):
    from vae_lightning.evaluate import main as evaluate
    from vae_lightning.report import main as report

    metrics = "metrics=[elbo,nll,units,aggregate,reconstruction,probes]"
    quick = ["nll.num_samples=2", "device=cpu", f"out={tmp_path / 'metrics.json'}"]
    monkeypatch.setattr(sys, "argv", ["vae-evaluate", f"run={run.path}", metrics, *quick])
    evaluate()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert 0 < figures["test/ssim"] < 1
    monkeypatch.setattr(sys, "argv", ["vae-report", f"runs={run.path}", f"output={tmp_path / 'report'}"])
    report()
    assert "data:image" in (tmp_path / "report" / "index.html").read_text()


def test_python_code_gives_and_gets_rectangles(run, tmp_path):
    opened = vae_lightning.open_run(str(run.path), device="cpu")
    assert tuple(opened.image_shape) == (1, HEIGHT, WIDTH)
    assert opened.sample(3).shape == (3, 1, HEIGHT, WIDTH)
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    assert opened.reconstruct(image).shape == (1, 1, HEIGHT, WIDTH)
    with pytest.raises(vae_lightning.UserError, match="wants grey images of 12 x 20"):
        opened.encode(image.T)
    path = Path(tmp_path / "tall.png")
    Image.fromarray(np.full((40, 10), 255, np.uint8)).save(path)
    assert opened.encode(str(path)).shape == (1, 2)
