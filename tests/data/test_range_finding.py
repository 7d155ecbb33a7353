import json
import re
import sys
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, UnidentifiedImageError

from vae_lightning.data import decoded_blocks, survey
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.memory import own_budget
from vae_lightning.data.values import Found, Reading, Scale
from vae_lightning.errors import UserError

NUMBERS = 40


@pytest.fixture
def folder(tmp_path):
    """Makes the DataModule of `tmp_path/files`, with fractions that leave no split empty."""
    (tmp_path / "files").mkdir()

    def make(**options) -> ImageFolder:
        defaults = {"root": str(tmp_path / "files"), "cache_dir": str(tmp_path / "cache"), "value_range": "auto"}
        shares = {"val_fraction": 0.2, "test_fraction": 0.2, "image_size": 8, "channels": 1, "batch_size": 4}
        return ImageFolder(**defaults | shares | options)

    return make


def grey(number: int) -> np.ndarray:
    """8 x 8 levels of 0 to 255, others for each number."""
    return np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)


def fill(root: Path, suffix: str, make) -> None:
    for number in range(NUMBERS):
        path, values = root / f"{number:02}{suffix}", make(number)
        if suffix == ".npy":
            np.save(path, values)
        elif values.ndim == 3 and values.shape[2] > 4:
            tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
        else:
            Image.fromarray(values).save(path)


def images(data: ImageFolder) -> dict[str, torch.Tensor]:
    """Of all splits by their names, [C, H, W]."""
    known = {}
    for split in data.splits.values():
        known |= dict(zip(split.names, split.images(torch.arange(len(split))), strict=True))
    return known


def test_twelve_bits_in_sixteen_have_their_range_found_and_keep_their_levels(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16) * 16 + 15)
    data = folder()
    known = images(data)
    away = [known[f"{number:02}.png"][0].numpy().astype(int) - grey(number) for number in range(NUMBERS)]
    assert np.abs(away).max() <= 1
    assert data.found == {"value_range": [0, 4095]}
    assert "value_range: 16-bit files, 15 to 4,095 found: [0, 4095] taken; 4,096 levels become 256" in caplog.text
    assert torch.equal(images(folder(value_range=[0, 4095]))["00.png"], known["00.png"])
    assert folder(value_range=[0, 4095]).found == {}
    assert "given" not in caplog.text  # which a run that goes on, whose config has the range that was found, is not


def test_one_scale_holds_for_all_floats_where_each_had_its_own(folder, tmp_path):
    fill(tmp_path / "files", ".tif", lambda number: np.full((8, 8), number / (NUMBERS - 1) * 6 - 3, np.float32))
    data = folder()
    levels = [int(images(data)[f"{number:02}.tif"][0, 0, 0]) for number in range(NUMBERS)]
    assert levels == [round(number / (NUMBERS - 1) * 255) for number in range(NUMBERS)]
    assert data.found == {"value_range": [-3, 3]}


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (1, 8, 8)])
def test_a_folder_of_arrays_is_read(folder, tmp_path, shape):
    fill(tmp_path / "files", ".npy", lambda number: (grey(number) / 255).astype(np.float32).reshape(shape))
    known = images(folder())
    assert all(np.array_equal(known[f"{number:02}.npy"][0], grey(number)) for number in range(NUMBERS))


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_files_of_five_channels_are_read(folder, tmp_path, suffix):
    made = {number: np.stack([grey(number + shift) for shift in range(5)], axis=-1) for number in range(NUMBERS)}
    fill(tmp_path / "files", suffix, made.__getitem__)
    known = images(folder(channels=5))
    assert all(np.array_equal(known[f"{n:02}{suffix}"].permute(1, 2, 0), made[n]) for n in range(NUMBERS))


def test_values_outside_a_given_range_are_clipped_and_told(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    fill(tmp_path / "files", ".png", lambda number: np.arange(64, dtype=np.uint16).reshape(8, 8) * 100)
    level = images(folder(value_range=[1000, 4000]))["00.png"][0].flatten()
    assert level[:11].max() == 0
    assert level[40:].min() == 255
    assert "51.6% of the values lie outside and are clipped" in caplog.text


def test_a_given_range_of_bytes_stretches_pictures_of_8_bits(folder, tmp_path):
    fill(tmp_path / "files", ".png", lambda number: grey(number) // 8)
    stretched = images(folder(value_range=[0, 31]))["03.png"][0]
    assert np.array_equal(stretched, np.round(grey(3) // 8 / 31 * 255))
    assert np.array_equal(images(folder(value_range=[0, 4095]))["03.png"][0], grey(3) // 8)


@pytest.mark.parametrize(
    ("value_range", "cure"), [("auto", r"data\.value_range=\[low,high\]"), ([0, 65535], r"data\.value_range=auto")]
)
def test_a_folder_that_uses_little_of_its_scale_is_warned_of(folder, tmp_path, caplog, value_range, cure):
    fill(
        tmp_path / "files",
        ".png",
        lambda number: grey(number).astype(np.uint16) // (10 if value_range == "auto" else 1),
    )
    folder(value_range=value_range).setup()
    (line,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "of 256 levels" in line
    assert re.search(cure, line)
    caplog.clear()
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16))
    folder().setup()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


# What is refused


def test_floats_that_are_not_finite_are_told_before_anything_is_decoded(folder, tmp_path):
    fill(tmp_path / "files", ".npy", lambda number: np.full((8, 8), np.inf if number in (7, 9) else 0.5))
    with pytest.raises(
        UserError, match=r"^data\.root=\S+: '07\.npy' has values that are not finite .*, the first of 2"
    ):
        folder().prepare_data()
    assert not list((tmp_path / "cache").glob("images-*"))


def test_channels_that_differ_within_a_folder_are_told(folder, tmp_path):
    shapes = {number: (8, 8, 5 if number else 4) for number in range(NUMBERS)}
    fill(tmp_path / "files", ".npy", lambda number: np.zeros(shapes[number], np.uint8))
    message = r"^data\.channels=5: \S+: 1 of 40 files have other channels: the first, '00\.npy', has 4; choose"
    with pytest.raises(UserError, match=message):
        folder(channels=5).prepare_data()


def test_pictures_have_no_five_channels(folder, tmp_path):
    fill(tmp_path / "files", ".png", grey)
    with pytest.raises(UserError, match=r"'00\.png', is a picture of 1, 3 or 4; choose data\.channels"):
        folder(channels=5).prepare_data()


def test_files_that_share_no_scale_are_told(folder, tmp_path):
    fill(tmp_path / "files", ".npy", lambda number: np.full((8, 8), number, np.uint16 if number else np.float32))
    with pytest.raises(
        UserError, match=r"^data\.value_range=auto: .* share no scale; give data\.value_range=\[low,high\]"
    ):
        folder().prepare_data()
    assert int(images(folder(value_range=[0, 39]))["39.npy"].min()) == 255


def test_too_little_disk_space_is_told_before_the_files_are_looked_through(folder, tmp_path, monkeypatch):
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16) * 16)
    images(folder(value_range=None))
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patched:
        patched.setattr("vae_lightning.data.decoded_folder.disk_usage", lambda _: usage(10))
        patched.setattr(survey, "found_in_file", lambda *_: pytest.fail("looked at"))
        with pytest.raises(UserError, match=r"^data\.cache_dir=\S+: the decoded images need 1 MB and 0 MB are free"):
            folder(image_size=9).prepare_data()
    monkeypatch.setattr("vae_lightning.data.decoded_folder.disk_usage", lambda _: usage(40 * 8 * 8))
    assert len(images(folder())) == 40


# What an earlier version did


def test_pictures_of_8_bits_are_as_they_were_and_keep_their_cache(folder, tmp_path, pictures, monkeypatch):
    before = images(folder(root=str(pictures), value_range=None, channels=3))
    (cache,) = (tmp_path / "cache").glob("images-*")
    monkeypatch.setattr(decoded_blocks, "decode_image", lambda *_: pytest.fail("decoded anew"))
    for value_range in ("auto", [0, 65535], [0, 1]):
        after = images(folder(root=str(pictures), value_range=value_range, channels=3))
        assert all(torch.equal(after[name], before[name]) for name in before | after)
    assert list((tmp_path / "cache").glob("images-*")) == [cache]
    assert folder(root=str(pictures), channels=3).found == {}


def test_a_config_without_the_key_reads_the_formats_of_then(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    fill(tmp_path / "files", ".png", grey)
    fill(tmp_path / "files", ".tif", grey)
    (tmp_path / "files" / "notes.txt").write_text("no picture")
    assert {name[-3:] for name in images(folder(value_range=None))} == {"png"}
    assert "left out: 40 .tif, 1 .txt" in caplog.text
    assert len(images(folder())) == 80
    assert "left out: 1 .txt" in caplog.text
    assert len(list((tmp_path / "cache").glob("images-*"))) == 2


def test_other_content_under_the_same_names_has_another_place_in_the_cache(folder, tmp_path):
    fill(tmp_path / "files", ".png", grey)
    Image.fromarray(grey(0)).save(tmp_path / "files" / "00.png", "TIFF")
    options = {"max_bad_fraction": 0.1}
    assert "00.png" not in images(folder(value_range=None, **options))
    assert np.array_equal(images(folder(**options))["00.png"][0], grey(0))


def files_looked_at(monkeypatch) -> list:
    """Grows by an entry whenever a file is looked at for its numbers."""
    looked = []
    look = survey.found_in_file
    monkeypatch.setattr(survey, "found_in_file", lambda *given: looked.append(given) or look(*given))
    return looked


def test_what_was_found_is_kept_beside_the_cache_and_found_again_if_it_is_damaged(folder, tmp_path, monkeypatch):
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16) * 16)
    before = images(folder())
    looked = files_looked_at(monkeypatch)
    assert torch.equal(images(folder())["00.png"], before["00.png"])
    assert looked == []
    (kept,) = (tmp_path / "cache").glob("values-*.json")
    assert json.loads(kept.read_text())["high"] == max(int(grey(number).max()) for number in range(NUMBERS)) * 16
    kept.write_text("{}")
    assert torch.equal(images(folder())["00.png"], before["00.png"])
    assert len(looked) == NUMBERS


def test_the_scale_that_was_found_is_given_from_then_on_and_no_file_looked_at_again(folder, tmp_path, monkeypatch):
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16) * 16)
    before = images(folder())
    looked = files_looked_at(monkeypatch)
    assert torch.equal(images(folder(value_range=[0, 4095]))["00.png"], before["00.png"])
    assert looked == []
    images(folder(value_range=[0, 2000]))  # of which the share beyond it is told
    assert len(looked) == NUMBERS


def test_what_could_not_be_read_is_looked_at_again(folder, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    fill(tmp_path / "files", ".tif", lambda number: np.full((8, 8, 5), 100 * number, np.uint16))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tifffile", None)
        with pytest.raises(UserError, match="40 of 40 images cannot be read"):
            folder(channels=5).prepare_data()
    assert folder(channels=5).found == {"value_range": [0, 4095]}
    assert int(images(folder(channels=5))["39.tif"].min()) == round(3900 * 255 / 4095)
    looked = files_looked_at(monkeypatch)
    assert folder(channels=5).found == {"value_range": [0, 4095]}
    assert looked == []


def test_of_files_that_can_not_be_read_only_those_are_looked_at_again(folder, tmp_path, monkeypatch):
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16) * 16)
    (tmp_path / "files" / "bad.png").write_bytes(b"no picture")
    before = images(folder(max_bad_fraction=0.1))
    looked = []
    look = survey.found_in_file
    monkeypatch.setattr(survey, "found_in_file", lambda *given: looked.append(given[1]) or look(*given))
    after = images(folder(max_bad_fraction=0.1))
    assert all(torch.equal(after[name], before[name]) for name in before | after)
    assert looked == ["bad.png"]
    monkeypatch.setattr(survey, "MOST_UNREAD", 0)  # of so many nothing is kept
    images(folder(max_bad_fraction=0.1, max_pixels=10**6))
    images(folder(max_bad_fraction=0.1, max_pixels=10**6))
    assert len(looked) == 1 + 2 * (NUMBERS + 1)


def test_of_two_at_once_one_looks_through_the_files(tmp_path):
    looked = []

    def look(*_: object) -> Found:
        looked.append(threading.get_ident())
        time.sleep(0.2)
        return Found(num_files=3, num_bytes=3)

    with ThreadPoolExecutor(2) as both:
        surveys = [survey.Survey(lambda _: tmp_path / "values-1.json", look, writes=True) for _ in range(2)]
        assert list(both.map(lambda each: each(None), surveys)) == [Found(num_files=3, num_bytes=3)] * 2
    assert len(looked) == 1


def test_many_files_are_looked_through_by_several_processes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "_FEWEST_FOR_WORKERS", 1)
    monkeypatch.setattr(survey, "_MOST_A_BLOCK", 3)
    monkeypatch.setattr(survey, "num_cpus", lambda: 2)
    fill(tmp_path / "files", ".png", lambda number: np.full((8, 8), 100 * number, np.uint16))
    assert folder().found == {"value_range": [0, 4095]}


@pytest.mark.parametrize("scale", [None, Scale(0.0, 100.0)])
def test_files_of_bytes_are_counted_together_as_one_by_one(tmp_path, scale):
    pictures = []
    for number, kind in enumerate("bbbdbbxbdddbbb"):  # of bytes, deep, unreadable
        path = tmp_path / f"{number:02}.png"
        Image.fromarray(grey(number) if kind == "b" else grey(number).astype(np.uint16) * 9).save(path)
        if kind == "x":
            path.write_bytes(b"")
        pictures.append((path.name, path))
    reading, limits = Reading(scale), (1, 10_000)
    expected = Found()
    for name, path in pictures:
        try:
            expected += survey.found_in_file(path, name, *limits, reading, own_budget())
        except UnidentifiedImageError:
            expected += Found(num_files=1, unread=(name,))
    assert expected.num_bytes == 9
    assert survey.found_in_files(pictures, *limits, reading) == expected


# Pictures of one's own


def test_pictures_of_ones_own_go_by_the_scale_of_the_run(folder, tmp_path):
    fill(tmp_path / "files", ".png", lambda number: grey(number).astype(np.uint16) * 16)
    data = folder()
    data.prepare_data()
    opened = folder(root="/gone", **data.found)
    path = tmp_path / "own.tif"
    Image.fromarray(grey(3).astype(np.uint16) * 8).save(path)
    for each in (data, opened):
        assert np.array_equal(each.read_images([path])[0, 0], np.round(grey(3) * 8.0 / 4095 * 255))
    assert opened.extensions == data.extensions
    assert ".tif" not in folder(value_range=None).extensions
