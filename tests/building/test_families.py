"""Classes that a stored config may build without an entry of their own: by their room and their abstract class."""

import importlib
import inspect
import pkgutil

import pytest

from vae_lightning.building.stored import _of_a_family
from vae_lightning.building.table import FAMILIES, Family
from vae_lightning.building.trust import Trust
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.models.priors.standard_normal import StandardNormal

STRANGER = Trust()


def members(family: Family) -> list[str]:
    """The concrete classes of a family, found by looking through its room."""
    room = importlib.import_module(family.room)
    module, _, name = family.kind.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    found = []
    for file in pkgutil.walk_packages(room.__path__, f"{family.room}."):
        for name, each in vars(importlib.import_module(file.name)).items():
            own = inspect.isclass(each) and each.__module__ == file.name and issubclass(each, kind)
            if own and not inspect.isabstract(each):
                found.append(f"{file.name}.{name}")
    return found


@pytest.mark.parametrize("slot", FAMILIES)
def test_every_concrete_class_of_the_room_may_stand_in_its_slot(slot):
    family = FAMILIES[slot]
    found = members(family)
    assert {name for name in found if not _of_a_family(name, slot)} == set(family.but) & set(found)
    others = [other for other in FAMILIES if FAMILIES[other] != family and FAMILIES[other].kind != family.kind]
    assert not any(_of_a_family(name, other) for name in found for other in others)


@pytest.mark.parametrize(
    ("slot", "name"),
    [
        ("prior", "vae_lightning.models.parts.ConditionalDistribution"),  # abstract, and not in the room
        ("prior", "vae_lightning.models.posteriors.diagonal_gaussian.DiagonalGaussian"),  # of another room
        ("prior", "vae_lightning.models.priors.standard_normal.UnitNormal"),  # of another kind
        ("prior", "vae_lightning.models.priors.standard_normal.torch.nn.Linear"),
        ("prior", "vae_lightning.models.priors.standard_normal.StandardNormal.forward"),
        ("prior", "vae_lightning.models.priors"),
        ("prior", "vae_lightning.models.priors.StandardNormal"),  # no class of that name: a module is asked for
        ("prior", "vae_lightning.models.priors_of_mine.StandardNormal"),
        ("prior", "vae_lightning.models.priors.."),
        ("prior", ""),
        ("prior", "vae_lightning.models.priors." + "a." * 5000 + "B"),
        ("objective", "vae_lightning.objectives.terms.Objective"),
        ("objective", "vae_lightning.objectives.elbo.Objective"),
        ("objective", "vae_lightning.objectives.elbo.linear_warmup"),
        ("model", "vae_lightning.models.vae.VAE"),
        ("model", "vae_lightning.models.latent_model.LatentModel"),
        ("optimizer", "vae_lightning.objectives.elbo.ELBO"),
        (None, "vae_lightning.objectives.elbo.ELBO"),
    ],
)
def test_nothing_else_may(slot, name):
    assert _of_a_family(name, slot) is None


def test_a_class_that_is_imported_there_is_none_of_the_room(monkeypatch):
    module = importlib.import_module("vae_lightning.models.priors.standard_normal")

    class Foreign(StandardNormal):
        pass

    monkeypatch.setattr(module, "Foreign", Foreign, raising=False)
    assert _of_a_family("vae_lightning.models.priors.standard_normal.Foreign", "prior") is None
    assert _of_a_family("vae_lightning.models.priors.standard_normal.StandardNormal", "prior") is not None


def test_the_rooms_know_no_disk_and_no_network():
    for family in FAMILIES.values():
        room = importlib.import_module(family.room)
        for file in pkgutil.walk_packages(room.__path__, f"{family.room}."):
            used = set(vars(importlib.import_module(file.name)))
            assert not used & {"os", "io", "sys", "pathlib", "Path", "open", "socket", "subprocess", "shutil", "urllib"}


def test_its_arguments_are_checked_and_its_parts_too():
    node = {"_target_": "vae_lightning.objectives.elbo.ELBO", "beta": 2.0}
    assert instantiate(node, "objective", trusted=STRANGER).beta == 2
    with pytest.raises(UserError, match=r"^objective\.beta='x': expected float$"):
        instantiate(node | {"beta": "x"}, "objective", trusted=STRANGER)
    with pytest.raises(UserError, match=r"^objective\.gamma: no such key"):
        instantiate(node | {"gamma": 1}, "objective", trusted=STRANGER)
    with pytest.raises(UserError, match="a stored config may only build what is derived from Objective in"):
        instantiate(node | {"_target_": "torch.nn.Linear"}, "objective", trusted=STRANGER)
