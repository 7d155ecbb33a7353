import numpy as np

from vae_lightning.drawing.blocks import PlacedImage, Writing
from vae_lightning.drawing.panels import Panel, Rendered, Stacked, as_layout
from vae_lightning.drawing.plots import rate_bars
from vae_lightning.drawing.sheets import Raster


def raster(level: int, height: int = 20, width: int = 30) -> Raster:
    return Raster(np.full((height, width, 3), level, np.uint8))


def panel() -> Panel:
    rows = [[raster(1), raster(2)], [raster(3), None]]
    return Panel(rows, ["beta = 1", "beta = 4"], ["dim = 2", "dim = 8"])


def test_cells_stand_in_their_rows_and_columns_in_their_own_pixels():
    block = panel().block(200.0, 1000.0)
    images = [mark for mark in block.marks if isinstance(mark, PlacedImage)]
    assert [int(image.pixels[0, 0, 0]) for image in images] == [1, 2, 3]
    assert images[0].y == images[1].y < images[2].y
    assert images[0].x == images[2].x < images[1].x
    assert all(image.pixels.shape == (20, 30, 3) for image in images)
    assert max(image.x + image.width for image in images) <= 200.001
    texts = [mark.text for mark in block.marks if isinstance(mark, Writing)]
    assert sorted(texts) == ["beta = 1", "beta = 4", "dim = 2", "dim = 8"]


def test_a_low_row_has_room_for_its_name():
    rows = [[raster(1, height=2, width=90)], [raster(2, height=2, width=90)]]
    block = Panel(rows, [""], ["latent_dim = 2", "latent_dim = 8"]).block(150.0, 1000.0)
    first, second = (mark for mark in block.marks if isinstance(mark, Writing))
    assert first.text == "latent_dim = 2"
    assert second.y - first.y > 50


def test_what_is_too_tall_gets_smaller():
    assert panel().block(400.0, 1000.0).height > 200
    assert panel().block(400.0, 150.0).height < 160


def test_on_the_screen_each_cell_says_what_it_is_of():
    pixels = panel().pixels()
    assert pixels.dtype == np.uint8
    bare = Panel([[raster(1), raster(2)]], ["", ""], [""]).pixels()
    assert bare.shape == (20, 30 + 12 + 30, 3)
    assert len(pixels) > 2 * 20 + 12


def test_panels_under_one_another():
    both = Stacked([Panel([[raster(1)]], ["a"], [""]), Panel([[raster(2)]], ["b"], [""])])
    images = [mark for mark in both.block(100.0, 1000.0).marks if isinstance(mark, PlacedImage)]
    assert images[0].y + images[0].height < images[1].y
    assert len(both.pixels()) > 40


def test_a_plot_is_drawn_for_the_width_that_it_has():
    sheet = as_layout(rate_bars(np.array([1.0, 0.1]), np.array([1.0, 0.0]), 0.01, "units", ""))
    assert isinstance(sheet, Rendered)
    (image,) = sheet.block(144.0, 1000.0).marks
    assert image.pixels.shape[1] == 600  # two inches
    assert sheet.block(144.0, 30.0).height <= 30.001
