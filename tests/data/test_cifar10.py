import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import content, md5, noise, served, sizes, written
from vae_lightning.data.cifar10 import CIFAR10
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.errors import UserError

IMAGES = noise(72, 32, 32, 3)
LABELS = (np.arange(72) % 10).astype(np.uint8)


def batches() -> dict[str, bytes]:
    """Six files of twelve images."""
    records = np.concatenate([LABELS[:, None], IMAGES.transpose(0, 3, 1, 2).reshape(72, -1)], 1)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    return {name: part.tobytes() for name, part in zip(names, np.split(records, 6), strict=True)}


@pytest.fixture
def data(tmp_path) -> CIFAR10:
    written(tmp_path / "cifar-10-batches-bin", batches())
    return CIFAR10(root=str(tmp_path))


def test_images_labels_and_splits_are_those_of_the_files(data):
    data.prepare_data()
    assert sizes(data) == [55, 5, 12]
    every = torch.cat([content(data, split) for split in ("train", "val", "test")])
    assert torch.equal(every.permute(0, 2, 3, 1), torch.from_numpy(IMAGES))
    assert data.splits["val"].labels.tolist() == LABELS[55:60].tolist()
    assert data.class_names[3] == "cat"


@pytest.mark.parametrize("options", [{}, {"channels": 1}, {"image_size": 24}, {"image_size": 40, "channels": 1}])
def test_a_picture_in_a_file_becomes_the_very_image_of_the_data(tmp_path, data, options):
    data = CIFAR10(root=data.root, **options)
    Image.fromarray(IMAGES[60]).save(tmp_path / "picture.png")
    assert torch.equal(data.read_image(tmp_path / "picture.png"), content(data, "test")[0])


def test_the_archive_is_fetched_and_unpacked(tmp_path, monkeypatch):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name, each in (batches() | {"readme.html": b"read me"}).items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(each)
            file.addfile(member, io.BytesIO(each))
    with served(written(tmp_path / "mirror", {"it.tar.gz": archive.getvalue()})) as address:
        file = RemoteFile("binary.tar.gz", (f"{address}it.tar.gz",), md5(archive.getvalue()), 1000)
        monkeypatch.setattr(CIFAR10, "remote_files", lambda _: [file])
        data = CIFAR10(root=str(tmp_path / "new"))
        data.prepare_data()
    assert sizes(data) == [55, 5, 12]
    assert {path.name for path in data.raw_folder.iterdir()} - {".lock"} == set(batches())


def test_the_real_archive_is_asked_for_by_its_checksum():
    (file,) = CIFAR10().remote_files()
    assert (file.checksum, file.num_bytes) == ("c32a1d4ab5d03f1284b67883e8d87530", 170_052_171)


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 3072])
def test_a_file_of_another_length_is_named(data, damage):
    (data.raw_folder / "data_batch_3.bin").write_bytes(damage)
    with pytest.raises(UserError, match=rf"data_batch_3\.bin .*is damaged \({len(damage):,} bytes are no whole number"):
        data.setup()


def test_a_label_above_nine_is_told(data):
    (data.raw_folder / "test_batch.bin").write_bytes(b"\x0a" * 3073)
    with pytest.raises(UserError, match=r"labels from 10 to 10, where there are 10 classes"):
        data.setup()
