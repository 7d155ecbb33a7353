import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.callbacks.fakes import FakeData, captured, pixels, places
from vae_lightning.callbacks.periodic import undisturbed
from vae_lightning.callbacks.reconstruction_history import ReconstructionHistory

PICTURE = "vae_lightning.callbacks.reconstruction_history.history_picture"
ENLARGED = 12  # 8 px to 96


class Reference(Callback):
    """Keeps each epoch's reconstructions of the first three validation images."""

    def __init__(self):
        self.images = {}

    def on_train_epoch_end(self, trainer, pl_module):
        with undisturbed(trainer, pl_module):
            originals = trainer.datamodule.example_images(3)
            self.images[trainer.current_epoch + 1] = pl_module.vae.reconstruct(originals)


@pytest.fixture
def pictures(monkeypatch):
    return captured(monkeypatch, PICTURE)


def assert_rows(arguments, epochs, reference):
    """The rows of a picture are the inputs and what became of them after these epochs, to the nearest level."""
    images, labels, title, _ = arguments
    assert labels == ["input", *(f"epoch {epoch}" for epoch in epochs)]
    expected = torch.stack([FakeData().example_images(3), *(reference[epoch] for epoch in epochs)])
    assert torch.allclose(images, expected, atol=0.51 / 255)
    assert title == "reconstructions at the posterior means, over the epochs"


def test_epochs_are_one_two_and_five_times_powers_of_ten():
    callback = ReconstructionHistory()
    due = [epoch for epoch in range(1, 6000) if callback.is_due(epoch)]
    assert due == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]


def test_a_row_an_epoch_and_the_last(fit, tmp_path, pictures, tensorboard):
    reference = Reference()
    fit(reference, ReconstructionHistory(num_images=3), max_epochs=7)
    assert [arguments[1][-1] for arguments in pictures] == ["epoch 1", "epoch 2", "epoch 5", "epoch 7"]
    for number, arguments in enumerate(pictures, start=1):
        assert_rows(arguments, [1, 2, 5, 7][:number], reference.images)
    assert pictures[-1][3] == "fake · epoch 7"
    steps = [event.step for event in tensorboard().Images("images/reconstruction_history")]
    assert steps == [6 * epoch - 1 for epoch in (1, 2, 5, 7)]
    picture = pixels(tmp_path / "images/reconstruction_history/epoch_0007.png")
    rows = [FakeData().example_images(3), reference.images[1], reference.images[7]]
    corners = [places(picture, images[1], ENLARGED) for images in rows]
    assert [len(found) for found in corners] == [1, 1, 1]
    assert corners[0][0][0] < corners[1][0][0] < corners[2][0][0]


def test_a_resumed_run_keeps_its_rows(fit, tmp_path, pictures):
    first, second = Reference(), Reference()
    checkpoint = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
    fit(first, ReconstructionHistory(num_images=3), checkpoint, max_epochs=4)
    assert_rows(pictures[-1], [1, 2, 4], first.images)
    fit(second, ReconstructionHistory(num_images=3), max_epochs=6, ckpt_path=tmp_path / "last.ckpt")
    assert list(second.images) == [5, 6]
    # What was the last epoch is none of the series, and not in the checkpoint, which is of before the training's end.
    assert_rows(pictures[-1], [1, 2, 5, 6], first.images | second.images)


def test_the_rows_are_plain_tensors_in_the_checkpoint(fit, tmp_path):
    fit(ReconstructionHistory(num_images=3), max_epochs=2).save_checkpoint(tmp_path / "run.ckpt")
    states = torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"]
    [state] = [state for key, state in states.items() if "ReconstructionHistory" in key]
    assert {epoch: (rows.dtype, rows.shape) for epoch, rows in state["rows"].items()} == {
        1: (torch.uint8, (3, 3, 8, 8)),
        2: (torch.uint8, (3, 3, 8, 8)),
    }
