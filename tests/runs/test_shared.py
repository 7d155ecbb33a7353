"""Models that come with the package, and names of models."""

from pathlib import Path

import numpy as np
import pytest

import vae_lightning
from vae_lightning.runs.opening import EXAMPLES, examples
from vae_lightning.runs.shared import find_shared, is_shared

KNOWN = {"anime_conv5": (3, 64, 64), "digits_conv": (1, 28, 28), "mnist_conv": (1, 28, 28)}


def test_the_examples_are_these_and_small():
    assert examples() == sorted(KNOWN)
    files = [file for file in EXAMPLES.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 12_000_000
    assert {file.name for file in files} == {"README.md", "config.json", "model.safetensors", "samples.png"}


@pytest.mark.parametrize("name", KNOWN)
def test_an_example_opens_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = vae_lightning.open_run(name, device="cpu")
    assert (run.name, run.image_shape) == (name, KNOWN[name])
    images = run.sample(8, seed=0)
    assert images.shape == (8, *KNOWN[name])
    assert images.std() > 0.1
    again = run.decode(run.encode(images))
    assert np.abs(again - images).mean() < 0.1  # what it makes it finds again, nearly
    assert repr(run).endswith(f", {name}>")
    assert run.path == EXAMPLES / name
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_its_name_wins(digits_run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("mnist_conv").symlink_to(digits_run.path)
    assert find_shared("mnist_conv") is None
    assert vae_lightning.open_run("mnist_conv").latent_dim == 4


def test_a_run_directory_is_none_whatever_lies_in_it(digits_run, moved):
    run = moved(digits_run)
    for name in ("config.json", "model.safetensors"):
        (run.path / name).write_text("{}")
    assert not is_shared(run.path)
    assert find_shared("no_such_name") is None
