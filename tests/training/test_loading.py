"""A LightningModule comes from its checkpoint alone, which may be a stranger's."""

import inspect
import shutil

import pytest
import torch
from lightning.pytorch import LightningModule

from tests.trained import DIGITS, opened, train_once
from vae_lightning.errors import UserError
from vae_lightning.objectives.geco import GECO
from vae_lightning.training.module import VAEModule


def changed(run, tmp_path, **groups) -> str:
    """A copy of a checkpoint whose config is another."""
    contents = torch.load(run.best, weights_only=True)
    for group, node in groups.items():
        contents["config"][group] = node
    torch.save(contents, tmp_path / "changed.ckpt")
    return str(tmp_path / "changed.ckpt")


def test_the_module_of_a_checkpoint_alone(digits_run, tmp_path):
    module = VAEModule.load_from_checkpoint(shutil.copy(digits_run.best, tmp_path / "alone.ckpt"))
    assert isinstance(module, LightningModule)
    assert module.config["name"] == "digits_mlp"
    weights = opened(digits_run).vae.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in module.vae.state_dict().items())
    optimizer = module.configure_optimizers()
    assert optimizer.defaults["lr"] == 0.01
    assert VAEModule.load_from_checkpoint(digits_run.last, map_location="cpu").device.type == "cpu"


def test_the_state_of_an_objective_comes_with_it(tmp_path):
    small = [*DIGITS, "model.latent_dim=2", "objective=geco", "trainer.max_epochs=1"]
    run = train_once(tmp_path / "run", *small)
    module = VAEModule.load_from_checkpoint(run.last)
    assert isinstance(module.objective, GECO)
    state = torch.load(run.last, weights_only=True)["state_dict"]
    kept = {name: value for name, value in module.state_dict().items() if name.startswith("objective.")}
    assert kept
    assert all(torch.equal(value, state[name]) for name, value in kept.items())
    fresh = GECO(**{key: value for key, value in run.config()["objective"].items() if key != "_target_"})
    assert any(not torch.equal(value, kept[f"objective.{name}"]) for name, value in fresh.state_dict().items())


def test_a_strangers_checkpoint_builds_no_class_of_its_own(digits_run, tmp_path):
    place = tmp_path / "ran"
    objective = {"_target_": "os.system", "command": f"touch {place}"}
    with pytest.raises(UserError, match=r"changed.ckpt: objective._target_=os.system: a stored config may only build"):
        VAEModule.load_from_checkpoint(changed(digits_run, tmp_path, objective=objective))
    assert not place.exists()


def test_a_pickle_is_not_run(tmp_path):
    class Bad:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"config": Bad()}, tmp_path / "bad.ckpt")
    with pytest.raises(UserError, match=r"bad.ckpt: can't be read"):
        VAEModule.load_from_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "ran").exists()


def test_no_random_number_of_the_callers_is_used(digits_run):
    before = torch.get_rng_state()
    VAEModule.load_from_checkpoint(digits_run.best)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strict": False}, "strict: is not taken; valid are checkpoint_path, map_location, trust"),
        ({"map_location": {"cuda:0": "cpu"}}, "map_location: dict is no device; give a device, such as cpu or cuda"),
        ({"map_location": "gpu"}, "map_location=gpu: can't be used (Expected one of cpu, "),
    ],
)
def test_what_lightnings_own_would_take_is_refused_in_words(digits_run, arguments, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  (the message is looked at whole)
        inspect.unwrap(VAEModule.load_from_checkpoint)(VAEModule, digits_run.best, **arguments)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, UserError)


def test_what_is_no_checkpoint_is_told_in_one_line(digits_run, tmp_path):
    with pytest.raises(UserError, match=r"^nowhere.ckpt: no such file$"):
        VAEModule.load_from_checkpoint("nowhere.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other.ckpt: can't be read \(it has no config"):
        VAEModule.load_from_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"changed.ckpt: its config can't be used \(model=None: expected keys\)"):
        VAEModule.load_from_checkpoint(changed(digits_run, tmp_path, model=None))
    model = digits_run.config()["model"] | {"latent_dim": 5}
    with pytest.raises(UserError, match=r"changed.ckpt: is of another model than its config.yaml says"):
        VAEModule.load_from_checkpoint(changed(digits_run, tmp_path, model=model))
    model["latent_dim"] = "${seed}"
    with pytest.raises(UserError, match=r"changed.ckpt: model.latent_dim=.* a stored config is resolved"):
        VAEModule.load_from_checkpoint(changed(digits_run, tmp_path, model=model))
