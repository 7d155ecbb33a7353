"""What docs/scores.md shows, one command after another."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import TINY
from tests.end_to_end.runs import run_command
from tests.pages import page
from vae_lightning.config import CONF_DIR

PAGE = page("docs/scores.md")
RUN = "outputs/2026-11-20/14-03-27_mnist_conv"


def write(folder: str, count: int) -> None:
    Path(folder).mkdir(parents=True)
    for number in range(count):
        levels = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(levels).save(Path(folder) / f"{number}.png")


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_command(*TINY[:3], "debug=fast", "callbacks=none", f"run_dir={RUN}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for folder in ("photos", "fine", "broken", "parts/good", "parts/dent"):
        write(folder, 2)
    assert len(PAGE.commands) == 5
    for line in PAGE.commands:
        program, *words = shlex.split(line)
        assert program == "python"
        done = run_command(*words[2:], cwd=tmp_path, program=[sys.executable, *words[:2]])
        assert done.returncode == 0, done.stderr
    told = set(re.findall(r"^\| `([\w.]+)` \| [\w ]*[a-z]", PAGE.text.partition("## The scores")[0], re.MULTILINE))
    assert {file.name for file in Path("flagged").iterdir()} == told - {"unreadable.txt"}
    assert Path(RUN, "thresholds.json").is_file()


def test_every_score_is_told():
    _, _, table = PAGE.text.partition("## The scores")
    told = re.findall(r"^\| `(\w+)` \| (high|low) \|", table, re.MULTILINE)
    assert {name for name, _ in told} == {file.stem for file in (CONF_DIR / "score").glob("*.yaml")}
    assert [name for name, worse in told if worse == "low"] == ["elbo"]
