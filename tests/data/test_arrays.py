import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.data import arrays
from vae_lightning.data.array_containers import Npz
from vae_lightning.data.array_files import picture_axis
from vae_lightning.data.arrays import array_member, open_arrays
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.splitting import split_of
from vae_lightning.errors import UserError

COUNT = 40
RGB = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(COUNT) % 5


@pytest.fixture
def folder(tmp_path):
    """Makes the DataModule of a file of arrays, with fractions that leave no split empty."""

    def make(root: Path, **options) -> ImageFolder:
        defaults = {"root": str(root), "cache_dir": str(tmp_path / "cache"), "value_range": "auto", "batch_size": 4}
        defaults |= {"val_fraction": 0.2, "test_fraction": 0.2, "image_size": 8, "labels": "auto"}
        return ImageFolder(**defaults | options)

    return make


def save(path: Path, **members: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, members["images"])
    elif path.suffix == ".npz":
        np.savez(path, **members)
    else:
        with h5py.File(path, "w") as file:
            for name, values in members.items():
                file[name] = values.tolist() if values.dtype.kind == "U" else values
    return path


def all_of(data: ImageFolder) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """Images [H, W, C] and labels by their names."""
    images, labels = {}, {}
    for split in data.splits.values():
        chosen = split.images(torch.arange(len(split))).permute(0, 2, 3, 1)
        images |= dict(zip(split.names, chosen, strict=True))
        labels |= {} if split.labels is None else dict(zip(split.names, split.labels.tolist(), strict=True))
    return images, labels


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".hdf5"])
@pytest.mark.parametrize("is_first", [False, True])
def test_images_are_read_channels_first_or_last(folder, tmp_path, suffix, is_first):
    values = RGB.transpose(0, 3, 1, 2) if is_first else RGB
    data = folder(save(tmp_path / f"faces{suffix}", images=values))
    images, labels = all_of(data)
    name = "faces.npy" if suffix == ".npy" else "images"
    assert set(images) == {f"{name}[{number}]" for number in range(COUNT)}
    assert all(np.array_equal(images[f"{name}[{number}]"], RGB[number]) for number in range(COUNT))
    assert labels == {}
    assert data.found == {}
    assert all(split_of(each, 0.2, 0.2) == split for split, found in data.splits.items() for each in found.names)


@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("x_train", "y_train"), ("faces", "labels")])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_labels_come_with_their_images(folder, tmp_path, suffix, images, labels):
    data = folder(save(tmp_path / f"a{suffix}", **{images: RGB, labels: LABELS, "weights": np.ones(7)}))
    assert all_of(data)[1] == {f"{images}[{number}]": number % 5 for number in range(COUNT)}
    assert data.splits["train"].labels.dtype == torch.int64


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.bool_])
def test_labels_of_any_whole_numbers_and_in_a_column(folder, tmp_path, dtype):
    values = (LABELS % 2).astype(dtype)[:, None]
    assert set(all_of(folder(save(tmp_path / "a.npz", images=RGB, labels=values)))[1].values()) == {0, 1}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.array(["owl", "cat", "dog", "cat"] * 10), ("cat", "dog", "owl")),
        (np.array([-1, 7, 9, 7] * 10), ("-1", "7", "9")),
        (np.array([b"owl", b"cat", b"dog", b"cat"] * 10), ("cat", "dog", "owl")),
    ],
)
def test_labels_that_are_names_are_numbered(tmp_path, values, names):
    found = open_arrays(save(tmp_path / "a.npz", images=RGB, labels=values), 3, "auto", "data.root=a", 10**6, 1.0)
    assert found.class_names == names
    expected = {"owl": 2, "cat": 0, "dog": 1, "-1": 0, "7": 1, "9": 2}
    told = [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    assert found.labels.tolist() == [expected[each] for each in told]


def test_test_arrays_are_the_test_split(folder, tmp_path):
    members = {"x_train": RGB[:30], "y_train": LABELS[:30], "x_test": RGB[30:], "y_test": LABELS[30:]}
    data = folder(save(tmp_path / "a.npz", **members))
    assert data.splits["test"].names == tuple(f"x_test[{number}]" for number in range(10))
    assert data.splits["test"].labels.tolist() == LABELS[30:].tolist()
    rest = {name for split in ("train", "val") for name in data.splits[split].names}
    assert rest == {f"x_train[{number}]" for number in range(30)}
    assert all(split_of(name, 0.2, 0.0) == "val" for name in data.splits["val"].names)
    assert np.array_equal(all_of(data)[0]["x_test[3]"], RGB[33])
    own = folder(save(tmp_path / "b.npz", x_train=RGB[:30], x_val=RGB[30:35], x_test=RGB[35:]))
    assert [len(own.splits[split]) for split in ("train", "val", "test")] == [30, 5, 5]


def test_deep_arrays_have_one_range_and_stay_on_disk(folder, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 1000)  # two images
    data = folder(save(tmp_path / "a.npy", images=RGB.astype(np.float32) * 0.5 - 3))
    images, _ = all_of(data)
    low, high = data.found["value_range"]
    assert (low, high) == (-3, 124.5)
    assert all(np.abs(images[f"a.npy[{number}]"].int() - RGB[number]).max() <= 1 for number in range(COUNT))
    assert "value_range: files of floats, -3 to 124.5 found" in caplog.text
    again = folder(tmp_path / "a.npy")
    monkeypatch.setattr("vae_lightning.data.decoded_folder.write_arrays", lambda *_: pytest.fail("read again"))
    assert torch.equal(all_of(again)[0]["a.npy[7]"], images["a.npy[7]"])


def test_images_of_another_size_are_cropped_and_resized_as_pictures_are(folder, tmp_path):
    wide = np.random.default_rng(0).integers(0, 256, (COUNT, 20, 32, 3), dtype=np.uint8)
    images, _ = all_of(folder(save(tmp_path / "a.npy", images=wide)))
    (tmp_path / "pictures").mkdir()
    for number, pixels in enumerate(wide):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    pictures, _ = all_of(folder(tmp_path / "pictures"))
    assert all(torch.equal(images[f"a.npy[{number}]"], pictures[f"{number}.png"]) for number in range(COUNT))


@pytest.mark.parametrize(("shape", "channels"), [((COUNT, 8, 8), 1), ((COUNT, 8, 8), 3), ((COUNT, 8, 8, 13), 13)])
def test_grey_arrays_and_those_of_many_channels(folder, tmp_path, shape, channels):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images, _ = all_of(folder(save(tmp_path / "a.npy", images=values), channels=channels))
    expected = values if values.ndim == 4 else np.repeat(values[..., None], channels, axis=3)
    assert np.array_equal(images["a.npy[5]"], expected[5])


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ({"images": RGB[..., 0]}, {"channels": 5}, "it has 1 channels, and data.channels=5; choose data.channels=1"),
        ({"images": RGB, "labels": LABELS[:-1]}, {}, "labels are 39 labels, and images 40 images"),
        ({"images": RGB, "labels": np.zeros((COUNT, 5))}, {}, r"labels has shape \[40, 5\], where labels are \[N\]"),
        ({"a": RGB, "b": RGB}, {}, r"call it images or x_train; there are a \[40, 8, 8, 3\], b \[40, 8, 8, 3\]"),
        ({"images": RGB[0]}, {}, "is one picture"),
        ({"images": np.zeros(9)}, {}, r"images has shape \[9\]; images are \[N, H, W, C\]"),
        ({"images": np.zeros((COUNT, 8, 8, 8))}, {}, r"data\.layout=auto: .* give data\.layout=NHWC or NCHW"),
        ({"images": np.zeros((COUNT, 30, 40, 17))}, {"layout": "NHWC"}, "17 channels, of which at most 16"),
        ({"images": RGB.astype(np.complex64)}, {}, "values of type complex64 are no pixels"),
        ({"images": RGB}, {"max_pixels": 63}, r"8 x 8 pixels are more than data\.max_pixels=63"),
        ({"images": np.array([RGB[0], RGB[1, :4]], object)}, {}, "pictures of different sizes"),
        ({"x_train": RGB, "y_train": LABELS, "x_test": RGB}, {}, "only x_train of its 2 arrays of images has labels"),
        ({}, {}, "there are none"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_line(folder, tmp_path, members, options, message):
    with pytest.raises(UserError, match=rf"^data\.root=\S+a\.npz: .*{message}") as error:
        folder(save(tmp_path / "a.npz", **members), **options).prepare_data()
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_told_with_the_image(folder, tmp_path):
    values = RGB.astype(np.float32)
    values[17, 3, 3] = np.nan
    with pytest.raises(UserError, match=r"^data\.root=\S+: 'images\[17\]' has values that are not finite"):
        folder(save(tmp_path / "a.npz", images=values)).prepare_data()


def test_labels_that_are_no_classes_are_told_and_not_used(tmp_path):
    path = save(tmp_path / "a.npz", images=RGB, labels=np.linspace(0, 1, COUNT))
    found = open_arrays(path, 3, "auto", "data.root=a", 10**6, 1.0)
    assert found.labels is None
    assert found.note == "labels are not used, for they are neither whole numbers nor text: labels (float64)"


def test_a_damaged_file_is_told_in_a_line(folder, tmp_path):
    for suffix in (".npy", ".npz", ".h5"):
        (tmp_path / f"a{suffix}").write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match=rf"^data\.root=\S+a\{suffix}: "):
            folder(tmp_path / f"a{suffix}").prepare_data()


def test_layouts_go_by_the_shape_by_the_channels_or_by_what_is_said():
    assert picture_axis((32, 30, 5), 3, "auto") == 2
    assert picture_axis((5, 32, 30), 3, "auto") == 0
    assert picture_axis((8, 8, 3), 3, "auto") == 2
    assert picture_axis((8, 4, 8), 8, "NHWC") == 2
    assert picture_axis((32, 30), 1, "auto") is None
    for shape in ((8, 8, 8), (20, 20, 20), (3, 9, 3), (4,), (1, 2, 3, 4), (0, 3)):
        with pytest.raises(ValueError, match="shape"):
            picture_axis(shape, 3, "auto")


# Images of one's own


def test_images_of_an_array_are_named_by_their_numbers_and_read_by_the_runs_scale(folder, tmp_path):
    data = folder("/gone", value_range=[0, 1000])
    path = save(tmp_path / "own.npy", images=RGB.astype(np.uint16) * 2)
    files = data.pictures_in(path)
    assert files == [Path(f"{path}[{number}]") for number in range(COUNT)]
    assert array_member(files[3]) == (path, 3)
    expected = np.round(RGB.astype(float) * 2 / 1000 * 255)
    assert np.array_equal(data.read_images(files[:9]).permute(0, 2, 3, 1), expected[:9])
    np.save(tmp_path / "one.npy", RGB[0].astype(np.uint16) * 2)
    assert data.pictures_in(tmp_path / "one.npy") == [tmp_path / "one.npy"]
    assert np.array_equal(data.read_images([tmp_path / "one.npy"])[0].permute(1, 2, 0), expected[0])
    save(path, images=RGB.astype(np.uint16))
    assert np.array_equal(data.read_images(files[:1])[0].permute(1, 2, 0), np.round(RGB[0].astype(float) / 1000 * 255))
    with pytest.raises(UserError, match=r"can't be read as a picture \(it has 40 images, counted from 0\)"):
        data.read_images([Path(f"{path}[40]")])


def test_a_compressed_array_is_unpacked_once_and_not_for_what_is_decoded(folder, tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=RGB)
    before, _ = all_of(folder(tmp_path / "a.npz"))
    unpacked = []
    place = "vae_lightning.data.array_containers.Npz._unpacked"
    monkeypatch.setattr(place, lambda *given: unpacked.append(given[2]))
    with pytest.raises(UserError, match=r"^data\.root="):
        folder(tmp_path / "a.npz", image_size=4).prepare_data()
    assert unpacked == ["images"]
    monkeypatch.undo()
    monkeypatch.setattr("vae_lightning.data.arrays._Images.__getitem__", lambda *_: pytest.fail("read again"))
    assert torch.equal(all_of(folder(tmp_path / "a.npz"))[0]["images[3]"], before["images[3]"])


def test_nothing_is_written_into_a_cache_that_a_stored_config_names(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    np.savez_compressed(tmp_path / "a.npz", images=RGB.astype(np.uint16))
    (tmp_path / "cache").mkdir()
    data = folder(tmp_path / "a.npz")
    data.read_only = frozenset({"cache_dir"})
    places, unpack = [], Npz._unpacked
    monkeypatch.setattr(Npz, "_unpacked", lambda file, *given: places.append(file.scratch) or unpack(file, *given))
    data.prepare_data()
    assert set(places) == {tmp_path / "own" / "vae_lightning"}
    assert list((tmp_path / "cache").iterdir()) == []
    assert list((tmp_path / "own" / "vae_lightning").glob("images-*"))


def test_a_file_with_brackets_in_its_name_is_a_file(tmp_path):
    (tmp_path / "a.npy[3]").touch()
    assert array_member(tmp_path / "a.npy[3]") is None
    assert array_member(tmp_path / "a.png[3]") is None


def test_names_of_labels_are_those_of_the_classes_and_told(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    names = np.array(["dog", "cat", "fish"])[np.arange(COUNT) % 3]
    data = folder(save(tmp_path / "named.npz", images=RGB, labels=names))
    assert data.class_names == ("cat", "dog", "fish")
    assert "; labels of 3 kinds: cat, dog, fish" in caplog.text
    train = data.splits["train"]
    assert train.labels is not None
    numbers = [int(name.split("[")[1][:-1]) for name in train.names]
    assert [data.class_names[label] for label in train.labels.tolist()] == [str(names[number]) for number in numbers]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split_file": "splits.csv"}, "data.split_file=splits.csv: goes by the names of files"),
        ({"group_by": "folder"}, "data.group_by=folder: goes by the names of files"),
        ({"labels": "folders"}, "data.labels=folders: goes by the names of files"),
        ({"fit": "tile"}, "data.fit=tile: cuts up files of one picture each"),
    ],
)
def test_what_goes_by_files_is_refused_for_arrays(folder, tmp_path, options, told):
    data = folder(save(tmp_path / "images.npz", images=RGB), **options)
    with pytest.raises(UserError, match=re.escape(told)):
        data.load_splits()


def test_labels_are_left_out_where_none_are_wanted(folder, tmp_path):
    path = save(tmp_path / "images.npz", images=RGB, labels=np.arange(COUNT) % 3)
    assert folder(path, labels="none").splits["train"].labels is None


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"labels": np.eye(5)[LABELS]}, r"labels has shape \[40, 5\], where labels are \[N\]"),
        ({"labels": np.array(3)}, r"labels has shape \[\], where labels are \[N\]"),
        ({"labels": LABELS[:39]}, "labels are 39 labels, and images 40 images"),
        ({"labels": np.array([b"\xff"] * COUNT)}, "labels: is no text in UTF-8"),
        ({"labels": LABELS, "x_test": RGB[:8]}, "only images of its 2 arrays of images has labels"),
    ],
)
def test_labels_that_are_none_are_refused_unless_none_are_wanted(folder, tmp_path, members, match):
    path = save(tmp_path / "a.npz", images=RGB, **members)
    with pytest.raises(UserError, match=f"{match}; data.labels=none does without them$"):
        _ = folder(path).splits
    assert all(images.labels is None for images in folder(path, labels="none").splits.values())


def test_labels_are_not_read_before_it_is_known_that_they_are_as_many_as_the_images(tmp_path, monkeypatch):
    path = save(tmp_path / "a.npz", images=RGB, labels=np.zeros(10**6, np.int64))
    monkeypatch.setattr(Npz, "take", lambda *_: pytest.fail("read"))
    with pytest.raises(UserError, match="labels are 1,000,000 labels, and images 40 images"):
        open_arrays(path, 3, "auto", "images", 1000, 1e9)


def test_what_is_not_used_of_a_file_is_told(tmp_path):
    path = save(tmp_path / "a.npz", X=RGB, y=LABELS, **{"line\nbreak": LABELS})
    assert open_arrays(path, 3, "auto", "images", 1000, 1e9).told.endswith("not used: y [40], line\nbreak [40]")


def test_a_name_with_a_line_break_is_told_on_one_line(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    _ = folder(save(tmp_path / "a.npz", **{"line\nbreak": RGB})).splits
    assert [record.message for record in caplog.records if "\n" in record.message] == []
    assert "line\\nbreak [40, 8, 8, 3]" in caplog.text


def test_grey_images_that_may_lie_along_the_last_axis_are_told(tmp_path):
    path = save(tmp_path / "a.npz", images=np.zeros((28, 28, 40), np.uint8))
    assert "if they are 40 of 28 x 28, transpose it" in open_arrays(path, 1, "auto", "images", 10**4, 1e9).told


def test_labels_beyond_64_bits_with_a_sign_keep_their_names(folder, tmp_path):
    path = save(tmp_path / "a.npz", images=RGB, labels=LABELS.astype(np.uint64) + np.uint64(2**63))
    assert folder(path).splits["train"].class_names == tuple(str(2**63 + label) for label in range(5))


def test_a_name_of_nothing_is_an_array_as_any_other(tmp_path):
    assert open_arrays(save(tmp_path / "a.npz", **{"": RGB}), 3, "auto", "images", 1000, 1e9).labels is None
