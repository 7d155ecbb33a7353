"""Images on a plane: the pictures, and a table that says which is where."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.errors import UserError
from vae_lightning.exports.embedding import WriteEmbedding
from vae_lightning.latents.embeddings import embed


def made(run, folder: Path, **settings) -> Path:
    folder.mkdir()
    WriteEmbedding(**settings)(run, folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def table(folder: Path) -> dict[str, list[str]]:
    with (folder / "embedding.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        header, *rows = csv.reader(stream)
    return {name: list(column) for name, column in zip(header, zip(*rows, strict=True), strict=True)}


def points(columns: dict[str, list[str]], method: str) -> np.ndarray:
    return np.array([columns[f"{method}_x"], columns[f"{method}_y"]], dtype=float).T


def test_two_latent_dimensions_get_all_three_methods(plane, tmp_path):
    folder = made(plane, tmp_path / "out", num_images=20, split="test")
    assert names(folder) == ["embedding.csv", "pca.png", "plane.png", "tsne.png"]
    columns = table(folder)
    assert list(columns) == ["index", "label", "tsne_x", "tsne_y", "pca_x", "pca_y", "plane_x", "plane_y"]
    indices = [int(index) for index in columns["index"]]
    assert len(set(indices)) == 20
    batch = plane.data.images_of_indices(indices, "test")
    assert [int(label) for label in columns["label"]] == batch.labels.tolist()
    with torch.no_grad():
        means = plane.vae.encode(batch.images.float() / 255).loc
    np.testing.assert_allclose(points(columns, "plane"), means.numpy(), atol=1e-5)
    np.testing.assert_allclose(points(columns, "pca"), embed(means, "pca", 0).points, atol=1e-4)


def test_other_latent_spaces_have_no_plane_of_their_own(digits, tmp_path):
    assert names(made(digits, tmp_path / "out", num_images=8)) == ["embedding.csv", "pca.png", "tsne.png"]
    with pytest.raises(UserError) as error:
        made(digits, tmp_path / "plane", methods=["pca", "plane"])
    assert str(error.value) == "methods: plane is for two latent dimensions, and this run has 4"
    assert names(tmp_path / "plane") == []


def test_only_the_methods_that_are_asked_for(digits, tmp_path):
    assert names(made(digits, tmp_path / "one", methods="pca", num_images=10)) == ["embedding.csv", "pca.png"]
    assert list(table(tmp_path / "one")) == ["index", "label", "pca_x", "pca_y"]
    with pytest.raises(UserError, match="methods: is empty; choose from tsne, pca, plane"):
        made(digits, tmp_path / "none", methods=[])


def test_t_sne_depends_on_its_seed(digits, tmp_path):
    places = [
        points(table(made(digits, tmp_path / name, methods="tsne", num_images=12, seed=seed)), "tsne")
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    ]
    assert np.array_equal(places[0], places[1])
    assert not np.allclose(places[0], places[2])


def test_pictures_of_a_folder_are_called_by_their_names(colour, tmp_path):
    root = Path(colour.config["data"]["root"])
    of_split = table(made(colour, tmp_path / "split", methods="pca", split="train", num_images=6))
    assert list(of_split) == ["file", "pca_x", "pca_y"]
    assert len(of_split["file"]) == 6
    assert all((root / name).is_file() for name in of_split["file"])
    own = table(made(colour, tmp_path / "own", methods="pca", images=str(root), num_images=7))
    assert len(own["file"]) == 7
    assert set(own["file"]) < {path.relative_to(root).as_posix() for path in root.rglob("*.*")}


def test_a_name_that_is_not_utf_8_comes_back_as_it_is(digits, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    try:
        for name in ("a.png", "b.png", "c.png", "d\udcff.png"):
            Image.new("L", (28, 28), len(list(folder.iterdir())) * 60).save(folder / name, format="PNG")
    except (OSError, UnicodeError):
        pytest.skip("this file system knows no such names")
    assert table(made(digits, tmp_path / "out", methods="pca", images=str(folder)))["file"][-1] == "d\udcff.png"


def test_too_few_images_are_told(digits, tmp_path):
    for number in range(3):
        Image.new("L", (8, 8)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=r"^an embedding needs 4 images or more, and there are 3$"):
        WriteEmbedding(images=str(tmp_path))(digits, tmp_path)


def test_a_damaged_picture_is_an_error_where_it_was_named_and_else_left_out(digits, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"^images: \S+bad\.png: can't be read as a picture \("):
        WriteEmbedding(images=[str(tmp_path / "bad.png")])(digits, tmp_path)
    with pytest.raises(UserError, match=r"^images: none can be read as a picture$"):
        WriteEmbedding(images=str(tmp_path))(digits, tmp_path)
    for number in range(5):
        Image.new("L", (8, 8), number * 50).save(tmp_path / f"{number}.png")
    out = made(digits, tmp_path / "out", methods="pca", images=str(tmp_path))
    assert table(out)["file"] == [f"{number}.png" for number in range(5)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_images": 3}, "num_images must be at least 4, got 3"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "seed must be from 0 to 4294967295, got 4294967296"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        WriteEmbedding(**settings)
    assert str(error.value) == message
