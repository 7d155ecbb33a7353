"""What Windows lacks is needed neither at import nor by a sweep. Simulated on this system: nothing was tried there."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import TINY
from vae_lightning.runs.records import RunDir

ROOT = Path(__file__).parents[2]
LACKING = """
import os, signal, sys
import psutil  # whose part for this system needs them; there it has another
for module, names in {signal: ["SIGHUP", "SIGQUIT"], os: ["fork", "forkpty", "setsid", "killpg", *OTHERS]}.items():
    for name in names:
        delattr(module, name)
sys.modules.update(dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"]))  # not to be imported
"""
FLAGS = ["O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "pwrite", "sched_getaffinity"]  # torch needs os.register_at_fork here


def python(place: Path, others: list[str], *arguments: str) -> subprocess.CompletedProcess:
    """Run in a process that lacks them, as do those that it starts."""
    (place / "lacking").mkdir()
    (place / "lacking/sitecustomize.py").write_text(f"OTHERS = {others}\n{LACKING}")
    environment = os.environ | {"PYTHONPATH": f"{place / 'lacking'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_a_sweep_needs_none_of_them(tmp_path):
    options = [*TINY, "callbacks=none", "logger=none", "trainer.max_epochs=1", "sweep_dir=sweep"]
    done = python(tmp_path, FLAGS, "-m", "vae_lightning.train", "-m", *options, "model.latent_dim=2")
    assert done.returncode == 0, done.stderr
    assert RunDir(tmp_path / "sweep/0").status()["status"] == "finished"
    assert "sweep: its file system has no locks; start one command at a time on this sweep" in done.stdout
    assert "Traceback" not in done.stderr


def test_nothing_of_ours_needs_them_at_import(tmp_path):
    rooms = [ROOT / "vae_lightning" / room for room in ("machine", "disk", "command_line", "sweeps")]
    modules = [f"vae_lightning.{file.parent.name}.{file.stem}" for room in rooms for file in room.glob("[a-z]*.py")]
    modules += ["vae_lightning", "vae_lightning.train", "vae_lightning.launch.children", "vae_lightning.launch.start"]
    script = f"from importlib import import_module\nfor name in {modules}: import_module(name)\nprint('imported')"
    done = python(tmp_path, [*FLAGS, "register_at_fork"], "-c", script)
    assert done.stdout == "imported\n", done.stderr
