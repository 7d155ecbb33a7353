"""What holds for every callback that draws: when, where, and without a trace in the training."""

import io

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from PIL import Image

from vae_lightning.callbacks.pictures import write_atomically
from vae_lightning.callbacks.reconstructions import Reconstructions
from vae_lightning.callbacks.samples import Samples
from vae_lightning.callbacks.training_gif import TrainingGif
from vae_lightning.figures.grids import comparison_grid, image_grid

ALL = [Reconstructions, Samples, TrainingGif]


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_validation_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 == self.epoch


class Witness(Callback):
    """Records module modes and random states before the other callbacks see an epoch's end, and after."""

    def __init__(self):
        self.records = []

    def record(self, trainer, pl_module):
        modes = [module.training for module in pl_module.modules()]
        buffers = [buffer.clone() for buffer in pl_module.buffers()]
        states = (torch.get_rng_state(), *buffers)
        # Python's own random state is left out: beartype, at work in the tests, draws from it.
        self.records.append((modes, np.random.get_state()[1].tolist(), states))

    on_train_start = on_train_epoch_end = on_train_end = record


def epochs_drawn(tmp_path, name):
    return [path.name for path in sorted((tmp_path / "images" / name).iterdir())]


@pytest.mark.parametrize(
    ("every_n_epochs", "max_epochs", "epochs"),
    [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (3, 3, [3]), (9, 2, [2])],
)
def test_draws_every_nth_epoch_and_the_last(fit, tmp_path, tensorboard, every_n_epochs, max_epochs, epochs):
    fit(Samples(every_n_epochs), max_epochs=max_epochs)
    assert epochs_drawn(tmp_path, "samples") == [f"epoch_{epoch:04d}.png" for epoch in epochs]
    assert [event.step for event in tensorboard().Images("images/samples")] == [6 * epoch - 1 for epoch in epochs]


def test_draws_the_last_epoch_of_a_training_that_was_stopped(fit, tmp_path):
    fit(Samples(every_n_epochs=5), StopAfter(epoch=3), max_epochs=10)
    assert epochs_drawn(tmp_path, "samples") == ["epoch_0003.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_and_disk_have_the_same_pictures(fit, tmp_path, tensorboard, channels):
    fit(Reconstructions(), Samples(), channels=channels)
    events = tensorboard()
    for name in ("reconstructions", "samples"):
        for epoch, event in enumerate(events.Images(f"images/{name}"), start=1):
            on_disk = np.asarray(Image.open(tmp_path / "images" / name / f"epoch_{epoch:04d}.png"))
            logged = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
            assert np.array_equal(on_disk, logged)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_show_what_the_model_makes(fit, tmp_path, channels):
    trainer = fit(Reconstructions(num_images=5), Samples(num_images=9, seed=3), channels=channels)
    vae, originals = trainer.lightning_module.vae.eval(), trainer.datamodule.example_images(5)
    with torch.no_grad():
        expected = {
            "samples": image_grid(vae.generate(vae.sample_prior(9, seed=3)), columns=3),
            "reconstructions": comparison_grid(originals, vae.reconstruct(originals), columns=8),
        }
    for name, picture in expected.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "images" / name / "epoch_0003.png")), picture)


def test_training_is_bit_identical_with_and_without_pictures(fit, tmp_path):
    plain = fit(run_dir=tmp_path / "plain").lightning_module.state_dict()
    drawn = fit(*[callback() for callback in ALL], run_dir=tmp_path / "drawn").lightning_module.state_dict()
    assert any("running_mean" in name for name in plain)
    assert all(torch.equal(plain[name], drawn[name]) for name in plain)


@pytest.mark.parametrize("callback", ALL)
def test_drawing_leaves_modes_statistics_and_random_states_alone(fit, callback):
    before, after = Witness(), Witness()
    fit(before, callback(), after)
    assert len(before.records) == 5
    for (modes, numpy, states), (modes_then, numpy_then, states_then) in zip(
        before.records, after.records, strict=True
    ):
        assert modes == modes_then
        assert numpy == numpy_then
        assert all(torch.equal(state, then) for state, then in zip(states, states_then, strict=True))
    training_modes = before.records[1][0]
    assert True in training_modes
    assert False in training_modes


def test_modes_are_restored_when_drawing_fails(fit):
    class Failing(Samples):
        def draw(self, vae, fixed):
            self.vae = vae
            raise RuntimeError("no picture today")

    callback = Failing()
    with pytest.raises(RuntimeError, match="no picture today"):
        fit(callback)
    assert all(module.training for module in callback.vae.modules())


@pytest.mark.parametrize("callback", ALL)
def test_what_is_drawn_is_kept_in_the_checkpoint_as_plain_tensors(fit, tmp_path, callback):
    trainer = fit(callback(num_images=4), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    states = torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"]
    [state] = [state for key, state in states.items() if callback.__name__ in key]
    restored = callback(num_images=4)
    restored.load_state_dict(state)
    if callback is Reconstructions:
        assert restored.fixed.dtype == torch.uint8
        assert torch.equal(restored.fixed / 255, trainer.datamodule.example_images(4))
    else:
        assert torch.equal(restored.fixed, trainer.lightning_module.vae.sample_prior(4, seed=0))


def test_a_resumed_run_draws_what_it_drew_before(fit, tmp_path):
    trainer = fit(Samples(num_images=4, seed=1), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    resumed = Samples(num_images=4, seed=2)
    fit(resumed, max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert torch.equal(resumed.fixed, trainer.lightning_module.vae.sample_prior(4, seed=1))
    assert epochs_drawn(tmp_path, "samples") == ["epoch_0001.png", "epoch_0002.png"]


def test_only_rank_zero_writes_but_every_rank_computes(fit, tmp_path, monkeypatch):
    from lightning.pytorch import Trainer

    drawn = []
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    monkeypatch.setattr(Samples, "draw", lambda self, vae, fixed: drawn.append("samples"))
    monkeypatch.setattr(TrainingGif, "draw", lambda self, vae, fixed: drawn.append("training"))
    fit(Samples(), TrainingGif(), max_epochs=2, enable_checkpointing=False)
    assert drawn == ["training"] + ["samples", "training"] * 2
    assert not (tmp_path / "images").exists()
    assert not (tmp_path / "training.gif").exists()


@pytest.mark.parametrize("callback", ALL)
@pytest.mark.parametrize("name", ["every_n_epochs", "num_images"])
def test_bad_arguments_are_named(callback, name):
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0$"):
        callback(**{name: 0})


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "new" / "picture.png"
    write_atomically(path, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
