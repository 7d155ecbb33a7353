import numpy as np
import pytest

from tests.drawing.tiles import is_whole
from vae_lightning.drawing.captions import BACKGROUND, nats, with_caption, with_note


@pytest.mark.parametrize("width", [20, 60, 120, 500])
@pytest.mark.parametrize("text", ["epoch 0", "epoch 12345", "input above, reconstruction below"])
def test_caption_is_whole_and_covers_nothing(width, text):
    picture = np.random.default_rng(0).integers(0, 256, (30, width, 3), dtype=np.uint8)
    captioned = with_caption(picture, text)
    assert np.array_equal(captioned[-30:, :width], picture)
    strip = captioned[:-30]
    ink = strip[..., 0] != BACKGROUND
    assert ink.any()
    # Nothing touches the border: no letter is cut off.
    border = [ink[0], ink[-1], ink[:, 0], ink[:, -2:]]
    assert not any(side.any() for side in border)


def test_strip_height_does_not_depend_on_the_text():
    picture = np.zeros((30, 70, 3), dtype=np.uint8)
    heights = {with_caption(picture, f"epoch {epoch}").shape for epoch in (0, 9, 10, 1000)}
    assert len(heights) == 1


def test_longer_texts_have_more_ink():
    picture = np.zeros((30, 300, 3), dtype=np.uint8)
    ink = [(with_caption(picture, "e" * n)[:-30, :, 0] > 200).sum() for n in (1, 5, 20)]
    assert ink[0] < ink[1] < ink[2]


# Context


def test_context_is_fainter_and_at_the_right_of_the_line():
    picture = np.zeros((30, 500, 3), dtype=np.uint8)
    plain, told = with_caption(picture, "samples"), with_caption(picture, "samples", "mnist · epoch 15")
    assert plain.shape == told.shape
    assert np.array_equal(plain[:, :300], told[:, :300])
    context = told[:-30, 300:, 0]
    assert BACKGROUND < context.max() < plain[:-30].max()
    assert 490 < 300 + np.flatnonzero((context != BACKGROUND).any(axis=0)).max() < 499


@pytest.mark.parametrize("width", [20, 100, 250])
def test_context_that_does_not_fit_the_line_gets_its_own(width):
    picture = np.random.default_rng(0).integers(0, 256, (30, width, 3), dtype=np.uint8)
    text, context = "latent traversals", "mnist_conv_beta_4 · epoch 15"
    plain, told = with_caption(picture, text), with_caption(picture, text, context)
    assert np.array_equal(told[-30:, :width], picture)
    assert np.array_equal(told[: len(plain) - 30, : plain.shape[1]], plain[:-30])
    assert is_whole(told[len(plain) - 30 : -30, :, 0] != BACKGROUND)


@pytest.mark.parametrize("width", [20, 400])
def test_note_stands_below(width):
    picture = np.zeros((30, width, 3), dtype=np.uint8)
    noted = with_note(picture, "held-out images: 0.145 (median)")
    assert np.array_equal(noted[:30, :width], picture)
    assert is_whole(noted[30:, :, 0] != BACKGROUND)


@pytest.mark.parametrize("sign", list("·\N{EN DASH}±→\N{MINUS SIGN}σé"))
def test_signs_are_not_boxes(sign):
    picture = np.zeros((1, 60, 3), dtype=np.uint8)
    box = with_caption(picture, "\uffff")
    assert (box[..., 0] > 200).any()
    assert not np.array_equal(with_caption(picture, sign), box)
    assert (with_caption(picture, sign)[..., 0] > 150).any()


def test_what_rounds_to_zero_has_no_sign():
    assert [nats(value) for value in (-0.001, 0.001, -0.006, 12.345)] == ["0.00", "0.00", "-0.01", "12.35"]
