import pytest
import torch

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
