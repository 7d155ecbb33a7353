"""Images and what the model makes of them, above all of the user's own files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.exports.saving import save_image, save_picture
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.runs.trained import TrainedRun


def made(run: TrainedRun, folder: Path, **settings) -> Path:
    folder.mkdir()
    save_picture(Reconstructions(**settings), run, folder, "reconstructions")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_holds_an_image_of_the_data_gives_the_very_same_reconstruction(digits, tmp_path):
    images = digits.data.images_of_indices([7, 100], "test").images
    files = [tmp_path / f"{index}.png" for index in range(2)]
    for file, image in zip(files, images, strict=True):
        save_image(file, image)
    by_index = made(digits, tmp_path / "by_index", indices=[7, 100], split="test")
    by_file = made(digits, tmp_path / "by_file", images=[str(file) for file in files])
    alone = made(digits, tmp_path / "alone", images=str(files[1]))
    assert (
        names(by_index)
        == names(by_file)
        == ["reconstruction_0000.png", "reconstruction_0001.png", "reconstructions.png"]
    )
    for name in names(by_index):
        assert (by_index / name).read_bytes() == (by_file / name).read_bytes()
    second = (by_index / "reconstruction_0001.png").read_bytes()
    assert (alone / "reconstruction_0000.png").read_bytes() == second
    assert (by_index / "reconstruction_0000.png").read_bytes() != second


def test_a_picture_of_the_training_folder_is_prepared_as_it_was_for_training(colour, tmp_path):
    names_of_split = colour.data.splits["train"].names
    chosen = [next(index for index, name in enumerate(names_of_split) if name.endswith(end)) for end in ("jpg", "png")]
    files = [str(Path(colour.config["data"]["root"]) / names_of_split[index]) for index in chosen]
    by_index = made(colour, tmp_path / "by_index", indices=chosen, split="train")
    by_file = made(colour, tmp_path / "by_file", images=files)
    for name in names(by_index):
        assert (by_index / name).read_bytes() == (by_file / name).read_bytes()
    assert Image.open(by_file / "reconstruction_0001.png").mode == "RGB"


def test_reconstructions_are_the_models_own(colour, tmp_path):
    folder = made(colour, tmp_path / "out", num_images=3)
    with torch.no_grad():
        expected = colour.vae.reconstruct(colour.data.example_images(3)).mul(255)
    for index in range(3):
        pixels = np.asarray(Image.open(folder / f"reconstruction_{index:04d}.png"))
        assert np.abs(pixels - expected[index].permute(1, 2, 0).numpy()).max() < 0.51


def test_each_reconstruction_stands_below_its_input(digits, tmp_path, places_of):
    folder = made(digits, tmp_path / "out", labels=[4, 9], split="test")
    picture = folder / "reconstructions.png"
    inputs = digits.data.images_of_labels([4, 9], "test").images
    above = [places_of(image, picture) for image in inputs]
    below = [places_of(folder / f"reconstruction_{index:04d}.png", picture) for index in range(2)]
    assert [len(found) for found in above + below] == [1] * 4
    for (top, left), (lower, same) in zip([found[0] for found in above], [found[0] for found in below], strict=True):
        assert left == same
        assert lower > top
    assert above[0][0][1] < above[1][0][1]


def test_a_model_of_binarized_images_gets_binarized_files(plane, tmp_path, places_of):
    Image.new("L", (28, 28), 102).save(tmp_path / "grey.png")
    shown = plane.preprocessing.read_images([tmp_path / "grey.png"])
    assert shown.unique().tolist() == [0, 255]
    assert shown.float().mean() / 255 == pytest.approx(0.4, abs=0.08)  # 784 draws: 4.5 sigma
    folder = made(plane, tmp_path / "out", images=str(tmp_path / "grey.png"))
    assert len(places_of(shown[0], folder / "reconstructions.png")) == 1


def test_any_picture_will_do(digits, colour, tmp_path):
    Image.new("RGBA", (70, 40), (200, 100, 0, 128)).save(tmp_path / "wide.webp")
    Image.new("L", (5, 9), 50).save(tmp_path / "tall.bmp")
    for run, size in ((digits, (28, 28)), (colour, (32, 32))):
        files = [str(tmp_path / "wide.webp"), str(tmp_path / "tall.bmp")]
        folder = made(run, tmp_path / f"{size[0]}", images=files)
        assert len(names(folder)) == 3
        assert Image.open(folder / "reconstruction_0000.png").size == size


def test_no_images_are_refused():
    with pytest.raises(ValueError, match=r"^num_images must be at least 1, got 0$"):
        Reconstructions(num_images=0)
