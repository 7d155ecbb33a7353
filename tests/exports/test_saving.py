"""Images as files: rounded, of their own size, and animations that go on for ever."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.drawing.pdfs import read_pdf
from vae_lightning.drawing.films import Film
from vae_lightning.drawing.gifs import encode_gif
from vae_lightning.drawing.png import encode_png, to_uint8
from vae_lightning.drawing.printing import Paper
from vae_lightning.drawing.sheets import Captioned, Raster
from vae_lightning.errors import UserError
from vae_lightning.exports.saving import check_room, context_of, printing_on, save_drawing, save_image
from vae_lightning.pictures.picture import Drawing


def test_pixels_are_rounded_and_clamped():
    levels = torch.tensor([-0.3, 0.0, 0.49 / 255, 0.51 / 255, 254.49 / 255, 254.51 / 255, 1.0, 1.7])
    assert to_uint8(levels.view(1, 1, 8)).flatten().tolist() == [0, 0, 0, 1, 254, 255, 255, 255]
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(every.float() / 255), every)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_an_image_keeps_its_size_and_every_level(tmp_path, channels, mode):
    image = torch.randint(0, 256, (channels, 5, 9), dtype=torch.uint8)
    save_image(tmp_path / "image.png", image)
    picture = Image.open(tmp_path / "image.png")
    assert (picture.mode, picture.size) == (mode, (9, 5))
    assert np.array_equal(np.asarray(picture).reshape(5, 9, channels), image.permute(1, 2, 0).numpy())


def test_figures_and_animations_are_what_they_are_made_of(tmp_path):
    frames = [np.full((6, 8, 3), level, np.uint8) for level in (10, 100, 200)]
    save_drawing(tmp_path, "figure", Drawing(frames[1]))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "figure.png")), frames[1])
    assert not (tmp_path / "figure.gif").exists()
    save_drawing(tmp_path, "walk", Drawing(frames[1], encode_gif(frames, 130, 130)))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "walk.png")), frames[1])
    gif = Image.open(tmp_path / "walk.gif")
    assert (gif.n_frames, gif.info["loop"]) == (3, 0)
    for index, frame in enumerate(frames):
        gif.seek(index)
        assert gif.info["duration"] == 130
        assert np.array_equal(np.asarray(gif.convert("RGB")), frame)


NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_pictures_are_saved_as_is_asked_for_and_only_meanwhile(tmp_path):
    drawing = Drawing(Captioned(Raster(NOISE), "noise", "run · epoch 1"))
    with printing_on(Paper(format=["pdf", "png"], columns=2)):
        save_drawing(tmp_path, "figure", drawing)
    assert {path.name for path in tmp_path.iterdir()} == {"figure.pdf", "figure.png"}
    found = read_pdf((tmp_path / "figure.pdf").read_bytes())
    assert found.width == pytest.approx(486)
    assert np.array_equal(found.images[0], NOISE)
    assert set(found.texts) == {"noise", "run · epoch 1"}
    assert Image.open(tmp_path / "figure.png").width == round(6.75 * 300)
    save_drawing(tmp_path, "usual", drawing)
    assert (tmp_path / "usual.png").read_bytes() == encode_png(drawing.picture)


def test_a_png_for_print_has_the_resolution_that_is_asked_for(tmp_path):
    with printing_on(Paper(dpi=450)):
        save_drawing(tmp_path, "figure", Drawing(NOISE))
    assert Image.open(tmp_path / "figure.png").size == (120, 90)  # 150 of its pixels an inch


def test_without_captions_there_is_no_context(digits):
    assert context_of(digits) == digits.context
    with printing_on(Paper(caption=False)):
        assert context_of(digits) == ""


def test_a_film_is_a_gif_and_where_it_can_be_encoded_a_video(tmp_path, encoder):
    film = Film(lambda: [NOISE, NOISE[::-1]], 100)
    save_drawing(tmp_path, "walk", Drawing(NOISE, film))
    assert (tmp_path / "walk.gif").read_bytes() == film.gif()
    assert (tmp_path / "walk.mp4").read_bytes() == film.mp4()
    save_drawing(tmp_path, "own", Drawing(NOISE, film.gif()))
    assert not (tmp_path / "own.mp4").exists()


def test_more_pictures_than_a_papers_columns_have_room_for_are_refused():
    with printing_on(Paper(columns=1)):
        check_room(8, 22)
        with pytest.raises(UserError, match=r"^columns=1: 9 x 3 pictures have no room there; 8 x 22 have"):
            check_room(9, 3)
    check_room(100, 100)  # on the screen there is
