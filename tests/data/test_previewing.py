"""What is looked at before a training is what training gets."""

import torch

from vae_lightning.data import previewing
from vae_lightning.data.digits import Digits
from vae_lightning.data.previewing import preview


def test_the_levels_of_all_training_images_are_counted():
    data = Digits(image_size=8)
    seen = preview(data, 5)
    images = data.splits["train"].images(torch.arange(1257))
    assert seen.images.shape == (5, 1, 8, 8)
    assert seen.num_counted == 1257
    assert torch.equal(seen.levels[0], images.flatten().bincount(minlength=256))
    assert seen.range == (0, 255)
    assert abs(seen.mean - float(images.double().mean())) < 1e-9


def test_of_many_images_some_are_counted(monkeypatch):
    monkeypatch.setattr(previewing, "_MOST_VALUES", 64 * 30)
    seen = preview(Digits(image_size=8, channels=3), 5)
    assert seen.num_counted == 10
    assert seen.levels.sum(1).tolist() == [640] * 3
    assert preview(Digits(image_size=8), 50).images.shape[0] == 50


def test_images_are_flipped_and_binarized_as_in_training():
    plain, flipped = preview(Digits(), 40), preview(Digits(horizontal_flip=True), 40)
    same = [torch.equal(one, other) for one, other in zip(plain.images, flipped.images, strict=True)]
    mirrored = [torch.equal(one, other.flip(2)) for one, other in zip(plain.images, flipped.images, strict=True)]
    assert all(one or other for one, other in zip(same, mirrored, strict=True))
    assert 5 < sum(mirrored) < 35
    for binarize in ("dynamic", "fixed"):
        levels = preview(Digits(binarize=binarize), 4).levels
        assert levels[0, 1:255].sum() == 0
        assert (levels[0, [0, 255]] > 0).all()
