"""What docs/pictures.md shows, one command after another."""

import re
import shlex
import sys

import pytest
import yaml
from PIL import Image

from tests.conftest import TINY
from tests.drawing.pdfs import read_pdf
from tests.end_to_end.runs import run_command
from tests.pages import page
from vae_lightning.config import CONF_DIR
from vae_lightning.drawing.printing import Paper

PAGE = page("docs/pictures.md")
COMMANDS = PAGE.commands
RUN = "outputs/2026-11-20/14-03-27_mnist_conv"


def test_the_page(tmp_path):
    done = run_command(*TINY[:6], "debug=fast", "callbacks=none", f"run_dir={RUN}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(COMMANDS) == 3
    for line in COMMANDS:
        program, *words = shlex.split(line)
        assert program == "python"
        done = run_command(*words[2:], cwd=tmp_path, program=[sys.executable, *words[:2]])
        assert done.returncode == 0, done.stderr
    made = tmp_path / RUN / "generated"
    traversal = read_pdf((made / "traversal/traversal.pdf").read_bytes())
    assert traversal.width == pytest.approx(3.25 * 72)
    assert not any("epoch" in text for text in traversal.texts)
    assert {path.suffix for path in (made / "embedding").iterdir()} == {".pdf", ".svg", ".csv", ".json"}
    with Image.open(made / "samples/samples.png") as picture:
        assert picture.width == 3.25 * 600


def test_every_key_is_told_and_its_default_is_that_of_the_class():
    told = re.findall(r"^\| `(\w+)` \|", PAGE.text, re.MULTILINE)
    config = yaml.safe_load((CONF_DIR / "generate.yaml").read_text())
    assert Paper(**{name: config[name] for name in told}) == Paper()
    assert len(told) == 4
