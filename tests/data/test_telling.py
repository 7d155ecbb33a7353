"""vae-data info: everything that is known of a dataset, in a table."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.data.__main__ import main
from vae_lightning.data.image_facts import facts_of, label_counts
from vae_lightning.data.loader import ImageSet

WORDS = ["data=folder", "data.image_size=[8,16]", "data.val_fraction=0.2", "data.test_fraction=0.2"]
WORDS += ["data.max_bad_fraction=0.1", "data.cache_dir=cache"]


@pytest.fixture
def info(monkeypatch, tmp_path, capsys):
    """Call the command in an empty folder and return the lines that it printed, by what stands before them."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> dict[str, str]:
        monkeypatch.setattr(sys, "argv", ["vae-data", "info", *words])
        main()
        printed = capsys.readouterr().out
        assert all(len(line) <= 80 or "/" in line for line in printed.splitlines() if ": " not in line)
        lines = printed.replace(f"\n{' ' * 12}", " ").splitlines()
        return {line[:12].strip(): line[12:] for line in lines}

    return call


@pytest.fixture
def pets(pictures, tmp_path) -> Path:
    """The 60 pictures in two folders, with a copy, a bad one, and something else."""
    for number in range(60):
        folder = tmp_path / "pets" / ("cat" if number < 20 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        (pictures / f"{number:02}.png").rename(folder / f"{number:02}.png")
    shutil.copy(folder / "30.png", folder / "99.png")
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("x")
    Image.new("RGB", (5, 30)).save(folder / "58.png")
    return tmp_path / "pets"


def numbers(line: str) -> list[int]:
    return [int(part.replace(",", "")) for part in line.split()]


def test_it_tells_of_a_folder(info, pets, tmp_path):
    told = info(*WORDS, f"data.root={pets}")
    assert told["images"] == "61 of 16 x 8 RGB, fit=crop"
    assert told["originals"] == "10 x 12 to 5 x 30 pixels, of 61 looked at"
    assert told["values"].startswith("0 to 255 of 255, mean 1")
    assert told["duplicates"] == "1 image is the same as another, none of them as one in another split"
    assert told["left out"] == "1 can't be read"
    folder, _, size = told["cache"].strip().partition(", ")
    assert Path(folder).parent == tmp_path / "cache"
    assert size.endswith(" kB")
    assert told["2 labels"].split() == ["train", "val", "test", "all"]
    assert numbers(told["cat"])[3] == 20
    assert numbers(told["dog"])[3] == 41
    every = numbers(told["all images"])
    assert every == [sum(pair) for pair in zip(numbers(told["cat"]), numbers(told["dog"]), strict=True)]
    assert sum(every[:3]) == every[3] == 61


def test_it_tells_of_an_archive_and_of_copies_in_several_splits(info, pets, tmp_path):
    shutil.make_archive("pets", "zip", pets)
    splits = {path.relative_to(pets).as_posix(): "train" for path in pets.rglob("*.png")}
    splits |= {"dog/99.png": "val", "dog/31.png": "test"}
    Path("splits.csv").write_text("".join(f"{name},{split}\n" for name, split in splits.items()))
    told = info(*WORDS, "data.root=null", "data.archive=pets.zip", "data.split_file=splits.csv")
    assert told["duplicates"] == "1 image is the same as another, 1 of them as one in another split"
    assert "archive-" in "".join(path.name for path in (tmp_path / "cache").iterdir())
    assert numbers(told["all images"]) == [59, 1, 1, 61]


def test_it_tells_of_images_in_memory_and_of_factors(info, tmp_path):
    told = info("data=digits", "data.binarize=fixed")
    assert told["images"] == "1,797 of 28 x 28 grey, fit=crop, binarize=fixed"
    assert told["cache"] == "none: the images are in memory"
    assert told["duplicates"] == "none: no two images are the same"
    assert list(told)[-1] == "9"


def test_it_tells_of_numbers_deeper_than_bytes_and_of_a_table(info, tmp_path):
    noise = np.random.default_rng(0).integers(0, 1000, (40, 8, 16), dtype=np.uint16)
    (tmp_path / "scans").mkdir()
    noise[0, 0, 0], noise[1, 0, 0] = 0, 4000
    rows = ["file,label,angle,side"]
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"scans/{number}.png")
        rows.append(f"{number}.png,{number % 25},{number / 2},{'left' if number % 2 else 'right'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    told = info(*WORDS, "data.root=scans", "data.channels=1", "data.labels=labels.csv")
    assert told["values"].endswith("; deeper files by data.value_range=[0,4095]")
    assert told["factors"] == "angle (40 numbers), side (2 names)"
    assert told["25 labels"].split()[-1] == "all"
    assert told["and 5 labels"] == " with fewer images"
    assert numbers(told["all images"])[3] == 40


def test_every_image_is_looked_at_and_each_copy_counted_once():
    pixels = torch.zeros(6, 2, 2, 1, dtype=torch.uint8)
    pixels[0], pixels[1:4], pixels[4], pixels[5] = 3, 7, 9, 200
    splits = {
        "train": ImageSet(pixels, torch.tensor([0, 1, 2]), torch.tensor([0, 0, 2])),
        "val": ImageSet(pixels, torch.tensor([3]), torch.tensor([2])),
        "test": ImageSet(pixels, torch.tensor([5, 4]), torch.tensor([0, 0])),
    }
    facts = facts_of(splits)
    assert (facts.lowest, facts.highest, facts.num_copies, facts.num_leaks) == (3, 200, 2, 1)
    assert facts.mean == pytest.approx((3 + 7 * 3 + 9 + 200) / 6)
    assert label_counts(splits) == [("0", [2, 0, 2]), ("2", [1, 1, 0])]
    assert label_counts({"train": ImageSet(pixels, torch.arange(6), None)}) == []
