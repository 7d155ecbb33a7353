"""The house plan holds: docs/architecture.md in a form that can fail."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vae_lightning"
FILES = sorted(PACKAGE.rglob("*.py"))
ENTRY_POINTS = ("train", "evaluate", "generate", "export", "explore", "score", "report", "dashboard")
# A room may import what stands in a later line; the rooms of one line don't know each other.
ORDER = (
    ENTRY_POINTS,
    ("face",),
    ("command_line",),
    ("sweeps", "search"),
    ("launch",),
    ("training",),
    ("explorer",),
    ("exports", "scores"),
    ("callbacks", "metrics", "reports"),
    ("pictures",),
    ("runs",),
    ("checkpoints",),
    ("loggers",),
    ("latents", "likelihood"),
    ("objectives",),
    ("models",),
    ("data", "drawing"),
    ("config",),
    ("building",),
    ("machine",),
    ("disk",),
    ("errors", "noise"),
)
STARTED = {"vae_lightning.data.__main__": "train"}  # a room's own entry point, which stands where that one does
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
# Rooms that know less than the order lets them.
ONLY = {
    "drawing": {"drawing"},
    "models": {"models", "errors", "noise"},
    "objectives": {"objectives", "models", "errors", "noise"},
    "latents": {"latents", "objectives", "models", "errors", "noise"},
    "likelihood": {"likelihood", "models", "errors", "noise"},
    "data": {"data", "machine", "disk", "errors", "noise"},
    "reports": {"reports", "runs", "machine", "disk", "errors"},
}
HYDRA = {
    "command_line",
    "sweeps",
    "search",
    "config",
    "train",
    "evaluate",
    "generate",
    "export",
    "explore",
    "report",
    "score",
}
LIGHTNING = {"training", "callbacks", "loggers", "data"}
LIGHTNING |= {"vae_lightning.checkpoints.writing", "vae_lightning.machine.world"}


def name_of(file: Path) -> str:
    """Of a module, as it is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


def room_of(module: str) -> str:
    """`training` of vae_lightning.training.run; the module itself of one at the top, or one that stands beside it."""
    return STARTED.get(module) or f"{module}.".split(".")[1]


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imported(module: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """What these nodes of a module import, by a relative path, too."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


@cache
def imports_of(module: str) -> frozenset[str]:
    """All that a module imports, wherever: in a function or for a type checker only, too."""
    return frozenset(imported(module, ast.walk(tree_of(MODULES[module]))))


def own_imports(module: str) -> set[str]:
    return {name for name in imports_of(module) if name in MODULES and name != "vae_lightning"}


def at_once(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not isinstance(child, ast.FunctionDef) and not for_types:
            yield child
            yield from at_once(child)


@cache
def needed_by(module: str) -> frozenset[str]:
    """All that is imported with a module, by it and by what it imports."""
    direct = set(imported(module, at_once(tree_of(MODULES[module]))))
    direct |= {name.rpartition(".")[0] for name in direct if name in MODULES and name.count(".") > 1}  # its room
    return frozenset(direct.union(*(needed_by(name) for name in direct if name in MODULES and name != module)))


def test_a_relative_import_and_one_for_a_type_checker_are_seen(tmp_path, monkeypatch):
    file = tmp_path / "run.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from ..sweeps import jobs\n"
        "def late():\n    from . import module\n    import vae_lightning.launch.start\n"
    )
    monkeypatch.setitem(MODULES, "vae_lightning.training.run", file)
    found = set(imported("vae_lightning.training.run", ast.walk(tree_of(file))))
    assert {f"vae_lightning.{name}" for name in ("sweeps.jobs", "training.module", "launch.start")} <= found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downwards(module):
    if module == "vae_lightning":  # which names what lies anywhere, and imports it when it is used
        assert needed_by(module) == {"typing"}
        return
    room = room_of(module)
    upwards = [name for name in own_imports(module) if room_of(name) != room and LEVEL[room_of(name)] <= LEVEL[room]]
    assert not upwards
    assert {room_of(name) for name in own_imports(module)} <= ONLY.get(room, set(LEVEL))


def test_no_imports_go_round():
    state: dict[str, str] = {}

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert state.get(module) != "on the way", " -> ".join([*way, module])
        if module not in state:
            state[module] = "on the way"
            for name in sorted(own_imports(module)):
                visit(name, (*way, module))
            state[module] = "done"

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_hydra_and_lightning_stay_in_their_rooms(module):
    libraries, room = {name.split(".")[0] for name in imports_of(module)}, room_of(module)
    if libraries & {"hydra", "omegaconf"}:
        assert room in HYDRA
    if "lightning" in libraries:
        assert room in LIGHTNING or module in LIGHTNING


def test_only_config_instantiates():
    assert [module for module in MODULES if "hydra.utils" in imports_of(module)] == ["vae_lightning.config"]


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of(name) == "reports"))
def test_reports_know_the_records_of_runs_only_and_no_torch(module):
    assert {name for name in own_imports(module) if room_of(name) == "runs"} <= {
        "vae_lightning.runs.latest",
        "vae_lightning.runs.records",
        "vae_lightning.runs.tested_images",
    }
    assert {name.split(".")[0] for name in needed_by(module)}.isdisjoint({"torch", "torchvision", "hydra", "lightning"})


@pytest.mark.parametrize("command", [*ENTRY_POINTS, "data.__main__"])
def test_a_command_begins_without_large_libraries(command):
    """numpy, Pillow and jaxtyping take a tenth of the time of `--help`; the dashboard's is TensorBoard's own."""
    needed = {name.split(".")[0] for name in needed_by(f"vae_lightning.{command}")}
    assert needed.isdisjoint({"torch", "torchvision", "lightning", "numpy", "PIL", "jaxtyping"})


def test_own_code_is_called_and_not_named():
    """A `_target_` is for what a user may choose in YAML."""
    named = re.compile(rf"vae_lightning\.(?!({'|'.join(ENTRY_POINTS)})$)[\w.]+")
    found = {
        (name, node.value)
        for name, file in MODULES.items()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and named.fullmatch(node.value)
    }
    started = {"vae_lightning.launch.children": "children", "vae_lightning.launch.forked": "warm"}
    programs = {(name, f"vae_lightning.launch.{program}") for name, program in started.items()}
    assert {(name, text) for name, text in found if name != "vae_lightning.building.table"} == programs


def test_a_process_is_ended_hard_only_where_it_is_ours_alone():
    for module, file in MODULES.items():
        calls = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)]
        if any(ast.unparse(call.func) == "os._exit" for call in calls):
            assert module.removeprefix("vae_lightning.machine.") in ("process", "lifeline", "forks")
        if any(ast.unparse(call.func) == "run_as_program" for call in calls):
            last = tree_of(file).body[-1]
            assert ast.unparse(last) == "if __name__ == '__main__':\n    run_as_program(main)"


def test_the_commands_and_three_modules_stand_at_the_top():
    top = {file.stem for file in PACKAGE.glob("*.py")}
    assert top == {*ENTRY_POINTS, "__init__", "errors", "noise", "config"}


def test_no_two_public_classes_have_one_name():
    classes = [node.name for file in FILES for node in tree_of(file).body if isinstance(node, ast.ClassDef)]
    assert [name for name, count in Counter(classes).items() if count > 1 and not name.startswith("_")] == []


@pytest.mark.parametrize("folder", ["vae_lightning", "tests", "soak", "benchmarks"])
def test_files_stay_readable(folder):
    for file in (ROOT / folder).rglob("*.py"):
        assert len(file.read_text().splitlines()) <= 400, file
        assert "utils" not in file.name


def test_the_tests_are_laid_out_as_the_package_is():
    tests = [file.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py")]
    rooms = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}
    assert {file.parts[0] for file in tests if len(file.parts) > 1} == rooms | {"end_to_end"}
    modules = {file.stem for file in FILES}
    for file in tests:
        subject = file.stem.removeprefix("test_")
        if (
            subject in modules and file.parts[0] != "end_to_end"
        ):  # others are topics, and may lie anywhere in their room
            assert list((PACKAGE / file.parent).rglob(f"{subject}.py")), file


def rooms_told() -> dict[str, str]:
    """What docs/architecture.md says of each room and of each module at the top, by name."""
    text = (ROOT / "docs/architecture.md").read_text()
    return dict(re.findall(r"^\| `(\w+)/?` \| (.+) \|$", text, re.MULTILINE))


def test_the_page_on_the_architecture_names_every_room():
    rooms = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}
    assert set(rooms_told()) == rooms | {file.stem for file in PACKAGE.glob("*.py")}


def test_the_page_on_the_architecture_has_this_order():
    text = (ROOT / "docs/architecture.md").read_text()
    told = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert told is not None
    lines = [tuple(re.findall(r"\w+", line)) for line in told[1].strip().splitlines()]
    assert lines == list(ORDER)


def test_the_page_on_the_architecture_names_files_that_are_there():
    text = (ROOT / "docs/architecture.md").read_text()
    paths = set(re.findall(r"`((?:vae_lightning|conf|tests|docs)/[\w./]+)`", text))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_process_that_hands_out_the_tests_does_without_torch():
    """Its workers set OMP_NUM_THREADS before they import it: two that take every core are three times as slow."""
    script = "import sys, tests.conftest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


# Lightning's trainer

_TAKES_AWAY = {"pop", "popitem", "clear", "remove", "append", "insert", "extend", "setdefault", "__setattr__"}


def of_trainer(node: ast.AST) -> bool:
    """Whether an expression is something of Lightning's trainer; `trainer.datamodule` is this project's own."""
    names = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        names += [node.attr] if isinstance(node, ast.Attribute) else []
        node = node.value
    names += [node.id] if isinstance(node, ast.Name) else []
    return not {"trainer", "_trainer"}.isdisjoint(names[1:]) and "datamodule" not in names[1:]


def written_of_trainer(tree: ast.AST) -> Iterator[str]:
    """The statements that swap or overwrite what is the trainer's, but for its being told to stop, as is the custom."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            parts = [part for target in targets for part in getattr(target, "elts", [target])]
            if any(of_trainer(part) for part in parts) and not ast.unparse(node).endswith("trainer.should_stop = True"):
                yield ast.unparse(node)
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ""
            takes_away = name.rpartition(".")[2] in _TAKES_AWAY and of_trainer(node.func)
            sets = name in ("setattr", "delattr") and re.search(r"\b_?trainer\b(?!\.datamodule)", given)
            if takes_away or sets:
                yield ast.unparse(node)


@pytest.mark.parametrize(
    ("statement", "is_told"),
    [
        ("self.trainer.log_every_n_steps = 3", True),
        ("everyone, trainer.callbacks = trainer.callbacks, []", True),
        ("trainer.should_stop |= stops", True),
        ("trainer.should_stop = True", False),
        ("trainer.callback_metrics.pop('loss', None)", True),
        ("trainer._signal_connector.register_signal_handlers = None", True),
        ("trainer.callbacks[0] = other", True),
        ("setattr(trainer, name, value)", True),
        ("del trainer.loggers", True),
        ("trainer.datamodule.first_batch = 0", False),
        ("trainer = Trainer()", False),
        ("self._trainer, other = trainer, trainer.callbacks", False),
    ],
)
def test_what_is_written_of_the_trainer_is_seen(statement, is_told):
    assert (list(written_of_trainer(ast.parse(statement))) != []) is is_told


def test_nothing_but_the_stepper_overwrites_what_is_lightnings_trainers():
    found = {module: list(written_of_trainer(tree_of(file))) for module, file in MODULES.items()}
    stepper = "vae_lightning.training.stepper"
    assert {module: written for module, written in found.items() if written and module != stepper} == {}
    assert len(found[stepper]) > 5


def test_the_lightning_module_is_its_hooks():
    module = tree_of(PACKAGE / "training/module.py")
    methods = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    assert max(len(method.body) for method in methods) <= 3
