"""Images of every kind come to the model as the same numbers, and what can't be told is refused."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.data.digits import Digits
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.errors import UserError
from vae_lightning.face.images import _laid_out, as_batch

GREY = Digits(image_size=6)
LEVELS = np.random.default_rng(0).integers(0, 256, (3, 1, 6, 6), dtype=np.uint8)


def colour(size: int = 6) -> ImageFolder:
    return ImageFolder(root="none", image_size=size, channels=3, batch_size=1, seed=0)


def batch_of(images, data=GREY) -> np.ndarray:
    batch = as_batch(images, data)
    assert batch.dtype == torch.float32
    return batch.numpy()


EXPECTED = LEVELS / np.float32(255)
FIRST = EXPECTED[:1]


@pytest.mark.parametrize(
    "images",
    [
        LEVELS,
        LEVELS[:, 0],
        LEVELS.transpose(0, 2, 3, 1),
        torch.from_numpy(LEVELS),
        LEVELS.astype(np.float32) / 255,
        LEVELS.astype(">f8") / 255,
        (torch.from_numpy(LEVELS).float() / 255).requires_grad_(),
        list(LEVELS),
        [LEVELS[0], torch.from_numpy(LEVELS[1]), LEVELS[2, 0]],
        [LEVELS[:2], LEVELS[2]],
        [Image.fromarray(levels[0]) for levels in LEVELS],
        (LEVELS[0], Image.fromarray(LEVELS[1, 0]), LEVELS[2]),
        LEVELS[::-1, :, ::-1][::-1, :, ::-1],
    ],
)
def test_many_images_of_every_kind(images):
    assert batch_of(images) == pytest.approx(EXPECTED, abs=1e-7)


@pytest.mark.parametrize(
    "image", [LEVELS[0], LEVELS[:1], LEVELS[0, 0], LEVELS[0].transpose(1, 2, 0), Image.fromarray(LEVELS[0, 0])]
)
def test_one_image_is_a_batch_of_one(image):
    assert batch_of(image) == pytest.approx(FIRST, abs=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_of_any_precision(dtype):
    assert batch_of((LEVELS / 255).astype(dtype)) == pytest.approx(EXPECTED, abs=1e-3)


def test_half_precision_of_torch():
    assert batch_of(torch.from_numpy(EXPECTED).bfloat16()) == pytest.approx(EXPECTED, abs=1e-2)


def test_bool_is_black_and_white():
    assert (batch_of(LEVELS > 127) == (LEVELS > 127)).all()


def test_colour_channels_first_and_last_are_the_same():
    levels = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    first = batch_of(levels.transpose(0, 3, 1, 2), colour())
    assert (batch_of(levels, colour()) == first).all()
    assert (batch_of([Image.fromarray(image) for image in levels], colour()) == first).all()
    assert (batch_of(levels[1], colour()) == first[1:]).all()


def test_files_and_folders_are_read_in_order_and_prepared(tmp_path):
    for number, side in enumerate((12, 6, 18)):
        Image.fromarray(np.full((side, side + 4), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    folder = batch_of(tmp_path)
    assert folder[:, 0, 0, 0] == pytest.approx([0, 60 / 255, 120 / 255])
    assert (batch_of([tmp_path / "0.png", str(tmp_path / "1.png"), Image.open(tmp_path / "2.png")]) == folder).all()
    assert (batch_of(str(tmp_path / "1.png")) == folder[1:2]).all()
    assert (batch_of([tmp_path, LEVELS[0]]) == np.concatenate([folder, FIRST])).all()


def test_what_is_to_be_told_of_a_list_of_files_is_told_once(tmp_path, told):
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file in files:
        Image.effect_noise((40, 30), 60).save(file)
    data = Digits()
    listed = as_batch([*files, Image.open(files[0]), np.zeros((2, 28, 28), np.uint8), *files[1:]], data)
    assert told() == [
        f"images: {number} pictures, the first one of 40 x 30 pixels is no square: the middle 30 x 30 is taken"
        for number in ("4 of 4", "2 of 2")
    ]
    assert torch.equal(listed[[0, 1, 2, 6, 7]], torch.cat([as_batch(file, data) for file in [*files, *files[1:]]]))
    assert torch.equal(listed[3], listed[0])
    assert not listed[4:6].any()


def test_a_pil_image_is_prepared_as_its_file_would_be(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 13, 4), dtype=np.uint8))
    picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        assert (batch_of(opened, colour(5)) == batch_of(tmp_path / "turned.png", colour(5))).all()
        assert opened.size == (13, 20)
    assert batch_of(picture.convert("CMYK"), colour(5)).shape == (1, 3, 5, 5)


def test_what_comes_from_files_is_binarized_as_the_data_were_and_arrays_are_taken_as_they_are(tmp_path):
    data = Digits(image_size=6, binarize="dynamic")
    grey = np.full((6, 6), 128, np.uint8)
    for number in range(2):
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
    drawn = batch_of(tmp_path, data)
    assert set(drawn.flatten()) == {0, 1}
    assert (drawn[0] != drawn[1]).any()
    assert (batch_of([Image.fromarray(grey)] * 2, data) == drawn).all()
    assert batch_of(grey, data)[0, 0, 0, 0] == pytest.approx(128 / 255)


WANTED = "this run's model wants grey images of 6 x 6: [1, 6, 6] or [6, 6, 1] or [6, 6], or with N before it for many"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (LEVELS[..., :5], f"images: an array of shape [3, 1, 6, 5]; {WANTED}"),
        (np.zeros((6, 6, 3), np.uint8), f"images: an array of shape [6, 6, 3]; {WANTED}"),
        (np.zeros(36), f"images: an array of shape [36]; {WANTED}"),
        (np.zeros((2, 3, 1, 6, 6)), f"images: an array of shape [2, 3, 1, 6, 6]; {WANTED}"),
        (LEVELS.astype(np.int64), "images: int64 are no pixels; give uint8 (0 to 255), floats in [0, 1], or bool"),
        (torch.from_numpy(LEVELS).long(), "images: int64 are no pixels"),
        (LEVELS.astype(np.complex64), "images: complex64 are no pixels"),
        (
            LEVELS.astype(np.float32),
            "images: floats must lie in [0, 1], got 0 to 248; divide them by 255",
        ),
        (
            EXPECTED * 2 - 1,
            "images: floats must lie in [0, 1], got -1 to 0.945098; shift and scale them",
        ),
        (np.where(LEVELS > 9, np.nan, 0), "images: has values that are not finite"),
        (np.full((6, 6), np.inf), "images: has values that are not finite"),
        ([], "images: is empty; give arrays, tensors, PIL images, paths of files or folders, or a list of them"),
        ([LEVELS[0], None], "images: NoneType is no image; give arrays"),
        (b"\x00" * 36, "images: bytes is no image"),
        ([[0.5] * 6] * 6, "images: list is no image"),
        ("nowhere.png", "images: nowhere.png: no such file"),
        ("", "images: a path is empty"),
        (torch.zeros(6, 6).to_sparse(), "images: a tensor that is sparse, quantized or without values is no image"),
        (torch.zeros(6, 6, device="meta"), "images: a tensor that is sparse, quantized or without values is no image"),
        (np.ma.masked_array(np.zeros((6, 6)), mask=np.eye(6)), "images: a masked array may lack pixels"),
        (np.full((6, 6), 1 + 1e-7), "images: floats must lie in [0, 1], got 1.00000012 to 1.00000012; clip them"),
        (Image.new("L", (0, 0)), "images: image 0 can't be read (it has no pixels)"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(images, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  (the message is looked at whole)
        as_batch(images, GREY)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, UserError)


@pytest.mark.parametrize("shape", [(3, 3, 3), (2, 3, 3, 3)])
def test_a_layout_that_cannot_be_told_is_refused(shape):
    with pytest.raises(ValueError, match=r"channels first or last, for the model's images are 3 x 3 x 3; give PIL"):
        as_batch(np.zeros(shape), colour(3))
    assert as_batch(Image.new("RGB", (3, 3)), colour(3)).shape == (1, 3, 3, 3)


def test_a_layout_is_told_without_numbering_every_value_of_a_batch():
    zero = torch.zeros(1, dtype=torch.uint8)  # one byte, which stands everywhere
    assert _laid_out(zero.expand(10**12, 6, 6, 3), (3, 6, 6)).shape == (10**12, 3, 6, 6)
    with pytest.raises(ValueError, match="channels first or last"):
        _laid_out(zero.expand(10**12, 3, 3, 3), (3, 3, 3))


def test_a_folder_without_pictures_and_a_damaged_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has no pictures in it"):
        as_batch(tmp_path, GREY)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken.png: can't be read as a picture"):
        as_batch(tmp_path, GREY)
    closed = Image.new("L", (6, 6))
    closed.close()
    with pytest.raises(ValueError, match="image 1 can't be read"):
        as_batch([LEVELS[0], closed], GREY)


def test_an_array_that_is_not_to_be_written_to_is_taken_without_a_word():
    array = np.asarray(Image.fromarray(LEVELS[0, 0]))
    assert not array.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (batch_of(array, GREY) == batch_of(LEVELS[0], GREY)).all()


# A run whose files were deeper than 8 bits


def deep(*value_range: float) -> ImageFolder:
    return ImageFolder(root="none", image_size=6, channels=1, batch_size=1, seed=0, value_range=list(value_range))


@pytest.mark.parametrize(
    "images",
    [
        LEVELS.astype(np.uint16) * 16,
        LEVELS.astype(np.int64) * 16,
        LEVELS.astype(np.float64) * 16,
        torch.from_numpy(LEVELS.astype(np.float32) * 16),
        LEVELS,
        EXPECTED,
    ],
    ids=["uint16", "int64", "floats", "tensor", "levels", "pixels"],
)
def test_numbers_of_the_runs_scale_become_its_levels(images):
    assert batch_of(images, deep(0, 4080)) == pytest.approx(EXPECTED, abs=1e-7)


def test_on_a_scale_of_floats_all_floats_are_its_own():
    values = np.full((1, 6, 6), 0.5, np.float32)
    assert batch_of(values, deep(-1, 2)) == pytest.approx(np.full((1, 1, 6, 6), 128 / 255), abs=1e-6)
    assert batch_of(values, deep(0, 1)) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="not finite"):
        batch_of(values * np.nan, deep(-1, 2))


def test_images_of_many_channels_are_told_by_their_number():
    with pytest.raises(ValueError, match="wants 5-channel images of 6 x 6"):
        as_batch(np.zeros((7, 7, 5), np.uint8), ImageFolder(root="none", image_size=6, channels=5, batch_size=1))


def test_arrays_in_files_are_read_by_the_scale(tmp_path):
    np.save(tmp_path / "a.npy", LEVELS.astype(np.uint16) * 16)
    assert batch_of(tmp_path / "a.npy", deep(0, 4080)) == pytest.approx(EXPECTED, abs=1e-7)
    assert batch_of(f"{tmp_path}/a.npy[1]", deep(0, 4080)) == pytest.approx(EXPECTED[1:2], abs=1e-7)
