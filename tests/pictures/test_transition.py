"""From one image to the next: the ends are the reconstructions, in the picture and in the animation."""

import logging
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.callbacks.fakes import FakeData, captured, drawing, evaluated
from vae_lightning.errors import UserError
from vae_lightning.exports.saving import save_image, save_picture
from vae_lightning.latents.paths import chain
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.pictures.transition import Transition

INDICES = [5, 2, 9]


def reconstructed(run, folder: Path, **settings) -> list[Path]:
    folder.mkdir()
    save_picture(Reconstructions(**settings), run, folder, "reconstructions")
    return sorted(folder.glob("reconstruction_*.png"))


def made(run, folder: Path, **settings) -> Path:
    folder.mkdir()
    save_picture(Transition(**settings), run, folder, "transition")
    assert sorted(path.name for path in folder.iterdir()) == ["transition.gif", "transition.png"]
    return folder


def test_both_ends_of_every_way_are_the_reconstructions(digits, tmp_path, places_of):
    ends = reconstructed(digits, tmp_path / "ends", indices=[3, 5, 9])
    picture = made(digits, tmp_path / "out", indices=[3, 5, 9], num_frames=4) / "transition.png"
    inputs = digits.data.images_of_indices([3, 5, 9]).images
    # A row for the line and one for the great circle; the second image ends one way and begins the next.
    assert [len(places_of(end, picture)) for end in ends] == [2, 4, 2]
    assert [len(places_of(image, picture)) for image in inputs] == [2, 4, 2]
    columns = [{left for _, left in places_of(end, picture)} for end in ends]
    first, last = min(columns[0]), min(columns[2])
    assert columns == [{first}, {first, last}, {last}]
    outside = [{left for _, left in places_of(image, picture)} for image in inputs]
    assert max(outside[0]) < first < last < min(outside[2])


def test_the_animation_goes_from_the_first_reconstruction_to_the_second_and_back(
    digits, tmp_path, places_of, frames_of
):
    ends = reconstructed(digits, tmp_path / "ends", labels=[1, 0])
    frames = frames_of(made(digits, tmp_path / "out", labels=[1, 0], num_frames=5, frame_ms=80) / "transition.gif")
    assert len(frames) == 8  # there and back, the ends once
    shown = [[len(places_of(end, frame)) for end in ends] for frame in frames]
    assert shown[0] == [2, 0]
    assert shown[4] == [0, 2]
    assert [0, 0] == shown[1] == shown[2] == shown[3]
    assert Image.open(tmp_path / "out/transition.gif").info["duration"] == 80


@pytest.mark.parametrize("num_frames", [2, 7])
def test_every_step_of_both_paths_is_shown(digits, tmp_path, places_of, frames_of, num_frames):
    folder = made(digits, tmp_path / "out", indices=[0, 1], num_frames=num_frames)
    z = chain(digits.encode(digits.data.images_of_indices([0, 1]).images.float() / 255), num_frames)
    images = digits.decode(z.flatten(0, 2)).unflatten(0, z.shape[:3])[0]
    lefts = []
    for steps in images:
        lefts.append([places_of(image, folder / "transition.png")[0][1] for image in steps])
        assert lefts[-1] == sorted(lefts[-1])
        assert len(set(lefts[-1])) == num_frames
    assert lefts[0] == lefts[1]
    frames = frames_of(folder / "transition.gif")
    assert len(frames) == 2 * num_frames - 2
    for step in range(num_frames):
        assert all(places_of(image, frames[step]) for image in images[:, step])


def test_files_and_coloured_pictures_go_the_same_way(digits, colour, tmp_path, places_of):
    files = sorted(Path(colour.config["data"]["root"]).glob("*.png"))[:2]
    ends = reconstructed(colour, tmp_path / "ends", images=[str(file) for file in files])
    picture = made(colour, tmp_path / "out", images=[str(file) for file in files], num_frames=3) / "transition.png"
    assert [len(places_of(end, picture)) for end in ends] == [2, 2]
    for index, image in enumerate(digits.data.images_of_indices([3, 4]).images):
        save_image(tmp_path / f"{index}.png", image)
    own = made(digits, tmp_path / "own", images=[str(tmp_path / "0.png"), str(tmp_path / "1.png")])
    of_the_data = made(digits, tmp_path / "data", indices=[3, 4])
    for name in ("transition.png", "transition.gif"):
        assert (own / name).read_bytes() == (of_the_data / name).read_bytes()


def test_a_folder_and_a_number_make_chains(colour, tmp_path, places_of):
    made(colour, tmp_path / "out", num_images=4, num_frames=2)
    ends = reconstructed(colour, tmp_path / "ends", num_images=4)
    assert [len(places_of(end, tmp_path / "out/transition.png")) for end in ends] == [2, 4, 4, 2]
    sub = Path(colour.config["data"]["root"]) / "sub"
    made(colour, tmp_path / "sub", images=str(sub), num_frames=2)
    firsts = reconstructed(colour, tmp_path / "of_sub", images=str(sub))
    assert len(firsts) == len(list(sub.iterdir()))
    assert len(places_of(firsts[1], tmp_path / "sub/transition.png")) == 4


def test_one_image_is_too_few(digits, tmp_path):
    save_image(tmp_path / "own.png", digits.data.images_of_indices([4]).images[0])
    with pytest.raises(UserError, match=r"^a transition needs two images or more, .*; here is 1$"):
        save_picture(Transition(images=str(tmp_path / "own.png")), digits, tmp_path, "transition")
    assert [path.name for path in tmp_path.iterdir()] == ["own.png"]
    for settings in ({"indices": [4]}, {"labels": [4]}):
        with pytest.raises(ValueError, match=f"^{next(iter(settings))} must be of at least 2 images, got 1$"):
            Transition(**settings)


@pytest.mark.parametrize("given", [("images", "labels"), ("indices", "files"), ("indices", "labels")])
def test_only_one_way_of_choosing_is_taken(given):
    values = {"indices": [0, 1], "labels": [0, 1], "images": ["0.png", "1.png"], "files": ["0.png", "1.png"]}
    with pytest.raises(ValueError, match=f"^{given[0]} and {given[1]} must not be given together: choose one$"):
        Transition(**{name: values[name] for name in given})


@pytest.mark.parametrize(("name", "least"), [("num_images", 2), ("num_frames", 2), ("frame_ms", 20)])
def test_numbers_too_small_are_named(name, least):
    Transition(**{name: least})
    with pytest.raises(ValueError, match=rf"^{name} must be at least {least}, got {least - 1}$"):
        Transition(**{name: least - 1})


def test_drawing_leaves_the_global_generator_alone(digits, tmp_path):
    state = torch.get_rng_state()
    made(digits, tmp_path / "out", num_frames=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_each_path_stands_beside_its_name(fit, monkeypatch):
    calls = captured(monkeypatch, "vae_lightning.pictures.transition.transition_picture")
    trainer = fit(Transition(indices=INDICES, num_frames=3))
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
    assert (title, context) == ("transitions between posterior means", "fake · epoch 3")


def test_images_are_chosen_by_index_by_label_by_file_or_by_number(fit, tmp_path):
    levels = FakeData().levels["val"]
    files = [str(tmp_path / f"{index}.png") for index in range(2)]
    for file, image in zip(files, levels[[7, 11]], strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    chosen = {
        "indices": (Transition(indices=[5, 2, 9]), [5, 2, 9]),
        "labels": (Transition(labels=[2, 0]), [2, 0]),
        "files": (Transition(files=files), [7, 11]),
        "number": (Transition(num_images=4), [0, 1, 2, 3]),
    }
    for name, (picture, indices) in chosen.items():
        callback = drawing(picture)
        fit(callback, max_epochs=1, run_dir=tmp_path / name)
        assert torch.equal(callback.kept.images, levels[indices])


def test_data_of_one_image_are_no_reason_to_stop(fit, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "vae_lightning"):
        trainer = fit(Transition(every_n_epochs=1), data=FakeData(num_val=1))
    assert trainer.current_epoch == 3
    assert caplog.text.count("here is 1") == 3
    assert not (tmp_path / "images").exists()


def test_the_images_stay_the_same_when_a_run_is_resumed(fit, tmp_path):
    fit(Transition(indices=[5, 2]), max_epochs=1).save_checkpoint(tmp_path / "run.ckpt")
    resumed = drawing(Transition(indices=[1, 0]))
    fit(resumed, max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert torch.equal(resumed.kept.images, FakeData().levels["val"][[5, 2]])
