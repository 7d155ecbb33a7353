"""What docs/sharing.md and docs/explorer.md show, one block after another."""

import re
import shlex
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.pages import commands_of, page
from tests.trained import train_once
from vae_lightning.explorer.page import WriteExplorer, vendor_versions

PAGE, EXPLORER = page("docs/sharing.md"), page("docs/explorer.md")
BLOCKS, OF_EXPLORER = ([block for block in one.blocks if block[0] != "text"] for one in (PAGE, EXPLORER))
RUN = "outputs/2026-11-20/14-03-27_mnist_conv"


def test_the_pages(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    train_once(tmp_path / RUN, *TINY[:3], "debug=fast", "callbacks=none")
    assert (len(BLOCKS), len(OF_EXPLORER)) == (8, 1)
    names: dict[str, object] = {}
    for kind, text in BLOCKS + OF_EXPLORER:
        if kind == "python":
            exec(text, names)
        for line in commands_of(text) if kind == "bash" else ():
            program, *words = shlex.split(line)
            assert program == "python"
            assert words[0] == "-m"
            few = ["num_images=20", "num_neighbours=20"] if words[1].endswith("explore") else []
            monkeypatch.setattr(sys, "argv", [*words[1:], *few])
            import_module(words[1]).main()
    assert names["samples"].shape == (4, 1, 28, 28)
    assert names["images"].shape == (5, 1, 28, 28)
    assert {file.name for file in Path().glob("*.html")} == {"explorer.html", "digits.html"}
    told = set(re.findall(r"^\| `([\w.]+)` \|", PAGE.part("A folder to give away").text, re.MULTILINE))
    assert told == {file.name for file in Path("half").iterdir()}
    assert Path("half/model.safetensors").stat().st_size < Path("model/model.safetensors").stat().st_size


def test_all_that_the_explorer_takes_is_told():
    text = EXPLORER.text
    settings = {field.name for field in fields(WriteExplorer)} | {"overwrite"}
    _, _, table = text.partition("| key | default |")
    assert set(re.findall(r"^\| `(\w+)` \|", table.partition("\n## ")[0], re.MULTILINE)) == settings
    assert all(
        part.strip() in text.replace(" and ", ", ") for part in vendor_versions().replace(" (MIT)", "").split(",")
    )
