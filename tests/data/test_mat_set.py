"""The sets that come in .mat files: Omniglot, Caltech 101 Silhouettes and SVHN."""

import io
import zlib

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from tests.data.sets import content, noise, served, sizes, written
from vae_lightning.data.caltech101 import Caltech101
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.mat import read_mat
from vae_lightning.data.omniglot import Omniglot
from vae_lightning.data.svhn import SVHN
from vae_lightning.errors import UserError


def mat(arrays: dict, packed: bool = True) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=packed)
    return file.getvalue()


# Omniglot

GREY = noise(60, 28, 28) / 255
ALPHABETS = np.arange(60) % 50


def chardata(**others) -> bytes:
    """48 and 12 letters, each a column of columns."""
    columns, one_hot = GREY.transpose(2, 1, 0).reshape(784, 60), np.eye(50)[ALPHABETS].T
    halves = {"data": columns[:, :48], "target": one_hot[:, :48]}
    return mat(halves | {"testdata": columns[:, 48:], "testtarget": one_hot[:, 48:]} | others)


def omniglot(tmp_path, file: bytes, **options) -> Omniglot:
    written(tmp_path / "OMNIGLOT", {"chardata.mat": file})
    return Omniglot(root=str(tmp_path), **({"num_val": 5, "binarize": "none"} | options))


def test_omniglot_is_split_as_the_iwaes_code_splits_it(tmp_path):
    data = omniglot(tmp_path, chardata())
    data.prepare_data()
    assert sizes(data) == [43, 5, 12]
    order = np.random.RandomState(123).permutation(48)
    levels = torch.from_numpy(noise(60, 28, 28))
    assert torch.equal(content(data, "train")[:, 0], levels[order[:-5]])
    assert torch.equal(content(data, "val")[:, 0], levels[order[-5:]])
    assert torch.equal(content(data, "test")[:, 0], levels[48:])
    assert data.splits["val"].labels.tolist() == ALPHABETS[order[-5:]].tolist()
    assert data.splits["test"].labels.tolist() == [48, 49, *range(10)]


def test_omniglot_is_binarized_and_keeps_1345_unless_something_else_is_said():
    data = Omniglot()
    assert (data.binarize, data.num_val) == ("dynamic", 1345)
    (file,) = data.remote_files()
    assert file.checksum == "git:016a3536ffe5e1d38e42563a18d7a78bfaf643ec"
    assert len(file.urls) == 2


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"data": np.full((784, 48), 1.5)}, "its pixels are not all from 0 to 1"),
        ({"data": np.full((784, 48), np.nan)}, "its pixels are not all from 0 to 1"),
        ({"target": np.eye(50)}, r"images and labels do not match: \[784, 48\] and \[50, 50\]"),
        ({"data": np.zeros((10, 48))}, r"it holds float64 of shape \[48, 10\] and 48 labels"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, others, told):
    with pytest.raises(UserError, match=rf"^data\.root=.*chardata\.mat or its \.gz is damaged \({told}"):
        omniglot(tmp_path, chardata(**others)).setup()


def test_a_letter_in_a_file_becomes_the_very_image_of_the_data(tmp_path):
    data = omniglot(tmp_path, chardata(), image_size=20)
    Image.fromarray(noise(60, 28, 28)[48]).save(tmp_path / "letter.png")
    assert torch.equal(data.read_image(tmp_path / "letter.png"), content(data, "test")[0])


# Caltech 101 Silhouettes

BINARY = noise(36, 28, 28, most=1)


def silhouettes(**others) -> bytes:
    rows = BINARY.transpose(0, 2, 1).reshape(36, 784)
    labels = (np.arange(36) % 3 + 1)[:, None].astype(np.uint8)
    names = np.array(["ant", "brain", "cup"], dtype=object)[None]
    parts = zip(("train", "val", "test"), np.split(rows, 3), np.split(labels, 3), strict=True)
    arrays = {f"{split}_{kind}": each for split, *pair in parts for kind, each in zip(("data", "labels"), pair)}  # noqa: B905
    return mat(arrays | {"classnames": names} | others)


def caltech(tmp_path, file: bytes, **options) -> Caltech101:
    written(tmp_path / "Caltech101Silhouettes", {"caltech101_silhouettes_28_split1.mat": file})
    return Caltech101(root=str(tmp_path), **options)


@pytest.mark.parametrize("binarize", ["fixed", "dynamic", "none"])
def test_silhouettes_keep_their_splits_and_stay_what_they_are_however_they_are_binarized(tmp_path, binarize):
    data = caltech(tmp_path, silhouettes(), binarize=binarize)
    data.prepare_data()
    assert sizes(data) == [12, 12, 12]
    every = torch.cat([content(data, split)[:, 0] for split in ("train", "val", "test")])
    assert torch.equal(every, torch.from_numpy(BINARY) * 255)
    assert torch.equal(data.training_images(content(data, "train")), content(data, "train") / 255)
    assert data.splits["test"].labels.tolist() == [0, 1, 2] * 4
    assert data.class_names == ("ant", "brain", "cup")


def test_figures_on_silhouettes_are_said_to_be_of_binary_images():
    from vae_lightning.likelihood.kind import kind_of
    from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood

    likelihood = BernoulliLikelihood()
    assert kind_of(likelihood, Caltech101().binarize) == "log-likelihood of binary images"


def test_labels_without_a_name_are_told(tmp_path):
    labels = np.full((12, 1), 4, np.uint8)
    with pytest.raises(UserError, match="labels from 3 to 3, where there are 3 classes"):
        caltech(tmp_path, silhouettes(val_labels=labels)).setup()


def test_silhouettes_are_fetched_by_their_checksum(tmp_path, monkeypatch):
    from tests.data.sets import md5

    assert Caltech101().remote_files()[0].checksum == "4483e9c14b188fd09937f9ea6f9ea777"
    (name,) = Caltech101.needed
    written_once = silhouettes()  # such a file has in it when it was written
    with served(written(tmp_path / "mirror", {name: written_once})) as address:
        file = RemoteFile(name, (address + name,), md5(written_once), 1000)
        monkeypatch.setattr(Caltech101, "remote_files", lambda _: [file])
        data = Caltech101(root=str(tmp_path / "new"))
        data.prepare_data()
    assert sizes(data) == [12, 12, 12]
    assert {path.name for path in data.raw_folder.iterdir()} - {".lock"} == {name}


# SVHN

PICTURES = noise(36, 32, 32, 3)


def house_numbers(images: np.ndarray, **others) -> bytes:
    labels = (np.arange(len(images)) % 10 + 1)[:, None].astype(np.uint8)
    return mat({"X": images.transpose(1, 2, 3, 0), "y": labels} | others)


@pytest.mark.parametrize("below", ["SVHN", "."])
def test_house_numbers_have_a_zero_for_the_files_ten(tmp_path, below):
    files = {"train_32x32.mat": house_numbers(PICTURES[:24]), "test_32x32.mat": house_numbers(PICTURES[24:])}
    written(tmp_path / below, files)
    data = SVHN(root=str(tmp_path))
    data.prepare_data()
    assert sizes(data) == [22, 2, 12]
    assert torch.equal(content(data, "test").permute(0, 2, 3, 1), torch.from_numpy(PICTURES[24:]))
    assert data.splits["test"].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]


def test_house_numbers_are_torchvisions_files():
    assert [file.name for file in SVHN().remote_files()] == list(SVHN.needed)
    assert [file.checksum[:4] for file in SVHN().remote_files()] == ["e26d", "eb5a"]


def test_a_file_of_other_pictures_is_told(tmp_path):
    wrong = house_numbers(PICTURES, y=np.ones((5, 1), np.uint8))
    written(tmp_path / "SVHN", {"train_32x32.mat": wrong, "test_32x32.mat": wrong})
    with pytest.raises(UserError, match=r"train_32x32\.mat .*uint8 of shape \[32, 32, 3, 36\] and 5 labels"):
        SVHN(root=str(tmp_path)).setup()


# whatever is in the file


@pytest.mark.parametrize("content", [b"", b"nonsense", b"x" * 1000, mat({"a": np.ones(9)})[:-20], mat({"a": 1})[:140]])
def test_a_damaged_file_is_one_error(tmp_path, content):
    (tmp_path / "it.mat").write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        read_mat(tmp_path / "it.mat", ["a"])


def test_a_name_that_is_not_there_is_told(tmp_path):
    (tmp_path / "it.mat").write_bytes(mat({"a": np.ones(3)}, packed=False))
    with pytest.raises(ValueError, match="it has no b"):
        read_mat(tmp_path / "it.mat", ["a", "b"])


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is(tmp_path):
    packer = zlib.compressobj(9)
    first, again = (packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = first + 1099 * again  # each part stands alone after such a flush
    head = mat({"a": 1})[:128]
    (tmp_path / "it.mat").write_bytes(head + (15).to_bytes(4, "little") + len(bomb).to_bytes(4, "little") + bomb)
    with pytest.raises(ValueError, match="it unpacks to more than 1,000 MB"):
        read_mat(tmp_path / "it.mat", ["a"])
