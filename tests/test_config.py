"""Every shipped YAML composes and instantiates, as it is typed and as a run directory holds it."""

from pathlib import Path
from types import NoneType
from typing import NamedTuple

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class

from vae_lightning.building.stored import check_config
from vae_lightning.building.trust import Trust
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.config import checked, instantiate, plain
from vae_lightning.errors import UserError
from vae_lightning.sweeps.preparing import PrepareSweep
from vae_lightning.training.execution import lightning_options, stepping_options
from vae_lightning.training.stepping import Stepping

GROUPS = (
    "data",
    "model",
    "model/likelihood",
    "initialization",
    "objective",
    "optimizer",
    "averaging",
    "schedule",
    "trainer",
    "callbacks",
    "logger",
    "debug",
    "experiment",
)
OPTIONS = [f"{group}={file.stem}" for group in GROUPS for file in sorted((CONF_DIR / group).glob("*.yaml"))]
OPTIONS += [f"experiment=iwae_table1/{file.stem}" for file in sorted((CONF_DIR / "experiment/iwae_table1").glob("*"))]
STRANGER = Trust()
UNFINISHED = {"model=base"}  # shared by the models, not one itself
BESIDE = {
    "data=folder": "data.root=faces",
    "data=hub": "data.name=me/mine",
    "logger=wandb": "logger.wandb.mode=offline",
}  # what else must be typed
PACKAGES = {"logger=wandb": "wandb", "logger=mlflow": "mlflow", "logger=trackio": "trackio"}


ALONE = ("model/likelihood", "initialization", "objective", "optimizer", "averaging", "schedule", "trainer")


def composed(*overrides: str) -> dict:
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", overrides=["name=test", "run_dir=none", *overrides])
    return plain(config)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option not in UNFINISHED])
def test_every_option_composes_and_instantiates(option, tmp_path, monkeypatch, told):
    monkeypatch.setenv("VAE_LIGHTNING_DATA", str(tmp_path))
    if option in PACKAGES:
        pytest.importorskip(PACKAGES[option], reason=f"{PACKAGES[option]} is not installed")
    alone = ["callbacks=none"] if option.partition("=")[0] in ALONE else []  # which takes half as long to compose
    config = composed(option, *([BESIDE[option]] if option in BESIDE else []), *alone)
    for key in ("data", "model", "objective", "optimizer"):
        assert built(config[key], key).type is not NoneType
    for key in ("initialization", "schedule"):  # which may be left out
        assert (built(config[key], key).type is NoneType) == (config[key] is None)
    assert config["averaging"] == {} or built(config["averaging"], "averaging").type is not NoneType
    for name, node in config["callbacks"].items():
        assert built(node, f"callbacks.{name}").type is not NoneType
    for name, node in config["logger"].items():
        assert built(node, f"logger.{name}", run_dir=str(tmp_path)).type is not NoneType
    check_as_stored(config, tmp_path, told)


class Built(NamedTuple):
    """What is compared of an object."""

    type: type
    text: str
    keywords: dict | None


_known: dict[str, Built] = {}


def built(node, key: str, trusted: Trust | None = None, **extra) -> Built:
    """What a node builds, which most options share with others: of each that is another it is built."""
    known = f"{key} {trusted} {node}"
    if known not in _known:
        result = instantiate(node, key, trusted=trusted, **extra)
        text, keywords = str(result) if key == "model" else "", result.keywords if key == "optimizer" else None
        _known[known] = Built(type(result), text, keywords)
    return _known[known]


def check_as_stored(config, tmp_path, told) -> None:
    """A stored config builds the same without Hydra, and nothing of it is left out, where a service is typed."""
    is_typed = Trust(typed=frozenset(f"logger.{name}._target_" for name in PACKAGES.values()))
    check_config(config, STRANGER)
    groups = ("data", "model", "initialization", "objective", "optimizer", "schedule", "averaging")
    stored = {group: built(config[group], group, STRANGER) for group in groups if config[group] != {}}
    assert stored["data"].type is built(config["data"], "data").type
    assert stored["model"].text == built(config["model"], "model").text
    assert stored["optimizer"].keywords == built(config["optimizer"], "optimizer").keywords
    checked(Stepping, stepping_options(config["trainer"]), "trainer")
    trainer = lightning_options(config["trainer"]) | {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    trainer.pop("profiler", None)  # which training.run leaves out of a stored config
    built(trainer, "trainer", STRANGER, default_root_dir=str(tmp_path), callbacks=[], logger=False)
    assert built(config["checkpoint"], "checkpoint", STRANGER).type is not NoneType
    extras = {"callbacks": {}, "logger": {"run_dir": str(tmp_path)}}
    for group, extra in extras.items():
        for name, node in config[group].items():
            assert built(node, f"{group}.{name}", is_typed, **extra).type is not NoneType
    assert told() == []


@pytest.mark.parametrize("model", ["mlp", "conv", "ladder"])
def test_images_may_be_rectangles(model, tmp_path, told):
    config = composed("data=digits", "data.image_size=[12,20]", f"model={model}", "model/prior=vamp")
    assert config["model"]["image_shape"] == config["model"]["prior"]["image_shape"] == [1, 12, 20]
    check_as_stored(config, tmp_path, told)
    assert instantiate(config["data"], "data", trusted=STRANGER).image_shape == (1, 12, 20)
    assert composed(f"model={model}")["model"]["image_shape"] == [1, 28, 28]


def test_a_config_without_a_fit_is_one_of_crops():
    stored = composed("data=digits")["data"]
    assert stored.pop("fit") == "crop"
    assert instantiate(stored, "data", trusted=STRANGER).fit == "crop"


def test_several_callbacks_can_be_chosen():
    assert {"training_gif", "ema", "early_stopping"} <= set(
        composed("callbacks=[default,ema,early_stopping]")["callbacks"]
    )
    assert not composed("callbacks=none")["callbacks"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_optimizers_are_fused_but_where_fp16_gradients_are_clipped(optimizer):
    def fused(*options):
        return composed(f"optimizer={optimizer}", *options)["optimizer"]["fused"]

    clip = "trainer.gradient_clip_val=1"
    for precision in ("auto", "32-true", "bf16-mixed", "16-mixed"):
        assert fused(f"trainer.precision={precision}") is True
        assert fused(f"trainer.precision={precision}", clip) is (precision != "16-mixed")
    assert fused("trainer.precision=16", clip) is False  # a short name of 16-mixed


def test_configs_are_found_beside_the_sources_and_in_the_wheel():
    assert (CONF_DIR / "train.yaml").is_file()
    assert CONF_DIR.is_absolute()
    assert Path(CONF_DIR).name == "conf"


def test_own_functions_are_called_with_arguments_that_fit():
    given = {"on_nan": "skip", "gradient_clip_val": 1}
    assert checked(Stepping, given, "trainer") == Stepping(**given)
    wrong = {
        "on_nan={'_target_': 'os.system'}: expected stop, skip": {"on_nan": {"_target_": "os.system"}},
        "on_nan='halt': expected stop, skip": {"on_nan": "halt"},
        "max_skipped must be at least 1, got 0": {"max_skipped": 0},
        "on_nans: no such key; did you mean on_nan?": {"on_nans": "skip"},
    }
    for message, arguments in wrong.items():
        with pytest.raises(UserError) as error:
            checked(Stepping, arguments, "trainer")
        assert str(error.value).startswith(f"trainer.{message}")


def test_a_copy_of_an_earlier_hydra_default_finds_its_callback():
    register()
    assert get_class("vae_lightning.multirun.PrepareSweep") is PrepareSweep


@pytest.mark.parametrize("chosen", ["data=digits model=mlp", "data=mnist model=conv", "data=digits model=ladder"])
def test_the_configs_compose_without_hydras_own_settings(chosen, monkeypatch):
    """As `hydra.compose` gives them in a notebook, where no command has begun."""
    from hydra.core.hydra_config import HydraConfig

    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = plain(compose("train", overrides=chosen.split()))
    data, model = (word.partition("=")[2] for word in chosen.split())
    assert config["name"] == f"{data}_{model}"
    assert config["run_dir"].endswith(f"_{data}_{model}")


@pytest.mark.parametrize("command", ["evaluate", "generate", "export", "explore", "score", "report"])
def test_the_other_commands_configs_compose_so_too(command, monkeypatch):
    from hydra.core.hydra_config import HydraConfig

    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert plain(compose(command))


def test_a_class_that_a_module_has_not_is_told_in_one_line(monkeypatch, tmp_path, caplog, capsys):
    (tmp_path / "own_module.py").write_text("class There: pass")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as error:
        instantiate({"_target_": "own_module.Nope"}, "logger.mine")
    assert str(error.value) == "logger.mine._target_=own_module.Nope: can't be imported (own_module has no Nope)"
    assert not caplog.records
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize("target", [5, None, ["a"], "", "..", "own_module."])
def test_what_is_no_name_of_a_class_is_told_in_one_line(target):
    with pytest.raises(UserError, match=r"^callbacks\.x\._target_=.*: can't be imported \("):
        instantiate({"_target_": target}, "callbacks.x")
