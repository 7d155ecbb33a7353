"""What holds for every callback that draws: when, where, and without a trace in the training."""

import logging
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer

from tests.callbacks.fakes import FakeData, FakeModule, captured, drawing, evaluated, events, pixels, train
from vae_lightning.callbacks import projector
from vae_lightning.callbacks.pictures import DrawPicture, PictureCallback, as_callbacks
from vae_lightning.callbacks.projector import Projector
from vae_lightning.callbacks.reconstruction_history import ReconstructionHistory
from vae_lightning.callbacks.training_gif import TrainingGif
from vae_lightning.checkpoints.expectations import UnexpectedError
from vae_lightning.checkpoints.reader import stored
from vae_lightning.drawing.captions import with_caption
from vae_lightning.drawing.grids import comparison_grid, image_grid
from vae_lightning.errors import UserError
from vae_lightning.pictures.aggregated_posterior import AggregatedPosterior
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.latent_units import LatentUnits
from vae_lightning.pictures.manifold import Manifold
from vae_lightning.pictures.neighbours import Neighbours
from vae_lightning.pictures.picture import PictureOfSamples
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.pictures.samples import Samples
from vae_lightning.pictures.transition import Transition
from vae_lightning.pictures.traversals import Traversals

EVERY_NTH = {
    "reconstructions": partial(Reconstructions, num_images=4),
    "samples": partial(Samples, num_images=4),
    "training": partial(TrainingGif, num_images=4),
    "transition": partial(Transition, num_images=3, num_frames=3),
    "traversals": partial(Traversals, centre="image", num_dims=2, num_columns=3),
    "manifold": partial(Manifold, num_points=3),
    "latent_units": LatentUnits,
    "aggregated_posterior": partial(AggregatedPosterior, num_dims=2),
    "neighbours": partial(Neighbours, num_images=2, num_nearest=2),
    "tsne": partial(Embedding, method="tsne"),
    "pca": partial(Embedding, method="pca"),
    "plane": partial(Embedding, method="plane"),
    "projector": Projector,
}
NAMES = [*EVERY_NTH, "reconstruction_history"]
PICTURES = [name for name in NAMES if name != "projector"]
ANIMATED = ["transition", "traversals"]
OWN_SCHEDULE = ["training", "reconstruction_history"]


def every_callback(every_n_epochs):
    periodic = {name: make(every_n_epochs=every_n_epochs) for name, make in EVERY_NTH.items()}
    made = periodic | {"reconstruction_history": ReconstructionHistory(num_images=2)}
    return {name: each if isinstance(each, Callback) else DrawPicture(each, name) for name, each in made.items()}


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_validation_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 == self.epoch


class Witness(Callback):
    """Records modes, weights, statistics and random states before the other callbacks see an epoch's end, and after."""

    def __init__(self):
        self.records = []

    def record(self, trainer, pl_module):
        modes = [module.training for module in pl_module.modules()]
        states = [torch.get_rng_state(), *(state.clone() for state in pl_module.state_dict().values())]
        # Python's own random state is left out: beartype, at work in the tests, draws from it.
        self.records.append((modes, np.random.get_state()[1].tolist(), states))

    on_train_start = on_train_epoch_end = on_train_end = record


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A run of three epochs with all callbacks, which draw after epoch 2 and the last; a witness between any two."""
    run_dir = tmp_path_factory.mktemp("everything")
    callbacks, witnesses = every_callback(2), [Witness()]
    order = list(witnesses)
    for callback in callbacks.values():
        witnesses.append(Witness())
        order += [callback, witnesses[-1]]
    trainer = train(run_dir, *order, latent_dim=2)
    trainer.save_checkpoint(run_dir / "run.ckpt")
    return trainer, callbacks, dict(zip(callbacks, pairwise(witnesses), strict=True))


def epochs_of(run_dir, name):
    folder = run_dir / "projector" if name == "projector" else run_dir / "images" / name
    return sorted({int(path.stem.removeprefix("epoch_")) for path in folder.glob("epoch_*")})


@pytest.fixture
def run_dir(everything):
    return Path(everything[0].default_root_dir)


@pytest.mark.parametrize("name", NAMES)
def test_every_nth_epoch_and_the_last(run_dir, name):
    expected = {"training": [0, 2, 3], "reconstruction_history": [1, 2, 3]}.get(name, [2, 3])
    assert epochs_of(run_dir, name) == expected


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "training"])
def test_tensorboard_has_the_files_at_the_steps_of_their_epochs(run_dir, name):
    written = events(run_dir)
    for tab, suffix in [("images", "png"), *([("animations", "gif")] if name in ANIMATED else [])]:
        logged = {event.step: event for event in written.Images(f"{tab}/{name}")}
        assert list(logged) == [6 * epoch - 1 for epoch in epochs_of(run_dir, name)]
        for epoch in epochs_of(run_dir, name):
            event = logged[6 * epoch - 1]
            on_disk = (run_dir / "images" / name / f"epoch_{epoch:04d}.{suffix}").read_bytes()
            assert event.encoded_image_string == on_disk
            assert pixels(on_disk).shape[:2] == (event.height, event.width)


def test_of_what_moves_the_last_is_a_video_too(fit, tmp_path, encoder):
    fit(Traversals(every_n_epochs=2, num_columns=3), Transition(every_n_epochs=1, num_images=2, num_frames=3))
    videos = sorted(str(path.relative_to(tmp_path / "images")) for path in tmp_path.rglob("*.mp4"))
    assert videos == ["transition/epoch_0003.mp4", "traversals/epoch_0003.mp4"]


def test_only_what_moves_is_an_animation(run_dir):
    gifs = {path.parent.name for path in (run_dir / "images").rglob("*.gif")}
    tags = {tag for tag in events(run_dir).Tags()["images"] if tag.startswith("animations/")}
    assert gifs == set(ANIMATED)
    assert tags == {"animations/training", *(f"animations/{name}" for name in ANIMATED)}


@pytest.mark.parametrize("name", NAMES)
def test_modes_weights_statistics_and_random_states_are_left_alone(everything, name):
    before, after = everything[2][name]
    assert len(before.records) == 5
    for (modes, numpy, states), (modes_then, numpy_then, then) in zip(before.records, after.records, strict=True):
        assert modes == modes_then
        assert numpy == numpy_then
        assert all(torch.equal(one, other) for one, other in zip(states, then, strict=True))
    training_modes = before.records[1][0]
    assert True in training_modes
    assert False in training_modes


def test_training_is_bit_identical_with_and_without_pictures(everything, fit):
    drawn, plain = everything[0].lightning_module.state_dict(), fit(latent_dim=2).lightning_module.state_dict()
    assert any("running_mean" in name for name in plain)
    assert all(torch.equal(plain[name], drawn[name]) for name in plain)


def test_the_checkpoint_keeps_what_is_drawn_as_plain_tensors(everything, run_dir):
    trainer, callbacks, _ = everything
    states = torch.load(run_dir / "run.ckpt", weights_only=True)["callbacks"]
    levels = trainer.datamodule.levels["val"]
    expected = {
        "reconstructions": levels[:4],
        "transition": levels[:3],
        "traversals": levels[:1],
        "reconstruction_history": levels[:2],
    }
    pictures = {name: each for name, each in callbacks.items() if isinstance(each, PictureCallback)}
    assert {name for name, each in pictures.items() if each.kept is not None} == set(expected)
    for name, fixed in expected.items():
        restored = every_callback(None)[name]
        restored.load_state_dict(states[callbacks[name].state_key])
        assert restored.kept.images.dtype == fixed.dtype
        assert torch.equal(restored.kept.images, fixed)


def test_the_checkpoint_calls_each_as_earlier_versions_did(everything):
    keys = {name: callback.state_key for name, callback in everything[1].items() if name != "projector"}
    earlier = {"training": "TrainingGif", "tsne": "Tsne", "pca": "Pca", "plane": "Plane"}
    assert keys == {name: name.title().replace("_", "") for name in keys} | earlier


def test_of_samples_the_checkpoint_keeps_number_and_seed(everything, run_dir):
    _, callbacks, _ = everything
    states = torch.load(run_dir / "run.ckpt", weights_only=True)["callbacks"]
    pictures = {name: each for name, each in callbacks.items() if isinstance(each, PictureCallback)}
    sampling = {name: each for name, each in pictures.items() if isinstance(each.picture, PictureOfSamples)}
    assert set(sampling) == {"samples", "training", "neighbours"}
    for callback in sampling.values():
        chosen_by = {"num_images": callback.picture.num_images, "seed": None}
        assert states[callback.state_key] == {"chosen_by": chosen_by, "noise": "indexed"}


def test_no_interval_is_after_the_last_epoch_only(fit, tmp_path):
    fit(*every_callback(None).values(), latent_dim=2, max_epochs=2)
    epochs = {name: epochs_of(tmp_path, name) for name in NAMES}
    assert epochs == {name: [2] for name in NAMES} | {"training": [0, 2], "reconstruction_history": [1, 2]}


@pytest.mark.parametrize(
    ("every_n_epochs", "max_epochs", "epochs"),
    [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (3, 3, [3]), (9, 2, [2])],
)
def test_an_epoch_is_drawn_once(fit, tmp_path, tensorboard, every_n_epochs, max_epochs, epochs):
    fit(Samples(every_n_epochs=every_n_epochs), max_epochs=max_epochs)
    assert epochs_of(tmp_path, "samples") == epochs
    assert [event.step for event in tensorboard().Images("images/samples")] == [6 * epoch - 1 for epoch in epochs]


@pytest.mark.parametrize("every_n_epochs", [5, None])
def test_the_last_epoch_of_a_training_that_was_stopped(fit, tmp_path, every_n_epochs):
    fit(Samples(every_n_epochs=every_n_epochs), StopAfter(epoch=3), max_epochs=10)
    assert epochs_of(tmp_path, "samples") == [3]


def test_only_rank_zero_draws(fit, tmp_path, monkeypatch):
    callbacks = every_callback(1)
    for name, callback in callbacks.items():
        if name != "projector":
            monkeypatch.setattr(callback, "drawn", lambda *_: pytest.fail("drawn"))
            monkeypatch.setattr(callback, "publish", lambda *_: pytest.fail("published"))
    monkeypatch.setattr(projector, "training_source", lambda *_: pytest.fail("looked"))
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(*callbacks.values(), latent_dim=2, max_epochs=2, enable_checkpointing=False)
    assert {path.name for path in tmp_path.iterdir() if "tfevents" not in path.name} <= {"hparams.yaml"}


@pytest.mark.parametrize("failing", ["drawn", "publish"])
def test_modes_are_restored_when_drawing_fails(fit, monkeypatch, failing):
    def fail(*_):
        raise RuntimeError("no picture today")

    witness = Witness()
    callback = drawing(Samples(every_n_epochs=1))
    monkeypatch.setattr(callback, failing, fail)

    class AtTheEnd(Callback):
        def on_exception(self, trainer, pl_module, exception):
            witness.record(trainer, pl_module)

    with pytest.raises(RuntimeError, match="no picture today"):
        fit(witness, callback, AtTheEnd())
    (modes, _, states), (modes_then, _, then) = witness.records[-2:]
    assert modes == modes_then
    assert all(torch.equal(one, other) for one, other in zip(states, then, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_show_what_the_model_makes_and_where_it_comes_from(fit, tmp_path, channels):
    trainer = fit(
        Reconstructions(every_n_epochs=1, num_images=5),
        Samples(every_n_epochs=1, num_images=9, seed=3),
        channels=channels,
    )
    vae, originals = evaluated(trainer), FakeData(channels).example_images(5)
    with torch.no_grad():
        samples, reconstructions = vae.generate(vae.sampled(9, seed=3)), vae.reconstruct(originals)
    for epoch, is_equal in [(3, True), (2, False)]:
        origin = f"fake · epoch {epoch}"
        expected = {
            "samples": with_caption(image_grid(samples, columns=3), "samples from the prior, seed 3", origin),
            "reconstructions": comparison_grid(originals, reconstructions, columns=8, context=origin).pixels(),
        }
        for name, picture in expected.items():
            drawn = pixels(tmp_path / "images" / name / f"epoch_{epoch:04d}.png")
            assert np.array_equal(drawn, picture) == is_equal


@pytest.mark.parametrize(("folder", "run"), [("run", "fake"), ("7", "fake, job 7")])
def test_a_job_of_a_sweep_is_told_from_the_others(fit, tmp_path, monkeypatch, folder, run):
    captions = captured(monkeypatch, "vae_lightning.pictures.samples.Captioned")
    fit(Samples(every_n_epochs=1), max_epochs=2, run_dir=tmp_path / folder)
    assert [context for _, _, context in captions] == [f"{run} · epoch 1", f"{run} · epoch 2"]


def test_a_resumed_run_draws_what_it_drew_before(fit, tmp_path):
    trainer = fit(Samples(num_images=4, seed=1), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    resumed = drawing(Samples(num_images=9, seed=2))
    again = fit(resumed, max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert resumed.picture == Samples(num_images=4, seed=1)
    vae = evaluated(again)
    with torch.no_grad():
        samples = vae.generate(vae.sampled(4, seed=1))
    expected = with_caption(image_grid(samples, columns=2), "samples from the prior, seed 1", "fake · epoch 2")
    assert np.array_equal(pixels(tmp_path / "images/samples/epoch_0002.png"), expected)
    assert epochs_of(tmp_path, "samples") == [1, 2]


AT_LEAST = [
    *((name, "every_n_epochs", 1) for name in EVERY_NTH),
    *((name, "num_images", 1) for name in NAMES if name not in ("tsne", "pca", "plane", "manifold", "transition")),
    *((name, "num_images", 4) for name in ("tsne", "pca", "plane")),
    ("transition", "num_images", 2),
    ("transition", "num_frames", 2),
    ("transition", "frame_ms", 20),
    ("traversals", "num_dims", 1),
    ("traversals", "num_columns", 2),
    ("traversals", "frame_ms", 20),
    ("manifold", "num_points", 1),
    ("aggregated_posterior", "num_dims", 1),
    ("neighbours", "num_nearest", 1),
    ("training", "frame_ms", 20),
    ("training", "hold_last_ms", 20),
]
MAKERS = EVERY_NTH | {"reconstruction_history": ReconstructionHistory}


@pytest.mark.parametrize(("name", "argument", "least"), AT_LEAST)
def test_an_argument_that_is_too_small_is_named(name, argument, least):
    with pytest.raises(ValueError, match=f"^{argument} must be at least {least}, got {least - 1}$"):
        MAKERS[name](**{argument: least - 1})
    MAKERS[name](**{argument: least})


def test_a_resumed_run_says_that_it_keeps_what_it_has_drawn(fit, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    fit(Samples(num_images=4), max_epochs=1).save_checkpoint(tmp_path / "run.ckpt")
    fit(Samples(num_images=4), max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert "goes on with" not in caplog.text
    resumed = drawing(Samples(num_images=9))
    fit(resumed, max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert "callbacks.samples: a resumed run goes on with the samples that it has drawn so far" in caplog.text
    assert resumed.picture.num_images == 4


def test_what_an_earlier_version_kept_of_samples_is_taken_by_its_seed(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    samples = drawing(Samples(num_images=5, seed=3))
    samples.load_state_dict({})  # of a training that was over before it began
    samples.load_state_dict(samples.state_dict())
    assert not caplog.text
    samples.load_state_dict({"fixed": torch.randn(4, 6), "chosen_by": {"num_images": 4, "seed": 2}})
    assert samples.picture == Samples(num_images=4, seed=2)
    assert "callbacks.samples: an earlier version has drawn other samples by this seed" in caplog.text


def test_fixed_images_bring_their_labels_to_a_model_that_is_told_them(tmp_path, fit):
    callback, trainer = drawing(Reconstructions(num_images=4)), fit(max_epochs=1)
    module = trainer.lightning_module
    module.vae.num_classes = 3
    module.vae.decode = lambda z, labels=None, target=None, plain=module.vae.decode: plain(z)
    callback.on_train_start(trainer, module)
    assert callback.kept.labels.tolist() == [0, 1, 2, 0]
    restored = drawing(Reconstructions(num_images=4))
    restored.load_state_dict(callback.state_dict())
    assert restored.kept.labels.tolist() == [0, 1, 2, 0]
    expected = restored.expected_state(module, SimpleNamespace(image_shape=(3, 8, 8)))
    for labels in ({}, {"labels": torch.tensor([0, 1, 2])}, {"labels": torch.tensor([0, 1, 2, 3])}):
        torch.save({"fixed": callback.kept.images} | labels, tmp_path / "state")
        with stored(tmp_path / "state") as contents, pytest.raises(UnexpectedError, match="labels"):
            expected(contents, "callbacks.Reconstructions")
    restored.load_state_dict({"fixed": callback.kept.images})
    with pytest.raises(UserError, match=r"^callbacks.reconstructions: its images have no labels, which this model"):
        restored.on_train_start(trainer, module)


def test_what_a_model_has_not_is_left_out_in_one_line():
    chosen = {"manifold": Manifold(), "samples": Samples(), "plane": Embedding(method="plane"), "own": Callback()}
    callbacks, told = as_callbacks(chosen, FakeModule(3, 6).vae)
    assert [getattr(each, "name", None) for each in callbacks] == ["samples", None]
    assert callbacks[1] is chosen["own"]
    assert told == ["pictures left out: manifold, plane (for two latent dimensions, and this run has 6)"]
    callbacks, told = as_callbacks(chosen, FakeModule(3, 2).vae)
    assert (len(callbacks), told) == (4, [])


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (Traversals(dims=[0, 9]), "callbacks.traversals: dims=[0, 9]: choose from 0 to 5"),
        (Traversals(indices=[1, 2]), "callbacks.traversals: a traversal starts from one image, and 2 were given"),
        (Embedding(images="/nowhere"), "callbacks.tsne: images: /nowhere: no such file"),
    ],
)
def test_a_setting_that_cannot_work_is_told_before_training(fit, picture, told):
    steps = []
    trained = Witness()
    trained.on_train_batch_end = lambda *_: steps.append(1)
    with pytest.raises(UserError) as error:
        fit(trained, picture, max_epochs=1)
    assert str(error.value) == told
    assert steps == []


def test_what_goes_wrong_later_ends_no_training(fit, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)

    def gone(*_):
        raise UserError("images: own.png: no such file")

    monkeypatch.setattr(Samples, "look", gone)
    trainer = fit(Samples(every_n_epochs=1), max_epochs=2)
    assert trainer.current_epoch == 2
    assert caplog.text.count("callbacks.samples: images: own.png: no such file") == 2
