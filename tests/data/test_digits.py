import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from vae_lightning.data.digits import Digits


def content(data: Digits, split: str) -> torch.Tensor:
    images = data.splits[split]
    return images.images(torch.arange(len(images)))


def test_splits_are_disjoint_labelled_and_of_the_stated_sizes():
    splits = Digits().load_splits()
    assert [len(splits[split]) for split in ("train", "val", "test")] == [1257, 180, 360]
    assert torch.cat([images.rows for images in splits.values()]).sort().values.tolist() == list(range(1797))
    for images in splits.values():
        assert images.labels.unique().tolist() == list(range(10))


def test_the_seed_deals_the_splits():
    assert torch.equal(content(Digits(seed=3), "val"), content(Digits(seed=3), "val"))
    assert not torch.equal(content(Digits(seed=3), "val"), content(Digits(seed=4), "val"))


@pytest.mark.parametrize("image_size", [8, 28, 33, 150])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_has_full_contrast_and_the_wanted_shape(image_size, channels):
    data = Digits(image_size=image_size, channels=channels)
    images = content(data, "val")
    assert images.shape == (180, *data.image_shape) == (180, channels, image_size, image_size)
    assert images.amin() == 0
    assert images.amax() == 255
    assert torch.equal(images[:, 0], images[:, -1])


def test_resizing_keeps_label_and_likeness():
    small, large = Digits(image_size=8), Digits(image_size=32)
    assert torch.equal(small.splits["val"].labels, large.splits["val"].labels)
    shrunk = torch.nn.functional.avg_pool2d(content(large, "val").float(), 4)
    assert (shrunk - content(small, "val").float()).abs().mean() < 15


def test_first_examples_show_each_digit():
    data = Digits()
    chosen = (data.example_images(10) * 255).to(torch.uint8)
    all_images = content(data, "val")
    matches = (chosen[:, None] == all_images[None]).flatten(2).all(2).int().argmax(1)
    assert sorted(data.splits["val"].labels[matches].tolist()) == list(range(10))


@pytest.mark.parametrize("image_size", [8, 28, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_original_in_a_file_becomes_the_very_image_of_the_data(tmp_path, image_size, channels):
    data = Digits(image_size=image_size, channels=channels)
    for index in (0, 100):
        row = int(data.splits["test"].rows[index])
        original = (load_digits().images[row] * 255 / 16).round().astype(np.uint8)
        Image.fromarray(original).save(tmp_path / "digit.png")
        expected = data.splits["test"].images(torch.tensor([index]))
        assert torch.equal(data.read_images([tmp_path / "digit.png"]), expected)
        Image.fromarray(original).convert("RGB").save(tmp_path / "digit.bmp")
        assert torch.equal(data.read_images([tmp_path / "digit.bmp"]), expected)


def test_an_image_of_the_right_size_stays_as_it_is(tmp_path):
    image = content(Digits(), "val")[7]
    Image.fromarray(image[0].numpy()).save(tmp_path / "digit.png")
    assert torch.equal(Digits().read_image(tmp_path / "digit.png"), image)


def test_of_a_wide_picture_the_middle_is_taken(tmp_path):
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = np.random.default_rng(0).integers(0, 256, (8, 8))
    wide[:, 20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide[:, 8:16].copy()).save(tmp_path / "square.png")
    data = Digits()
    assert torch.equal(data.decode(tmp_path / "wide.png"), data.decode(tmp_path / "square.png"))
