"""train.log: what stands in it, and in which order."""

import numpy as np
from PIL import Image

from tests.conftest import TINY


def test_what_is_said_of_the_images_before_there_is_a_run_directory_stands_in_it_too(command, tmp_path):
    generator = np.random.default_rng(0)
    for split, number in (("train", 8), ("valid", 2), ("test", 2)):
        for label in ("cat", "dog"):
            folder = tmp_path / "pets" / split / label
            folder.mkdir(parents=True)
            for index in range(number):
                Image.fromarray(generator.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{index}.png")
    (tmp_path / "pets/notes.txt").write_text("")
    data = ["data=folder", "data.image_size=8", "data.batch_size=4", "data.cache_dir=cache"]
    command(*TINY, *data, "data.root=pets", "trainer.max_epochs=1", "callbacks=none", "run_dir=run")
    lines = [line.split(" ", 2)[2] for line in (tmp_path / "run/train.log").read_text().splitlines()]
    said = [
        "INFO data.root=pets: left out: 1 .txt",
        "INFO train 16 / val 4 / test 4: by the folders train, valid, test",
        "INFO labels: the 2 folders cat, dog",
    ]
    begins = next(index for index, line in enumerate(lines) if " on CPU" in line)
    assert [line for line in lines[:begins] if line in said] == said
    assert sum(line in said for line in lines) == len(said)
