"""What docs/data.md says at its top can be typed, and what the pages say of values and augmentations runs."""

import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.runs import run_command
from tests.pages import page
from vae_lightning.building.early import check_early
from vae_lightning.command_line.composing import composed
from vae_lightning.data.augmenting import ALL, Colour, Crop, Shift
from vae_lightning.runs.records import RunDir

AUGMENTATIONS = page("docs/images.md").part("Augmentations")
COMMANDS = [*page("docs/values.md").commands, *AUGMENTATIONS.commands]
TOP = page("docs/data.md").text.partition("\n## ")[0]
TABLE = [line for line in TOP.splitlines() if line.startswith("|")][2:]
CELLS = [words for row in TABLE for words in re.findall(r"`(data=[^`]+)`", row.split("|")[2])]
KEYS = {key for row in TABLE for key in re.findall(r"`(data\.\w+=[\w.]*)`", row.split("|")[2])}


def test_the_pages_have_commands():
    assert len(COMMANDS) == 7
    assert len(CELLS) == 18
    assert "data.own_splits=false" in KEYS


@pytest.mark.parametrize("words", CELLS)
def test_what_the_table_says_can_be_typed(words):
    config, _ = composed("train", [*shlex.split(words), "model=conv"])
    check_early(config["data"], "data")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_of_the_table_is_one(key):
    config, _ = composed("train", ["data=folder", "data.root=photos", key])
    check_early(config["data"], "data")


def test_the_settings_of_augmentations_are_the_tables():
    rows = {row.split("|")[1].strip(" `"): row for row in AUGMENTATIONS.text.splitlines() if row.startswith("| `")}
    assert rows.pop("data.augmentations")
    assert rows.keys() == ALL.keys()
    assert f"`pixels: {Shift().pixels}`" in rows["shift"]
    assert f"`smallest: {Crop().smallest}`" in rows["crop"]
    assert f"`brightness: {Colour().brightness}`, `contrast: {Colour().contrast}`" in rows["colour"]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_runs(line, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 5), dtype=np.uint8)
    for name in ("photos", "pictures"):
        (tmp_path / name).mkdir()
    for number, values in enumerate(noise):
        Image.fromarray(values[..., :3]).save(tmp_path / "photos" / f"{number}.png")
        Image.fromarray(values[..., 0] * np.uint16(16)).save(tmp_path / "pictures" / f"{number}.png")
    np.savez(tmp_path / "images.npz", images=noise[..., :3])
    np.savez(tmp_path / "bands.npz", images=noise)
    _, _, module, *words = shlex.split(line)
    small = ["debug=fast", "data.batch_size=8", "data.val_fraction=0.2", "data.test_fraction=0.2", "run_dir=run"]
    small += ["data.image_size=16"] if "data.image_size=32" not in words else []
    done = run_command(*words, *small, cwd=tmp_path, program=[sys.executable, "-m", module])
    assert done.returncode == 0, done.stderr
    if module == "vae_lightning.train":
        assert RunDir(tmp_path / "run").is_tested()
    else:
        assert (tmp_path / "preview.png").is_file()
