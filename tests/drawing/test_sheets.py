"""Pictures on paper: what is read there is large enough, and the images are their own pixels."""

import numpy as np
import pytest
import torch

from tests.drawing.pdfs import read_pdf
from vae_lightning.drawing.grids import comparison_grid, sample_grid
from vae_lightning.drawing.plots import density_panels, label_scatter, rate_bars
from vae_lightning.drawing.printing import TALLEST, encode_figure
from vae_lightning.drawing.sheets import Captioned, Raster
from vae_lightning.drawing.thumbnails import thumbnail_map
from vae_lightning.drawing.walks import manifold_picture, neighbours_picture, traversal_picture

NOISE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8))
IMAGES = NOISE.float() / 255
TITLE, CONTEXT = "what it is", "my_run · epoch 3"


def sheets(context):
    rates = np.linspace(2, 0, 60)
    points = np.random.default_rng(0).normal(size=(40, 2))
    grid = np.linspace(-4, 4, 9)
    return {
        "samples": Captioned(sample_grid(IMAGES), TITLE, context),
        "by label": Captioned(sample_grid(IMAGES, ["a", "a long name of a class " * 3]), TITLE, context),
        "comparison": comparison_grid(IMAGES[:20], IMAGES[20:], columns=8, context=context),
        "traversal": traversal_picture(IMAGES.unflatten(0, (4, 10)), range(4), [1.0] * 4, range(10), TITLE, context),
        "manifold": manifold_picture(IMAGES[:36].unflatten(0, (6, 6)), [float(n) for n in range(6)], TITLE, context),
        "neighbours": neighbours_picture(
            IMAGES[:8], IMAGES[8:].unflatten(0, (8, 4)), torch.zeros(8, 4), 0.1, TITLE, context
        ),
        "thumbnails": thumbnail_map(points, NOISE, TITLE, context, ("z 0", "z 1"), side=100),
        "classes": label_scatter(points, np.arange(40) % 3, TITLE, context, ("z 0", "z 1")),
        "bars": rate_bars(rates, rates, 0.01, TITLE, context),
        "densities": density_panels(np.ones((2, 9)), np.ones((2, 9)), grid, [0, 4], [1.0, 1.0], TITLE, context),
    }


@pytest.fixture(scope="module")
def pdfs():
    """Of each sheet for one column, with and without a caption."""
    return {
        context: {name: read_pdf(encode_figure(sheet.figure(3.25), "pdf")) for name, sheet in sheets(context).items()}
        for context in (CONTEXT, "")
    }


NAMES = list(sheets(CONTEXT))


@pytest.mark.parametrize("name", NAMES)
def test_a_column_wide_with_letters_that_can_be_read(pdfs, name):
    found = pdfs[CONTEXT][name]
    assert found.width == pytest.approx(234)
    assert min(found.sizes) >= 6
    assert max(found.sizes) <= 8
    assert CONTEXT in found.texts


@pytest.mark.parametrize("name", NAMES)
def test_without_a_caption_neither_title_nor_run_is_told_and_there_is_no_room_for_them(pdfs, name):
    found, captioned = pdfs[""][name], pdfs[CONTEXT][name]
    told = " ".join(found.texts)
    assert "my_run" not in told
    assert TITLE not in told
    assert "input above" not in told
    assert found.height < captioned.height
    assert len(found.texts) < len(captioned.texts)


@pytest.mark.parametrize("name", ["samples", "by label", "comparison", "traversal", "manifold", "neighbours"])
def test_every_image_is_there_pixel_by_pixel(pdfs, name):
    count = 36 if name == "manifold" else 40
    wanted = {image.tobytes() for image in NOISE[:count].permute(0, 2, 3, 1).contiguous().numpy()}
    windows = [np.lib.stride_tricks.sliding_window_view(image, (8, 8, 3)) for image in pdfs[""][name].images]
    found = {np.ascontiguousarray(tile).tobytes() for each in windows for tile in each.reshape(-1, 8, 8, 3)}
    assert wanted <= found


def test_labels_and_axes_are_letters(pdfs):
    assert {"z 3", "KL = 1.00"} <= set(pdfs[""]["traversal"].texts)
    assert {"5.0", "0.0"} <= set(pdfs[""]["manifold"].texts)
    assert {"sample", "nearest training images", "0.000"} <= set(pdfs[""]["neighbours"].texts)
    assert {"label", "0", "1", "2", "z 0"} <= set(pdfs[""]["classes"].texts)
    assert {"active above 0.01", "KL (nats)", "1"} <= set(pdfs[""]["bars"].texts)
    assert {"z 4  KL = 1.00", "prior", "density"} <= set(pdfs[""]["densities"].texts)


def test_what_is_too_tall_for_a_page_has_smaller_images(pdfs):
    tall = Captioned(sample_grid(IMAGES, [str(n) for n in range(40)]), TITLE, CONTEXT)
    found = read_pdf(encode_figure(tall.figure(6.75), "pdf"))
    assert (found.width, found.height) == pytest.approx((6.75 * 72, TALLEST * 72), abs=1)
    assert CONTEXT in found.texts
    assert min(found.sizes) >= 6


def test_pixels_of_ones_own_are_there_as_they_are_at_the_width_that_is_asked_for():
    own = NOISE.permute(0, 2, 3, 1).reshape(80, 32, 3)[:32].contiguous().numpy()
    found = read_pdf(encode_figure(Raster(own).figure(3.25), "pdf"))
    assert (found.width, found.height) == pytest.approx((234, 234))
    assert np.array_equal(found.images[0], own)
    assert Raster(own).own_width == 32 / 150


def test_a_cloud_of_very_many_points_is_an_image_and_its_letters_are_not():
    points = np.random.default_rng(0).normal(size=(5001, 2))
    found, fewer = (
        encode_figure(label_scatter(some, None, TITLE, CONTEXT, None).figure(3.25), "svg", 72)
        for some in (points, points[:100])
    )
    assert (found.count(b"<image"), fewer.count(b"<image")) == (1, 0)
    assert CONTEXT.encode() in found
