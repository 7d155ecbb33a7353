"""The house plan holds: imports go one way, and each library stays in its rooms."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vae_lightning"
FILES = sorted(PACKAGE.rglob("*.py"))
# What each room may import of this package; the leaves are free to all.
ALLOWED = {
    "models": {"models"},
    "objectives": {"models", "objectives"},
    "data": {"data"},
    "figures": {"figures"},
    "evaluation": {"models", "objectives", "evaluation"},
    "reports": {"reports", "run_dir"},
    "generation": {"models", "data", "evaluation", "figures", "generation", "trained_run"},
    "scoring": {"models", "objectives", "data", "evaluation", "scoring", "trained_run", "run_dir", "world"},
    "callbacks": {"models", "objectives", "evaluation", "figures", "callbacks", "metrics", "finiteness", "loggers"},
}
LEAVES = {"arguments", "errors", "expectations", "files", "hardware", "interruption", "locks", "noise", "unwritten"}


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def ids(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


@pytest.mark.parametrize("file", [file for file in FILES if file.parent != PACKAGE], ids=ids)
def test_rooms_import_only_what_lies_below_them(file):
    room = file.relative_to(PACKAGE).parts[0]
    own = {name.split(".")[1] for name in imports(file) if name.startswith("vae_lightning.")}
    assert own <= ALLOWED[room] | LEAVES


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_hydra_and_lightning_stay_in_their_rooms(file):
    libraries = {name.split(".")[0] for name in imports(file)}
    room = file.relative_to(PACKAGE).parts[0]
    if "hydra" in libraries:
        sweeps = {"multirun.py", "search.py", "search_space.py"}
        assert room in {"config.py", "commands.py", "train.py", "generate.py"} | sweeps
    if "lightning" in libraries:
        files = {"module", "loggers", "training", "execution", "metrics", "checkpoints", "resumed_state", "world"}
        assert room in {"data", "callbacks"} | {f"{name}.py" for name in files}


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_files_stay_readable(file):
    assert len(file.read_text().splitlines()) < 400
    assert "utils" not in file.name


def test_only_config_instantiates():
    callers = {file.name for file in FILES if "hydra.utils" in imports(file)}
    assert callers == {"config.py"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "reports").rglob("*.py")), ids=ids)
def test_reports_do_without_torch(file):
    assert {name.split(".")[0] for name in imports(file)}.isdisjoint({"torch", "torchvision", "hydra", "lightning"})
