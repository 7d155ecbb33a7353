import pytest
import torch

from vae_lightning.drawing.grids import image_grid
from vae_lightning.drawing.shown import drawable, showing, told_shown
from vae_lightning.drawing.sprites import sprite_sheet


def channels(count: int) -> torch.Tensor:
    """One image whose channel c is c / 10 everywhere."""
    return (torch.arange(count) / 10)[None, :, None, None].expand(1, -1, 4, 5)


@pytest.mark.parametrize(("count", "shown"), [(1, [0]), (2, [0]), (3, [0, 1, 2]), (4, [0, 1, 2]), (13, [0, 1, 2])])
def test_grey_and_rgb_stay_and_of_others_the_first_are_shown(count, shown):
    assert torch.equal(drawable(channels(count)), channels(count)[:, shown])


def test_the_chosen_channels_are_shown_in_their_order_and_only_meanwhile():
    with showing([4, 0, 2]):
        grid = image_grid(channels(5), columns=1, scale=1, padding=0)
        assert drawable(channels(5)[0]).shape == (3, 4, 5)
    assert grid[0, 0].tolist() == [102, 0, 51]
    assert image_grid(channels(5), columns=1, scale=1, padding=0)[0, 0].tolist() == [0, 26, 51]


@pytest.mark.parametrize(
    ("count", "chosen", "told"),
    [
        (1, None, ""),
        (3, None, ""),
        (3, [0, 1, 2], ""),
        (3, [2, 1, 0], "channels 2, 1, 0 of 3"),
        (2, None, "channel 0 of 2"),
        (5, None, "channels 0, 1, 2 of 5"),
        (5, (3, 2, 1), "channels 3, 2, 1 of 5"),
    ],
)
def test_which_are_shown_is_told_where_it_is_not_all(count, chosen, told):
    assert told_shown(count, chosen) == told


def test_thumbnails_and_sheets_show_them_too():
    with showing((3, 3, 1)):
        sheet, _ = sprite_sheet((channels(4) * 100).to(torch.uint8))
    assert sheet[0, 0].tolist() == [30, 30, 10]


def test_a_channel_that_is_not_there_is_refused():
    with showing([0, 1, 7]), pytest.raises(ValueError, match=r"^shown_channels must be from 0 to 4, got \[0, 1, 7\]"):
        drawable(channels(5))
