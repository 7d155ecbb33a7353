"""Runs that are trained once and looked at by many tests, which must not write into them."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from vae_lightning.runs.records import RunDir

if TYPE_CHECKING:  # the process that hands out the tests imports neither torch nor Lightning
    from vae_lightning.runs.trained import TrainedRun

DIGITS = ["data=digits", "model=mlp", "trainer=cpu", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]"]
FOLDER = [
    "data=folder",
    "data.image_size=32",
    "data.batch_size=8",
    "data.val_fraction=0.2",
    "data.test_fraction=0.2",
    "model=conv5",
    "model.encoder.channels=[8,8,16,16,16]",
    "model.latent_dim=3",
    "trainer=cpu",
]
OWN_CHECKPOINTS = (
    "+callbacks.own={_target_:lightning.pytorch.callbacks.ModelCheckpoint,filename:own,monitor:val/elbo,mode:max,"
    "save_top_k:1,every_n_epochs:1,save_on_train_epoch_end:true,enable_version_counter:false}"
)  # a user's, of Lightning's class


def train_once(path: Path, *overrides: str, callbacks: str = "none") -> RunDir:
    from vae_lightning.train import main

    with pytest.MonkeyPatch.context() as patch:
        path.parent.mkdir(parents=True, exist_ok=True)
        patch.chdir(path.parent)
        arguments = [*overrides, f"callbacks={callbacks}", "logger=none", f"run_dir={path}"]
        patch.setattr(sys, "argv", ["vae-train", *arguments])
        main()
    return RunDir(path)


def write_pictures(folder: Path, count: int = 60) -> None:
    """Smooth coloured pictures of 50 x 40, every fifth in a subfolder: `02.png`, `sub/05.jpg`, ..."""
    (folder / "sub").mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)):
        picture = Image.fromarray(pixels).resize((50, 40), Image.Resampling.BICUBIC)
        place = folder / "sub" if number % 5 == 0 else folder
        picture.save(place / f"{number:02}.{'jpg' if number % 2 else 'png'}")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory) -> RunDir:
    """Four latent dimensions, two epochs on the digits."""
    overrides = [*DIGITS, "model.latent_dim=4", "optimizer.lr=0.01", "trainer.max_epochs=2"]
    return train_once(tmp_path_factory.mktemp("trained") / "run", *overrides)


@pytest.fixture(scope="session")
def plane_run(tmp_path_factory) -> RunDir:
    """Two latent dimensions, on binarized digits."""
    overrides = [*DIGITS, "model.latent_dim=2", "data.binarize=dynamic", "trainer.max_epochs=1"]
    return train_once(tmp_path_factory.mktemp("trained") / "run", *overrides)


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory) -> RunDir:
    """Three latent dimensions, convolutions, on coloured pictures in the folder `pictures` beside the run."""
    place = tmp_path_factory.mktemp("trained")
    write_pictures(place / "pictures")
    places = [f"data.root={place / 'pictures'}", f"data.cache_dir={place / 'cache'}"]
    return train_once(place / "run", *FOLDER, *places, "optimizer.lr=0.01", "trainer.max_epochs=2")


@pytest.fixture(scope="session")
def stateful_run(tmp_path_factory) -> RunDir:
    """One epoch with everything that leaves a state: pictures, averaged weights, early stopping, fused Adam."""
    small = ["model.encoder.hidden=[4]", "model.decoder.hidden=[4]", "model.latent_dim=2", "trainer.max_epochs=1"]
    callbacks = "[reconstructions,samples,reconstruction_history,early_stopping]"
    path = tmp_path_factory.mktemp("trained") / "run"
    return train_once(path, *DIGITS, *small, "averaging=ema", OWN_CHECKPOINTS, callbacks=callbacks)


@pytest.fixture(scope="session")
def named_run(tmp_path_factory) -> RunDir:
    """Of a model that is told labels: 60 pictures in the folders cat, dog and owl of `pictures` beside the run."""
    place = tmp_path_factory.mktemp("trained")
    write_pictures(place / "drawn")
    for number, path in enumerate(sorted((place / "drawn").rglob("*.*"))):
        folder = place / "pictures" / ("owl", "cat", "dog")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    places = [f"data.root={place / 'pictures'}", f"data.cache_dir={place / 'cache'}"]
    return train_once(place / "run", *FOLDER, *places, "model.num_classes=auto", "trainer.max_epochs=1")


def opened(run: RunDir) -> "TrainedRun":
    from vae_lightning.runs.trained import open_trained

    return open_trained(str(run.path), device="cpu")


@pytest.fixture(scope="session")
def digits(digits_run) -> "TrainedRun":
    return opened(digits_run)


@pytest.fixture(scope="session")
def plane(plane_run) -> "TrainedRun":
    return opened(plane_run)


@pytest.fixture(scope="session")
def colour(colour_run) -> "TrainedRun":
    return opened(colour_run)


@pytest.fixture(scope="session")
def named(named_run) -> "TrainedRun":
    return opened(named_run)


@pytest.fixture
def moved(tmp_path) -> Callable[[RunDir], RunDir]:
    """A copy of a run elsewhere, to be written into."""

    def copy(run: RunDir, name: str = "moved") -> RunDir:
        return RunDir(shutil.copytree(run.path, tmp_path / name))

    return copy


@pytest.fixture
def generate(monkeypatch, tmp_path, capsys) -> Callable[..., str]:
    """Call the generate command in an empty folder, `here`, and return what it printed."""
    from vae_lightning.generate import main

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-generate", "device=cpu", *arguments])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def export(monkeypatch, tmp_path, capsys) -> Callable[..., str]:
    """Call the export command in an empty folder, `there`, and return what it printed."""
    from vae_lightning.export import main

    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-export", *arguments])
        main()
        return capsys.readouterr().out

    return call
