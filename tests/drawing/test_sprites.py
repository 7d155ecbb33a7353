import numpy as np
import pytest
import torch

from vae_lightning.drawing.sprites import sprite_sheet


@pytest.mark.parametrize("count", [1, 2, 4, 5, 10])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_cell_is_its_image(count, channels):
    images = torch.randint(0, 256, (count, channels, 6, 8), dtype=torch.uint8)
    sheet, (width, height) = sprite_sheet(images)
    cells = int(np.ceil(np.sqrt(count)))
    assert (width, height) == (8, 6)
    assert sheet.shape == (6 * cells, 8 * cells, 3)
    for index in range(cells * cells):
        row, column = divmod(index, cells)
        cell = sheet[6 * row : 6 * row + 6, 8 * column : 8 * column + 8]
        expected = images[index].expand(3, -1, -1).permute(1, 2, 0).numpy() if index < count else 0
        assert (cell == expected).all()


@pytest.mark.parametrize(("count", "height", "width", "limit"), [(5, 20, 20, 59), (9, 10, 40, 60), (3000, 28, 28, 400)])
def test_thumbnails_shrink_to_keep_the_limit(count, height, width, limit):
    values = torch.arange(count) * 250 // count
    images = values.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, height, width)
    sheet, (small_width, small_height) = sprite_sheet(images, limit=limit)
    cells = int(np.ceil(np.sqrt(count)))
    assert max(sheet.shape) <= limit < max(height, width) * cells
    assert sheet.shape == (small_height * cells, small_width * cells, 3)
    assert max(small_width, small_height) == limit // cells
    assert small_height / small_width == pytest.approx(height / width, abs=0.1)
    centres = sheet[small_height // 2 :: small_height, small_width // 2 :: small_width, 0].ravel()
    assert centres[:count].tolist() == values.tolist()


def test_shrinking_averages():
    stripes = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    stripes[..., ::4] = 200
    sheet, _ = sprite_sheet(stripes, limit=10)
    assert np.abs(sheet[:, 1:-1].astype(int) - 50).max() < 15


@pytest.mark.parametrize(
    ("shape", "limit"),
    [((0, 3, 8, 8), 100), ((2, 0, 8, 8), 100), ((17, 1, 2, 2), 4)],
    ids=["none", "no channels", "many"],
)
def test_bad_images_are_refused(shape, limit):
    with pytest.raises(ValueError, match="images must be"):
        sprite_sheet(torch.zeros(shape, dtype=torch.uint8), limit)
