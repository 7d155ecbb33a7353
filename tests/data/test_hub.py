"""Data sets of the Hub, by a stand-in for its library that has of it what is used, and by the library itself."""

import inspect
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import content, noise, sizes
from vae_lightning.data.hub import HubImages
from vae_lightning.errors import UserError

PIXELS = noise(40, 8, 8, 3)


class Picture:
    def __init__(self, decode: bool = True):
        self.decode = decode


class ClassLabel:
    def __init__(self, names=("cat", "dog")):
        self.names = list(names)


class Rows:
    """A split as the library opens it."""

    def __init__(self, columns: dict[str, list], features: dict):
        self.columns = columns
        self.features = features

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> list:
        return self.columns[name]

    def select_columns(self, names: list[str]) -> "Rows":
        return Rows({name: self.columns[name] for name in names}, {name: self.features[name] for name in names})

    def cast_column(self, name: str, feature: Picture) -> "Rows":
        return Rows(self.columns, self.features | {name: feature})

    def iter(self, batch_size: int):
        assert not any(getattr(feature, "decode", False) for feature in self.features.values())
        for first in range(0, len(self), batch_size):
            yield {name: values[first : first + batch_size] for name, values in self.columns.items()}


def png(pixels: np.ndarray) -> dict:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def split(first: int, last: int, **others) -> Rows:
    rows = range(first, last)
    columns = {"picture": [png(PIXELS[row]) for row in rows], "label": [row % 2 for row in rows]}
    features = {"picture": Picture(), "label": ClassLabel()}
    return Rows(
        columns | {name: [each[0]] * len(rows) for name, each in others.items()},
        features | {name: each[1] for name, each in others.items()},
    )


@pytest.fixture
def hub(monkeypatch):
    """What the Hub has by name, and how often it was asked."""
    known: dict = {}
    asked: list[tuple] = []

    def load_dataset(name, config_name, revision):
        asked.append((name, config_name, revision))
        if name not in known:
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub\nand more")
        if isinstance(known[name], Exception):
            raise known[name]
        return known[name]

    library = SimpleNamespace(load_dataset=load_dataset, Image=Picture, ClassLabel=ClassLabel)
    monkeypatch.setitem(sys.modules, "datasets", library)
    return SimpleNamespace(known=known, asked=asked)


@pytest.fixture
def images(hub, tmp_path):
    def make(found: dict | Exception | None = None, **options) -> HubImages:
        if found is not None:
            hub.known["me/mine"] = found
        usual = {"name": "me/mine", "cache_dir": str(tmp_path / "cache"), "image_size": 8, "batch_size": 2}
        return HubImages(**(usual | options))

    return make


def official() -> dict:
    return {"train": split(0, 20), "validation": split(20, 30), "test": split(30, 40)}


def test_official_splits_labels_and_their_names_are_kept(images):
    data = images(official())
    data.prepare_data()
    assert sizes(data) == [20, 10, 10]
    every = torch.cat([content(data, split) for split in ("train", "val", "test")])
    assert torch.equal(every.permute(0, 2, 3, 1), torch.from_numpy(PIXELS))
    assert data.splits["val"].labels.tolist() == [0, 1] * 5
    assert data.class_names == ("cat", "dog")


def test_pictures_are_fitted_into_a_rectangle_and_each_way_has_its_own_cache(images, hub, tmp_path):
    Image.fromarray(PIXELS[30]).save(tmp_path / "picture.png")
    for fit in ("crop", "pad"):
        data = images(official(), image_size=[8, 12], fit=fit)
        found = content(data, "test")
        assert found.shape == (10, *data.image_shape) == (10, 3, 8, 12)
        assert torch.equal(data.read_image(tmp_path / "picture.png"), found[0])
        assert (found[..., :2].max() == 0) == (fit == "pad")
    assert torch.equal(found[0, :, :, 2:10].permute(1, 2, 0), torch.from_numpy(PIXELS[30]))
    assert data.splits["train"].labels.tolist() == [0, 1] * 10


def test_what_was_decoded_needs_neither_the_library_nor_a_network(images, hub, monkeypatch):
    expected = content(images(official()), "test")
    hub.known.clear()
    monkeypatch.setitem(sys.modules, "datasets", None)
    data = images()
    data.prepare_data()
    assert torch.equal(content(data, "test"), expected)
    assert data.class_names == ("cat", "dog")
    assert len(hub.asked) == 1


@pytest.mark.parametrize("found", [{"train": split(0, 40)}, {"full": split(0, 40)}])
def test_splits_that_there_are_not_are_dealt_once_and_for_all(images, found):
    data = images(found, val_fraction=0.25, test_fraction=0.2)
    assert sizes(data) == [22, 10, 8]
    rows = [data.splits[split].rows for split in data.splits]
    assert torch.cat(rows).sort().values.tolist() == list(range(40))
    assert torch.equal(images(seed=9, val_fraction=0.25, test_fraction=0.2).splits["val"].rows, rows[1])
    assert torch.equal(data.splits["val"].labels, rows[1] % 2)


def test_an_official_test_split_stays_where_validation_is_dealt(images, caplog):
    data = images({"train": split(0, 30), "test": split(30, 40), "extra": split(0, 5)}, val_fraction=0.2)
    assert sizes(data) == [24, 6, 10]
    assert data.splits["test"].rows.tolist() == list(range(30, 40))
    assert "data.name=me/mine: its splits extra are not used" in caplog.text


def test_labels_that_a_split_keeps_to_itself_are_left_out_and_that_is_told(images, caplog):
    found = official()
    found["test"].columns["label"] = [-1] * 10
    assert images(found).splits["train"].labels is None
    assert "a split does not tell its labels" in caplog.text


def test_a_picture_in_a_file_becomes_the_very_image_of_the_data(images, tmp_path):
    data = images(official(), image_size=5, channels=1)
    Image.fromarray(PIXELS[30]).save(tmp_path / "picture.png")
    assert torch.equal(data.read_image(tmp_path / "picture.png"), content(data, "test")[0])


def test_columns_are_named_where_several_fit(images):
    second = {"mask": (png(PIXELS[0]), Picture())}
    with pytest.raises(
        UserError, match=r"^data\.name=me/mine: picture, mask may be the image; give data\.image_column="
    ):
        images({"train": split(0, 40, **second)}).prepare_data()
    data = images({"train": split(0, 40, **second, kind=(1, ClassLabel()))}, image_column="mask", label_column="kind")
    assert torch.equal(content(data, "train")[0].permute(1, 2, 0), torch.from_numpy(PIXELS[0]))
    assert data.splits["val"].labels.tolist() == [1, 1]
    with pytest.raises(UserError, match=r"^data\.label_column=sort: data\.name=me/mine has picture, label$"):
        images({"train": split(0, 40)}, label_column="sort").prepare_data()


def test_without_pictures_or_a_training_split_it_is_no_use(images):
    rows = split(0, 4)
    del rows.features["picture"]
    with pytest.raises(UserError, match=r"has no column of pictures, but label; give data\.image_column="):
        images({"train": rows}).prepare_data()
    with pytest.raises(UserError, match=r"has no split to train on, but a, b$"):
        images({"a": split(0, 4), "b": split(0, 4)}).prepare_data()


def test_no_network_is_told_as_such_in_a_line(images):
    with pytest.raises(UserError) as error:
        images().prepare_data()
    told = "data.name=me/mine: there is no network, or no Hub that answers (Couldn't reach 'me/mine' on the Hub)"
    assert str(error.value) == told


def test_what_the_hub_has_not_is_told_in_a_line(images):
    with pytest.raises(
        UserError, match=r"^data\.name=me/mine: can't be had from the Hugging Face Hub \(no such set\)$"
    ):
        images(ValueError("no such set\nbut others")).prepare_data()


def test_a_missing_library_is_told_with_its_cure(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'^data=hub: datasets is not installed: pip install "vae-lightning\[hub\]"$'):
        images().prepare_data()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"bytes": b"junk", "path": None}, r"cannot identify its format\)"),
        ({"bytes": b"", "path": None}, r"an empty file\)"),
        ({"bytes": None, "path": "nowhere.png"}, ""),
    ],
)
def test_a_picture_that_cannot_be_read_is_named_by_its_row(images, tmp_path, entry, reason):
    found = official()
    found["validation"].columns["picture"][3] = entry
    with pytest.raises(UserError, match=rf"^data\.name=me/mine: row 3 of val can't be read \({reason}"):
        images(found).prepare_data()
    assert not list((tmp_path / "cache").rglob("pixels.npy"))


def test_a_set_that_has_changed_is_not_mixed_with_what_is_remembered(images):
    images(official()).prepare_data()
    changed = official() | {"train": split(1, 21)}
    with pytest.raises(UserError, match=r"^data\.name=me/mine: is another data set by now than .*give data\.revision="):
        images(changed, image_size=4).prepare_data()
    assert sizes(images(image_size=4, revision="2")) == [20, 10, 10]


def test_nothing_is_fetched_for_a_stored_config_unless_its_cache_is_typed(hub, images, tmp_path, monkeypatch):
    from vae_lightning.building.trust import Trust, trusting
    from vae_lightning.config import instantiate

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    hub.known["me/mine"] = official()
    places = {"name": "me/mine", "cache_dir": str(tmp_path / "theirs"), "image_size": 8, "batch_size": 2}
    node = {"_target_": "vae_lightning.data.hub.HubImages"} | places
    with pytest.raises(UserError, match=r"^data\.name=me/mine: is not in the cache .*type data\.cache_dir="):
        instantiate(node, "data", trusted=Trust()).prepare_data()
    assert (hub.asked, (tmp_path / "theirs").exists()) == ([], False)
    instantiate(node, "data", trusted=trusting((), ["data.cache_dir"])).prepare_data()
    hub.known.clear()
    assert sizes(instantiate(node, "data", trusted=Trust())) == [20, 10, 10]


@pytest.mark.parametrize("damage", [b"junk", b""])
def test_remembered_facts_that_are_damaged_are_told(images, tmp_path, damage):
    images(official()).prepare_data()
    (file,) = (tmp_path / "cache").rglob("facts.npz")
    file.write_bytes(damage)
    with pytest.raises(UserError, match=r"^data\.cache_dir: .*facts\.npz can't be read \(.*; remove "):
        images().setup()


def test_a_name_must_be_given():
    with pytest.raises(ValueError, match=r"^name must be that of a data set of the Hugging Face Hub"):
        inspect.unwrap(HubImages.__init__)(object.__new__(HubImages))


def test_the_library_itself_is_used_as_the_stand_in_is(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "library"))
    for row in range(40):
        folder = tmp_path / "set" / ("train" if row < 30 else "test") / ("cat" if row % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[row]).save(folder / f"{row:02}.png")
    data = HubImages(name=str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"), image_size=8, val_fraction=0.1)
    assert [len(images) for images in data.splits.values()] == [27, 3, 10]
    assert data.class_names == ("cat", "dog")
    assert data.splits["test"].labels.tolist() == [0] * 5 + [1] * 5
    wanted = torch.from_numpy(PIXELS[[*range(31, 40, 2), *range(30, 40, 2)]])
    assert torch.equal(content(data, "test").permute(0, 2, 3, 1), wanted)
