"""Files for print: of a physical width, of letters and of images' own pixels, and the same every time."""

import base64
import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.drawing.pdfs import read_pdf
from vae_lightning.drawing.blocks import Block, Writing, figure_of, image_block, stacked, text_block
from vae_lightning.drawing.printing import WIDTHS, Paper, encode_figure

NOISE = np.random.default_rng(0).integers(0, 256, (9, 30, 3), dtype=np.uint8)


def page(pixels=NOISE, width=234.0):
    return figure_of(stacked([text_block("a run of $mine$ · epoch 3", width), image_block(pixels, width)], 2))


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_pdf_has_the_columns_width_the_text_and_every_pixel(columns):
    found = read_pdf(encode_figure(page(width=72 * WIDTHS[columns]), "pdf"))
    assert found.width == pytest.approx({1: 3.25, 2: 6.75}[columns] * 72)
    assert found.height == pytest.approx(7 * 1.3 + 2 + found.width * 9 / 30, abs=0.01)
    assert found.texts == ["a run of $mine$ · epoch 3"]
    assert found.sizes == {7}
    (image,) = found.images
    assert np.array_equal(image, NOISE)


def test_a_svg_has_them_too_and_asks_for_hard_edges():
    svg = encode_figure(page(), "svg").decode()
    assert '<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="234pt"' in svg
    assert re.findall(r"<text [^>]*>(.*?)</text>", svg) == ["a run of $mine$ · epoch 3"]
    assert "'DejaVu Sans', 'Verdana'" in svg
    (encoded,) = re.findall(r"base64,\s*([^\"]*)\"", svg)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
    assert np.array_equal(image, NOISE)
    assert "image-rendering:pixelated" in svg


def test_a_png_has_so_many_dots_an_inch_and_every_pixel_as_a_square():
    picture = Image.open(io.BytesIO(encode_figure(figure_of(image_block(NOISE, 72)), "png", 300)))
    assert picture.size == (300, 90)
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    enlarged = NOISE.repeat(10, axis=0).repeat(10, axis=1)
    assert np.array_equal(np.asarray(picture.convert("RGB")), enlarged)


def test_a_png_leaves_no_fine_pixel_out():
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    picture = Image.open(io.BytesIO(encode_figure(figure_of(image_block(stripes, 72)), "png", 150)))
    assert abs(np.asarray(picture.convert("L"))[20:-20, 20:-20].astype(int) - 127).max() < 30


@pytest.mark.parametrize("file_format", ["png", "pdf", "svg"])
def test_bytes_repeat_without_a_date_and_whatever_the_users_settings_are(file_format, monkeypatch):
    first = encode_figure(page(), file_format)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    with matplotlib.rc_context({"font.size": 30, "pdf.fonttype": 3, "svg.fonttype": "path", "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        assert encode_figure(page(), file_format) == first
        assert dict(matplotlib.rcParams) == before
    for word in (b"CreationDate", b"<dc:date>", b"matplotlib.org"):
        assert word not in first


def test_what_is_asked_of_pictures():
    assert Paper().formats == ["png"]
    assert Paper().is_screen
    assert Paper(format=["pdf", "png", "pdf"]).formats == ["pdf", "png"]
    assert not Paper(dpi=600).is_screen
    assert not Paper(columns=1).is_screen


def test_long_texts_are_broken_and_none_leaves_the_page():
    text = "a_name_without_a_blank_" * 9 + " and words"
    block = text_block(text, 234)
    assert isinstance(block, Block)
    lines = [mark.text for mark in block.marks if isinstance(mark, Writing)]
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(lines) > 3


def test_no_torch_is_needed():
    program = (
        "import sys, numpy as np\n"
        "from vae_lightning.drawing.blocks import figure_of, image_block\n"
        "from vae_lightning.drawing import figures, films, sheets, tables\n"
        "from vae_lightning.drawing.printing import encode_figure\n"
        "encode_figure(figure_of(image_block(np.zeros((2, 2, 3), np.uint8), 72)), 'pdf')\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
