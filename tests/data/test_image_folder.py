import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.data.decode import decode_image
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.splitting import split_of
from vae_lightning.errors import UserError


@pytest.fixture
def folder(pictures, tmp_path):
    """Makes the DataModule of the pictures, with fractions that leave no split empty."""

    def make(**options) -> ImageFolder:
        defaults = {"root": str(pictures), "cache_dir": str(tmp_path / "cache"), "image_size": 8}
        fractions = {"val_fraction": 0.2, "test_fraction": 0.2}
        return ImageFolder(**{**defaults, **fractions, "batch_size": 4, **options})

    return make


def names(data: ImageFolder) -> dict[str, tuple[str, ...]]:
    return {split: images.names for split, images in data.splits.items()}


def test_splits_cover_the_folder_once_and_their_rows_are_their_files(folder, pictures):
    data = folder()
    data.prepare_data()
    data.setup()
    assert sorted(sum(names(data).values(), ())) == sorted(path.name for path in pictures.iterdir())
    for images in data.splits.values():
        assert images.labels is None
        first = images.images(torch.tensor([0]))[0].permute(1, 2, 0).numpy()
        assert np.array_equal(first, decode_image(pictures / images.names[0], 8, 3))


def test_loaders_read_every_image_of_their_split(folder):
    data = folder(eval_batch_size=5)
    batches = list(data.val_dataloader())
    assert torch.equal(torch.cat([batch.indices for batch in batches]), torch.arange(len(data.splits["val"])))
    assert all(batch.labels is None for batch in batches)
    assert data.example_images(3).shape == (3, *data.image_shape) == (3, 3, 8, 8)


def test_the_pixels_stay_memory_mapped(folder):
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux lists a process's memory maps")
    data = folder()
    data.setup()
    assert "pixels.npy" in maps.read_text()
    pixels = data.splits["train"].pixels
    assert pixels.data_ptr() == data.splits["test"].pixels.data_ptr()


def test_training_reads_from_the_map_itself(folder, monkeypatch):
    from vae_lightning.data.decoded_folder import FolderDecoder

    maps = []
    plain = FolderDecoder.__call__
    monkeypatch.setattr(FolderDecoder, "__call__", lambda self: maps.append(plain(self)) or maps[-1])
    data = folder(horizontal_flip=True)
    data.steps_per_execution = 3
    loader = data.train_dataloader()
    assert isinstance(maps[-1].pixels, np.memmap)
    assert loader.batches.images.pixels.data_ptr() == maps[-1].pixels.ctypes.data
    batches = next(iter(loader))
    assert batches.images.shape[:2] == (3, 4)
    rows = data.splits["train"].rows[batches.indices.flatten()]
    assert np.array_equal(batches.images.flatten(0, 1).permute(0, 2, 3, 1).numpy(), maps[-1].pixels[rows.numpy()])


def test_adding_files_moves_no_other(folder, pictures):
    before = names(folder())
    for number in range(40):
        Image.new("RGB", (9, 9)).save(pictures / f"{number:02}a.png")
    after = names(folder())
    assert all(set(before[split]) < set(after[split]) for split in before)


def test_the_split_depends_on_neither_seed_nor_bad_files(folder, pictures):
    before = names(folder())
    assert names(folder(seed=1)) == before
    bad = before["val"][0]
    (pictures / bad).write_bytes(b"not a picture")
    after = names(folder(max_bad_fraction=0.02))
    assert after == {**before, "val": before["val"][1:]}


def test_fractions_are_met_and_test_stays_when_validation_grows():
    all_names = [f"folder/{number}.jpg" for number in range(20000)]
    small = [split_of(name, 0.05, 0.1) for name in all_names]
    assert small.count("val") / 20000 == pytest.approx(0.05, abs=0.008)
    assert small.count("test") / 20000 == pytest.approx(0.1, abs=0.011)
    large = [split_of(name, 0.3, 0.1) for name in all_names]
    assert [split == "test" for split in small] == [split == "test" for split in large]
    assert split_of("name that is not utf-8 \udcff.jpg", 0.05, 0.05) in ("train", "val", "test")


def test_the_split_of_a_name_is_the_same_for_ever():
    splits = [split_of(f"{number}.jpg", 0.25, 0.25) for number in range(12)]
    assert "".join(split[1] for split in splits) == "earrrearrrra"


def test_no_split_of_few_pictures_is_empty_and_of_too_few_is_refused(folder, pictures, told):
    assert len(folder(val_fraction=1e-9).splits["val"]) == 1
    assert "none fell to val by data.val_fraction=1e-09: " in " ".join(told())
    for path in sorted(pictures.iterdir())[2:]:
        path.unlink()
    with pytest.raises(
        UserError, match=r"^data\.root=\S+: 2 images: too few for train, val and test, which take 3 images at least$"
    ):
        folder().setup()


@pytest.mark.parametrize("wrapped", ["", "images/"])
def test_an_archive_in_place_of_a_root(folder, pictures, tmp_path, wrapped, told):
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in pictures.iterdir():
            file.write(path, wrapped + path.name)
        file.writestr("__MACOSX/._00.png", b"not a picture")
    data = folder(root=None, archive=str(archive))
    data.prepare_data()
    assert told()[0].startswith(f"decoding 60 images of data.archive={archive} into ")
    assert {len(Path(name).parts) for name in names(data)["train"]} == {1 + bool(wrapped)}
    assert sum(len(images) for images in data.splits.values()) == 60


def test_an_archive_without_images_is_named(folder, tmp_path):
    archive = tmp_path / "texts.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "nothing to see")
    with pytest.raises(UserError, match=r"^data\.archive=\S+texts\.zip: no images found"):
        folder(archive=str(archive)).prepare_data()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": None}, "root must be a folder"),
        ({"archive": "faces.rar"}, r"archive must end in \.zip, \.tar, \.tar\.gz, \.tgz, got faces\.rar"),
        ({"max_bad_fraction": 1.5}, "max_bad_fraction must be from 0 to 1, got 1.5"),
        ({"val_fraction": 0.0}, "val_fraction must lie between 0 and 1, got 0.0"),
        ({"test_fraction": 1.0}, "test_fraction must lie between 0 and 1, got 1.0"),
        ({"val_fraction": 0.8}, r"val_fraction and test_fraction must leave .*, got 0\.8 \+ 0\.2"),
        ({"max_archive_gb": 0.0}, "max_archive_gb must be positive, got 0.0"),
        ({"max_pixels": 0}, "max_pixels must be at least 1, got 0"),
        ({"max_archive_files": 0}, "max_archive_files must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_impossible_options_are_named(folder, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        folder(**options)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_the_folder_is_read_as_it_stands_in_the_cache(folder, pictures, tmp_path, channels):
    large = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    Image.fromarray(large).save(pictures / "large.jpg", quality=95)  # JPEG is decoded at a part of its size
    data = folder(channels=channels)
    files = [pictures / name for split in data.splits.values() for name in split.names]
    assert pictures / "large.jpg" in files
    cached = torch.cat([split.images(torch.arange(len(split))) for split in data.splits.values()])
    away = folder(channels=channels, root="/gone", cache_dir=str(tmp_path / "no cache"))
    assert torch.equal(away.read_images(files), cached)
    assert not (tmp_path / "no cache").exists()
    assert cached.shape[1] == channels


def test_real_faces(real_data, tmp_path):
    root = tmp_path / "faces"
    root.mkdir()
    for number in range(50):
        shutil.copyfile(real_data / "anime-faces" / f"{number}.jpg", root / f"{number}.jpg")
    data = ImageFolder(
        root=str(root), cache_dir=str(tmp_path / "cache"), batch_size=8, val_fraction=0.2, test_fraction=0.2
    )
    data.prepare_data()
    assert sum(len(images) for images in data.splits.values()) == 50
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (1, 8, 3, 64, 64)
    assert batch.images.float().std() > 30
    # the same pictures by a plainer road: 96 x 96 resized whole
    name = data.splits["train"].names[int(batch.indices[0, 0])]
    plain = Image.open(root / name).convert("RGB").resize((64, 64), Image.Resampling.BOX)
    difference = batch.images[0, 0].permute(1, 2, 0).numpy().astype(int) - np.asarray(plain).astype(int)
    assert np.abs(difference).mean() < 8


# Splits and labels that somebody has made


def in_folders(pictures: Path, *folders: str) -> None:
    """Picture n in folder n modulo their number."""
    for number, path in enumerate(sorted(pictures.iterdir())):
        place = pictures / folders[number % len(folders)]
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)


def test_without_the_later_arguments_folders_are_names_as_any(folder, pictures):
    in_folders(pictures, "train/a", "val/b", "test/a")
    shutil.copy(pictures / "train/a/00.png", pictures / "train/a/copy.png")
    data = folder()
    assert all(split_of(name, 0.2, 0.2) == split for split, each in names(data).items() for name in each)
    assert all(images.labels is None and images.class_names is None for images in data.splits.values())
    assert data.num_classes is None


def test_folders_are_splits_and_classes(folder, pictures):
    in_folders(pictures, "train/b", "val/a", "test/b", "train/c")
    data = folder(own_splits=True, labels="auto")
    assert {split: len(images) for split, images in data.splits.items()} == {"train": 30, "val": 15, "test": 15}
    assert (data.class_names, data.num_classes) == (("a", "b", "c"), 3)
    for images in data.splits.values():
        assert ["abc"[label] for label in images.labels.tolist()] == [name.split("/")[1] for name in images.names]
        first = images.images(torch.tensor([0]))[0].permute(1, 2, 0).numpy()
        assert np.array_equal(first, decode_image(pictures / images.names[0], 8, 3))
    assert torch.equal(next(iter(data.val_dataloader())).labels, data.splits["val"].labels)


def test_labels_and_factors_of_a_table_go_with_their_pictures(folder, pictures):
    rows = [f"{number:02},{'odd' if number % 2 else 'even'},{number}\n" for number in range(60)]
    (pictures / "labels.csv").write_text("file,label,number\n" + "".join(rows))
    data = folder(labels="labels.csv", binarize="fixed")
    for images in data.splits.values():
        numbers = [int(name.removesuffix(".png")) for name in images.names]
        assert images.factors["number"].tolist() == numbers
        assert [data.class_names[label] for label in images.labels] == [("even", "odd")[n % 2] for n in numbers]


def test_labels_change_neither_the_splits_nor_what_is_trained_on(folder, pictures):
    in_folders(pictures, "a", "b")
    plain, labelled = folder(), folder(labels="folders")
    assert names(plain) == names(labelled)
    for one, other in zip(plain.train_dataloader(), labelled.train_dataloader(), strict=True):
        assert torch.equal(one.images, other.images)
        assert (one.labels is None, other.labels is None) == (True, False)


def test_copies_of_a_picture_stay_in_its_split(folder, pictures):
    for number in range(30):
        shutil.copy(pictures / "07.png", pictures / f"copy {number}.png")
    whole = folder(keep_duplicates_together=True)
    splits = {split for split, each in names(whole).items() for name in each if name.startswith(("copy", "07"))}
    assert splits == {split_of("07.png", 0.2, 0.2)}


def test_an_archive_may_have_splits_and_a_table_in_it(folder, pictures, tmp_path):
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, path in enumerate(sorted(pictures.iterdir())):
            file.write(path, f"faces/{('train', 'val', 'test')[number % 3]}/{path.name}")
        file.writestr("labels.csv", "file,label\n" + "".join(f"{number:02},{number % 2}\n" for number in range(60)))
    data = folder(root=None, archive=str(archive), own_splits=True, labels="labels.csv")
    assert [len(images) for images in data.splits.values()] == [20, 20, 20]
    assert data.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_by": "("}, r"group_by must be folder or a regular expression, got \( \(missing \)"),
        ({"group_by": ""}, "group_by must not be empty"),
        ({"labels": ""}, "labels must not be empty"),
        ({"split_file": ""}, "split_file must not be empty"),
    ],
)
def test_values_of_splits_and_labels_that_can_not_be(folder, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        folder(**options)
