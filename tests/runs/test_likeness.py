"""Images that a run has not learned are told from its own, in a line with a cure that was tried."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vae_lightning.runs.cures import Cure
from vae_lightning.runs.likeness import Likeness, Strange
from vae_lightning.runs.trained import TrainedRun


@pytest.fixture(scope="module")
def own(digits) -> Tensor:
    """The run's own test images."""
    return torch.cat([batch.images for batch in digits.data.stream("test")]).float() / 255


def looked(run: TrainedRun, images: Tensor, *names: str) -> Strange | None:
    usual = {name: run.usual[name] for name in names} if names else run.usual
    return Likeness(run, usual, "invert=true").look(images, None)


def line(run: TrainedRun, images: Tensor, *names: str) -> str:
    strange = looked(run, images, *names)
    assert strange is not None
    assert "\n" not in strange.told
    return strange.told


def test_its_own_images_are_nothing_strange(digits, own):
    assert [looked(digits, image[None]) for image in own[:50]] == [None] * 50
    assert [looked(digits, group) for group in own[:160].split(8)] == [None] * 20
    assert looked(digits, own) is None
    assert looked(digits, own[:0]) is None


def test_inverted_images_are_told_one_by_one_and_together(digits, own):
    for image in own[:8]:
        assert line(digits, 1 - image[None]).endswith("inverted (invert=true) they would fit")
    told = line(digits, 1 - own[:8])
    mean, elbo = float((1 - own[:8]).mean()), round(digits.usual["ELBO"].mean)
    assert told.startswith(f"images: mean {mean:.2f} (the training images: {digits.usual['mean'].mean:.2f}), ELBO -")
    assert f" (the test images: {elbo}): inverted" in told


@pytest.mark.parametrize("names", [("ELBO",), ("mean", "spread")])  # a run of an earlier version; one not tested
def test_either_record_alone_tells_inverted_images(digits, own, names):
    assert looked(digits, own[:8], *names) is None
    assert line(digits, 1 - own[:8], *names).endswith("inverted (invert=true) they would fit")


def test_a_run_that_has_recorded_nothing_warns_of_nothing(digits, own):
    assert Likeness(digits, {}, "invert=true").look(1 - own[:8], None) is None


def test_what_is_wrong_with_images_is_found_by_trying(digits, own):
    pale, paper = line(digits, own[:8] / 5), line(digits, 0.8 - 0.5 * own[:8])
    assert pale.endswith("): with full contrast at 28 x 28 pixels (light evened, bolder lines) they would fit")
    assert paper.endswith(" pixels (light evened, bolder lines) they would fit")
    small = Cure(False, False, 0.65)(own[:8]).roll((4, 4), (2, 3))  # in a corner
    assert "centred at 1.5 times their size" in line(digits, small)
    assert "centred" not in line(digits, small, "mean", "spread")  # which do not tell where in the frame it lies
    blank = looked(digits, torch.ones(2, 1, 28, 28))
    assert blank is not None
    assert blank.cure is None
    assert blank.told.endswith("): nothing is on them")
    noise = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert line(digits, noise).endswith(
        "): nothing that was tried would make them fit; are they of the kind that this run has learned?"
    )


def off_centre(images: Tensor, pixels: int) -> Tensor:
    return torch.stack(
        [image.roll((pixels, -pixels if row % 2 else pixels), (1, 2)) for row, image in enumerate(images)]
    )


def test_what_lies_off_its_place_is_told_though_it_is_not_far(digits, own):
    found = [(image, looked(digits, image[None])) for image in off_centre(own[:40], 5)]
    elbo = round(digits.usual["ELBO"].mean)
    moved = [image for image, strange in found if strange is not None and "fit, with -" in strange.told]
    assert len(moved) >= 3
    for image in moved:
        told = line(digits, image[None])
        assert re.fullmatch(rf"images: ELBO -\d+ \(the test images: {elbo}\): centred they would fit, with -\d+", told)
    assert line(digits, torch.cat([own[:6], moved[0][None]])).startswith("images: 1 of 7 have ELBO -")
    assert "centred" in line(digits, off_centre(own[:8], 4))


def test_images_that_are_likelier_inverted_are_told_where_there_are_several(digits, own):
    usual = digits.usual["ELBO"]
    # As it is with faces, of which inverted ones are within the spread of a run's own.
    likeness = Likeness(digits, {"ELBO": replace(usual, deviation=12 * usual.deviation)}, "invert=true")
    assert [likeness.look(group, None) for group in own[:160].split(8)] == [None] * 20
    assert [likeness.look(1 - image[None], None) for image in own[:20]] == [None] * 20
    strange = likeness.look(1 - own[:8], None)
    assert strange is not None
    assert "): inverted (invert=true) they would fit, with -" in strange.told


def test_of_a_mixture_those_are_told_that_are_far(digits, own):
    mixed = torch.cat([own[:6], 1 - own[6:8]])
    told = line(digits, mixed)
    assert told.startswith("images: 2 of 8 have mean 0.")
    assert told.endswith("inverted (invert=true) they would fit")
