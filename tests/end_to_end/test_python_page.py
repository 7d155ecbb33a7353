"""Every block of docs/python.md runs, one after another, as a reader would run them, and so does the one in README."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.pages import page

BLOCKS = page("docs/python.md").of("python")
PLAIN = next(block for block in BLOCKS if "build_vae(" in block)


def test_the_blocks_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    printed, told = [], []
    for block in BLOCKS:
        quick = block.replace('epochs=3"]', 'epochs=3", "callbacks=none"]')  # the pictures are not what is looked at
        exec(compile(quick, "docs/python.md", "exec"), names)
        printed.append(capsys.readouterr().out)
        told += (said := re.findall(r"print\(\w+(?:\.name)?\) +# (.+?)(?:\.\.\.)?>?$", block, re.MULTILINE))
        assert all(text in printed[-1] for text in said), block
    assert len(BLOCKS) >= 10
    assert len(told) >= 4
    assert names["samples"].shape == (64, 1, 28, 28)
    assert names["sevens"].shape == (10, 1, 28, 28)
    assert (names["again"] == names["run"].reconstruct(names["pictures"])).all()
    assert np.isfinite(names["log_likelihood"]).all()


def test_the_plain_loop_has_25_lines_and_learns(capsys):
    assert len([line for line in PLAIN.splitlines() if line]) <= 25
    exec(compile(PLAIN, "docs/python.md", "exec"), {})
    bounds = [float(number) for number in re.findall(r"ELBO (-[\d.]+) nats", capsys.readouterr().out)]
    assert len(bounds) == 10
    assert bounds[-1] > bounds[0] + 4


@pytest.mark.parametrize("objective", ["GECO()", "IWAE(num_samples=5)"])
def test_other_objectives_take_its_place(objective, capsys):
    block = PLAIN.replace("ELBO, Fresh", "GECO, IWAE, Fresh").replace("ELBO(beta=1.0)", objective)
    assert objective in block
    names: dict = {}
    exec(compile(block, "docs/python.md", "exec"), names)
    bounds = [float(number) for number in re.findall(r"ELBO (-[\d.]+) nats", capsys.readouterr().out)]
    assert len(bounds) == 10
    assert bounds[-1] > bounds[0] or objective == "GECO()"  # which strives for another thing
    if objective == "GECO()":
        assert names["objective"].num_updates == 180
        assert names["objective"].log_lambda != 0


def test_the_block_in_readme_runs(tmp_path, monkeypatch):
    (block,) = [block for block in page("README.md").of("python") if "import vae_lightning\n" in block]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday/photos").mkdir(parents=True)
    Image.effect_noise((40, 30), 60).save(tmp_path / "holiday/photos/beach.jpg")
    names: dict = {}
    exec(compile(block.replace('epochs=3"]', 'epochs=1", "callbacks=none"]'), "README.md", "exec"), names)
    assert names["z"].shape == (1, 20)
    assert names["images"].shape == (64, 1, 28, 28)
