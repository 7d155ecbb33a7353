"""test_images.npz: what a test found of each image, by training's own test and by an evaluation alike."""

import io
import json
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.conftest import TINY
from tests.test_architecture import needed_by
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.tested_images import TEST_IMAGES, ImageRows, read_test_images, write_test_images


@pytest.fixture
def evaluate(monkeypatch) -> Callable[..., None]:
    from vae_lightning.evaluate import main

    def call(run: RunDir, *arguments: str) -> None:
        words = ["vae-evaluate", "device=cpu", "metrics=elbo", f"run={run.path}", *arguments]
        monkeypatch.setattr(sys, "argv", words)
        main()

    return call


@pytest.fixture
def made(tmp_path) -> RunDir:
    """A run of three images."""
    run = RunDir(tmp_path / "made")
    run.path.mkdir()
    rows = ImageRows(np.float32([-3, -1, -2]), np.arange(3), np.uint32([7, 8, 9]))
    write_test_images(run, rows, 4, 0)
    run.write_metrics({"test/elbo": -2.0})
    return run


@pytest.mark.parametrize("kind", ["digits", "plane"])
def test_training_leaves_the_elbo_and_the_digest_of_each_image(kind, request):
    run, opened = request.getfixturevalue(f"{kind}_run"), request.getfixturevalue(kind)
    found = read_test_images(run)
    assert found is not None
    assert found.indices.tolist() == list(range(360))
    assert (found.epoch, found.seed) == (opened.epoch, 0)
    assert found.elbo.mean(dtype=np.float64) == pytest.approx(run.metrics()["test/elbo"], rel=1e-9)
    assert found.elbo.std(ddof=1) / 360**0.5 == pytest.approx(run.metrics()["test/elbo_stderr"], rel=1e-4)
    images = next(opened.data.stream("test")).images  # binary where the data are
    assert found.digest.tolist() == [zlib.crc32(image.contiguous().numpy().tobytes()) for image in images]


def test_of_coloured_images_the_bytes_are_those_of_each_channel_in_turn(colour_run, colour):
    found, batch = read_test_images(colour_run), next(colour.data.stream("test"))
    assert found is not None
    assert found.digest.tolist() == [zlib.crc32(image.contiguous().numpy().tobytes()) for image in batch.images]


def test_an_evaluation_writes_the_same(evaluate, digits_run, moved):
    run, before = moved(digits_run), read_test_images(digits_run)
    (run.path / TEST_IMAGES).unlink()
    evaluate(run, "batch_size=77")
    found = read_test_images(run)
    assert before is not None
    assert found is not None
    assert found.elbo == pytest.approx(before.elbo, rel=1e-5)
    assert (found.digest == before.digest).all()
    assert (found.epoch, found.seed) == (before.epoch, before.seed)
    evaluate(run, "seed=3")
    other = read_test_images(run)
    assert other is not None
    assert other.seed == 3
    assert not np.allclose(other.elbo, before.elbo, rtol=1e-6)
    assert (other.digest == before.digest).all()


@pytest.mark.parametrize("arguments", [["ckpt=last"], ["split=val"], ["out=other.json"]])
def test_figures_that_lie_elsewhere_leave_it_as_it_was(evaluate, digits_run, moved, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = moved(digits_run)
    best = run.best.read_bytes()
    run.last.write_bytes(best)
    before = (run.path / TEST_IMAGES).read_bytes()
    evaluate(run, *arguments, "seed=1")
    assert (run.path / TEST_IMAGES).read_bytes() == before


def test_a_model_without_an_elbo_leaves_none(command, tmp_path):
    point = ["model/posterior=point", "objective=rae", "callbacks=none", "logger=none", "trainer.max_epochs=1"]
    command(*TINY, *point, f"run_dir={tmp_path / 'run'}")
    assert "test/distortion" in RunDir(tmp_path / "run").metrics()
    assert not (tmp_path / "run" / TEST_IMAGES).exists()


def test_what_is_of_other_figures_than_the_runs_is_none(made):
    assert read_test_images(made) is not None
    for metrics in ({"test/elbo": -2.1}, {"test/elbo": -2.0, "test/elbo_epoch": 5}, {"test/elbo": None}, {}):
        (made.path / "metrics.json").write_text(json.dumps(metrics))
        assert read_test_images(made) is None
    (made.path / "metrics.json").write_text(json.dumps({"test/elbo": -2, "test/elbo_epoch": 4}))
    assert read_test_images(made) is not None
    (made.path / "metrics.json").unlink()
    assert read_test_images(made) is None


def saved(**changes: object) -> bytes:
    arrays = {"elbo": np.float32([-2.0]), "indices": np.arange(1), "digest": np.uint32([7]), "epoch": 4, "seed": 0}
    content = io.BytesIO()
    np.savez(content, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return content.getvalue()


DAMAGED = {
    "empty": b"",
    "text": b"x" * 100,
    "half": saved()[:200],
    "without an array": saved(digest=None),
    "of Python objects": saved(elbo=np.array([-2.0], dtype=object)),
    "of other numbers": saved(elbo=np.float64([-2.0])),
    "of other lengths": saved(digest=np.uint32([7, 8])),
    "of two dimensions": saved(elbo=np.float32([[-2.0]]), indices=np.arange(1)[None], digest=np.uint32([[7]])),
    "of no images": saved(elbo=np.float32([]), indices=np.arange(0), digest=np.uint32([])),
    "of an image below the first": saved(indices=np.array([-1])),
    "without an epoch": saved(epoch=None),
    "of an epoch that is no number": saved(epoch="4"),
    "of several seeds": saved(seed=np.arange(2)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_none(made, kind):
    (made.path / TEST_IMAGES).write_bytes(saved())
    assert read_test_images(made) is not None
    (made.path / TEST_IMAGES).write_bytes(DAMAGED[kind])
    assert read_test_images(made) is None


def test_a_link_that_leads_out_and_a_file_without_end_are_none(made, tmp_path, monkeypatch):
    file = made.path / TEST_IMAGES
    outside = file.rename(tmp_path / "outside.npz")
    file.symlink_to(outside)
    assert read_test_images(made) is None
    write_test_images(made, ImageRows(np.float32([-2]), np.arange(1), np.uint32([7])), 4, 0)  # in place of the link
    assert not file.is_symlink()
    assert read_test_images(made) is not None
    monkeypatch.setattr("vae_lightning.runs.tested_images._MOST_BYTES", 100)
    assert read_test_images(made) is None


def test_it_is_read_without_torch():
    assert "torch" not in {name.split(".")[0] for name in needed_by("vae_lightning.runs.tested_images")}
