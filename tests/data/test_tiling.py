"""Pictures that are cut into tiles: which there are, where each lies, and that all of a picture stay together."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.pixel_cache import TILES
from vae_lightning.errors import UserError

FRAME = (8, 12)


@pytest.fixture
def slides(tmp_path) -> Path:
    """30 pictures of 20 x 40 pixels, six tiles each, `00.png` to `29.png`."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (30, 20, 40), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def opened(slides, tmp_path):
    def make(**options) -> ImageFolder:
        places = {"root": str(slides), "cache_dir": str(tmp_path / "cache")}
        fractions = {"val_fraction": 0.2, "test_fraction": 0.2, "batch_size": 4, "channels": 1}
        return ImageFolder(**places, **fractions, **{"image_size": FRAME, "fit": "tile", **options})

    return make


def tiles(data: ImageFolder) -> dict[str, np.ndarray]:
    """All of them by their names."""
    found = {}
    for images in data.splits.values():
        pixels = images.images(torch.arange(len(images)))[:, 0].numpy()
        found |= dict(zip(images.names, pixels, strict=True))
    return found


def test_each_picture_gives_all_tiles_that_fit_at_its_own_resolution(opened, slides):
    found = tiles(opened())
    assert len(found) == 180
    for name in ("00.png", "17.png"):
        pixels = np.asarray(Image.open(slides / name))
        for row in range(2):
            for column in range(3):
                part = pixels[2 + 8 * row : 10 + 8 * row, 2 + 12 * column : 14 + 12 * column]
                assert np.array_equal(found[f"{name}#{row},{column}"], part)


def test_all_tiles_of_a_picture_are_in_one_split_by_the_name_of_its_file(opened, slides):
    (slides / "29.png").rename(slides / "29#0,1.png")
    whole = {name: split for split, images in opened(fit="crop").splits.items() for name in images.names}
    cut = {split: images.names for split, images in opened().splits.items()}
    for split, names in cut.items():
        assert Counter(name.rpartition("#")[0] for name in names) == {name: 6 for name in whole if whole[name] == split}


def test_a_table_has_a_row_for_each_picture_and_not_for_each_tile(opened, slides, tmp_path, told):
    (slides / "01.png").write_bytes((slides / "01.png").read_bytes()[:300])  # its size can be read, its pixels can't
    rows = "".join(f"{number:02},{number % 3},{number}\n" for number in range(30))
    (tmp_path / "labels.csv").write_text(f"file,label,number\n{rows}gone,1,1\n")
    (tmp_path / "splits.csv").write_text(
        "".join(f"{number:02},{('train', 'test')[number % 2]}\n" for number in range(30))
    )
    tables = {"labels": str(tmp_path / "labels.csv"), "split_file": str(tmp_path / "splits.csv")}
    for split in opened(max_bad_fraction=0.1, **tables).splits.values():
        pictures = [int(name[:2]) for name in split.names]
        assert split.factors["number"].tolist() == pictures
        assert split.labels.tolist() == [picture % 3 for picture in pictures]
    assert any(line.endswith("; 2 more files are in it and not among the images") for line in told())


def test_the_tiles_are_found_again_and_are_others_for_another_size(opened, tmp_path, told):
    first = tiles(opened())
    again = tiles(opened())
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert len([line for line in told() if line.startswith("decoding")]) == 1
    assert len(tiles(opened(image_size=20))) == 60
    assert len(tiles(opened(image_size=[20, 20], fit="crop"))) == 30


def test_a_turned_picture_is_cut_as_it_is_seen(opened, slides):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.asarray(Image.open(slides / "00.png"))
    Image.fromarray(np.rot90(pixels)).save(slides / "00.png", exif=exif)
    assert np.array_equal(tiles(opened())["00.png#0,0"], pixels[2:10, 2:14])


def test_what_is_smaller_than_a_tile_is_left_out_and_told(opened, slides, told):
    for number in range(3):
        Image.new("L", (40, 7)).save(slides / f"small{number}.png")
    data = opened()
    assert len(tiles(data)) == 180
    assert data.left_out == {"smaller than a tile": 3}
    lines = [line for line in told() if "smaller than a tile" in line]
    assert len(lines) == 1
    assert lines[0].startswith("3 of 33 images are smaller than a tile, listed in ")
    report = Path(lines[0].split("listed in ")[1].split(" and left out")[0]).read_text()
    assert report.splitlines()[0] == "'small0.png': ValueError: 7 x 40 pixels are less than a tile of 8 x 12"


def test_no_tile_at_all_is_refused(opened):
    with pytest.raises(UserError, match=r"^data\.fit=tile: all 30 images are smaller than a tile of 64 x 64; choose a"):
        opened(image_size=64).prepare_data()


def test_unreadable_pictures_are_counted_by_picture_and_not_by_tile(opened, slides):
    (slides / "00.png").write_bytes((slides / "00.png").read_bytes()[:300])  # its size can be read, its pixels can't
    (slides / "01.png").write_bytes(b"no picture")
    data = opened(max_bad_fraction=0.1)
    assert len(tiles(data)) == 28 * 6
    assert data.left_out == {"can't be read": 2}
    with pytest.raises(UserError, match=r"^data\.max_bad_fraction=0\.05: 2 of 30 images cannot be read"):
        opened(max_bad_fraction=0.05).prepare_data()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-8]),
        lambda file: file.write_bytes(b"none"),
        lambda file: np.save(file, np.full((30, 2), 7)),
        lambda file: np.save(file, np.full((30, 2), -1)),
        lambda file: np.save(file, np.array([[2, 3]] * 29 + [[3, 2]])),
        lambda file: file.unlink(),
    ],
)
def test_a_damaged_list_of_tiles_is_made_anew(opened, tmp_path, damage, told):
    before = tiles(opened())
    (file,) = (tmp_path / "cache").glob(f"images-*/{TILES}")
    damage(file)
    after = tiles(opened())
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert any("is damaged" in line for line in told())


def test_of_a_picture_of_ones_own_the_middle_tile_is_seen(opened, slides, tmp_path):
    pixels = np.asarray(Image.open(slides / "00.png"))
    seen = opened().read_image(slides / "00.png")
    assert np.array_equal(seen[0].numpy(), pixels[6:14, 14:26])
    Image.new("L", (11, 20)).save(tmp_path / "small.png")
    with pytest.raises(UserError, match=r"small\.png: can't be read .*\(20 x 11 pixels are less than a tile of 8 x 12"):
        opened().read_images([tmp_path / "small.png"])
