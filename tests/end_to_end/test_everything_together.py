"""Rectangles of five channels and 12 bits, in groups, in folders of their classes: through every command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae_lightning
from tests.conftest import refusal
from tests.data.sets import write_bands
from tests.end_to_end.runs import assert_equal_weights
from tests.test_generate import WRITES
from tests.trained import train_once
from vae_lightning.runs.records import RunDir

HEIGHT, WIDTH, CHANNELS, CLIPS, FRAMES = 24, 40, 5, 20, 6
SPLITS = ["data.group_by='(clip[0-9]+)_'", "data.val_fraction=0.2", "data.test_fraction=0.2"]
IMAGES = ["data=folder", f"data.channels={CHANNELS}", f"data.image_size=[{HEIGHT},{WIDTH}]", "data.batch_size=16"]
SMALL = ["model=conv", "model.encoder.channels=[4,4]", "model.decoder.channels=[4,4]", "trainer=cpu"]
WORDS = [*IMAGES, *SPLITS, *SMALL, "data.shown_channels=[4,2,0]", "model.latent_dim=2"]
RANGE = [0, 4095]


@pytest.fixture(scope="module")
def bands(tmp_path_factory) -> Path:
    return write_bands(tmp_path_factory.mktemp("files") / "bands", CLIPS, FRAMES, (HEIGHT, WIDTH, CHANNELS))


@pytest.fixture(scope="module")
def labels(bands) -> Path:
    """The same classes as the folders have, in a table."""
    rows = "".join(
        f"{path.parent.name}/{path.stem},{path.parent.name},{path.stem[-1]}\n" for path in sorted(bands.rglob("*.npy"))
    )
    table = bands.parent / "labels.csv"
    table.write_text(f"file,label,frame\n{rows}")
    return table


@pytest.fixture(scope="module")
def plain(tmp_path_factory, bands) -> RunDir:
    """Everything drawn, and gone on with after its first epoch; its labels are the folders."""
    place = tmp_path_factory.mktemp("trained") / "plain"
    run = train_once(place, *WORDS, f"data.root={bands}", "trainer.max_epochs=1", callbacks="all")
    return train_once(place, f"resume={run.path}", "trainer.max_epochs=2", callbacks="all")


@pytest.fixture(scope="module")
def told(tmp_path_factory, bands, labels) -> RunDir:
    """Of a model that is told the labels, which are those of the table."""
    words = [*WORDS, f"data.root={bands}", f"data.labels={labels}", "model.num_classes=auto"]
    return train_once(tmp_path_factory.mktemp("trained") / "told", *words, "trainer.max_epochs=2", callbacks="all")


@pytest.fixture(params=["plain", "told"])
def run(request, plain, told) -> RunDir:
    return {"plain": plain, "told": told}[request.param]


def test_what_was_found_is_in_the_config(run):
    assert run.config()["data"]["value_range"] == RANGE
    assert run.is_tested()


def test_every_picture_of_a_training_is_drawn_in_the_chosen_channels(run):
    drawn = {folder.name for folder in (run.path / "images").iterdir()}
    assert {"samples", "reconstructions", "manifold", "traversals", "transition", "tsne", "neighbours"} <= drawn
    assert Image.open(run.path / "training.gif").n_frames == 3
    with Image.open(run.path / "images/reconstructions/epoch_0002.png") as picture:
        pixels = np.asarray(picture).astype(int)
    ground = (abs(pixels - np.array([104, 54, 4])).max(axis=2) < 20).mean()  # of the inputs: bands 4, 2 and 0
    assert ground > 0.2


@pytest.mark.parametrize("mode", WRITES)
def test_every_mode_shows_it(run, generate, mode, tmp_path):
    short, files = WRITES[mode]
    generate(f"run={run.path}", f"mode={mode}", *short, f"out={tmp_path / 'out'}")
    assert set(files) <= {path.name for path in (tmp_path / "out").iterdir()}
    if mode == "samples":
        with Image.open(tmp_path / "out" / files[0]) as sample:
            assert (sample.size, sample.mode) == ((WIDTH, HEIGHT), "RGB")


def test_samples_of_many_images_are_no_strip(told, generate, tmp_path):
    generate(f"run={told.path}", "mode=samples", "save=grid", f"out={tmp_path / 'out'}")
    with Image.open(tmp_path / "out" / "samples.png") as picture:
        assert 1 / 2 < picture.width / picture.height < 2


def test_every_figure_is_there_or_is_told_why_not(run, monkeypatch, capsys, tmp_path):
    from vae_lightning.evaluate import main as evaluate

    out = tmp_path / "metrics.json"
    words = ["nll.num_samples=2", "metrics=[elbo,nll,units,aggregate,reconstruction,probes,samples]", "device=cpu"]
    monkeypatch.setattr(sys, "argv", ["vae-evaluate", f"run={run.path}", *words, f"out={out}"])
    evaluate()
    told = capsys.readouterr().out
    assert "FID, KID x 1000: none, the network looks at grey or RGB, and these images have 5 channels" in told
    probes = (
        "accuracy: linear probe, disc"
        if run.path.name == "plain"
        else "10 nearest neighbours: none, the encoder is told the labels"
    )
    assert probes in told
    figures = json.loads(out.read_text())
    assert {"test/elbo", "test/nll", "test/active_units", "test/ssim"} <= figures.keys()


def test_two_jobs_of_a_sweep_and_a_report_of_them(bands, plain, command, monkeypatch, tmp_path):
    from vae_lightning.report import main as report

    place = tmp_path / "sweep"
    quick = ["trainer.max_epochs=1", "callbacks=basic", "logger=csv", f"data.root={bands}", f"sweep_dir={place}"]
    words = [word for word in WORDS if not word.startswith("model.latent_dim")]
    command("-m", *words, *quick, "model.latent_dim=2,3")
    assert [RunDir(place / job).config()["data"]["value_range"] for job in ("0", "1")] == [RANGE, RANGE]
    assert "data:image/" in (place / "index.html").read_text()
    runs = f"runs=[{plain.path},{place / '0'}]"
    monkeypatch.setattr(sys, "argv", ["vae-report", runs, f"output={tmp_path / 'report'}"])
    report()
    assert (tmp_path / "report" / "index.html").read_text().count("data:image/") >= 2


def test_python_code_gives_what_the_files_give(run, bands):
    opened = vae_lightning.open_run(str(run.path), device="cpu")
    files = [bands / "bar" / "clip00_0.npy", bands / "disc" / "clip01_3.npy"]
    arrays = np.stack([np.load(file) for file in files])
    told = {} if run.path.name == "plain" else {"labels": ["bar", "disc"]}
    by_files = np.asarray(opened.encode(files, **told))
    assert by_files.shape == (2, 2)
    assert np.array_equal(by_files, opened.encode(arrays, **told))
    assert np.array_equal(by_files, opened.encode(arrays.transpose(0, 3, 1, 2), **told))
    assert opened.reconstruct(files, **told).shape == (2, CHANNELS, HEIGHT, WIDTH)
    with pytest.raises(vae_lightning.UserError, match="wants 5-channel images of 24 x 40"):
        opened.encode(arrays[..., :3], **told)
    made = opened.sample(2, **({"labels": "disc"} if told else {}))
    assert made.shape == (2, CHANNELS, HEIGHT, WIDTH)


def test_own_files_and_labels_by_name_are_typed(run, bands, generate, tmp_path):
    own = f"images=[{bands / 'bar' / 'clip00_0.npy'},{bands / 'disc' / 'clip01_3.npy'}]"
    words = [f"run={run.path}", "mode=reconstructions"]
    if run.path.name == "plain":
        generate(*words, own, f"out={tmp_path / 'own'}")
        assert (tmp_path / "own" / "reconstruction_0001.png").is_file()
    else:
        assert refusal(generate, *words, own, f"out={tmp_path / 'own'}").startswith("label: this run's model is told")
    generate(*words, "labels=[bar,disc,bar]", "split=train", f"out={tmp_path / 'labels'}")
    assert (tmp_path / "labels" / "reconstruction_0002.png").is_file()


def test_a_run_that_was_stopped_and_gone_on_with_is_the_same(plain, bands, tmp_path):
    words = [*WORDS, f"data.root={bands}", "trainer.max_epochs=2"]
    whole = train_once(tmp_path / "whole", *words)
    assert_equal_weights(whole, plain)


def test_the_preview_shows_the_chosen_channels_and_the_values_of_all(bands, monkeypatch, capsys, tmp_path):
    from vae_lightning.data.__main__ import main as look
    from vae_lightning.drawing import previews

    captions, draw = [], previews.preview_picture
    monkeypatch.setattr(previews, "preview_picture", lambda *given: captions.append(given[3]) or draw(*given))
    seen = tmp_path / "seen.png"
    words = [*IMAGES, *SPLITS, "data.shown_channels=[4,2,0]", f"data.root={bands}", "data.augmentations=[shift]"]
    monkeypatch.setattr(sys, "argv", ["vae-data", "preview", *words, f"out={seen}"])
    look()
    assert "40 x 24 of 5 channels, fit=crop, augmented: shift" in capsys.readouterr().out
    assert captions == ["40 x 24 of 5 channels, fit=crop, augmented: shift, channels 4, 2, 0 of 5"]
    with Image.open(seen) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (abs(pixels - np.array([104, 54, 4])).max(axis=2) < 20).mean() > 0.2
