"""A run in Python gives the figures and the pictures that the commands give."""

import inspect
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trained import DIGITS, train_once
from vae_lightning import evaluate
from vae_lightning.errors import UserError
from vae_lightning.face.opening import open_run
from vae_lightning.face.run import Run
from vae_lightning.runs.trained import TrainedRun

GREY = np.zeros((28, 28))


@pytest.fixture(scope="module")
def run(digits_run) -> Run:
    return open_run(digits_run.path, device="cpu")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> Run:
    settings = ["model.latent_dim=2", "model.num_classes=10", "objective=iwae", "trainer.max_epochs=1"]
    trained = train_once(tmp_path_factory.mktemp("trained") / "run", *DIGITS, *settings)
    return open_run(trained.path, device="cpu")


def test_images_of(opened: TrainedRun) -> tuple[np.ndarray, np.ndarray]:
    batch = opened.data.images_at(torch.arange(len(opened.data.splits["test"])), "test")
    assert batch.labels is not None
    return batch.images.numpy(), batch.labels.numpy()


test_images_of.__test__ = False  # type: ignore[attr-defined]


def test_it_tells_what_it_is(run, digits_run):
    assert repr(run) == f"<Run digits_mlp: epoch {run.epoch}, 4 latents, images 1 x 28 x 28, {digits_run.path}>"
    assert (run.name, run.latent_dim, run.image_shape, run.num_classes) == ("digits_mlp", 4, (1, 28, 28), None)
    assert run.kind == "cross-entropy of grey levels, no likelihood"
    run.config["seed"] = 7
    assert run.config["seed"] == 0


def test_it_encodes_decodes_and_reconstructs_as_the_commands_do(run, digits):
    images, _ = test_images_of(digits)
    x = torch.from_numpy(images[:5]).float() / 255
    z = run.encode(images[:5])
    assert (z.shape, z.dtype) == ((5, 4), np.float32)
    assert (z == digits.encode(x).numpy()).all()
    assert (run.decode(z) == digits.decode(torch.from_numpy(z)).numpy()).all()
    assert (run.reconstruct(images[:5]) == run.decode(z)).all()
    assert (run.encode(images[3].transpose(1, 2, 0)) == z[3:4]).all()
    assert run.decode(z[0]).shape == run.decode(torch.from_numpy(z[:1])).shape == (1, 1, 28, 28)
    assert run.decode(z.tolist()).max() <= 1


def test_its_samples_are_those_of_the_command(run, digits_run, generate):
    generate(f"run={digits_run.path}", "mode=samples", "num_images=3", "seed=5", "out=samples", "save=npz")
    written = np.load("samples/samples.npz")["images"].transpose(0, 3, 1, 2)
    assert np.abs(run.sample(3, seed=5) * 255 - written).max() <= 0.5
    assert (run.sample(2, temperature=0)[0] == run.sample(2, temperature=0)[1]).all()


def test_its_elbo_is_that_of_the_runs_own_test(run, digits, digits_run):
    images, _ = test_images_of(digits)
    elbo = run.elbo(images)
    assert (elbo.shape, elbo.dtype) == ((360,), np.float64)
    assert elbo.mean() == pytest.approx(digits_run.metrics()["test/elbo"], abs=1e-4)
    assert run.elbo(images[:3]) == pytest.approx(elbo[:3], abs=1e-4)
    assert (run.elbo(images[:3], seed=1) != elbo[:3]).all()


def test_on_binarized_data_too_and_with_several_samples(plane, plane_run, conditional):
    assert open_run(plane_run.path, device="cpu").elbo(test_images_of(plane)[0]).mean() == pytest.approx(
        plane_run.metrics()["test/elbo"], abs=1e-4
    )
    images, labels = test_images_of(conditional._opened)
    recorded = json.loads((conditional.path / "metrics.json").read_text())["test/elbo"]
    assert conditional.elbo(images, labels=labels).mean() == pytest.approx(recorded, abs=1e-4)
    assert conditional.elbo(images, labels=labels, num_samples=1).mean() != pytest.approx(recorded, abs=1e-4)


def test_without_a_likelihood_there_is_none_to_estimate(run, monkeypatch):
    monkeypatch.setattr(run._opened.vae.likelihood, "measure", "MS-SSIM over 2 scales")
    with pytest.raises(ValueError, match=r"^log_likelihood: there is no log p\(x\) to estimate: the model has MS-SSIM"):
        run.log_likelihood(np.zeros((28, 28)))


def test_its_log_likelihood_is_that_of_the_command(run, digits, moved, digits_run, monkeypatch):
    copy = moved(digits_run)
    asked = ["metrics=nll", "nll.num_samples=20", "nll.num_images=30", "device=cpu"]
    monkeypatch.setattr(sys, "argv", ["vae-evaluate", f"run={copy.path}", *asked])
    evaluate.main()
    log_likelihood = run.log_likelihood(test_images_of(digits)[0][:30], num_samples=20)
    assert log_likelihood.shape == (30,)
    assert log_likelihood.mean() == pytest.approx(-copy.metrics()["test/nll"], abs=1e-4)
    assert (log_likelihood > run.elbo(test_images_of(digits)[0][:30], num_samples=20) - 1).all()


def test_its_scores_are_those_of_the_command(run, digits):
    images, _ = test_images_of(digits)
    found = run.score(images[:20], scores=["elbo", "reconstruction", "typicality"])
    assert list(found) == ["elbo", "reconstruction", "typicality"]
    assert found["elbo"].tolist() == pytest.approx(run.elbo(images[:20]).tolist())
    error = (run.reconstruct(images[:20]) - images[:20] / 255) ** 2
    assert found["reconstruction"].tolist() == pytest.approx(error.mean((1, 2, 3)).tolist(), rel=1e-4)
    assert (found["typicality"] >= 0).all()
    with pytest.raises(ValueError, match="scores=likely: no such option"):
        run.score(images[:2], scores=["likely"])
    with pytest.raises(ValueError, match="scores=complexity: these are no bits"):
        run.score(images[:2], scores=["complexity"])


def test_a_conditional_model_is_told_labels_everywhere(conditional):
    images, labels = test_images_of(conditional._opened)
    z = conditional.encode(images[:3], labels=labels[:3])
    assert (conditional.encode(images[:3], labels=int(labels[0]))[0] == z[0]).all()
    decoded = conditional.decode(z, labels=[0, 1, 2])
    assert (decoded[0] != conditional.decode(z, labels=9)[0]).any()
    assert (conditional.reconstruct(images[:3], labels=labels[:3]) == conditional.decode(z, labels=labels[:3])).all()
    assert conditional.sample(4, labels=[0, 1, 2, 3]).shape == (4, 1, 28, 28)
    assert conditional.log_likelihood(images[:2], labels=labels[:2], num_samples=3).shape == (2,)
    assert "2 latents, images 1 x 28 x 28, 10 labels, " in repr(conditional)
    for call in (conditional.encode, conditional.reconstruct, conditional.elbo, conditional.log_likelihood):
        with pytest.raises(ValueError, match="labels: this run's model is told labels"):
            call(images[:2])
    with pytest.raises(ValueError, match="labels: this run's model is told labels"):
        conditional.decode(z)
    with pytest.raises(ValueError, match="labels: this run's model is told labels"):
        conditional.sample(2)


def test_colour_images_and_convolutions(colour_run, tmp_path):
    run = open_run(str(colour_run.path), device="cpu")
    picture = Image.effect_noise((50, 40), 60).convert("RGB")
    picture.save(tmp_path / "picture.png")
    z = run.encode([picture, tmp_path / "picture.png"])
    assert (z[0] == z[1]).all()
    assert run.decode(z).shape == (2, 3, 32, 32)


def test_the_model_is_ones_own(run, digits):
    images, _ = test_images_of(digits)
    before = run.elbo(images[:2])
    model = run.model
    assert isinstance(model, torch.nn.Module)
    assert run.model is model
    assert not model.training
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert (run.elbo(images[:2]) == before).all()
    assert run.encode(images[:2]).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.decode(np.zeros((2, 3))), r"z: an array of shape \[2, 3\]; give \[N, 4\], or \[4\] for one"),
        (lambda run: run.decode([0, 0, 0, np.nan]), "z: has values that are not finite"),
        (lambda run: run.decode([1e300, 0, 0, 0]), "z: has values that are not finite, as float32"),
        (lambda run: run.decode("four"), "z: str is no array of real numbers"),
        (lambda run: run.decode(np.zeros(4, complex)), "z: ndarray is no array of real numbers"),
        (lambda run: run.decode(torch.zeros(2, 4).to_sparse()), "z: Tensor is no array of real numbers"),
        (lambda run: run.sample(0), "num_images: expected a whole number of at least 1, got 0"),
        (lambda run: run.decode(np.ma.masked_array(np.zeros(4), mask=True)), "z: MaskedArray is no array of real"),
        (lambda run: run.sample(1, temperature=10**400), "temperature: expected a number of at least 0"),
        (lambda run: run.sample(1, temperature=-1), "temperature: expected a number of at least 0, got -1"),
        (lambda run: run.elbo(GREY, num_samples=0), "num_samples: expected a whole number of at least 1, got 0"),
        (lambda run: run.log_likelihood(GREY, num_samples=0), "num_samples: expected a whole number of at least 1"),
        (lambda run: run.encode(GREY, labels=1), "labels: this run's model is not told labels"),
    ],
)
def test_what_cannot_be_is_a_value_error(run, call, message):
    with pytest.raises(ValueError, match=message):
        call(run)


@pytest.mark.parametrize("value", [1.5, "3", [1], True])
@pytest.mark.parametrize(
    ("method", "name"),
    [
        (Run.sample, "num_images"),
        (Run.sample, "seed"),
        (Run.elbo, "num_samples"),
        (Run.elbo, "seed"),
        (Run.log_likelihood, "num_samples"),
    ],
)
def test_a_number_of_another_kind_is_a_value_error(run, method, name, value):
    images = {} if method is Run.sample else {"images": GREY}
    with pytest.raises(ValueError, match=rf"^{name}: expected a whole number of at least"):
        inspect.unwrap(method)(run, **images, **{name: value})  # not through what checks types while tests run
    given = images | {name: np.int64(2)}
    assert len(inspect.unwrap(method)(run, **given))


def test_no_images_give_no_rows(run):
    none = np.zeros((0, 28, 28), np.uint8)
    assert run.encode(none).shape == (0, 4)
    assert run.reconstruct(none).shape == (0, 1, 28, 28)
    assert run.elbo(none).shape == run.log_likelihood(none).shape == (0,)


def test_no_random_number_of_the_callers_is_used(run):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    run.sample(2)
    run.elbo(np.zeros((28, 28)))
    run.log_likelihood(np.zeros((28, 28)), num_samples=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_run_is_told_in_one_line(tmp_path, moved, digits_run):
    for path, message in [
        (tmp_path / "none", "no such directory"),
        (tmp_path, "not a run directory (it has no config.yaml)"),
    ]:
        with pytest.raises(UserError) as told:
            open_run(path)
        assert str(told.value) == f"run={path}: {message}"
    (tmp_path / "multirun.yaml").touch()
    with pytest.raises(UserError) as told:
        open_run(tmp_path)
    assert str(told.value) == f"run={tmp_path}: is a sweep's directory; choose one of its jobs, as in run={tmp_path}/0"
    copy = moved(digits_run)
    with pytest.raises(UserError) as told:
        open_run(copy.path / "config.yaml")
    assert str(told.value).endswith(f": is a file of a run; give the run's directory, {copy.path}")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: is a file, no run directory"):
        open_run(tmp_path / "file")
    for checkpoint in copy.checkpoints.iterdir():
        checkpoint.unlink()
    with pytest.raises(UserError, match="it has no checkpoint yet"):
        open_run(copy.path)


def test_what_names_no_place_and_no_device_is_a_value_error(digits_run):
    opening = inspect.unwrap(open_run)
    for given in (None, 3, b"x"):
        with pytest.raises(ValueError, match=r"^path: expected a path, got "):
            opening(given)
    with pytest.raises(ValueError, match=r"^ckpt: expected a path, got 3"):
        opening(digits_run.path, ckpt=3)
    with pytest.raises(ValueError, match=r"^data: expected keys of the data, as in "):
        opening(digits_run.path, data=5)
    for trust in (None, [3], 5):
        with pytest.raises(ValueError, match=r"^trust: expected names of packages, as in "):
            opening(digits_run.path, trust=trust)
    for device in ("foo", torch.device("meta"), torch.device("cuda", 1), None):
        with pytest.raises(ValueError, match=rf"^device: expected one of auto, cpu, cuda, mps, got {device}"):
            opening(digits_run.path, device=device)
    assert opening(digits_run.path, device=torch.device("cpu")).epoch == open_run(digits_run.path, device="cpu").epoch


def test_images_that_are_far_from_the_runs_are_warned_of_once_and_can_be_inverted(digits, digits_run, told):
    images = 1 - test_images_of(digits)[0][:4] / 255
    plain, inverted = (open_run(digits_run.path, device="cpu", invert=invert) for invert in (False, True))
    assert np.allclose(inverted.encode(images), digits.encode(torch.from_numpy(1 - images).float()), atol=1e-5)
    assert (inverted.elbo(images) > plain.elbo(images) + 100).all()
    for method in (plain.encode, plain.reconstruct, plain.elbo):
        method(images[1:])
    (warning,) = told()  # of four calls
    assert warning.startswith("images: mean 0.")
    assert warning.endswith("inverted (open_run(..., invert=True)) they would fit")
    with pytest.raises(ValueError, match=r"^invert: expected True or False, got 'yes'$"):
        inspect.unwrap(open_run)(digits_run.path, invert="yes")


def test_samples_of_a_sampler_are_those_of_generate(digits_run, moved, generate):
    run = moved(digits_run)
    opened = open_run(run.path, device="cpu")
    made = opened.sample(5, sampler="gmm", seed=3)
    generate(f"run={run.path}", "sampler=gmm", "num_images=5", "seed=3", "save=npz", "out=samples")
    written = np.load("samples/samples.npz")["images"][..., 0]
    assert np.array_equal(np.rint(made[:, 0] * 255), written)
    assert not np.array_equal(made, opened.sample(5, seed=3))
    assert np.array_equal(opened.sample(5, seed=3), opened.sample(5, seed=3, sampler="prior"))


def test_a_sampler_that_there_is_not_or_that_can_not_be_fitted_is_refused(run, conditional):
    with pytest.raises(ValueError, match=r"^sampler=gm: no such option"):
        run.sample(sampler="gm")
    with pytest.raises(ValueError, match=r"^sampler=gmm: this run's model is told labels"):
        conditional.sample(labels=0, sampler="gmm")
