"""The commands of docs/cache.md do what it says."""

import shlex
import sys

import numpy as np
from PIL import Image

from tests.end_to_end.runs import run_command
from tests.pages import page


def test_the_commands_of_the_page_tell_of_the_images_and_clear_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    told = []
    for line in page("docs/cache.md").commands:
        _, _, module, *words = shlex.split(line)
        small = ["data.val_fraction=0.2", "data.test_fraction=0.2"] if words[0] == "info" else []
        program = [sys.executable, "-m", module]
        done = run_command(*words, *small, cwd=tmp_path, program=program)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    info, listed, cleaned = told
    assert "\nimages      40 of 64 x 64 RGB, fit=crop\n" in info
    assert f"  {tmp_path / 'photos'}: 64 x 64, 3 channels, fit=crop\n" in listed
    assert f"{tmp_path / 'cache/vae_lightning'}: 2 things, " in listed
    assert cleaned.strip().endswith(": 0 things, 0 kB")
