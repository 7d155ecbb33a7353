"""What a source file declares is what its class has."""

import inspect
import re
from pathlib import Path

import pytest

from vae_lightning.building.arguments import imported, parameters_of
from vae_lightning.building.declared import declared

ROOT = Path(__file__).parents[2]
FOREIGN = {"lightning.pytorch.Trainer", "torch.optim.Adam", "lightning.pytorch.callbacks.EarlyStopping"}
SHIPPED = {
    target
    for file in (ROOT / "conf").rglob("*.yaml")
    for target in re.findall(r"^ *_target_: (vae_lightning\S+)", file.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("path", sorted(SHIPPED | FOREIGN))
def test_a_declaration_is_the_signature(path):
    found = declared(path)
    if found is None:  # it has no constructor of its own, nor has one of its bases that is found
        assert "__init__" not in vars(imported(path, "")), path
        return
    signature = parameters_of(inspect.unwrap(imported(path, ""))) or {}
    open_ended = inspect.Parameter.VAR_KEYWORD
    assert found.parameters.keys() == signature.keys()
    for name, parameter in found.parameters.items():
        true = signature[name]
        assert (parameter.kind is open_ended) == (true.kind is open_ended)
        assert (parameter.default is parameter.empty) == (true.default is true.empty or true.kind is open_ended)
        if parameter.annotation is not parameter.empty and "Tensor" not in str(true.annotation):
            assert parameter.annotation == true.annotation


def test_limits_are_found_in_the_class_in_what_it_inherits_and_in_functions():
    assert [limit.bounds for limit in declared("vae_lightning.objectives.iwae.IWAE").limits] == [(1,)]
    assert {limit.argument for limit in declared("vae_lightning.objectives.rae.RAE").limits} == {"beta", "weight"}
    inherited = {limit.argument for limit in declared("vae_lightning.data.digits.Digits").limits}
    assert inherited == {"image_size", "batch_size", "eval_batch_size"}
    assert {limit.argument for limit in declared("vae_lightning.models.vae.build_vae").limits} == {"latent_dim"}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nowhere",
        ".a.B",
        "vae_lightning./tmp/x.Y",
        "no.such.Class",
        "torch.nosuch.Class",
        "vae_lightning.models.vae.No",
    ],
)
def test_what_is_not_found_is_left_open(path):
    assert declared(path) is None


SOURCE = """
from dataclasses import dataclass
from typing import ClassVar, Literal
from vae_lightning.errors import require_at_least

Colour = Literal["red", "blue"]

class Changed:
    def __init__(self, size: int = 0, colour: Colour = "red", other: "Unknown | None" = None, *, end: Missing = None):
        size = size or 5
        require_at_least("size", size, 1)

@dataclass
class Fields:
    kind: ClassVar[str] = "k"
    width: int
    def __post_init__(self):
        require_at_least("width", self.width, 2)
        require_at_least("width", self.height, 2)
        require_at_least("height", self.width, self.least)
"""


def test_only_what_is_certain_counts(tmp_path, monkeypatch):
    package = tmp_path / "a_package_of_ones_own"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "room.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    changed, fields = (declared(f"a_package_of_ones_own.room.{name}") for name in ("Changed", "Fields"))
    assert changed.limits == ()  # the value that is checked is not the one that was given
    hints = {name: parameter.annotation for name, parameter in changed.parameters.items()}
    assert str(hints.pop("colour")) == "typing.Literal['red', 'blue']"
    assert hints == {"size": int, "other": "Unknown | None", "end": inspect.Parameter.empty}
    assert fields.parameters.keys() == {"width"}
    assert [(limit.argument, limit.bounds) for limit in fields.limits] == [("width", (2,))]


REFUSING = """
class Refusing:
    def __init__(self, lr, betas=(0, 0), size=None, other=1):
        if not 0.0 <= lr:
            raise ValueError(f"Invalid lr: {lr}")
        if not 0 <= betas[0] < 1.0:
            raise ValueError(f"Invalid beta: {betas[0]}")
        if size < -1:
            raise ValueError("size is too small")
        if other < 0:
            raise TypeError("of another kind")
        if lr > size:
            raise ValueError(f"two arguments")
        if print(lr):
            raise ValueError("does something")
        if other > 5:
            raise ValueError(f"{print(other)}")
        size = size or 5
        if size > 100:
            raise ValueError("of another value")
"""


def test_what_a_constructor_refuses_in_its_own_words_is_read_off(tmp_path, monkeypatch):
    (tmp_path / "refusing").mkdir()
    (tmp_path / "refusing/__init__.py").touch()
    (tmp_path / "refusing/own.py").write_text(REFUSING)
    monkeypatch.syspath_prepend(tmp_path)
    limits = {limit.argument: limit for limit in declared("refusing.own.Refusing").limits}
    assert limits.keys() == {"lr", "betas", "size"}
    for name, value, told in (("lr", -1, "Invalid lr: -1"), ("betas", [1.5, 0], "Invalid beta: 1.5"), ("size", -2, "")):
        with pytest.raises(ValueError, match=f"^{told}"):
            limits[name](value)
    for name, value in (("lr", 0), ("lr", "abc"), ("lr", None), ("betas", [0.9]), ("betas", []), ("betas", 3)):
        limits[name](value)


def test_names_are_followed_through_relative_imports(tmp_path, monkeypatch):
    (tmp_path / "near/far").mkdir(parents=True)
    sources = {"__init__": "from .far import Named", "limits": "MOST = 5\nclass Base:\n    pass\n"}
    sources["far/__init__"] = "from .own import Named"
    sources["far/own"] = """
from vae_lightning.errors import require_at_most
from ..limits import MOST
class Named:
    def __init__(self, size: int):
        require_at_most("size", size, MOST)
"""
    for name, source in sources.items():
        (tmp_path / f"near/{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert [(limit.argument, limit.bounds) for limit in declared("near.Named").limits] == [("size", (5,))]


def test_the_limits_of_optimizers_are_those_that_they_have():
    for name, arguments in {"Adam": {"lr", "eps", "betas", "weight_decay"}, "SGD": {"lr", "momentum"}}.items():
        found = {limit.argument for limit in declared(f"torch.optim.{name}").limits}
        assert found >= arguments
    assert {"lr", "eps", "betas", "weight_decay"} <= {limit.argument for limit in declared("torch.optim.AdamW").limits}
