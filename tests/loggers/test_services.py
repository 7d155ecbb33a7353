"""Which loggers a stored config does not build by itself: all that tell a service."""

import importlib
from typing import Any

import pytest

from vae_lightning.building import stored
from vae_lightning.building.table import TABLE
from vae_lightning.building.trust import trusting
from vae_lightning.config import instantiate
from vae_lightning.loggers.tracker import Tracker

SERVICES = [target for target, entry in TABLE.items() if entry.typed_as]


@pytest.fixture
def calls(monkeypatch) -> list[Any]:
    """What would have been built."""
    made: list[Any] = []
    monkeypatch.setattr(stored._Call, "make", lambda call, given: made.append(call))
    return made


def test_every_service_must_be_typed():
    loggers = [target.rpartition(".") for target, entry in TABLE.items() if "logger" in entry.slots]
    found = {f"{module}.{name}": getattr(importlib.import_module(module), name) for module, _, name in loggers}
    assert [target for target, kind in found.items() if issubclass(kind, Tracker)] == SERVICES


@pytest.mark.parametrize("target", SERVICES)
def test_a_service_is_built_where_it_is_typed_and_only_there(target, told, calls):
    name, setting = target.split(".")[2], "experiment_name" if "mlflow" in target else "project"
    node = {"_target_": target, setting: "p"}
    for typed in ((), ("logger.other",), (f"logger.{name}.{setting}",)):
        assert instantiate(node, f"logger.{name}", trusted=trusting((), typed), run_dir="own") is None
    way = f"until it is typed, with its settings, as in logger=[default,{name}]"
    assert told() == [f"logger.{name}: is told nothing of a resumed run {way}"] * 3
    assert not calls
    instantiate(node, f"logger.{name}", trusted=trusting((), [f"logger.{name}._target_"]), run_dir="own")
    assert len(calls) == 1
