"""What people have, with the command that they try first: it trains on all of it, or says in a line what is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import refusal
from tests.data.sets import idx, idx_files, written
from vae_lightning.data.fashion_mnist import FashionMNIST
from vae_lightning.runs.records import RunDir

COUNT, SIDE = 120, 16
SMALL = ["model=mlp", "debug=fast", "data.batch_size=16", "trainer=cpu", "model.encoder.hidden=[4]", "callbacks=none"]
FOLDER = ["data=folder", f"data.image_size={SIDE}", *SMALL, "logger=none", "run_dir=run"]
DEALT = {"train": 107, "val": 7, "test": 6}  # of 120 pictures called 0000 to 0119, by their names
NAMES = [
    "my photos",
    "Bilder äöü 顔",
    "a=b",
    "x[1]",
    "cost$5",
    "it's",
    "a,b",
    "(copy)",
    "{x}",
    "50%",
    "-dash",
    "100",
    "true",
]


def picture(number: int) -> np.ndarray:
    small = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def draw(folder: Path) -> None:
    """Every case in a folder of its own, as a user has it."""

    def save(name: str, values: np.ndarray) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values) if path.suffix == ".npy" else Image.fromarray(values).save(path)

    pixels = [picture(number) for number in range(COUNT)]
    for number, face in enumerate(pixels):
        grey = face[..., 0]
        save(f"class_folders/{'abc'[number % 3]}/{number:04}.png", face)
        save(f"own_splits/{'train' if number < 80 else 'val' if number < 100 else 'test'}/{number:04}.png", face)
        save(f"grouped/clip{number // 10:02}_frame{number % 10}.png", face)
        save(f"tiff/{number:04}.tif", face)
        save(f"half_tiff/{number:04}.{'png' if number % 2 else 'tif'}", face)
        save(f"twelve_bit/{number:04}.png", grey.astype(np.uint16) * 16 + 15)
        save(f"npy/{number:04}.npy", (grey / 255).astype(np.float32))
        save(
            f"wide/{number:04}.png",
            np.pad(face, ((0, 0), (0, 6 * SIDE), (0, 0))) + np.pad(face, ((0, 0), (6 * SIDE, 0), (0, 0))),
        )
        save(f"csv/{number:04}.png", face)
    rows = [f"{n:04}.png,{['cat', 'dog', 'owl', 'elk'][n % 4]},{'train' if n < 90 else 'test'}\n" for n in range(COUNT)]
    (folder / "labels.csv").write_text("file,label,split\n" + "".join(rows))
    np.savez(folder / "images.npz", images=np.stack(pixels), labels=np.arange(COUNT) % 5)
    bands = np.random.default_rng(0).integers(0, 255, (COUNT, SIDE, SIDE, 5), np.uint8)
    np.savez(folder / "bands.npz", images=bands)
    for name in NAMES:
        shutil.copytree(folder / "class_folders" / "a", folder / "paths" / name)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    draw(folder)
    return folder


@pytest.fixture
def train(command, cases, monkeypatch, capsys) -> Callable[..., str]:
    """Trains where the cases lie side by side, and gives what was printed."""

    def call(*words: str) -> str:
        here = Path.cwd()
        for path in cases.iterdir():
            if not (here / path.name).exists():
                (here / path.name).symlink_to(path)
        command(*FOLDER, *words)
        return capsys.readouterr().out

    return call


def trained_on() -> dict[str, int]:
    return {split: each["num_images"] for split, each in last()["data"].items()}


def last() -> dict[str, Any]:
    return torch.load(RunDir(Path("run")).last, weights_only=True)


@pytest.mark.parametrize(
    ("words", "told", "counts"),
    [
        (
            "data.root=twelve_bit data.channels=1",
            "value_range: 16-bit files, 15 to 4,095 found: [0, 4095] taken; 4,096 levels become 256",
            DEALT,
        ),
        (
            "data.root=own_splits",
            "train 80 / val 20 / test 20: by the folders train, val, test",
            {"train": 80, "val": 20, "test": 20},
        ),
        (
            "data.root=grouped data.group_by=clip[0-9]+ data.val_fraction=0.2 data.test_fraction=0.2",
            "train 80 / val 10 / test 30: by 12 groups (data.group_by=clip[0-9]+)",
            {"train": 80, "val": 10, "test": 30},
        ),
        ("data.root=half_tiff", "", None),
        ("data.root=tiff", "", None),
        (f"data.root=wide data.image_size=[{SIDE},{7 * SIDE}]", "", DEALT),
        ("data.root=wide data.fit=pad", "", DEALT),
        ("data.root=wide data.fit=stretch", "", DEALT),
        ("data.root=npy data.channels=1", "value_range: files of floats, 0 to 1 found: [0, 1] taken", None),
        ("data.root=images.npz", "images.npz: images [120, 16, 16, 3] of uint8; labels of 5 kinds", None),
        ("data.root=bands.npz data.channels=5", "bands.npz: images [120, 16, 16, 5] of uint8", None),
        ("data.root=class_folders model.num_classes=auto", "labels: the 3 folders a, b, c", None),
        (
            "data.root=csv data.labels=labels.csv model.num_classes=auto",
            "labels: the 4 classes cat, dog, elk, owl, by data.labels=labels.csv",
            DEALT,
        ),
        (
            "data.root=csv data.labels=labels.csv data.split_file=labels.csv",
            "by data.split_file=labels.csv; val is taken out of train by the names, data.val_fraction=0.05",
            {"train": 85, "val": 5, "test": 30},
        ),
    ],
)
def test_all_of_it_is_trained_on_and_what_was_found_is_told(train, words, told, counts):
    assert told in train(*words.replace("clip[0-9]+", "'clip[0-9]+'").split())
    found = trained_on()
    assert sum(found.values()) == COUNT
    assert counts in (None, found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data.root=wide", "data: there is nothing to learn: the pixels of 107 training images are all 0 of 255"),
        ("data.root=bands.npz", "data.root=bands.npz: images: it has 5 channels, and data.channels=3; choose data.cha"),
    ],
)
def test_what_cannot_be_learned_is_refused(train, words, message):
    assert refusal(train, *words.split()).startswith(message)
    assert not Path("run").exists()


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_folder_is_taken_or_told_how_to_type(train, name):
    root = f"paths/{name}"
    if name in ("my photos", "cost$5", "50%", "-dash", "100", "true"):
        train(f"data.root={root}")
    else:
        line = refusal(train, f"data.root={root}")
        assert "quoted, for Hydra and for the shell: data.root=\"'paths/" in line
        escaped = root.replace("'", "\\'")
        train(f"data.root='{escaped}'")
    assert RunDir(Path("run")).config()["data"]["root"] == root


def test_a_run_goes_on_with_its_own_pictures_wherever_they_lie_and_no_others(train, command, cases):
    train("data.root=class_folders")
    message = refusal(command, "resume=run", "data.root=csv", "trainer.max_epochs=2")
    assert message.startswith("resume=run: data: the run was trained with ")
    assert message.endswith("init_from=run trains its weights on others, in a new run")
    shutil.copytree(cases / "class_folders", "moved")
    command("resume=run", "data.root=moved", "trainer.max_epochs=2")
    assert last()["epoch"] == 1  # the second one


def test_a_set_by_name_is_found_where_torchvision_has_it(command, tmp_path):
    files = {name: idx(array) for name, array in idx_files(FashionMNIST.needed).items()}
    written(tmp_path / "sets" / FashionMNIST.below, files)
    command("data=fashion_mnist", f"data.root={tmp_path / 'sets'}", *SMALL, "logger=none", "run_dir=run")
    assert trained_on() == {"train": 44, "val": 4, "test": 24}
