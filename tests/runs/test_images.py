"""Which images a mode looks at: files as they are named, or some of the run's own."""

import base64
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.data.test_stated import AVIF_10
from vae_lightning.errors import UserError
from vae_lightning.face.images import as_batch
from vae_lightning.runs.images import (
    Choice,
    named_images,
    own_images,
    picture_files,
    short_names,
    stream_files,
    stream_split,
    tell_of_cuts,
)


@pytest.fixture
def album(tmp_path) -> Path:
    """Grey squares of levels 0, 10, ..., 60: `a.png` to `d.png`, `b/x.png`, `b/y.png` and `e.bmp`."""
    folder = tmp_path / "album"
    (folder / "b").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.png", "c.png", "d.png", "b/x.png", "b/y.png", "e.bmp"]):
        Image.new("L", (28, 28), 10 * number).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def names(files: list[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# Files


def test_what_is_cut_off_is_told(digits, tmp_path, told):
    for name, size in {"tall": (30, 40), "square": (28, 28), "nearly": (100, 101)}.items():
        Image.new("L", size).save(tmp_path / f"{name}.png")
    tell_of_cuts([tmp_path / "square.png", tmp_path / "nearly.png", tmp_path / "none.png"], (28, 28), "crop")
    assert told() == []
    Choice(images=str(tmp_path / "tall.png")).read(digits)
    tell_of_cuts([tmp_path / "square.png", Image.new("L", (9, 6))], (28, 28), "crop")
    assert [line for line in told() if "square" in line] == [
        "images: a picture of 30 x 40 pixels is no square: the middle 30 x 30 is taken",
        "images: 1 of 2 pictures, the first one of 9 x 6 pixels is no square: the middle 6 x 6 is taken",
    ]


@pytest.mark.parametrize(
    ("fit", "end"),
    [
        ("crop", "has other proportions than 20 x 10: the middle 30 x 15 is taken"),
        ("pad", "has other proportions than 20 x 10: it is seen whole, on black"),
        ("stretch", "has other proportions than 20 x 10: it is stretched"),
        ("tile", "is no tile of 20 x 10: its middle is taken, not resized"),
    ],
)
def test_so_is_what_becomes_of_pictures_in_a_frame_that_is_no_square(fit, end, told):
    tell_of_cuts([Image.new("L", (40, 20)), Image.new("L", (20, 10))][fit == "tile" :], (10, 20), fit)
    assert told() == []
    tell_of_cuts([Image.new("L", (30, 40))], (10, 20), fit)
    assert told() == [f"images: a picture of 30 x 40 pixels {end}"]


def test_bits_that_are_lost_of_files_are_told_by_every_way_to_give_them(colour, album, tmp_path, told):
    deep = tmp_path / "deep.avif"
    deep.write_bytes(base64.b64decode(AVIF_10))
    line = "AVIF of 10 bits, which are read as 8"
    Choice(images=str(deep)).read(colour)
    assert f"images: the file {str(deep)!r}: {line}" in told()
    given = [str(album / "a.png"), str(deep), str(tmp_path / "none.png")]
    list(stream_files(colour, [Path(name) for name in given], given, set(), 2, []))
    assert f"images: 1 of 3 files, the first {str(deep)!r}: {line}" in told()
    before = len(told())
    as_batch([str(album / "b.png"), str(deep), Image.new("RGB", (9, 9))], colour.preprocessing)
    told_now = [each for each in told()[before:] if line in each]
    assert told_now == [f"images: 1 of 2 files, the first {str(deep)!r}: {line}"]
    Choice(images=str(album / "b.png")).read(colour)
    assert len([each for each in told() if line in each]) == 3


def test_files_come_as_given_and_folders_in_the_order_of_their_names(album, monkeypatch):
    assert names(picture_files(str(album)), album) == [
        "a.png",
        "b.png",
        "b/x.png",
        "b/y.png",
        "c.png",
        "d.png",
        "e.bmp",
    ]
    given = [str(album / "d.png"), str(album / "b"), str(album / "a.png"), str(album / "d.png")]
    assert names(picture_files(given), album) == ["d.png", "b/x.png", "b/y.png", "a.png", "d.png"]
    monkeypatch.setenv("HOME", str(album))
    assert picture_files("~/a.png") == [album / "a.png"]
    monkeypatch.chdir(album)
    assert picture_files("b/x.png") == [Path("b/x.png")]


def test_no_pictures_are_told(album, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refusal(picture_files, str(tmp_path / "empty")) == f"images: {tmp_path / 'empty'}: has no pictures in it"
    assert refusal(picture_files, [str(album), str(tmp_path / "empty")]).endswith("has no pictures in it")
    assert refusal(picture_files, []) == "images: is empty"


def test_files_are_called_by_their_names_below_the_folder_they_share(digits, album, monkeypatch):
    monkeypatch.chdir(album)
    assert own_images(digits, str(album), 100, 0).names[2:5] == ["b/x.png", "b/y.png", "c.png"]
    assert own_images(digits, ["b/x.png", "a.png"], 100, 0).names == ["b/x.png", "a.png"]
    assert own_images(digits, ["b/x.png", "b/y.png"], 100, 0).names == ["x.png", "y.png"]
    assert own_images(digits, "a.png", 100, 0).names == ["a.png"]
    assert own_images(digits, ["a.png", str(album / "b.png")], 100, 0).names == ["a.png", "b.png"]


def test_of_many_own_images_some_are_drawn_by_the_seed(digits, album):
    levels = dict(zip(names(picture_files(str(album)), album), [0, 10, 40, 50, 20, 30, 60], strict=True))
    draws = {tuple(own_images(digits, str(album), 2, seed).names) for seed in range(20)}
    assert len(draws) > 5
    chosen = own_images(digits, str(album), 2, 7)
    assert chosen.names == own_images(digits, str(album), 2, 7).names
    assert chosen.images[:, 0, 0, 0].tolist() == [levels[name] for name in chosen.names]
    assert (chosen.kind, chosen.labels) == ("file", None)
    assert list(chosen.columns) == ["file"]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_stream_of_files_is_complete_and_in_order(digits, album, batch_size):
    files = picture_files(str(album))
    batches = list(stream_files(digits, files, short_names(files), set(), batch_size, []))
    assert [len(batch.images) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert [name for batch in batches for name in batch.names] == names(files, album)
    levels = torch.cat([batch.images for batch in batches])[:, 0, 0, 0]
    assert levels.tolist() == [0, 10, 40, 50, 20, 30, 60]


def test_a_stream_leaves_out_what_is_damaged_but_not_what_was_named(digits, album):
    (album / "c.png").write_bytes(b"not a picture")
    (album / "a.png").write_bytes(b"not one either")
    files, unreadable = picture_files(str(album)), []
    batches = list(stream_files(digits, files, short_names(files), {album / "d.png"}, 1, unreadable))
    assert [batch.names[0] for batch in batches] == ["b.png", "b/x.png", "b/y.png", "d.png", "e.bmp"]
    assert [line.partition(": can't be read as a picture (")[0] for line in unreadable] == [
        str(album / "a.png"),
        str(album / "c.png"),
    ]
    message = refusal(list, stream_files(digits, files, short_names(files), {album / "c.png"}, 2, []))
    assert message.startswith(f"images: {album / 'c.png'}: can't be read as a picture (")


def test_a_binarized_stream_does_not_depend_on_its_batches(plane, album):
    files = picture_files(str(album))
    one, other = (
        torch.cat([batch.images for batch in stream_files(plane, files, short_names(files), set(), size, [])])
        for size in (1, 5)
    )
    assert torch.equal(one, other)
    assert set(one.unique().tolist()) == {0, 255}
    assert torch.equal(one, plane.preprocessing.read_images(files))


# The run's own


def test_split_images_are_named_by_file_or_by_index_and_label(digits, colour):
    chosen = named_images(digits, "test", digits.data.examples(7, "test", balanced=False))
    assert list(chosen.columns) == ["index", "label"]
    assert torch.equal(chosen.images, digits.data.examples(7, "test", balanced=False).images)
    labels = digits.data.splits["test"].labels
    assert chosen.labels.tolist() == [int(labels[index]) for index in chosen.names]
    files = named_images(colour, "train", colour.data.examples(5, "train", balanced=False))
    assert list(files.columns) == ["file"]
    for name, image in zip(files.names, files.images, strict=True):
        path = Path(colour.config["data"]["root"]) / name
        assert torch.equal(colour.preprocessing.read_image(path), image)


def test_a_stream_of_a_split_is_all_of_it(digits):
    batches = list(stream_split(digits, "val", 50))
    assert [len(batch.images) for batch in batches] == [50, 50, 50, 30]
    assert [name for batch in batches for name in batch.names] == list(range(180))


# A few


def test_a_choice_is_by_files_by_indices_by_labels_or_by_number(digits, album):
    own = Choice(images=[str(album / "c.png"), str(album / "b.png")]).read(digits)
    assert own.images[:, 0, 0, 0].tolist() == [20, 10]
    assert own.labels is None
    data = digits.data
    indices = Choice(indices=[5, 0, 5], split="test").read(digits)
    assert torch.equal(indices.images, data.splits["test"].images(torch.tensor([5, 0, 5])))
    assert torch.equal(indices.labels, data.splits["test"].labels[torch.tensor([5, 0, 5])])
    labels = Choice(labels=[3, 8], split="train").read(digits)
    assert torch.equal(labels.images, data.images_of_labels([3, 8], "train").images)
    assert labels.labels.tolist() == [3, 8]
    assert torch.equal(Choice(num_images=5).read(digits).images, data.examples(5, "val").images)
    assert torch.equal(Choice(num_images=5, split="test").read(digits).images, data.examples(5, "test").images)
    assert len(Choice().read(digits).images) == 16


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"images": "a.png", "indices": [1]}, "images and indices: give only one of them"),
        ({"indices": [], "labels": []}, "indices and labels: give only one of them"),
        ({"images": []}, "images: is empty"),
        ({"indices": []}, "indices: is empty"),
        ({"labels": []}, "labels: is empty"),
        ({"images": "missing.png"}, "images: missing.png: no such file"),
        ({"indices": [3, 180]}, "indices: 180 is none of the 180 val images; choose 0 to 179"),
        ({"indices": [-1], "split": "test"}, "indices: -1 is none of the 360 test images; choose 0 to 359"),
        (
            {"labels": [4, 11]},
            "labels: the val images have no more of label 11; valid here: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_told(digits, tmp_path, monkeypatch, choice, message):
    monkeypatch.chdir(tmp_path)
    assert refusal(Choice(**choice).read, digits) == message


def test_data_without_labels_say_so(colour):
    expected = "labels=[1]: these data have no labels; choose by indices or images"
    assert refusal(Choice(labels=[1]).read, colour) == expected
