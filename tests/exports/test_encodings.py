"""The latents of images as tables: complete, in order, and the model's own."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.errors import UserError
from vae_lightning.exports.encodings import WriteEncodings


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Seven grey noise pictures, two of them in a subfolder."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.png", "c.png", "d.png", "e.png", "sub/f.png", "sub/g.png"]):
        noise = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    said: list[str] = []
    logger = logging.getLogger("vae_lightning")
    monkeypatch.setattr(logger, "warning", lambda text, *values: said.append(text % values))
    return said


def made(run, folder: Path, **settings) -> tuple[list[list[str]], dict[str, np.ndarray]]:
    folder.mkdir()
    WriteEncodings(**settings)(run, folder)
    with (folder / "posterior.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = list(csv.reader(stream))
    return rows, dict(np.load(folder / "posterior.npz"))


def check_posterior(run, images: torch.Tensor, rows: list[list[str]], arrays: dict[str, np.ndarray]) -> None:
    """The figures are the model's own of these images; the table and the arrays say the same."""
    with torch.no_grad():
        posterior = run.vae.encode(images.float() / 255)
    dims = run.latent_dim
    assert arrays["loc"].dtype == arrays["scale"].dtype == np.float32
    np.testing.assert_allclose(arrays["loc"], posterior.loc.numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays["scale"], posterior.scale.numpy(), atol=1e-5)
    assert rows[0][-2 * dims :] == [f"{name}_{dim}" for name in ("loc", "scale") for dim in range(dims)]
    figures = np.array([row[-2 * dims :] for row in rows[1:]], dtype=np.float64).astype(np.float32)
    assert np.array_equal(figures, np.concatenate([arrays["loc"], arrays["scale"]], axis=1))


@pytest.mark.parametrize("batch_size", [50, 500])
def test_a_split_is_encoded_whole_and_in_order(digits, tmp_path, batch_size):
    rows, arrays = made(digits, tmp_path / "out", batch_size=batch_size)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["posterior.csv", "posterior.npz"]
    assert sorted(arrays) == ["indices", "labels", "loc", "scale"]
    assert rows[0][:2] == ["index", "label"]
    split = digits.data.splits["test"]
    assert arrays["indices"].tolist() == list(range(360)) == [int(row[0]) for row in rows[1:]]
    assert arrays["labels"].tolist() == split.labels.tolist() == [int(row[1]) for row in rows[1:]]
    check_posterior(digits, split.images(torch.arange(360)), rows, arrays)


def test_a_split_of_a_folder_is_called_by_its_files(colour, tmp_path):
    rows, arrays = made(colour, tmp_path / "out", split="val", batch_size=4)
    split = colour.data.splits["val"]
    assert len(split) > 4
    assert sorted(arrays) == ["files", "loc", "scale"]
    assert tuple(arrays["files"]) == split.names == tuple(row[0] for row in rows[1:])
    assert rows[0][0] == "file"
    check_posterior(colour, split.images(torch.arange(len(split))), rows, arrays)


def test_a_folder_larger_than_a_batch_is_encoded_with_its_subfolders(digits, pictures, tmp_path):
    rows, arrays = made(digits, tmp_path / "out", images=str(pictures), batch_size=3)
    names = ["a.png", "b.png", "c.png", "d.png", "e.png", "sub/f.png", "sub/g.png"]
    assert arrays["files"].tolist() == names == [row[0] for row in rows[1:]]
    images = digits.preprocessing.read_images([pictures / name for name in names])
    check_posterior(digits, images, rows, arrays)


def test_binarized_files_are_encoded_as_they_are_read(plane, pictures, tmp_path):
    rows, arrays = made(plane, tmp_path / "out", images=str(pictures), batch_size=2)
    images = plane.preprocessing.read_images([pictures / name for name in arrays["files"]])
    assert images.unique().tolist() == [0, 255]
    check_posterior(plane, images, rows, arrays)


def test_a_damaged_picture_of_a_folder_is_left_out_counted_and_listed(digits, pictures, tmp_path, warnings):
    (pictures / "b.png").write_bytes(b"not a picture")
    (pictures / "sub/g.png").write_bytes((pictures / "a.png").read_bytes()[:200])
    given = [str(pictures), str(pictures / "c.png")]
    rows, arrays = made(digits, tmp_path / "out", images=given, batch_size=2)
    names = ["a.png", "c.png", "d.png", "e.png", "sub/f.png", "c.png"]
    assert arrays["files"].tolist() == names
    check_posterior(digits, digits.preprocessing.read_images([pictures / name for name in names]), rows, arrays)
    assert warnings[1:] == ["2 of 8 pictures can't be read and are left out; see unreadable.txt"]
    assert warnings[0].startswith("images: ")  # which are noise, and no digits
    lines = (tmp_path / "out/unreadable.txt").read_text().splitlines()
    assert [line.partition(": can't be read")[0] for line in lines] == [
        str(pictures / "b.png"),
        str(pictures / "sub/g.png"),
    ]


def test_a_whole_batch_of_damaged_pictures_is_no_hindrance(digits, pictures, tmp_path, warnings):
    for name in ("a.png", "b.png"):
        (pictures / name).write_bytes(b"")
    _, arrays = made(digits, tmp_path / "out", images=str(pictures), batch_size=2)
    assert arrays["files"].tolist() == ["c.png", "d.png", "e.png", "sub/f.png", "sub/g.png"]
    assert len(warnings) == 2  # they are no digits, too


def test_nothing_but_damaged_pictures_are_an_error(digits, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"^images: none can be read as a picture; the first is \S+/a\.png: can't be read"
    ):
        made(digits, tmp_path / "out", images=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a picture", r"can't be read as a picture \(cannot identify"), (None, "no such file$")],
)
def test_a_picture_that_was_named_must_be_readable(digits, pictures, tmp_path, content, message):
    if content is None:
        (pictures / "c.png").unlink()
    else:
        (pictures / "c.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"^images: \S+/c\.png: {message}"):
        made(digits, tmp_path / "out", images=[str(pictures), str(pictures / "c.png")])


def test_a_name_that_is_not_utf_8_comes_back_as_it_is(digits, tmp_path, warnings):
    folder = tmp_path / "pictures"
    folder.mkdir()
    try:
        Image.new("L", (8, 8)).save(folder / "d\udcff.png", format="PNG")
        (folder / "e\udcff.png").write_bytes(b"")
    except (OSError, UnicodeError):
        pytest.skip("this file system knows no such names")
    rows, arrays = made(digits, tmp_path / "out", images=str(folder))
    assert rows[1][0] == arrays["files"][0] == "d\udcff.png"
    assert b"e\xff.png" in (tmp_path / "out/unreadable.txt").read_bytes()


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"^batch_size must be at least 1, got 0$"):
        WriteEncodings(batch_size=0)
