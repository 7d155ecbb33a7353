"""The files of docs/extending.md, written where the page says, do what it says by the commands that it gives."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.loggers.tracked import command
from tests.pages import page
from vae_lightning import generate

PAGE = page("docs/extending.md")
FILES = dict(re.findall(r"```(?:python|yaml)\n# (my_\S+)\n(.*?)```", PAGE.text, re.DOTALL))
COMMANDS = [shlex.split(line) for line in PAGE.commands]
SMALL = ["trainer.max_epochs=1", "trainer=cpu", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]"]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def train(place: Path, words: list[str], *more: str) -> None:
    assert words[:3] == ["python", "-m", "vae_lightning.train"]
    command(place, *words[3:], *more)


def test_the_page_has_these_files_and_commands():
    assert len(FILES) == 6
    assert [words[2].rpartition(".")[2] for words in COMMANDS] == ["train", "generate", "train", "train", "train"]


def test_a_picture_is_drawn_in_training_by_generate_and_by_a_resumed_run(place, monkeypatch):
    begin, show, resume = COMMANDS[:3]
    train(place, [word.replace("default,", "") for word in begin], *SMALL)
    folder = place / "outputs/mine/images/mean_image"
    with Image.open(folder / "epoch_0001.png") as drawn:
        assert drawn.size[0] == 2 * 8 * 28 + 6
        first = drawn.tobytes()
    monkeypatch.setattr(sys, "argv", ["vae-generate", *show[3:], "ckpt=last"])
    generate.main()
    (shown,) = place.glob("outputs/mine/generated/*/mean_image.png")
    with Image.open(shown) as picture:
        assert picture.tobytes() == first
    train(place, [word.replace("=40", "=2") for word in resume])
    assert (folder / "epoch_0002.png").is_file()


def test_a_callback_is_called_from_the_command_line_and_from_python(place):
    train(place, COMMANDS[3], *SMALL, "callbacks=none", "run_dir=typed")
    (block,) = [block for block in PAGE.of("python") if "fit(" in block]
    names: dict = {}
    more = ", ".join(map(repr, [*SMALL, "callbacks=none", "run_dir=fitted"]))
    exec(compile(block.replace('"model=mlp",', f'"model=mlp", {more},'), "docs/extending.md", "exec"), names)
    for run in ("typed", "fitted"):
        assert "train/gradient_norm" in (place / run / "metrics.csv").read_text().splitlines()[0]


def test_a_logger_is_told_all_of_a_run(place):
    train(place, COMMANDS[4], *SMALL, "callbacks=[samples,run_description]")
    lines = [json.loads(line) for line in (place / "outputs/told/diary.jsonl").read_text().splitlines()]
    assert any("settings" in line for line in lines)
    assert any("val/elbo" in line for line in lines)
    assert {line["picture"] for line in lines if "picture" in line} == {"images/samples"}
    assert {line["text"] for line in lines if "text" in line} >= {"config", "model"}
    assert (lines[-1]["status"], "test/elbo" in lines[-1]) == ("finished", True)
