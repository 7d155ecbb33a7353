import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import content, noise, sizes, written
from vae_lightning.data.celeba import CelebA
from vae_lightning.errors import UserError

NAMES = [f"{number:06}.jpg" for number in range(1, 13)]
PARTITION = "".join(f"{name} {row // 6 + row // 9}\n" for row, name in enumerate(NAMES))  # 6, 3 and 3
ATTRIBUTES = "12\nSmiling Wearing_Hat \n" + "".join(
    f"{name} {1 - row % 2 * 2:2} -1\n" for row, name in enumerate(NAMES)
)


@pytest.fixture
def folder(tmp_path):
    """Twelve faces as torchvision keeps them."""
    folder = tmp_path / "data/celeba"
    tables = {"list_eval_partition.txt": PARTITION.encode(), "list_attr_celeba.txt": ATTRIBUTES.encode()}
    written(folder, tables)
    (folder / "img_align_celeba").mkdir()
    for number, name in enumerate(NAMES):
        small = Image.fromarray(noise(14, 11, 3, seed=number))
        small.resize((178, 218)).save(folder / "img_align_celeba" / name)
    return folder


@pytest.fixture
def celeba(folder, tmp_path):
    def make(**options) -> CelebA:
        return CelebA(**({"root": str(folder.parent), "cache_dir": str(tmp_path / "cache"), "batch_size": 2} | options))

    return make


def face(folder, number: int, crop: int = 148, size: int = 64) -> torch.Tensor:
    """What Pillow makes of a picture."""
    image = Image.open(folder / "img_align_celeba" / NAMES[number])
    left, top = (178 - crop) // 2, (218 - crop) // 2
    middle = image.crop((left, top, left + crop, top + crop)).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(middle).copy()).permute(2, 0, 1)


@pytest.mark.parametrize(("crop", "size"), [(148, 64), (178, 32), (108, 128)])
def test_the_middle_of_each_face_is_kept_and_the_partition_is_the_official_one(folder, celeba, crop, size):
    data = celeba(crop=crop, image_size=size)
    data.prepare_data()
    assert sizes(data) == [6, 3, 3]
    assert torch.equal(content(data, "val")[1], face(folder, 7, crop, size))
    assert data.splits["test"].names == tuple(NAMES[9:])
    assert torch.equal(data.read_image(folder / "img_align_celeba" / NAMES[2]), content(data, "train")[2])


def test_the_square_is_fitted_into_a_rectangle_and_each_way_has_its_own_cache(folder, celeba):
    squares = content(celeba(image_size=32), "train")
    for fit in ("crop", "pad"):
        data = celeba(image_size=[32, 48], fit=fit)
        images = content(data, "train")
        assert images.shape == (6, *data.image_shape) == (6, 3, 32, 48)
        assert torch.equal(data.read_image(folder / "img_align_celeba" / NAMES[2]), images[2])
        assert torch.equal(images[..., 8:40], squares) == (fit == "pad")
        assert (images[..., :8].max() == 0) == (fit == "pad")


def test_attributes_are_factors_and_one_becomes_the_labels(celeba):
    plain, smiling = celeba(), celeba(label="Smiling")
    assert plain.splits["train"].labels is None
    for data in (plain, smiling):
        assert data.splits["val"].factors["Smiling"].tolist() == [1, 0, 1]
        assert data.splits["val"].factors["Wearing_Hat"].tolist() == [0, 0, 0]
    assert smiling.splits["train"].labels.tolist() == [1, 0] * 3
    assert smiling.class_names == ("not Smiling", "Smiling")


@pytest.mark.parametrize("inner", ["img_align_celeba/", ""])
def test_the_archive_as_it_comes_gives_the_same(folder, celeba, tmp_path, inner):
    expected = content(celeba(), "train")
    faces = folder / "img_align_celeba"
    shutil.make_archive(str(tmp_path / "faces"), "zip", folder if inner else faces, inner or None)
    shutil.rmtree(faces)
    (tmp_path / "faces.zip").rename(folder / "img_align_celeba.zip")
    data = celeba(cache_dir=str(tmp_path / "other"))
    assert torch.equal(content(data, "train"), expected)
    assert data.splits["train"].names == tuple(NAMES[:6])


@pytest.mark.parametrize("archive", [b"junk", b"", "many"])
def test_an_archive_that_cannot_be_read_is_told(folder, celeba, monkeypatch, archive):
    if archive == "many":
        monkeypatch.setattr("vae_lightning.data.cropped_faces._MOST_MEMBERS", 5)
        shutil.make_archive(str(folder / "img_align_celeba"), "zip", folder / "img_align_celeba")
    else:
        (folder / "img_align_celeba.zip").write_bytes(archive)
    shutil.rmtree(folder / "img_align_celeba")
    told = "has more than 5 members" if archive == "many" else "can't be read \\("
    with pytest.raises(UserError, match=rf"^data\.root=.*img_align_celeba\.zip {told}"):
        celeba().prepare_data()


def test_workers_decode_the_same(folder, celeba, tmp_path, monkeypatch):
    expected = content(celeba(), "train")
    monkeypatch.setattr("vae_lightning.data.cropped_faces._FEWEST_FOR_WORKERS", 1)
    assert torch.equal(content(celeba(cache_dir=str(tmp_path / "other")), "train"), expected)


def test_kaggles_layout_is_read(folder, celeba, tmp_path):
    expected = content(celeba(), "train")
    faces = folder / "img_align_celeba"
    faces.rename(folder / "inner")
    faces.mkdir()
    (folder / "inner").rename(faces / "img_align_celeba")
    for name, header in (("list_eval_partition", "partition"), ("list_attr_celeba", "Smiling,Wearing_Hat")):
        lines = (folder / f"{name}.txt").read_text().splitlines()[0 if header == "partition" else 2 :]
        (folder / f"{name}.txt").unlink()
        (folder / f"{name}.csv").write_text(
            "\n".join([f"image_id,{header}", *(",".join(each.split()) for each in lines)])
        )
    data = celeba(root=str(folder), label="Smiling", cache_dir=str(tmp_path / "other"))
    assert torch.equal(content(data, "train"), expected)
    assert data.splits["val"].labels.tolist() == [1, 0, 1]


def test_pictures_are_decoded_once_and_anew_when_some_come(folder, celeba, caplog):
    caplog.set_level("INFO")
    for _ in range(2):
        celeba().prepare_data()
    assert caplog.text.count("the faces take") == 1
    (folder / "img_align_celeba" / NAMES[11]).unlink()
    data = celeba()
    data.prepare_data()
    assert sizes(data) == [6, 3, 2]
    assert caplog.text.count("the faces take") == 2
    assert "1 of the pictures in list_eval_partition.txt are not there" in caplog.text


@pytest.mark.parametrize("absent", ["img_align_celeba", "list_eval_partition.txt"])
def test_how_to_get_what_is_not_there_is_told_in_a_line(folder, celeba, absent):
    (folder / absent).rename(folder / "elsewhere")
    with pytest.raises(UserError) as error:
        celeba().prepare_data()
    message = str(error.value)
    assert message.startswith(
        f"data.root={folder.parent}: CelebA is not in {folder}, and is not downloaded, for it lies"
    )
    assert "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in message
    assert "\n" not in message


def test_without_attributes_only_labels_are_missing(folder, celeba):
    (folder / "list_attr_celeba.txt").unlink()
    assert celeba().splits["train"].factors is None
    with pytest.raises(UserError, match=r"^data\.label=Smiling: list_attr_celeba\.txt is not in .*; get it from https"):
        celeba(label="Smiling").prepare_data()


def test_an_attribute_that_there_is_not_is_told_before_anything_is_decoded(celeba, tmp_path):
    with pytest.raises(UserError, match=r"^data\.label=Grinning: valid here: Smiling, Wearing_Hat$"):
        celeba(label="Grinning").prepare_data()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("content", "reason"), [(b"junk", "cannot identify its format"), (b"", "an empty file")])
def test_a_packed_picture_that_cannot_be_read_is_named(folder, celeba, content, reason):
    (folder / "img_align_celeba" / NAMES[4]).write_bytes(content)
    shutil.make_archive(str(folder / "img_align_celeba"), "zip", folder, "img_align_celeba")
    shutil.rmtree(folder / "img_align_celeba")
    with pytest.raises(UserError, match=rf"^data\.root=.*: 000005\.jpg can't be read \({reason}\); unpack img_align"):
        celeba().prepare_data()


def test_a_picture_that_cannot_be_read_is_named(folder, celeba, tmp_path):
    (folder / "img_align_celeba" / NAMES[4]).write_bytes(b"junk")
    with pytest.raises(
        UserError, match=r"^data\.root=.*: 000005\.jpg can't be read \(cannot identify .*unpack img_align"
    ):
        celeba().prepare_data()
    assert not list((tmp_path / "cache").glob("celeba-*"))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "list_eval_partition.txt",
            "000001.jpg 0\n",
            "11 pictures are not in list_eval_partition.txt, as '00000",
        ),
        ("list_eval_partition.txt", PARTITION.replace(" 2", " 3"), r"\('3' is none of 0, 1, 2\)"),
        ("list_eval_partition.txt", PARTITION.replace(" 2", ""), "is no table of CelebA"),
        ("list_eval_partition.txt", "", "is no table of CelebA"),
        ("list_attr_celeba.txt", ATTRIBUTES.replace("Wearing_Hat", "Wearing_Hat Male"), "have not 3 columns each"),
        ("list_attr_celeba.txt", ATTRIBUTES[:-20], "is no table of CelebA|are not in list_attr_celeba.txt"),
        ("list_eval_partition.txt", PARTITION.replace(" 1", " 0"), "of 12 pictures none is of val"),
    ],
)
def test_tables_that_do_not_fit_are_told(folder, celeba, name, text, told):
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=rf"^data\.root=.*{told}") as error:
        celeba().setup()
    assert "\n" not in str(error.value)
