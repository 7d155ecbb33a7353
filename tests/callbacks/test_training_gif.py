from itertools import pairwise

import numpy as np
import pytest
from lightning.pytorch import Callback

from tests.callbacks.fakes import frames, pixels
from vae_lightning.callbacks import training_gif
from vae_lightning.callbacks.training_gif import TrainingGif
from vae_lightning.pictures.picture import Drawing


class KilledError(Exception):
    pass


class KillIn(Callback):
    """Ends the process, as it were, in the middle of an epoch counted from 1."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch + 1 == self.epoch:
            raise KilledError


class SaveEveryEpoch(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(f"{trainer.default_root_dir}/epoch{trainer.current_epoch + 1}.ckpt")


def frames_on_disk(folder):
    paths = sorted((folder / "images" / "training").glob("*.png"))
    return {path.stem: pixels(path) for path in paths}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_frame_an_epoch_from_before_training(fit, tmp_path, channels):
    fit(TrainingGif(num_images=4, frame_ms=200, hold_last_ms=1000), channels=channels)
    (shown, durations), pictures = frames(tmp_path / "training.gif"), frames_on_disk(tmp_path)
    assert list(pictures) == ["epoch_0000", "epoch_0001", "epoch_0002", "epoch_0003"]
    assert durations == [200, 200, 200, 1000]
    for frame, picture in zip(shown, pictures.values(), strict=True):
        error = np.abs(frame.astype(int) - picture)
        assert error.max() == 0 if channels == 1 else error.mean() < 1
    bodies = [picture[-190:] for picture in pictures.values()]  # without the captions
    assert all(not np.array_equal(one, next_one) for one, next_one in pairwise(bodies))


def test_the_gif_is_whole_when_training_is_killed(fit, tmp_path):
    with pytest.raises(KilledError):
        fit(TrainingGif(), KillIn(epoch=3), max_epochs=5)
    assert len(frames(tmp_path / "training.gif")[0]) == 3


def test_every_nth_epoch_and_the_last(fit, tmp_path):
    fit(TrainingGif(every_n_epochs=2), max_epochs=5)
    assert list(frames_on_disk(tmp_path)) == ["epoch_0000", "epoch_0002", "epoch_0004", "epoch_0005"]
    assert len(frames(tmp_path / "training.gif")[0]) == 4


def test_a_model_that_does_not_change_still_gets_its_frames(fit, tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.callbacks.training_gif.with_caption", lambda picture, text: picture)
    monkeypatch.setattr(TrainingGif, "drawn", lambda *_: Drawing(np.full((40, 40, 3), 90, dtype=np.uint8)))
    fit(TrainingGif())
    assert len(frames(tmp_path / "training.gif")[0]) == 4


def test_a_resumed_run_goes_on_with_the_same_frames(fit, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    fit(TrainingGif(seed=1), run_dir=whole, max_epochs=4)
    # Drawn until epoch 3, but resumed from the checkpoint of epoch 2: the third frame belongs to no one.
    with pytest.raises(KilledError):
        fit(TrainingGif(seed=1), SaveEveryEpoch(), KillIn(epoch=4), run_dir=parted, max_epochs=4)
    before = frames_on_disk(parted)
    assert len(before) == 4
    stale = parted / "images" / "training" / "epoch_0009.png"
    stale.write_bytes(b"of a run that was longer")
    fit(TrainingGif(seed=2), run_dir=parted, max_epochs=4, ckpt_path=parted / "epoch2.ckpt")
    after, uninterrupted = frames_on_disk(parted), frames_on_disk(whole)
    assert list(after) == list(uninterrupted)
    assert len(frames(parted / "training.gif")[0]) == 5
    for epoch in ("epoch_0000", "epoch_0001", "epoch_0002"):
        assert np.array_equal(after[epoch], uninterrupted[epoch])
    # The same z: a frame after resuming is close to the uninterrupted one; other z give another picture.
    other = tmp_path / "other"
    fit(TrainingGif(seed=2), run_dir=other, max_epochs=3)
    distance, distance_of_other_z = (
        np.abs(pictures["epoch_0003"].astype(int) - uninterrupted["epoch_0003"]).mean()
        for pictures in (after, frames_on_disk(other))
    )
    assert distance < distance_of_other_z / 3


def test_old_frames_are_dropped_when_a_run_starts_anew(fit, tmp_path):
    fit(TrainingGif(), max_epochs=3)
    fit(TrainingGif(), max_epochs=1)
    assert list(frames_on_disk(tmp_path)) == ["epoch_0000", "epoch_0001"]


def test_tensorboard_gets_the_gif(fit, tmp_path, tensorboard):
    trainer = fit(TrainingGif())
    [event] = tensorboard().Images("animations/training")
    assert event.encoded_image_string == (tmp_path / "training.gif").read_bytes()
    assert (event.height, event.width) == pixels(event.encoded_image_string).shape[:2]
    assert event.step == trainer.global_step - 1


def test_a_video_is_written_once_training_has_ended(fit, tmp_path, encoder, monkeypatch):
    import av

    there = []
    publish = TrainingGif.publish
    monkeypatch.setattr(
        TrainingGif,
        "publish",
        lambda self, *given: publish(self, *given) or there.append((tmp_path / "training.mp4").exists()),
    )
    fit(TrainingGif(num_images=4, frame_ms=200, hold_last_ms=1000))
    assert there == [False] * 4
    with av.open(str(tmp_path / "training.mp4")) as video:
        (stream,) = video.streams
        assert float(stream.duration * stream.time_base) == pytest.approx(3 * 0.2 + 1)
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
    for frame, picture in zip(shown, frames_on_disk(tmp_path).values(), strict=False):
        height, width, _ = picture.shape
        assert np.abs(frame[:height, :width].astype(int) - picture).mean() < 12  # noise, with colours by halves


def test_a_frame_whose_file_is_damaged_is_in_the_video_as_in_the_gif(fit, tmp_path, encoder, monkeypatch):
    import av

    read = training_gif._read_picture
    monkeypatch.setattr(training_gif, "_read_picture", lambda path: None if "0002" in path.name else read(path))
    fit(TrainingGif(num_images=4))
    with av.open(str(tmp_path / "training.mp4")) as video:
        assert len(list(video.decode(video=0))) == 5  # the last twice


def test_without_an_encoder_there_is_no_video(fit, tmp_path):
    fit(TrainingGif())
    assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize(
    ("duration", "bound"), [(10, "at least 20"), (655_351, "at most 655350"), (10**18, "at most 655350")]
)
@pytest.mark.parametrize("name", ["frame_ms", "hold_last_ms"])
def test_durations_that_browsers_ignore_or_a_gif_has_not_are_refused(name, duration, bound):
    with pytest.raises(ValueError, match=f"^{name} must be {bound}, got {duration}$"):
        TrainingGif(**{name: duration})
