"""The images of a run's own data, as Python code asks for them."""

import inspect
import shutil

import numpy as np
import pytest

from tests.trained import train_once
from vae_lightning.errors import UserError
from vae_lightning.face.opening import open_run
from vae_lightning.face.run import Run


def test_their_elbo_is_that_of_the_runs_test(digits_run):
    run = open_run(digits_run.path, device="cpu")
    images, labels = run.images()
    assert (images.shape, images.dtype, labels.shape) == ((360, 1, 28, 28), np.float32, (360,))
    assert 0 == images.min() < images.max() == 1
    assert run.elbo(images).mean() == pytest.approx(run.metrics["test/elbo"], abs=1e-4)
    assert run.metrics == digits_run.metrics()


def test_a_few_have_one_of_each_label(digits_run):
    run = open_run(digits_run.path, device="cpu")
    images, labels = run.images("val", 10)
    assert sorted(labels) == list(range(10))
    assert images.shape == (10, 1, 28, 28)
    assert np.array_equal(run.images("val", 10)[0], images)
    assert len(run.images("train")[0]) == 1257


def test_images_without_labels_and_images_that_are_gone(colour_run, moved, tmp_path):
    run = open_run(colour_run.path, device="cpu")
    images, labels = run.images("val", 3)
    assert images.shape == (3, 3, 32, 32)
    assert labels is None
    lost = open_run(moved(colour_run).path, device="cpu", data={"root": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match=r"^data\.root=.*nowhere: there is no folder "):
        lost.images()
    assert lost.encode(images).shape == (3, 3)


def test_those_of_a_narrow_scale_are_taken_back_by_it(tmp_path):
    (tmp_path / "pictures").mkdir()
    drawn = np.random.default_rng(0).integers(-4, 5, (40, 32, 32)).astype(np.float32)
    for number, picture in enumerate(drawn):
        np.save(tmp_path / "pictures" / f"{number:02}.npy", picture)
    places = [f"data.root={tmp_path / 'pictures'}", f"data.cache_dir={tmp_path / 'cache'}", "data.value_range=[-4,4]"]
    small = ["data.image_size=32", "data.channels=1", "data.batch_size=8", "model.encoder.hidden=[4]", "trainer=cpu"]
    splits = ["data.val_fraction=0.2", "data.test_fraction=0.2", "trainer.max_epochs=1"]
    trained = train_once(tmp_path / "run", "data=folder", "model=mlp", *places, *small, *splits)
    run = open_run(trained.path, device="cpu")
    images, _ = run.images()
    assert images.min() == -4
    assert run.elbo(images).mean() == pytest.approx(run.metrics["test/elbo"], abs=1e-4)
    shutil.rmtree(tmp_path / "cache")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": "tests"}, "split: expected one of train, val, test, got 'tests'"),
        ({"num_images": 0}, "num_images: expected a whole number of at least 1, got 0"),
        ({"num_images": 2.0}, "num_images: expected a whole number of at least 1, got 2.0"),
    ],
)
def test_a_mistake_is_a_value_error(given, message, digits_run):
    with pytest.raises(ValueError, match=f"^{message}$"):
        inspect.unwrap(Run.images)(open_run(digits_run.path, device="cpu"), **given)


def test_a_run_without_figures_has_none(moved, digits_run):
    copy = moved(digits_run)
    (copy.path / "metrics.json").unlink()
    assert open_run(copy.path, device="cpu").metrics == {}
