"""The wheel works from any folder, without the sources beside it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vae_lightning

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the unpacked wheel, as site-packages would have it."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def python(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_trains_from_another_folder(installed, tmp_path):
    arguments = ["data=digits", "model=mlp", "trainer=cpu", "debug=fast", "run_dir=run"]
    done = python(installed, tmp_path, "-m", "vae_lightning.train", *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/training.gif").is_file()


def test_carries_its_configs_and_console_scripts(installed, tmp_path):
    done = python(installed, tmp_path, "-c", "from vae_lightning.command_line.schema import CONF_DIR; print(CONF_DIR)")
    assert done.stdout.strip() == str(installed / "vae_lightning/conf")
    shipped = {file.relative_to(installed / "vae_lightning/conf") for file in installed.rglob("conf/**/*.yaml")}
    assert shipped == {file.relative_to(ROOT / "conf") for file in (ROOT / "conf").rglob("*.yaml")}
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    scripts = entry_points.read_text()
    assert "vae-train = vae_lightning.train:main" in scripts
    assert "vae-tensorboard = vae_lightning.dashboard:main" in scripts
    assert "vae-report = vae_lightning.report:main" in scripts
    assert "vae-generate = vae_lightning.generate:main" in scripts
    assert "vae-export = vae_lightning.export:main" in scripts
    assert "vae-explore = vae_lightning.explore:main" in scripts
    assert "vae-score = vae_lightning.score:main" in scripts
    assert (installed / "vae_lightning/py.typed").is_file()
    assert list(installed.glob(f"*-{vae_lightning.__version__}.dist-info"))
    page = {file.name for file in (installed / "vae_lightning/reports").iterdir() if file.suffix != ".py"}
    assert {"page.html.j2", "page.css", "page.js"} <= page
