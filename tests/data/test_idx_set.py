import gzip
import io
import zipfile

import pytest
import torch
from PIL import Image

from tests.data.sets import content, idx, idx_files, md5, packed, served, sizes, written
from vae_lightning.data.emnist import EMNIST
from vae_lightning.data.fashion_mnist import FashionMNIST
from vae_lightning.data.idx_set import FILES
from vae_lightning.data.kmnist import KMNIST
from vae_lightning.data.mnist import MNIST
from vae_lightning.errors import UserError

ARRAYS = idx_files(FILES)
NAMED = (FashionMNIST, KMNIST)
SETS = (*NAMED, MNIST)


@pytest.mark.parametrize("kind", SETS)
def test_each_lies_in_a_folder_of_its_own_and_has_names_for_its_ten_labels(tmp_path, kind):
    written(tmp_path / kind.below, {name: idx(array) for name, array in ARRAYS.items()})
    data = kind(root=str(tmp_path))
    data.prepare_data()
    assert sizes(data) == [44, 4, 24]
    assert torch.equal(content(data, "test")[:, 0], torch.from_numpy(ARRAYS[FILES[2]]))
    assert data.splits["val"].labels.tolist() == [4, 5, 6, 7]
    names = data.class_names
    assert names is None if kind is MNIST else len(set(names)) == 10  # its names are the labels themselves


@pytest.mark.parametrize("kind", NAMED)
def test_the_names_are_torchvisions(kind):
    from torchvision import datasets

    assert list(kind.classes) == getattr(datasets, kind.__name__).classes


@pytest.mark.parametrize("kind", SETS)
def test_each_is_downloaded_by_torchvisions_checksums_from_its_mirrors_in_turn(tmp_path, monkeypatch, kind):
    from torchvision import datasets

    known, files = getattr(datasets, kind.__name__), packed(ARRAYS)
    wrong = written(tmp_path / "wrong", dict.fromkeys(files, b"another file"))
    monkeypatch.setattr(known, "resources", [(name, md5(each)) for name, each in files.items()])
    with served(wrong) as first, served(written(tmp_path / "mirror", files)) as second:
        monkeypatch.setattr(known, "mirrors", [first, second])
        data = kind(root=str(tmp_path / "new"))
        data.prepare_data()
    assert sizes(data) == [44, 4, 24]
    assert {path.name for path in data.raw_folder.iterdir()} - {".lock"} == set(FILES)


def test_what_is_fetched_is_said_to_be_as_large_as_it_is():
    assert sum(file.num_bytes for file in FashionMNIST().remote_files()) // 10**6 == 30
    assert sum(file.num_bytes for file in KMNIST().remote_files()) // 10**6 == 21
    assert next(file.urls[-1] for file in KMNIST().remote_files()).endswith("kmnist/train-images-idx3-ubyte.gz")


def test_labels_that_the_set_has_not_are_told(tmp_path):
    wrong = idx_files(FILES, first_label=1)
    written(tmp_path / FashionMNIST.below, {name: idx(array) for name, array in wrong.items()})
    with pytest.raises(UserError, match=r"^data\.root=.*labels from 1 to 10, where there are 10 classes"):
        FashionMNIST(root=str(tmp_path)).setup()


# EMNIST

LETTERS = idx_files(EMNIST(name="letters").needed, first_label=1, num_classes=26)
BALANCED = idx_files(EMNIST().needed, num_classes=47)


def test_emnist_is_turned_upright_and_its_letters_are_counted_from_zero(tmp_path):
    written(tmp_path / "EMNIST/raw", packed(LETTERS))
    data = EMNIST(root=str(tmp_path), name="letters")
    data.prepare_data()
    images, labels = list(LETTERS.values())[2:]
    assert torch.equal(content(data, "test")[:, 0], torch.from_numpy(images).transpose(1, 2))
    assert data.splits["test"].labels.tolist() == (labels - 1).tolist()
    assert data.class_names[0] == "a"
    Image.fromarray(images[5].T).save(tmp_path / "letter.png")
    assert torch.equal(data.read_image(tmp_path / "letter.png"), content(data, "test")[5])


@pytest.mark.parametrize(
    ("name", "count"), [("balanced", 47), ("byclass", 62), ("bymerge", 47), ("digits", 10), ("letters", 26)]
)
def test_emnists_classes_are_torchvisions(name, count):
    from torchvision import datasets

    theirs = [each for each in datasets.EMNIST.classes_split_dict[name] if each != "N/A"]
    assert EMNIST(name=name).classes == tuple(theirs)
    assert len(theirs) == count


def test_one_download_has_all_of_emnist(tmp_path, monkeypatch):
    from torchvision import datasets

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, each in (packed(LETTERS) | packed(BALANCED) | {"emnist-mapping.txt": b"0 48"}).items():
            file.writestr(f"gzip/{name}", each)
    with served(written(tmp_path / "mirror", {"gzip.zip": archive.getvalue()})) as address:
        monkeypatch.setattr(datasets.EMNIST, "url", f"{address}gzip.zip")
        monkeypatch.setattr(datasets.EMNIST, "md5", md5(archive.getvalue()))
        EMNIST(root=str(tmp_path), name="letters").prepare_data()
    data = EMNIST(root=str(tmp_path))
    data.prepare_data()  # the server is gone
    assert sizes(data) == [44, 4, 24]
    assert data.splits["test"].labels.max() == 23
    left = {path.name for path in data.raw_folder.iterdir()} - {".lock"}
    assert left == {f"{name}.gz" for name in (*LETTERS, *BALANCED)}


def test_a_choice_that_emnist_has_not_is_told():
    with pytest.raises(ValueError, match=r"^name must be one of balanced, byclass, .*, got capitals$"):
        EMNIST.__init__.__wrapped__(object.__new__(EMNIST), name="capitals")


def test_what_is_packed_badly_is_no_data(tmp_path):
    files = packed(ARRAYS)
    files[f"{FILES[0]}.gz"] = gzip.compress(idx(ARRAYS[FILES[0]])[:-5])
    written(tmp_path / KMNIST.below, files)
    with pytest.raises(UserError, match=rf"^data\.root={tmp_path}: .*{FILES[0]} or its \.gz is damaged \(it ends 5"):
        KMNIST(root=str(tmp_path)).setup()
