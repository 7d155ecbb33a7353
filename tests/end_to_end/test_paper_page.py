"""What docs/paper.md says holds: its commands, one after another, on a sweep of digits."""

import shlex
import shutil
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tests.pages import page
from tests.trained import DIGITS, train_once
from vae_lightning.reports import watching
from vae_lightning.sweeps import jobs as sweeps
from vae_lightning.sweeps.jobs import Job

LINES = page("docs/paper.md").commands
FEW = "trainer.max_epochs=1"
TRAIN = "python -m vae_lightning.train "


@pytest.fixture
def paper(tmp_path) -> Path:
    """The sweep of the page as it lies there: of each number of dimensions one model, of whatever beta and seed."""
    trained = {dim: train_once(tmp_path / str(dim), *DIGITS, f"model.latent_dim={dim}", FEW) for dim in (2, 8)}
    grid = [(dim, beta, seed) for dim in trained for beta in (1, 4) for seed in (0, 1, 2)]
    for number, (dim, beta, seed) in enumerate(grid):
        run = tmp_path / f"outputs/paper/{number}"
        shutil.copytree(trained[dim].path, run)
        typed = [f"model.latent_dim={dim}", f"objective.beta={beta}", f"seed={seed}"]
        (run / "overrides.yaml").write_text(yaml.safe_dump(typed))
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["objective"]["beta"], config["seed"] = float(beta), seed
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "outputs/paper"


def test_its_commands_do_what_it_says(paper, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "watched_reports", partial(watching.watched_reports, look_s=0.001))
    commands = [line for line in LINES if not line.startswith(TRAIN)]
    assert len(commands) == 6
    for line in commands:
        _, _, module, *words = shlex.split(line)
        few = ["nll.num_images=8", "device=cpu"] if module.endswith("evaluate") else []
        few += ["device=cpu"] if module.endswith("generate") else []
        monkeypatch.setattr(sys, "argv", [module, *words, *few])
        import_module(module).main()
    printed = capsys.readouterr().out
    assert "means +- standard deviations over seeds" in printed
    assert r"beta & test ELBO & NLL & rate & active units \\" in printed
    for name in ("table.tex", "summary_seeds.csv", "index.html", "generated/traversal/traversal.pdf"):
        assert (paper / name).is_file()
    assert Path("compared/index.html").is_file()


def test_its_sweep_is_these_jobs(command, monkeypatch, tmp_path):
    (line,) = [line for line in LINES if line.startswith(TRAIN)]
    jobs: list[Job] = []
    monkeypatch.setattr(sweeps, "run_job", jobs.append)
    command(*shlex.split(line.removeprefix(TRAIN)))
    assert [job.settings["seed"] for job in jobs] == 4 * [0, 1, 2]
    assert len({tuple(job.settings.items()) for job in jobs}) == 12
