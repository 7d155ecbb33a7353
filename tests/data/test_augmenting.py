"""What is done at random to training images, and to no others."""

import inspect
import itertools
import os
import re
import sys
import traceback

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.conftest import refusal
from tests.tiny import Noise, differing, fit
from vae_lightning.data.augmenting import ALL, Colour, Crop, Shift, augmentations_of
from vae_lightning.data.digits import Digits

EACH = [Shift(), Crop(), Colour(), Colour(saturation=0.5, hue=0.3)]


def noise(count: int = 64, channels: int = 3, height: int = 12, width: int = 20) -> torch.Tensor:
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8).permute(0, 3, 1, 2)


def smooth(count: int, height: int = 24, width: int = 40) -> torch.Tensor:
    """Levels that rise by 2 a pixel down and by 3 to the right."""
    ramp = 2 * torch.arange(height)[:, None] + 3 * torch.arange(width)
    return ramp.to(torch.uint8).expand(count, 1, -1, -1).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augmentation", EACH)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_keep_their_form_and_each_is_changed_by_a_draw_of_its_own(augmentation, channels):
    image = noise(1, channels)
    images = image.expand(64, -1, -1, -1)
    changed = augmentation(images)
    assert (changed.dtype, changed.shape) == (torch.uint8, images.shape)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert len({each.numpy().tobytes() for each in changed}) > 12
    assert torch.equal(images, image.expand(64, -1, -1, -1))  # which the loader may hold
    torch.manual_seed(3)
    first = augmentation(images)
    torch.manual_seed(3)
    assert torch.equal(augmentation(images), first)


@pytest.mark.parametrize("augmentation", EACH)
def test_none_asks_the_device_for_a_value(augmentation):
    # In a fork: this mode registers a device, for which the next backward pass starts a thread; and forks of a process
    # that has one, as other tests train in, can't go backward.
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    try:
        with FakeTensorMode():  # whose tensors have none
            inspect.unwrap(type(augmentation).__call__)(augmentation, torch.zeros(4, 3, 12, 20, dtype=torch.uint8))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def test_shifts_are_by_all_whole_numbers_of_pixels_and_repeat_the_border():
    images = noise(400)
    found, padded = Shift(2)(images), torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="replicate")
    places = list(itertools.product(range(5), repeat=2))
    all_shifts = torch.stack([padded[:, :, y : y + 12, x : x + 20] for y, x in places])
    matches = (all_shifts == found.float()).flatten(2).all(2)
    assert matches.any(0).all()
    assert matches.any(1).all()


def test_crops_are_parts_of_all_sizes_and_places_with_the_images_proportions():
    images = smooth(500)
    cropped = Crop(0.25)(images).float()
    # The ramp of a part rises by its share of the side, down as to the right, and its mean tells where it lies.
    down = (cropped[:, 0, -1] - cropped[:, 0, 0]).mean(1) / (2 * 23)
    right = (cropped[:, 0, :, -1] - cropped[:, 0, :, 0]).mean(1) / (3 * 39)
    assert torch.allclose(down, right, atol=0.06)
    assert right.min() == pytest.approx(0.5, abs=0.03)
    assert right.max() == pytest.approx(1.0, abs=0.03)
    assert right.square().mean() == pytest.approx(0.625, abs=0.04)  # areas are even from 1/4 to 1
    means = cropped.mean((1, 2, 3)) - images.float().mean()
    assert means.mean().abs() < 2.5
    assert means.std() > 8
    assert (cropped >= 0).all()
    assert (cropped <= images.max()).all()


def test_a_crop_of_almost_the_whole_is_the_whole():
    images = smooth(4)
    assert (Crop(0.9999)(images).int() - images.int()).abs().max() <= 1


def test_brightness_is_a_factor_and_contrast_keeps_the_mean():
    images = noise(300).clamp(60, 140)
    lighter = Colour(brightness=0.5, contrast=0, saturation=0)(images).float()
    factors = lighter.mean((1, 2, 3)) / images.float().mean((1, 2, 3))
    assert factors.min() == pytest.approx(0.5, abs=0.03)
    assert factors.max() == pytest.approx(1.5, abs=0.03)
    assert (lighter - factors[:, None, None, None] * images.float()).abs().max() < 1.5
    sharper = Colour(brightness=0, contrast=0.5, saturation=0)(images).float()
    grey = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    assert torch.allclose((grey * sharper).sum(1).mean((1, 2)), (grey * images).sum(1).mean((1, 2)), atol=0.5)
    ratio = sharper.std((1, 2, 3)) / images.float().std((1, 2, 3))
    assert ratio.min() < 0.6
    assert ratio.max() > 1.4


def test_saturation_and_hue_leave_greys_and_turn_colours():
    colours = noise(300).clamp(80, 130)
    greys = colours[:, :1].expand(-1, 3, -1, -1)
    for augmentation in (Colour(0, 0, saturation=1), Colour(0, 0, saturation=0, hue=0.5)):
        assert (augmentation(greys).int() - greys.int()).abs().max() <= 1
        assert (augmentation(colours).int() - colours.int()).abs().max() > 20
    red = torch.zeros(2000, 3, 2, 2, dtype=torch.uint8)
    red[:, 0] = 90
    turned = Colour(0, 0, saturation=0, hue=0.5)(red)[:, :, 0, 0]
    assert [(turned[:, channel] > 88).any().item() for channel in range(3)] == [True] * 3  # a third of a turn is green
    assert (turned.int().sum(1) - 90).abs().max() <= 30  # what would be below 0 is cut off


def test_images_that_are_neither_grey_nor_rgb_get_brightness_and_contrast():
    images = noise(200, channels=5).clamp(60, 140)
    changed = Colour(0.3, 0)(images).float()
    ratios = changed.mean((2, 3)) / images.float().mean((2, 3))
    assert torch.allclose(ratios, ratios[:, :1].expand(-1, 5), atol=0.02)  # one factor for all channels


def test_a_list_names_them_in_order_with_settings_or_without():
    given = ["crop", {"name": "shift", "pixels": 3}, {"name": "colour", "hue": 0.1}]
    assert augmentations_of(given, 3, (8, 8)) == (Crop(), Shift(3), Colour(hue=0.1))
    assert augmentations_of([], 1, (8, 8)) == ()
    assert sorted(ALL) == ["colour", "crop", "shift"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("turn", "augmentations must be names of shift, crop, colour, or {name:shift,pixels:3}, got turn"),
        ({"pixels": 3}, "augmentations must be names of shift, crop, colour, or {name:shift,pixels:3}, got {'pixels'"),
        ({"name": ["shift"]}, "augmentations must be names of shift"),
        (3, "augmentations must be names of shift"),
        ({"name": "shift", "by": 3}, "augmentations: shift has no setting by; choose from pixels"),
        ({"name": "shift", "pixels": 0}, "augmentations: pixels of shift must be at least 1, got 0"),
        ({"name": "shift", "pixels": 1.5}, "augmentations: pixels of shift must be a whole number, got 1.5"),
        ({"name": "shift", "pixels": 8}, "augmentations: pixels of shift must be less than 8, as high or wide"),
        ({"name": "crop", "smallest": 1}, "augmentations: smallest of crop must be above 0 and below 1, got 1"),
        ({"name": "crop", "smallest": "x"}, "augmentations: smallest of crop must be a number, got x"),
        ({"name": "colour", "hue": 0.6}, "augmentations: hue of colour must be from 0 to 0.5, got 0.6"),
        ({"name": "colour", "brightness": None}, "augmentations: brightness of colour must be a number, got None"),
        (
            {"name": "colour", "hue": 0.1},
            "augmentations: hue of colour must be left out, for it is of RGB",
        ),
        ({"name": "colour", "saturation": 0.1}, "augmentations: saturation of colour must be left out"),
    ],
)
def test_what_cannot_be_is_told(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        inspect.unwrap(augmentations_of)([given], 1, (8, 20))


def test_binary_images_are_shifted_only():
    data = Noise(binarize="fixed", augmentations=["shift"])
    assert data.training_images(data.splits["train"].images(torch.arange(8))).unique().tolist() == [0, 1]
    for name in ("crop", "colour"):
        with pytest.raises(ValueError, match=f"^augmentations: {name} makes binary pixels grey"):
            Noise(binarize="fixed", augmentations=[name])
    drawn = Noise(binarize="dynamic", augmentations=["crop", "colour"])
    assert drawn.training_images(drawn.splits["train"].images(torch.arange(8))).unique().tolist() == [0, 1]


@pytest.mark.parametrize("name", sorted(ALL))
def test_training_images_alone_are_changed(name):
    plain, changed = Digits(), Digits(augmentations=[name])
    for split in ("train", "val", "test"):
        assert all(
            torch.equal(one.images, other.images)
            for one, other in zip(plain.stream(split), changed.stream(split), strict=True)
        )
    for one, other in zip(plain.val_dataloader(), changed.val_dataloader(), strict=True):
        assert torch.equal(plain.on_after_batch_transfer(one).images, changed.on_after_batch_transfer(other).images)
    images = next(iter(changed.train_dataloader())).images[0]
    assert not torch.equal(changed.training_images(images), plain.training_images(images))


def test_a_training_repeats_and_is_another_one_with_them():
    options = {"augmentations": ["shift", "crop", "colour"], "horizontal_flip": True, "binarize": "dynamic"}
    first = fit(1, data=Noise(**options))
    assert differing(first.weights, fit(3, data=Noise(**options)).weights) == []
    assert differing(first.weights, fit(1, data=Noise(horizontal_flip=True, binarize="dynamic")).weights)


@pytest.mark.parametrize("given", ["[shift,{name:colour,hue:0.1}]", "[turn]", "shift", "[{name:crop,smallest:2}]"])
def test_a_wrong_one_on_the_command_line_is_one_line(given, command, tmp_path):
    told = refusal(command, "data=digits", "model=mlp", "debug=fast", f"data.augmentations={given}", "run_dir=run")
    assert told.startswith("data.augmentations")
    assert not (tmp_path / "run").exists()
