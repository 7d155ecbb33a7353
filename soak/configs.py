"""Stored configs as a stranger may write them: every group, every place of a string, every resolver and target."""

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from soak import commands
from soak.attacks import ALL, Attack
from soak.canary import Place
from soak.payloads import ADDITIONS, NODES, SETTINGS, TEXTS, TYPED, YAML
from soak.specimens import Specimens

Config = dict[str, Any]
_LONGEST_NAME = 200  # of a case, in the log
_NODE_PLACES = (
    *("data", "model", "model.encoder", "model.decoder", "model.posterior", "model.prior", "model.likelihood"),
    *("objective", "optimizer", "schedule", "initialization", "trainer", "trainer.plugins", "trainer.profiler"),
    *("trainer.strategy", "trainer.callbacks", "trainer.logger", "trainer.limit_train_batches", "callbacks.evil"),
    *("callbacks.samples", "callbacks.training_gif", "checkpoint.best", "checkpoint.evil", "logger.evil"),
    "averaging",
    *("logger.tensorboard", "model.image_shape", "optimizer.lr", "optimizer.betas", "data.image_size", "data.seed"),
    *("name", "seed", "trust", "trainer.max_epochs", "checkpoint", "callbacks", "logger", "output_dir", "run_dir"),
)


def hostile_configs(specimens: Specimens, seed: int, count: int) -> Iterator[Attack]:
    """So many attacks: the kinds in turns, within a kind each payload in turns, each in a place drawn by the seed."""
    makers = (_texts, _nodes, _additions, _texts, _nodes, _settings, _yaml, _keys)
    turns = [maker(specimens, random.Random(f"{seed}/{number}")) for number, maker in enumerate(makers)]
    for number, attacks in enumerate(itertools.islice(itertools.cycle(turns), count)):
        name, run, change = next(attacks)
        outside = "OUTSIDE" in name and ("data.root" in name or "data.archive" in name)
        opened = (*ALL, partial(_resumed_with, name.partition(" beside ")[2])) if " beside " in name else ALL
        yield Attack(_short(f"{number:04} {name}"), change, run, opened, specimens.readable, outside)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


_Attacks = Iterator[tuple[str, Path, Callable[[Place], None]]]


def _texts(specimens: Specimens, draw: random.Random) -> _Attacks:
    """A string with something in it, in the place of any value of the config."""
    runs = (specimens.digits, specimens.folder)
    places = {run: _leaves(yaml.safe_load((run / "config.yaml").read_text())) for run in runs}
    for payload in itertools.cycle(TEXTS):
        run = draw.choice(runs)
        path = draw.choice(places[run])
        yield f"text {payload} at {_dotted(path)}", run, partial(_put, path, payload)


def _nodes(specimens: Specimens, draw: random.Random) -> _Attacks:
    """A node that builds something, in the place of any part."""
    for payload in itertools.cycle(NODES):
        key = draw.choice(_NODE_PLACES)
        run = draw.choice((specimens.digits, specimens.folder))
        yield f"node {payload.get('_target_')} at {key}", run, partial(_put, tuple(key.split(".")), payload)


def _additions(specimens: Specimens, draw: random.Random) -> _Attacks:
    """Keys that are put into a node that may stand there."""
    run = specimens.digits
    nodes = _target_nodes(yaml.safe_load((run / "config.yaml").read_text()))
    for key, value in itertools.cycle(ADDITIONS):
        path = draw.choice(nodes)
        yield f"key {key} in {_dotted(path)}", run, partial(_put, (*path, key), value)


def _keys(specimens: Specimens, draw: random.Random) -> _Attacks:
    """Something that builds, under a key that reads as if it lay where the user types something."""
    for node in itertools.cycle(NODES):
        typed, separator = draw.choice(TYPED), draw.choice((".x", ".x.y", "[0]", "[x]", "[", ".", "=x", "@x"))
        *parents, name = typed.lstrip("~+").partition("=")[0].split(".")
        path = (*parents, name + separator)
        yield f"key {_dotted(path)} beside {typed}", specimens.digits, partial(_put, path, node)


def _resumed_with(typed: str, place: Place) -> None:
    commands.train(f"resume={place.run}", "trainer.max_epochs=3", typed)


def _settings(specimens: Specimens, draw: random.Random) -> _Attacks:
    """A value that has a place in the config, and names a place in the world."""
    for key, value in itertools.cycle(SETTINGS):
        run = specimens.folder if key.startswith("data.") else draw.choice((specimens.digits, specimens.folder))
        yield f"setting {key}={value}", run, partial(_put, tuple(key.split(".")), value)


def _yaml(specimens: Specimens, draw: random.Random) -> _Attacks:
    """A file that is no plain YAML."""
    for name, text in itertools.cycle(YAML):
        file = draw.choice(("config.yaml", "config.yaml", "overrides.yaml"))
        yield f"yaml {name} in {file}", specimens.digits, partial(_write, file, text)


def _put(path: tuple[str | int, ...], value: Any, place: Place) -> None:
    file = place.run / "config.yaml"
    config = yaml.safe_load(file.read_text())
    node: Any = config
    *parents, last = path
    for name in parents:
        if isinstance(node, dict) and not isinstance(node.get(name), dict | list):
            node[name] = {}
        node = node[name]
    node[last] = filled(copy.deepcopy(value), place)
    file.write_text(yaml.safe_dump(config, sort_keys=False))


def _write(file: str, text: str, place: Place) -> None:
    original = (place.run / file).read_text()
    (place.run / file).write_text(filled(text, place).replace("ORIGINAL", original))


def filled(value: Any, place: Place) -> Any:
    """A payload with the places of the case put in for MARKER, OUTSIDE, ROOT and RUN."""
    if isinstance(value, dict):
        return {filled(name, place): filled(inner, place) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, place) for inner in value]
    if not isinstance(value, str):
        return value
    names = {"MARKER": place.marker, "OUTSIDE": place.outside, "ROOT": place.root, "RUN": place.run}
    for name, path in names.items():
        value = value.replace(name, str(path))
    return value


def _leaves(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(node, dict):
        return [leaf for name, inner in node.items() for leaf in _leaves(inner, (*path, name))]
    if isinstance(node, list) and node:
        return [leaf for index, inner in enumerate(node) for leaf in _leaves(inner, (*path, index))]
    return [path]


def _target_nodes(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = node.items() if isinstance(node, dict) else []
    own = [path] if isinstance(node, dict) and "_target_" in node else []
    return own + [found for name, value in inner for found in _target_nodes(value, (*path, name))]


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))
