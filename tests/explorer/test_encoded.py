"""Encoded images as the page has them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.explorer.encoded import encoded_images, most_images, planes_of
from vae_lightning.latents.projections import pca


@pytest.mark.parametrize("thumbnails", ["reconstructions", "originals"])
def test_thumbnails_are_in_the_order_of_the_codes(digits, thumbnails):
    images = encoded_images(digits, "test", 10, thumbnails)
    batch, latents = digits.encoded("test", 10)
    assert torch.equal(images.codes, latents.loc)
    assert torch.equal(images.labels, batch.labels)
    sheet = np.array(Image.open(io.BytesIO(images.sheet)).convert("L")).astype(float)
    wanted = batch.images.float() if thumbnails == "originals" else 255 * digits.decode(latents.loc)
    for index in range(10):
        row, column = divmod(index, images.columns)
        shown = sheet[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        assert np.abs(shown - wanted[index, 0].numpy()).mean() < 6  # of a WebP
    assert images.facts() == {"kind": "test", "labels": batch.labels.tolist(), "cell": [28, 28], "columns": 4}


def test_thumbnails_show_the_channels_that_pictures_do(colour, monkeypatch):
    as_it_is = encoded_images(colour, "test", 4, "originals")
    monkeypatch.setattr(colour.preprocessing, "shown_channels", (2, 1, 0))
    turned = encoded_images(colour, "test", 4, "originals")
    first, second = (np.array(Image.open(io.BytesIO(each.sheet))).astype(float) for each in (as_it_is, turned))
    assert np.abs(first - second).mean() > 2 * np.abs(first - second[..., ::-1]).mean()


def test_of_many_latents_there_are_fewer_images(digits):
    assert [most_images(dim) for dim in (4, 6816, 10**7)] == [750_000, 440, 0]
    assert encoded_images(digits, "test", 0, "originals") is None


def test_the_axes_of_pca_lead_to_its_plane_and_back():
    codes = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([3, 2, 1, 0.5, 0.1, 0.1])
    arrays, fractions = planes_of(codes, 0)
    places = (codes.numpy() - arrays["pca_mean"]) @ arrays["pca_axes"].T
    assert np.allclose(places, pca(codes)[0])
    assert np.allclose(arrays["pca_axes"] @ arrays["pca_axes"].T, np.eye(2))
    assert fractions[0] > fractions[1] > 0
    assert np.abs(arrays["tsne"]).max() == pytest.approx(1)


def test_few_codes_have_no_tsne_and_one_dimension_a_plane_all_the_same():
    arrays, fractions = planes_of(torch.tensor([[1.0], [3.0]]), 0)
    assert "tsne" not in arrays
    assert arrays["pca_axes"].tolist() == [[1], [0]]
    assert fractions == [1, 0]
