"""What stands beside the package for people: licence, citation, changes, rules."""

import tomllib
from pathlib import Path

import yaml

from vae_lightning import __version__

ROOT = Path(__file__).parents[1]


def test_the_licence_is_the_one_that_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "LICENSE").read_text().startswith(f"{project['license']} License")


def test_it_is_cited_by_its_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["cff-version"], citation["version"], citation["license"]) == ("1.2.0", __version__, "MIT")
    assert citation["authors"]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_does_what_make_check_does():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    (job,) = workflow["jobs"].values()
    steps = " ".join(step.get("run", "") for step in job["steps"])
    makefile = (ROOT / "Makefile").read_text()
    for command in ("ruff check .", "ruff format --check .", "mypy"):
        assert f"-m {command}" in steps
        assert f"$(BIN)/{command}" in makefile
    assert "make -s slow-tests" in steps
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert job["strategy"]["matrix"]["python"][0] == oldest
    for template in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(template.read_text())["body"]
