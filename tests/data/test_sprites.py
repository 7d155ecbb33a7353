import inspect
import math
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import content, sizes
from tests.memory import peak_bytes
from vae_lightning.data.drawn_sprites import SHAPES, SpriteGrid, drawn
from vae_lightning.data.image_facts import facts_of
from vae_lightning.data.previewing import preview
from vae_lightning.data.sprites import Sprites
from vae_lightning.data.variety import variety_of
from vae_lightning.errors import UserError

FEW = {"num_scales": 2, "num_orientations": 3, "num_positions": 4, "batch_size": 8}
NUM_IMAGES = 3 * 2 * 3 * 4 * 4
FEW_GRID = SpriteGrid(2, 3, 4)


def sprites(tmp_path, **options) -> Sprites:
    return Sprites(**({"cache_dir": str(tmp_path / "cache")} | FEW | options))


def whole(data: Sprites) -> torch.Tensor:
    """All images in the order of the grid."""
    images = torch.empty(NUM_IMAGES, 64, 64, dtype=torch.uint8)
    for split in data.splits:
        images[data.splits[split].rows] = content(data, split)[:, 0]
    return images


def test_the_whole_grid_is_that_of_dsprites():
    grid = SpriteGrid()
    assert len(grid) == 737_280
    assert list(map(len, grid.values.values())) == [3, 6, 40, 32, 32]
    assert grid.values["scale"] == pytest.approx((0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
    assert grid.values["orientation"][39] == pytest.approx(2 * math.pi)
    assert grid.values["position_x"][::31] == (0.0, 1.0)
    classes = grid.classes()
    assert [each[1024 * 40 + 33].item() for each in classes.values()] == [0, 1, 0, 1, 1]


def test_each_image_is_the_shape_of_its_factors_at_their_place(tmp_path):
    data = sprites(tmp_path)
    images, grid = whole(data), data.grid
    assert images.unique().tolist() == [0, 255]
    for row, classes in enumerate(zip(*grid.classes().values(), strict=True)):
        values = [grid.values[name][each] for name, each in zip(grid.values, classes, strict=True)]
        shape = drawn(SHAPES[classes[0]], *values[1:3])
        left, top = (round(31 - 31 * place) for place in values[3:])
        assert np.array_equal(images[row].numpy() > 0, shape[top : top + 64, left : left + 64])


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_is_ever_cut_off_and_each_fills_a_fitting_part(shape):
    for orientation in np.linspace(0, 2 * math.pi, 40):
        picture = drawn(shape, 1.0, float(orientation))
        middle = picture[31:64, 31:64]  # what is seen at every position
        assert picture.sum() == middle.sum()
        assert 440 < picture.sum() < 540
    half = drawn(shape, 0.5, 0.0)
    assert half.sum() == pytest.approx(drawn(shape, 1.0, 0.0).sum() / 4, rel=0.1)


def test_a_square_looks_the_same_after_a_quarter_of_a_turn_and_a_heart_does_not():
    turned = {shape: drawn(shape, 1.0, math.pi / 2) for shape in SHAPES}
    assert (turned["square"] != drawn("square", 1.0, 0.0)).sum() == 0
    assert (turned["heart"] != drawn("heart", 1.0, 0.0)).sum() > 100
    assert np.argwhere(drawn("heart", 1.0, 0.0).any(1)).max() > 47 + 12  # its tip points downwards


def test_splits_are_dealt_once_with_labels_and_factors_of_their_images(tmp_path):
    data, other = sprites(tmp_path), sprites(tmp_path, seed=7)
    assert sizes(data) == [260, 14, 14]
    rows = [data.splits[split].rows for split in data.splits]
    assert torch.cat(rows).sort().values.tolist() == list(range(NUM_IMAGES))
    assert all(torch.equal(each, other.splits[split].rows) for split, each in zip(data.splits, rows, strict=True))
    val = data.splits["val"]
    expected = {name: torch.from_numpy(each)[val.rows] for name, each in data.grid.classes().items()}
    assert val.factors.keys() == expected.keys()
    assert all(torch.equal(val.factors[name], each) for name, each in expected.items())
    assert torch.equal(val.labels, val.factors["shape"])
    assert val.class_names == ("square", "ellipse", "heart")
    assert val.factor_names["scale"] == ("0.5", "1")


def test_binary_images_are_not_copied_to_be_binarized(tmp_path):
    fixed, plain = sprites(tmp_path), sprites(tmp_path, binarize="none")
    assert fixed.binarize == "fixed"
    assert fixed.splits["train"].pages is not None
    assert fixed.splits["train"].pixels.nbytes == NUM_IMAGES * 64 * 64 / 8
    assert torch.equal(whole(fixed), whole(plain))
    assert torch.equal(fixed.training_images(content(fixed, "val")), content(plain, "val") / 255)


def test_three_channels_are_the_grey_one_three_times_from_the_same_bits(tmp_path):
    grey, colour = sprites(tmp_path), sprites(tmp_path, channels=3)
    for split in grey.splits:
        assert torch.equal(content(colour, split), content(grey, split).expand(-1, 3, -1, -1))
    assert colour.splits["train"].pixels.nbytes == grey.splits["train"].pixels.nbytes
    assert len(list((tmp_path / "cache").glob("sprites-*"))) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_who_looks_at_the_images_sees_pixels_and_not_bits(tmp_path, channels):
    data = sprites(tmp_path, channels=channels)
    images = whole(data)
    facts, variety, seen = facts_of(data.splits), variety_of(data.splits["train"]), preview(data, 5)
    assert (facts.lowest, facts.highest, facts.mean) == (0, 255, pytest.approx(images.float().mean().item()))
    assert (variety.lowest, variety.highest, variety.one_coloured) == (0, 255, ())
    assert seen.images.shape == (5, channels, 64, 64)
    assert seen.levels[:, [0, 255]].sum() == seen.levels.sum() == seen.num_counted * channels * 64 * 64


def test_a_sprite_in_a_file_becomes_the_very_image_of_the_data(tmp_path):
    data = sprites(tmp_path, channels=3)
    image = content(data, "test")[3]
    Image.fromarray(image[0].numpy()).save(tmp_path / "sprite.png")
    assert torch.equal(data.read_image(tmp_path / "sprite.png"), image)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_wide_picture_in_a_file_is_fitted_into_the_size_that_sprites_have(tmp_path, fit):
    data = sprites(tmp_path, image_size=[64, 64], fit=fit, binarize="none")
    assert torch.equal(whole(data), whole(sprites(tmp_path)))
    Image.new("L", (128, 64), "white").save(tmp_path / "wide.png")
    assert (data.read_image(tmp_path / "wide.png").min() == 0) == (fit == "pad")


def original(tmp_path, grid: SpriteGrid = FEW_GRID, **others) -> str:
    """A small dSprites in its own layout."""
    classes = np.stack([np.zeros(len(grid), np.int64), *grid.classes().values()], 1)
    images = np.random.default_rng(0).integers(0, 2, (len(grid), 64, 64), dtype=np.uint8)
    metadata = np.array({"title": "dSprites"}, dtype=object)
    arrays = {"metadata": metadata, "imgs": images, "latents_classes": classes, "latents_values": classes + 0.5}
    np.savez_compressed(tmp_path / "dsprites.npz", **(arrays | others))
    return str(tmp_path / "dsprites.npz")


def test_dsprites_own_file_is_read(tmp_path):
    data = sprites(tmp_path, root=original(tmp_path))
    data.prepare_data()
    expected = np.load(tmp_path / "dsprites.npz")["imgs"]
    assert np.array_equal(whole(data).numpy(), expected * 255)


@pytest.mark.parametrize("is_drawn", [True, False])
def test_they_are_made_block_by_block(tmp_path, is_drawn):
    numbers = {"num_scales": 1, "num_orientations": 4, "num_positions": 32}  # 12,288 images, 50 MB of bytes
    grid = SpriteGrid(*numbers.values())
    plain = np.resize(np.eye(64, dtype=np.uint8), (len(grid), 64, 64))  # noise takes seconds to pack
    root = None if is_drawn else original(tmp_path, grid, imgs=plain)

    def make() -> None:
        sprites(tmp_path, root=root, cache_dir=tempfile.mkdtemp(dir=tmp_path), **numbers).prepare_data()

    assert peak_bytes(make, 35_000_000) < 35_000_000


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"imgs": np.zeros((NUM_IMAGES, 32, 32), np.uint8)}, "it has no imgs of 64 x 64"),
        ({"imgs": np.full((NUM_IMAGES, 64, 64), 255, np.uint8)}, "its pixels are not 0 or 1"),
        ({"latents_classes": np.zeros((NUM_IMAGES, 6), np.int64)}, "its factors are not those of dSprites"),
    ],
)
def test_another_file_is_told(tmp_path, others, told):
    with pytest.raises(UserError, match=rf"^data\.root=.*: is no file of dSprites that can be read \({told}"):
        sprites(tmp_path, root=original(tmp_path, **others)).prepare_data()
    assert not list((tmp_path / "cache").glob("sprites-*"))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"^data\.root=nowhere\.npz: is no file of dSprites .*No such file"):
        sprites(tmp_path, root="nowhere.npz").prepare_data()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_size": 32}, "image_size must be 64"),
        ({"image_size": [64, 32]}, "image_size must be 64"),
        ({"num_scales": 7}, "num_scales must be at most 6"),
        ({"num_orientations": 0}, "num_orientations must be at least 1"),
        ({"num_positions": 33}, "num_positions must be at most 32"),
        ({"val_fraction": 0.0}, "val_fraction must lie between 0 and 1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "val_fraction and test_fraction must leave something"),
    ],
)
def test_what_cannot_be_is_refused(options, told):
    with pytest.raises(ValueError, match=rf"^{told}"):
        inspect.unwrap(Sprites.__init__)(object.__new__(Sprites), **options)
