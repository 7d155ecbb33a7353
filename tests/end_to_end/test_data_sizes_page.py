"""The commands of what docs/images.md says of sizes do what it says."""

import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.runs import run_command
from tests.pages import page
from vae_lightning.runs.records import RunDir

PAGE = page("docs/images.md")
COMMANDS = [*PAGE.part("Sizes").commands, *PAGE.part("What a model is given to see").commands]


def test_the_page_has_commands():
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_runs(line, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 60, 3), dtype=np.uint8)
    for folder, size in {"photos": (160, 48), "scans": (200, 100)}.items():
        (tmp_path / folder).mkdir()
        for number, picture in enumerate(pixels):
            Image.fromarray(picture).resize(size).save(tmp_path / folder / f"{number}.png")
    _, _, module, *words = shlex.split(line)
    small = ["debug=fast", "data.batch_size=8", "data.val_fraction=0.2", "data.test_fraction=0.2", "run_dir=run"]
    done = run_command(*words, *small, cwd=tmp_path, program=[sys.executable, "-m", module])
    assert done.returncode == 0, done.stderr
    if module == "vae_lightning.train":
        assert RunDir(tmp_path / "run").is_tested()
    else:
        assert (tmp_path / "preview.png").is_file()
