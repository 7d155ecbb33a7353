import logging

import numpy as np
import pytest
import torch
from PIL import Image

from tests.callbacks.fakes import FakeData, captured, evaluated, events, frames, pixels, places, train
from vae_lightning.callbacks.transition import Transition

INDICES = [5, 2, 9]
GIVEN = {"indices": [0, 1], "labels": [0, 1], "files": ["0.png", "1.png"]}
ENLARGED, ENLARGED_IN_MOTION = 12, 16  # 8 px to 96 and to 128


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A run with two transitions of four images each: the Trainer and the run directory."""
    run_dir = tmp_path_factory.mktemp("transition")
    return train(run_dir, Transition(None, indices=INDICES, num_frames=4, frame_ms=90), channels=1), run_dir


def inputs_and_reconstructions(trainer):
    images = trainer.datamodule.images_of_indices(INDICES).images / 255
    with torch.no_grad():
        return images, evaluated(trainer).reconstruct(images)


def test_a_way_leads_from_one_reconstruction_to_the_next_between_their_inputs(grey):
    trainer, run_dir = grey
    picture = pixels(run_dir / "images/transition/epoch_0003.png")
    images, reconstructions = inputs_and_reconstructions(trainer)
    found = [places(picture, image, ENLARGED) for image in images]
    decoded = [places(picture, image, ENLARGED) for image in reconstructions]
    # Two rows, one a path, for each of the two transitions; the image in the middle ends one and starts the other.
    assert [len(tiles) for tiles in found] == [len(tiles) for tiles in decoded] == [2, 4, 2]
    rows = [y for y, _ in found[0] + found[2]]
    assert rows == sorted(set(rows))
    for start, end, ys in [(0, 1, rows[:2]), (1, 2, rows[2:])]:
        for y in ys:
            across = [
                [x for top, x in tiles[index] if top == y] for tiles in (found, decoded) for index in (start, end)
            ]
            assert [len(xs) for xs in across] == [1, 1, 1, 1]
            (first_input,), (last_input,), (first,), (last,) = across
            assert first_input < first < last < last_input
            assert last - first > 2 * 8 * ENLARGED


def test_each_path_stands_beside_its_name(fit, monkeypatch):
    calls = captured(monkeypatch, "vae_lightning.callbacks.transition.transition_picture")
    trainer = fit(Transition(None, indices=INDICES, num_frames=3))
    ways, paths, starts, ends, title, context = calls[0]
    images = trainer.datamodule.images_of_indices(INDICES).images / 255
    vae = evaluated(trainer)
    with torch.no_grad():
        z = vae.encode(images).loc
        halfway = vae.generate((z[:-1] + z[1:]) / 2)
    assert paths == ["linear", "spherical"]
    assert torch.allclose(ways[:, 0, 1], halfway, atol=1e-6)
    assert not torch.allclose(ways[:, 1, 1], halfway, atol=1e-3)
    assert torch.equal(starts, images[:2])
    assert torch.equal(ends, images[1:])
    assert (title, context) == ("transitions between validation images", "fake · epoch 3")


def test_the_gif_goes_there_and_back(grey):
    trainer, run_dir = grey
    gif = (run_dir / "images/transition/epoch_0003.gif").read_bytes()
    [event] = events(run_dir).Images("animations/transition")
    assert event.encoded_image_string == gif
    assert event.step == trainer.global_step - 1
    shown, durations = frames(gif)
    assert durations == [90] * (2 * 4 - 2)
    _, reconstructions = inputs_and_reconstructions(trainer)
    for frame, images in [(shown[0], reconstructions[:-1]), (shown[3], reconstructions[1:])]:
        lefts = [places(frame, image, ENLARGED_IN_MOTION) for image in images]
        assert [len(tiles) for tiles in lefts] == [2, 2]  # one below the other, a path each
        assert lefts[0][0][1] == lefts[0][1][1] < lefts[1][0][1] == lefts[1][1][1]
    assert np.array_equal(shown[1], shown[5])
    assert np.array_equal(shown[2], shown[4])


def test_images_are_chosen_by_index_by_label_by_file_or_by_number(fit, tmp_path):
    levels = FakeData().levels["val"]
    files = [str(tmp_path / f"{index}.png") for index in range(2)]
    for file, image in zip(files, levels[[7, 11]], strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    chosen = {
        "indices": (Transition(None, indices=[5, 2, 9]), [5, 2, 9]),
        "labels": (Transition(None, labels=[2, 0]), [2, 0]),
        "files": (Transition(None, files=files), [7, 11]),
        "number": (Transition(None, num_images=4), [0, 1, 2, 3]),
    }
    for name, (callback, indices) in chosen.items():
        fit(callback, max_epochs=1, run_dir=tmp_path / name)
        assert torch.equal(callback.fixed, levels[indices])


@pytest.mark.parametrize("given", [("indices", "labels"), ("indices", "files"), ("labels", "files")])
def test_only_one_way_of_choosing_is_taken(given):
    with pytest.raises(ValueError, match=f"^{given[0]} and {given[1]} must not be given together: choose one$"):
        Transition(**{name: GIVEN[name] for name in given})


@pytest.mark.parametrize("name", ["indices", "labels", "files"])
@pytest.mark.parametrize("count", [0, 1])
def test_one_image_leads_nowhere(name, count):
    with pytest.raises(ValueError, match=f"^{name} must be of at least 2 images, got {count}$"):
        Transition(**{name: GIVEN[name][:count]})


def test_data_of_one_image_are_no_reason_to_stop(fit, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "vae_lightning"):
        trainer = fit(Transition(1), data=FakeData(num_val=1))
    assert trainer.current_epoch == 3
    assert caplog.text.count("callbacks.transition: 1 validation images are too few") == 3
    assert not (tmp_path / "images").exists()


def test_the_images_stay_the_same_when_a_run_is_resumed(fit, tmp_path):
    fit(Transition(None, indices=[5, 2]), max_epochs=1).save_checkpoint(tmp_path / "run.ckpt")
    resumed = Transition(None, indices=[1, 0])
    fit(resumed, max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert torch.equal(resumed.fixed, FakeData().levels["val"][[5, 2]])
