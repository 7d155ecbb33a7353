import logging

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from tests.callbacks.fakes import FakeData, captured, evaluated, pixels, places, train, unchecked
from vae_lightning.callbacks.projector import Projector
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.latent_units import LatentUnits
from vae_lightning.pictures.traversals import Traversals
from vae_lightning.runs import source

PICTURE = "vae_lightning.pictures.embedding.embedding_picture"
THUMBNAILS_ENLARGED = 12  # 8 px to 96


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, module_patch):
    """By method: the arguments of its picture at the end of a run, of the first ten images; and the Trainer."""
    calls = captured(module_patch, PICTURE)
    methods = ("tsne", "pca", "plane")
    callbacks = [Embedding(method=method, num_images=10) for method in methods]
    trainer = train(tmp_path_factory.mktemp("embedding"), *callbacks, latent_dim=2)
    return dict(zip(methods, calls, strict=True)), trainer


@pytest.fixture
def encodings(monkeypatch):
    """How many images were encoded, call by call."""
    calls, encode = [], source.encode
    monkeypatch.setattr(source, "encode", lambda *given: calls.append(len(given[1])) or encode(*given))
    return calls


def means(trainer, num_images):
    with torch.no_grad():
        return evaluated(trainer).encode(trainer.datamodule.example_images(num_images)).loc.numpy()


@pytest.mark.parametrize("method", ["tsne", "pca", "plane"])
def test_shows_the_first_images_with_their_labels(drawn, method):
    pictures, trainer = drawn
    points, images, labels, _, title, context, _ = pictures[method]
    assert points.shape == (10, 2)
    assert torch.equal(images, trainer.datamodule.examples(10).images)
    assert labels.tolist() == [index % 3 for index in range(10)]
    name = {"tsne": "t-SNE", "pca": "PCA", "plane": "latent plane"}[method]
    assert title == f"posterior means of 10 validation images: {name}"
    assert context == "fake · epoch 3"


def test_the_plane_is_the_posterior_means(drawn):
    pictures, trainer = drawn
    points, _, _, axes, *_ = pictures["plane"]
    assert np.allclose(points, means(trainer, 10), atol=1e-6)
    assert axes == ("z 0", "z 1")


def test_pca_is_that_of_the_posterior_means(drawn):
    pictures, trainer = drawn
    points, _, _, axes, *_ = pictures["pca"]
    pca = PCA(2).fit(means(trainer, 10))
    assert np.allclose(np.abs(points), np.abs(pca.transform(means(trainer, 10))), atol=1e-5)
    assert axes[0] == f"principal component 1, {pca.explained_variance_ratio_[0]:.0%} of the variance"


def test_tsne_is_neither_and_depends_on_its_seed(drawn, fit, monkeypatch):
    calls = captured(monkeypatch, PICTURE)
    fit(Embedding(method="tsne", num_images=10, seed=5), latent_dim=2)
    points = {"other seed": calls[0][0]} | {method: arguments[0] for method, arguments in drawn[0].items()}
    assert drawn[0]["tsne"][3] is None
    for other in ("other seed", "pca", "plane"):
        assert not np.allclose(points["tsne"], points[other], atol=1e-3)


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_no_plane_unless_there_are_two_dimensions(fit, tmp_path, encodings, latent_dim):
    fit(Embedding(method="plane", every_n_epochs=1), latent_dim=latent_dim)
    assert not (tmp_path / "images").exists()
    assert encodings == []


@pytest.mark.parametrize("latent_dim", [1, 3])
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_the_other_methods_take_any_number_of_dimensions(fit, tmp_path, method, latent_dim):
    fit(Embedding(method=method), latent_dim=latent_dim, max_epochs=1)
    assert (tmp_path / f"images/{method}/epoch_0001.png").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_for_labels_that_are_missing(fit, tmp_path, channels):
    drawn = {}
    for has_labels in (True, False):
        run_dir, data = tmp_path / str(has_labels), FakeData(channels, has_labels)
        fit(Embedding(method="pca", num_images=5), data=data, channels=channels, max_epochs=1, run_dir=run_dir)
        drawn[has_labels] = pixels(run_dir / "images/pca/epoch_0001.png")
    for image in data.example_images(5):
        assert len(places(drawn[False], image, THUMBNAILS_ENLARGED)) == 1
        assert places(drawn[True], image, THUMBNAILS_ENLARGED) == []


@pytest.mark.parametrize("method", ["tsne", "pca", "plane"])
def test_too_few_images_are_no_reason_to_stop(fit, tmp_path, caplog, method):
    with caplog.at_level(logging.WARNING, "vae_lightning"):
        trainer = fit(Embedding(method=method, every_n_epochs=1), data=FakeData(num_val=3), latent_dim=2)
    assert trainer.current_epoch == 3
    assert caplog.text.count(f"callbacks.{method}: an embedding needs 4 images or more, and there are 3") == 3
    assert not (tmp_path / "images").exists()


def test_four_images_are_enough(fit, tmp_path):
    fit(*(Embedding(method=method) for method in ("tsne", "pca", "plane")), data=FakeData(num_val=4), latent_dim=2)
    assert len(list((tmp_path / "images").rglob("*.png"))) == 3


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match=r"^method must be one of tsne, pca, plane, got umap$"):
        unchecked(Embedding, method="umap")


def test_callbacks_that_ask_for_the_same_images_encode_them_once_an_epoch(fit, encodings):
    asking = [
        Embedding(method="pca", every_n_epochs=1, num_images=10),
        Embedding(method="tsne", num_images=10),
        LatentUnits(every_n_epochs=1, num_images=10),
        Traversals(every_n_epochs=1, num_images=10, num_columns=3),
        Projector(every_n_epochs=1, num_images=10),
    ]
    fit(*asking, max_epochs=2)
    assert encodings == [10, 10]


def test_another_number_of_images_is_encoded_anew(fit, encodings):
    fit(Embedding(method="pca", num_images=10), LatentUnits(every_n_epochs=None, num_images=9))
    assert encodings == [10, 9]


def test_each_step_has_its_own_latents_and_each_model_too(fit, monkeypatch):
    calls = captured(monkeypatch, PICTURE)
    first = fit(Embedding(method="plane", every_n_epochs=1), latent_dim=2)
    assert all(not np.array_equal(calls[0][0], other[0]) for other in calls[1:])
    assert np.allclose(calls[2][0], means(first, 24), atol=1e-6)
    second = fit(Embedding(method="plane"), latent_dim=2, data=FakeData(num_val=20))
    assert first.global_step == second.global_step
    assert np.allclose(calls[3][0], means(second, 20), atol=1e-6)
