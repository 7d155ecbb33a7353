"""What docs/data.md and docs/datasets.md tell a user to type works as typed."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import refusal
from tests.data.sets import idx, idx_files, written
from tests.pages import page
from tests.test_config import composed
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.data.fashion_mnist import FashionMNIST
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.trained import open_trained

TRAIN = "python -m vae_lightning.train "
LINES = [line.removeprefix(TRAIN) for line in page("docs/data.md").commands]
SMALL = ["debug=fast", "data.image_size=8", "data.batch_size=8", "trainer=cpu", "model.encoder.hidden=[4]"]
COUNTS = {
    "data.root=pets": "train 80 / val 10 / test 10: by the folders train, val, test",
    "data.split_file=splits.csv": "train 60 / val 20 / test 20: by data.split_file=splits.csv",
    "data.group_by=folder": "by 50 groups (data.group_by=folder)",
    "data.group_by='(clip[0-9]+)_'": "by 50 groups (data.group_by=(clip[0-9]+)_)",
    "data.labels=labels.csv": "labels: the 2 classes even, odd, by data.labels=labels.csv; factor brightness",
}


def draw(names: list[str]) -> None:
    for name, pixels in zip(
        names, np.random.default_rng(0).integers(0, 256, (len(names), 8, 8, 3), np.uint8), strict=True
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(name)


@pytest.fixture
def train(command, tmp_path) -> Callable[..., RunDir]:
    """Trains on the pictures that the page speaks of, which lie in the current folder."""
    splits = ["train"] * 8 + ["val", "test"]
    draw([f"pets/{splits[number % 10]}/{'cat' if number % 4 > 1 else 'dog'}/{number}.png" for number in range(100)])
    draw([f"photos/{number:02}.png" for number in range(100)])
    draw([f"clips/{number // 2}/{number}.png" for number in range(100)])
    draw([f"frames/clip{number // 2}_{number}.png" for number in range(100)])
    splits = ["train", "train", "train", "val", "test"]
    Path("splits.csv").write_text("file,split\n" + "".join(f"{n:02}.png,{splits[n % 5]}\n" for n in range(100)))
    rows = "".join(f"{n:02},{'odd' if n % 2 else 'even'},{n / 10}\n" for n in range(100))
    Path("labels.csv").write_text(f"file,label,brightness\n{rows}")

    def call(*arguments: str) -> RunDir:
        command(*arguments, *SMALL, "callbacks=none", "logger=none", f"run_dir={tmp_path / 'run'}")
        return RunDir(tmp_path / "run")

    return call


@pytest.mark.parametrize("line", LINES)
def test_each_command_trains_and_tells_where_its_splits_are_from(line, train, capsys):
    run, told = train(*shlex.split(line)), capsys.readouterr().out
    assert run.status()["status"] == "finished"
    expected = [text for key, text in COUNTS.items() if key in shlex.split(line)]
    assert expected
    assert all(text in told for text in expected)
    if "model.num_classes=auto" in line:
        assert open_trained(str(run.path), device="cpu").class_names == ("cat", "dog")
        assert run.config()["model"]["num_classes"] == 2


def test_the_page_has_them_all():
    assert {key for key in COUNTS if any(key in shlex.split(line) for line in LINES)} == set(COUNTS)


@pytest.mark.parametrize("line", page("docs/datasets.md").commands)
def test_a_set_is_called_by_its_name(line):
    assert composed(*shlex.split(line.removeprefix(TRAIN)))["data"]["_target_"].startswith("vae_lightning.data.")


def test_every_set_has_a_row():
    rows = re.findall(r"^\|[^|]*\| `data=(\w+)", page("docs/datasets.md").text, re.MULTILINE)
    assert sorted(rows) == sorted({file.stem for file in (CONF_DIR / "data").glob("*.yaml")} - {"folder"})


def test_what_does_not_fit_is_refused_before_anything_is_written(train, command, tmp_path):
    Path("splits.csv").write_text("file,split\n00.png,train\nlost.png,val\n")
    folder = ["data=folder", "model=mlp", *SMALL, "data.root=photos", f"run_dir={tmp_path / 'run'}"]
    told = refusal(command, *folder, "data.split_file=splits.csv")
    assert told == "data.split_file=splits.csv: names 1 file not to be found, the first 'lost.png'"
    Path("labels.csv").write_text("file,label\n00.png,odd\n")
    told = refusal(command, *folder, "data.labels=labels.csv")
    assert told == "data.labels=labels.csv: has no row for 99 of 100 images, the first '01.png'"
    told = refusal(command, *folder, "data.group_by=clip")
    assert told == "data.group_by=clip: does not match 100 of 100 files, as '00.png'"
    told = refusal(command, *folder, "data.group_by=folder")
    assert told.startswith("data.root=photos: 100 images in 1 group: too few for train, val and test")
    assert not (tmp_path / "run").exists()


def test_the_classes_of_a_set_by_name_are_typed_by_their_names(command, generate, tmp_path):
    files = {name: idx(array) for name, array in idx_files(FashionMNIST.needed).items()}
    run = RunDir(tmp_path / "run")
    written(tmp_path / "sets" / FashionMNIST.below, files)
    options = [
        "data=fashion_mnist",
        f"data.root={tmp_path / 'sets'}",
        "data.fit=pad",
        "data.image_size=[8,12]",
        "model=mlp",
    ]
    command(
        *options,
        "model.num_classes=auto",
        *SMALL[:1],
        *SMALL[2:],
        "logger=none",
        "callbacks=none",
        f"run_dir={run.path}",
    )
    assert open_trained(str(run.path), device="cpu").class_names == FashionMNIST.classes
    assert run.config()["model"]["num_classes"] == 10
    wanted = [f"run={run.path}", "mode=reconstructions", "split=test"]
    generate(*wanted, "labels=[Coat,T-shirt/top,Sandal]", "out=by_name")
    generate(*wanted, "labels=[4,0,5]", "out=by_number")
    by_name, by_number = ((Path(out) / "reconstructions.png").read_bytes() for out in ("by_name", "by_number"))
    assert by_name == by_number
    told = refusal(generate, *wanted, "labels=[Boat]", "out=other")
    assert told.startswith("labels=['Boat']: no label is called 'Boat'; choose one of T-shirt/top, Trouser, ")
