"""What a stored config may build: all that the program ships, and nothing that a stranger could make of it."""

import copy
import datetime
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_config import composed
from vae_lightning.building import stored
from vae_lightning.building.stored import _of_a_family, check_config
from vae_lightning.building.table import FAMILIES, MOVED, TABLE, Entry
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.training.execution import lightning_options

STRANGER = Trust()
LISTS = ("callbacks", "logger")  # groups of any number of objects
GROUPS = ("data", "model", "initialization", "objective", "optimizer", "schedule", "trainer", "checkpoint", *LISTS)
GROUPS += ("averaging",)
PRUNERS = sorted(file.stem for file in (CONF_DIR / "hydra/sweeper/pruner").glob("*.yaml"))
PRUNING = {
    "_target_": "vae_lightning.callbacks.pruning.PruneTrial",
    "trial": 3,
    "storage": None,
    "study_name": "search",
    "pruner": {"_target_": "optuna.pruners.MedianPruner"},
}


def found(target: str):
    """The class or function of that name in TABLE."""
    module, _, name = target.rpartition(".")
    return getattr(pytest.importorskip(module), name)


def arguments(target: str, entry: Entry) -> set[str]:
    """What a stored config may give it."""
    parameters = inspect.signature(found(target)).parameters.values()
    named = {one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
    return (named if entry.arguments is None else set(entry.arguments)) - set(entry.withheld)


# The table


def test_every_class_of_the_table_is_there_with_the_arguments_that_it_names():
    for target, entry in TABLE.items():
        named = {*(entry.arguments or ()), *entry.withheld, *entry.read_only, *entry.parts, *entry.choices}
        assert named <= set(inspect.signature(found(target)).parameters), target
        assert isinstance(found(target), type) or target.endswith((".build_vae", ".default_likelihood"))


def test_no_argument_names_a_place_but_those_that_are_read_only():
    place = re.compile(
        r"dir|path|file|root|url|storage|folder|archive|host|port\b|hook|_fn$|func|logger|plugin|registry"
    )
    places = {(target, name) for target in TABLE for name in arguments(target, TABLE[target]) if place.search(name)}
    read_only = {(target, name) for target, entry in TABLE.items() for name in entry.read_only}
    read_only -= {("vae_lightning.callbacks.pruning.PruneTrial", "trial")}  # whose place is beside the run directory
    read_only -= {("vae_lightning.data.image_folder.ImageFolder", "labels")}  # a table, where it is no word
    others = {
        ("torch.optim.LBFGS", "line_search_fn"),  # "strong_wolfe" or None
        ("vae_lightning.data.image_folder.ImageFolder", "max_archive_gb"),
        ("vae_lightning.data.image_folder.ImageFolder", "max_archive_files"),
    }
    assert places == read_only | others


def test_old_names_lead_to_todays():
    assert not set(MOVED) & (set(TABLE) | set(MOVED.values()))
    assert all(callable(found(new)) for new in MOVED.values())
    others = {old: new for old, new in MOVED.items() if not old.startswith("vae_lightning.")}
    assert all(found(old) is found(new) for old, new in others.items())  # another name that it still has
    assert set(others.values()) <= set(TABLE)


@pytest.mark.parametrize("target", (Path(__file__).parents[1] / "earlier/targets.txt").read_text().split())
def test_every_class_of_an_earlier_layout_has_its_name_today(target):
    name = MOVED.get(target, target)
    assert callable(found(name))
    if not target.startswith(("vae_lightning.generation.", "vae_lightning.scoring.")):  # which are typed, not stored
        assert name in TABLE or any(_of_a_family(name, slot) for slot in FAMILIES)


def test_a_class_that_has_moved_is_still_built(monkeypatch):
    monkeypatch.setitem(MOVED, "vae_lightning.rates.Cosine", "vae_lightning.training.schedules.Cosine")
    node = {"_target_": "vae_lightning.rates.Cosine", "warmup": 0.25}
    assert instantiate(node, "schedule", trusted=STRANGER).warmup == 0.25


@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_pruners_of_a_search_are_built(pruner):
    optuna = pytest.importorskip("optuna")
    (kind,) = re.findall(r"_target_: (\S+)", (CONF_DIR / f"hydra/sweeper/pruner/{pruner}.yaml").read_text())
    node = PRUNING | {"pruner": {"_target_": kind}}
    assert isinstance(instantiate(node, "callbacks.pruning", trusted=STRANGER).pruner, optuna.pruners.BasePruner)


# A stranger's config: everything at every place


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """A config with something in every group."""
    options = ["data=folder", "data.root=faces", "model=burda", "model/likelihood=gaussian", "callbacks=all"]
    config = composed(*options, "initialization=glorot", "schedule=cosine")
    config["callbacks"]["pruning"] = PRUNING
    return config


def places(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to everything in a config."""
    yield path
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(value, (*path, key))


def at(config: Any, path: tuple) -> Any:
    for key in path:
        config = config[key]
    return config


def changed(config: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    """The config with another value at a place; what is not on the way there is shared."""
    config = dict(config)
    config[path[0]] = copy.deepcopy(config[path[0]]) if path[1:] else value
    if path[1:]:
        at(config, path[:-1])[path[-1]] = value
    return config


@pytest.fixture
def calls(monkeypatch) -> list[Any]:
    """What would have been called, where everything was found good."""
    made: list[Any] = []
    monkeypatch.setattr(stored._Call, "make", lambda call, given: made.append(call))
    return made


def build(config: dict[str, Any], path: tuple) -> None:
    """Build the part of a stored config that has this place as the training does, short of writing anything."""
    extra = {"run_dir": "own"} if path[0] == "logger" else {}
    path = path[: 2 if path[0] in LISTS else 1]
    node = at(config, path)
    instantiate(lightning_options(node) if path[0] == "trainer" else node, ".".join(path), trusted=STRANGER, **extra)


def refusal(act: Callable[..., None], *arguments: Any) -> str:
    with pytest.raises((UserError, ValueError)) as error:
        act(*arguments)
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 1500
    return message


def refusal_of(config: dict[str, Any], path: tuple, value: Any) -> str:
    """What is said of another value at a place, before anything is read out of the config or when it is built."""
    config = changed(config, path, value)

    def act() -> None:
        check_config(config, STRANGER)
        build(config, path)

    return refusal(act)


def unfit(config: dict[str, Any], path: tuple, value: Any) -> str:
    return refusal(check_config, changed(config, path, value), STRANGER)


CREATE = "${oc.create:{_target_: os.system, command: 'touch owned'}}"
RESOLVED = [CREATE, "x${oc.env:SECRET}", "${hydra:runtime.cwd}", "${now:%Y}", "${name}", "\\${name}", "${", "a${b"]


@pytest.mark.parametrize("value", RESOLVED)
def test_nothing_is_resolved_wherever_it_stands(whole, value, monkeypatch):
    monkeypatch.setenv("SECRET", "told")
    for path in places(whole):
        if path:
            message = unfit(whole, path, value)
            assert "may not hold ${" in message or path[-1] == "_partial_"
            assert "told" not in message
        if path and isinstance(at(whole, path), dict):
            assert "can't be a key" in unfit(whole, (*path, value), 1)


@pytest.mark.parametrize("key", ["_args_", "_recursive_", "_convert_", "_mode_", "__init__", "__class__", "__"])
def test_no_other_special_key_is_known(whole, key):
    for path in places(whole):
        if path and isinstance(at(whole, path), dict):
            assert f"{key}: can't be a key" in unfit(whole, (*path, key), [])


class Text(str):
    """What a YAML tag could make."""


@pytest.mark.parametrize(
    "value",
    [Text("relu"), datetime.date(2026, 1, 1), b"relu", {"relu"}, ("relu",), object(), dict, 1j],
    ids=lambda value: type(value).__name__,
)
def test_only_plain_data_is_taken(whole, value):
    for path in places(whole):
        if path:
            unfit(whole, path, value)


HOSTILE = [
    "os.system",
    "builtins.eval",
    "subprocess.run",
    "torch.hub.load",
    "torch.load",
    "torch.nn.Module.load_state_dict",
    "lightning.pytorch.core.saving._load_from_checkpoint",
    "lightning.pytorch.callbacks.OnExceptionCheckpoint",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.callbacks.LambdaCallback",
    "lightning.pytorch.loggers.CSVLogger",
    "vae_lightning.runs.records.os.system",
    "vae_lightning.models.vae.VAE",
    "vae_lightning.models.vae.build_vae.__globals__.get",
    "vae_lightning.callbacks.pictures.write_atomically",
    "vae_lightning.config.instantiate",
    "foreign_module.Net",
    ".os.system",
    "",
    "a\nb\x1b[2J",
]


@pytest.mark.parametrize("target", HOSTILE)
def test_no_other_class_is_built_or_even_imported(whole, target, tmp_path, monkeypatch):
    (tmp_path / "foreign_module.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\nclass Net: ...")
    monkeypatch.syspath_prepend(tmp_path)
    for path in places(whole):
        if path and path[-1] == "_target_":
            assert "a stored config may only build" in refusal_of(whole, path, target)
    assert "foreign_module" not in sys.modules
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("target", ["os.system", "torch.optim.Adam", "vae_lightning.data.digits.Digits"])
def test_what_is_no_part_takes_no_class(whole, target, calls):
    parts = {"encoder", "decoder", "posterior", "prior", "likelihood", "pruner", "compile", "steps_per_execution"}
    for path in places(whole):
        if len(path) > (2 if path and path[0] in LISTS else 1) and not parts & set(path) and path[0] in GROUPS:
            try:
                build(changed(whole, path, {"_target_": target}), path)
            except UserError:
                continue
            assert path[-1] not in calls[-1].arguments  # left out


def test_a_class_stands_in_its_own_place_only(whole):
    kinds = {entry.slots: target for target, entry in TABLE.items()}
    for path in places(whole):
        if path and path[-1] == "_target_":
            slot = "pruner" if "pruner" in path else path[1] if path[0] == "model" and len(path) > 2 else path[0]
            for slots, target in kinds.items():
                if slot not in slots:
                    refusal_of(whole, path, target)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("model", "encoder", "_partial_"), "yes", "model.encoder._partial_='yes': expected bool"),
        (("model", "encoder", "_partial_"), False, "model.encoder._partial_=false: must be true for vae_lightning"),
        (("data", "_partial_"), True, "data._partial_=true: must be false or left out for vae_lightning.data."),
        (("data", "_target_"), 3, "data._target_=3: expected str"),
        (("data",), "faces", "data='faces': expected keys"),
        (("callbacks", "samples"), 5, "callbacks.samples=5: expected keys"),
        (("name",), "a\nb", r"name='a\nb': expected a line of text"),
        (("seed",), "0", "seed='0': expected int"),
        (("data", "batch_size"), "many", "data.batch_size='many': expected int"),
        (("data", "batch_size"), 0, "data.batch_size must be at least 1, got 0"),
        (("data", "sizes"), 0, "data.sizes: no such key; valid here: archive, augmentations, batch_size, "),
        (("model", "encoder", "hidden"), [0] * 2000, "model.encoder.hidden: a list of 2000 items"),
        (("model", "latent_dim"), 10**30, "model: "),
        (("trainer", "max_epochs"), "a", "trainer."),
    ],
)
def test_a_mistake_is_told_in_one_line(whole, path, value, expected):
    assert refusal_of(whole, path, value).startswith(expected)


def test_a_config_that_goes_in_circles_is_refused(whole):
    loop: list = []
    loop.append(loop)
    assert "lies deeper in a stored config than 20 levels" in unfit(whole, ("data", "root"), loop)


# Places, code and what comes from the caller


@pytest.mark.parametrize(
    ("key", "node", "extra"),
    [
        ("logger.csv", {"run_dir": "/elsewhere"}, {"run_dir": "own"}),
        ("logger.tensorboard", {"run_dir": "/elsewhere"}, {"run_dir": "own"}),
        ("callbacks.transition", {"files": ["/etc/a.png", "/etc/b.png"]}, {}),
        ("callbacks.pruning", {"storage": "sqlite:////elsewhere.db"}, {}),
        ("trainer", {"default_root_dir": "/elsewhere"}, {"default_root_dir": "own"}),
        ("trainer", {"default_root_dir": "/elsewhere"}, {}),
        ("trainer", {"profiler": "advanced"}, {}),
        ("trainer", {"logger": True}, {"logger": False}),
        ("trainer", {"plugins": ["x"]}, {}),
        ("trainer", {"callbacks": ["x"]}, {}),
        ("trainer", {"model_registry": "someone/model"}, {}),
        ("trainer", {"strategy": "deepspeed_stage_3_offload_nvme"}, {}),
    ],
)
def test_what_a_stored_config_does_not_decide_is_left_out_and_told(whole, key, node, extra, told, calls):
    settings = lightning_options(at(whole, tuple(key.split("."))) | node)
    settings |= {"precision": "32-true"} if key == "trainer" else {}
    instantiate(settings, key, trusted=STRANGER, **extra)
    (name,) = node
    assert name not in calls[0].arguments
    assert [line.partition("=")[0] for line in told()] == ([] if name in extra else [f"{key}.{name}"])
    if name not in ("plugins", "callbacks"):  # which are objects
        instantiate(settings, key, trusted=trusting((), [f"{key}.{name}"]), **extra)
        assert calls[1].arguments[name] == node[name]  # it counts when it is typed


# What the user types beside it


def test_a_package_is_opened_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(
        "from os import system\nclass Net:\n    def __init__(self, act, **more): self.act, self.more = act, more"
    )
    monkeypatch.syspath_prepend(tmp_path)
    node = {"_target_": "my_nets.Net", "act": {"_target_": "torch.nn.ReLU"}, "depth": 3}
    with pytest.raises(UserError, match=r"^model\._target_=my_nets\.Net: .* add it: trust=\[my_nets\]$"):
        instantiate(node, "model", trusted=STRANGER)
    for trust in (trusting(["my_nets"]), trusting("my_nets"), trusting(["my_nets.Net"])):
        net = instantiate(node, "model", trusted=trust)
        assert (type(net.act).__name__, net.more) == ("ReLU", {"depth": 3})
    for trust in (trusting(["my"]), trusting([""]), trusting(["my_nets.N"])):
        with pytest.raises(UserError, match="may only build"):
            instantiate(node, "model", trusted=trust)
    for other in ("my_nets.system", "my_nets.Net.__init__.__globals__.get", "os.system"):
        with pytest.raises(UserError, match="may only build"):
            instantiate(node | {"act": {"_target_": other, "command": "x"}}, "model", trusted=trusting(["my_nets"]))
    with pytest.raises(UserError, match=r"may not hold \$"):
        instantiate(node | {"depth": CREATE}, "model", trusted=trusting(["my_nets"]))


def test_what_is_typed_is_the_users_and_only_that():
    node = {"_target_": "collections.OrderedDict"}
    assert instantiate(node, "callbacks.mine", trusted=trusting((), ["callbacks"])) == {}
    assert instantiate(node, "callbacks.mine", trusted=trusting((), ["callbacks.mine._target_"])) == {}
    for typed in ("callbacks.min", "callbacks.mine.x", "callback", "callbacks.mine2"):
        with pytest.raises(UserError, match="may only build"):
            instantiate(node, "callbacks.mine", trusted=trusting((), [typed]))


@pytest.mark.parametrize("name", ["tsne.x", "tsne[0]", "tsne]", "a=b", "${x}", 5, True])
def test_no_key_takes_the_place_of_one_that_was_typed(whole, name):
    config = copy.deepcopy(whole)
    config["callbacks"][name] = {"_target_": "collections.OrderedDict"}
    config["callbacks"].pop("tsne", None)
    with pytest.raises(UserError, match=r"can't be a key of a stored config$"):
        check_config(config, trusting((), ["callbacks.tsne", "callbacks.5"]))


@pytest.mark.parametrize("limit", ["max_pixels", "max_archive_gb", "max_archive_files"])
def test_what_a_strangers_files_may_cost_is_not_the_strangers_choice(limit):
    target = "vae_lightning.data.image_folder.ImageFolder"
    node = {"_target_": target, "root": "faces", "image_size": 8}
    default = inspect.signature(found(target)).parameters[limit].default
    assert TABLE[target].at_most[limit] == default
    for value in (default, default / 2 if limit == "max_archive_gb" else default // 2):
        assert getattr(instantiate(node | {limit: value}, "data", trusted=STRANGER), limit) == value
    more = node | {limit: default + 1}
    with pytest.raises(
        UserError, match=rf"^data\.{limit}=\S+: is more than a stored config may choose \(\d+\); type it"
    ):
        instantiate(more, "data", trusted=STRANGER)
    assert getattr(instantiate(more, "data", trusted=trusting((), [f"data.{limit}"])), limit) == default + 1


def test_a_name_is_no_longer_than_a_folders(whole):
    check_config(whole | {"name": "x" * 255}, STRANGER)
    for name in ("x" * 256, "é" * 128):
        with pytest.raises(ValueError, match=r"^name=.*: expected a line of text, of 255 bytes at most$"):
            check_config(whole | {"name": name}, STRANGER)
