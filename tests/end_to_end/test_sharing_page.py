"""What docs/sharing.md shows, one block after another."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.end_to_end.runs import run_command

PAGE = (Path(__file__).parents[2] / "docs/sharing.md").read_text()
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL)
RUN = "outputs/2026-11-20/14-03-27_mnist_conv"


def test_the_page(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    done = run_command(*TINY[:3], "debug=fast", "callbacks=none", f"run_dir={RUN}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(BLOCKS) == 8
    names: dict[str, object] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(text, names)
        for line in text.splitlines() if kind == "bash" else ():
            program, *words = shlex.split(line)
            assert program == "python"
            done = run_command(*words[2:], cwd=tmp_path, program=[sys.executable, *words[:2]])
            assert done.returncode == 0, done.stderr
    assert names["samples"].shape == (4, 1, 28, 28)
    assert names["images"].shape == (5, 1, 28, 28)
    told = set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE))
    assert told == {file.name for file in Path("half").iterdir()}
    assert Path("half/model.safetensors").stat().st_size < Path("model/model.safetensors").stat().st_size
