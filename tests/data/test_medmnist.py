import importlib
import inspect
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import content, md5, noise, served, sizes, written
from vae_lightning.data.medmnist import MedMNIST
from vae_lightning.errors import UserError

COLOUR = noise(24, 28, 28, 3)
INFO = """
INFO = {{
    "pathmnist": {{
        "url": "{url}", "MD5": "{md5}", "url_64": "{url}_64", "MD5_64": "0", "n_channels": 3,
        "n_samples": {{"train": 12, "val": 6, "test": 6}}, "label": {{"0": "adipose", "1": "debris"}},
    }},
    "chestmnist": {{"label": {{"0": "mass", "1": "hernia"}}}},
    "organmnist3d": {{}},
}}
"""


def npz(images: np.ndarray = COLOUR, facts: int = 1, **others) -> bytes:
    """Twelve, six and six images."""
    labels = (np.arange(24 * facts) % 2).reshape(24, facts).astype(np.uint8)
    bounds = {"train": slice(12), "val": slice(12, 18), "test": slice(18, 24)}
    arrays = {f"{split}_images": images[part] for split, part in bounds.items()}
    arrays |= {f"{split}_labels": labels[part] for split, part in bounds.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **(arrays | others))
    return file.getvalue()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that knows where pathmnist lies."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "medmnist", raising=False)

    def install(url: str = "", checksum: str = "") -> None:
        files = {"__init__.py": b"raise RuntimeError('imports too much')"}
        written(tmp_path / "site/medmnist", files | {"info.py": INFO.format(url=url, md5=checksum).encode()})
        importlib.invalidate_caches()

    return install


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setattr("vae_lightning.data.medmnist._known_sets", lambda: None)


def medmnist(tmp_path, file: bytes, name: str = "pathmnist", **options) -> MedMNIST:
    written(tmp_path / "medmnist", {f"{name}.npz": file})
    return MedMNIST(root=str(tmp_path), name=name, batch_size=2, **options)


def test_images_labels_and_splits_are_the_files(tmp_path, package):
    package()
    data = medmnist(tmp_path, npz())
    data.prepare_data()
    assert sizes(data) == [12, 6, 6]
    every = torch.cat([content(data, split) for split in ("train", "val", "test")])
    assert torch.equal(every.permute(0, 2, 3, 1), torch.from_numpy(COLOUR))
    assert data.splits["val"].labels.tolist() == [0, 1] * 3
    assert data.class_names == ("adipose", "debris")


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize("options", [{}, {"channels": 1}, {"image_size": 20}, {"image_size": 40, "channels": 1}])
@pytest.mark.parametrize("is_grey", [False, True])
def test_a_picture_in_a_file_becomes_the_very_image_of_the_data(tmp_path, options, is_grey):
    images = COLOUR[..., 0] if is_grey else COLOUR
    data = medmnist(tmp_path, npz(images), **options)
    Image.fromarray(images[18]).save(tmp_path / "picture.png")
    assert torch.equal(data.read_image(tmp_path / "picture.png"), content(data, "test")[0])
    assert data.class_names is None


@pytest.mark.usefixtures("no_package")
def test_a_file_may_be_given_by_its_path(tmp_path):
    (tmp_path / "mine.npz").write_bytes(npz())
    data = MedMNIST(root=str(tmp_path / "mine.npz"), batch_size=2)
    data.prepare_data()
    assert sizes(data) == [12, 6, 6]
    with pytest.raises(UserError, match=r"^data\.root=.*there is no such file$"):
        MedMNIST(root=str(tmp_path / "yours.npz")).prepare_data()


def test_several_findings_are_factors(tmp_path, package):
    package()
    data = medmnist(tmp_path, npz(COLOUR[..., 0], facts=2), "chestmnist", channels=1)
    assert data.splits["train"].labels is None
    assert {name: values.tolist() for name, values in data.splits["val"].factors.items()} == {
        "mass": [0] * 6,
        "hernia": [1] * 6,
    }


@pytest.mark.usefixtures("no_package")
def test_what_is_too_large_for_ram_is_made_once_in_the_cache(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    expected = content(medmnist(tmp_path, npz()), "train")
    monkeypatch.setattr("vae_lightning.data.medmnist._MOST_IN_RAM", 1000)
    for _ in range(2):
        data = MedMNIST(root=str(tmp_path), cache_dir=str(tmp_path / "cache"), batch_size=2)
        assert torch.equal(content(data, "train"), expected)
        assert data.splits["train"].pages is not None
    assert caplog.text.count("the images of pathmnist.npz take 1 MB, made once") == 1
    for fit in ("crop", "pad"):
        options = {"image_size": [12, 20], "fit": fit, "cache_dir": str(tmp_path / "cache")}
        wide = content(MedMNIST(root=str(tmp_path), batch_size=2, **options), "train")
        assert wide.shape == (12, 3, 12, 20)
        assert (wide[..., :4].max() == 0) == (fit == "pad")


@pytest.mark.usefixtures("no_package")
def test_grey_images_in_three_channels_are_told(tmp_path, caplog):
    medmnist(tmp_path, npz(COLOUR[..., 0])).setup()
    assert caplog.text.count("data.channels=3: the images of pathmnist.npz are grey") == 1


def test_a_set_is_downloaded_by_the_packages_checksum(tmp_path, package):
    with served(written(tmp_path / "mirror", {"it.npz": npz()})) as address:
        package(f"{address}it.npz", md5(npz()))
        data = MedMNIST(root=str(tmp_path / "new"), batch_size=2)
        data.prepare_data()
        assert sizes(data) == [12, 6, 6]
        package(f"{address}it.npz", md5(b"another"))
        with pytest.raises(UserError, match=r"MedMNIST's pathmnist is not in .* \(.*is another file, by its MD5\)"):
            MedMNIST(root=str(tmp_path / "other")).prepare_data()
    larger = MedMNIST(size=64).remote_files()[0]
    assert (larger.name, larger.urls, larger.checksum) == ("pathmnist_64.npz", (f"{address}it.npz_64",), "0")


@pytest.mark.usefixtures("no_package")
def test_without_the_package_the_line_says_how_to_get_it(tmp_path):
    with pytest.raises(UserError) as error:
        MedMNIST(root=str(tmp_path)).prepare_data()
    assert "pip install 'vae-lightning[medmnist]'" in str(error.value)
    assert str(error.value).startswith(f"data.root={tmp_path}: pathmnist.npz is not in {tmp_path}/medmnist")


@pytest.mark.parametrize("name", ["organmnist3d", "pathmist"])
def test_a_set_that_there_is_not_is_told(tmp_path, package, name):
    package()
    with pytest.raises(
        UserError, match=rf"^data\.name={name}: is no set of pictures .*valid here: pathmnist, chestmnist$"
    ):
        MedMNIST(root=str(tmp_path), name=name).prepare_data()


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"train_images": np.zeros((12, 28, 28, 28), np.uint8)}, r"train_images are uint8 of shape \[12, 28, 28, 28\]"),
        ({"val_images": np.zeros((6, 28, 28, 3))}, "val_images are float64"),
        ({"test_labels": np.zeros((5, 1), np.uint8)}, r"test_images are uint8 of shape .*, for 5 labels"),
        ({"test_labels": np.full((6, 1), -1)}, "no numbers as test_labels"),
        ({"test_labels": np.zeros(6, np.uint8)}, "no numbers as test_labels"),
    ],
)
def test_another_file_is_told(tmp_path, others, told):
    with pytest.raises(UserError, match=rf"^data\.root=.*is no file of MedMNIST that can be read \(.*{told}") as error:
        medmnist(tmp_path, npz(**others)).prepare_data()
    assert "\n" not in str(error.value)


def test_what_cannot_be_is_refused():
    construct = inspect.unwrap(MedMNIST.__init__)
    with pytest.raises(ValueError, match=r"^size must be one of 28, 64, 128, 224, got 32"):
        construct(object.__new__(MedMNIST), size=32)
    with pytest.raises(ValueError, match=r"^name must be that of a set"):
        construct(object.__new__(MedMNIST), name="../secret")


def test_the_real_packages_facts_are_understood():
    pytest.importorskip("medmnist", reason="medmnist is not installed")
    (file,) = MedMNIST(name="bloodmnist", size=64).remote_files()
    assert file.urls[0].startswith("https://zenodo.org/")
    assert len(file.checksum) == 32
    assert Path(file.name).name == "bloodmnist_64.npz"
