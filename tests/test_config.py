"""Every shipped YAML composes and instantiates; stored configs may build only what they are trusted with."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from vae_lightning.config import CONF_DIR, instantiate, plain, register
from vae_lightning.errors import UserError

GROUPS = (
    "data",
    "model",
    "model/likelihood",
    "initialization",
    "objective",
    "optimizer",
    "schedule",
    "trainer",
    "callbacks",
    "logger",
    "debug",
    "experiment",
)
OPTIONS = [f"{group}={file.stem}" for group in GROUPS for file in sorted((CONF_DIR / group).glob("*.yaml"))]
OPTIONS += [f"experiment=iwae_table1/{file.stem}" for file in sorted((CONF_DIR / "experiment/iwae_table1").glob("*"))]
UNFINISHED = {"model=base"}  # shared by the models, not one itself


def composed(*overrides: str) -> dict:
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", overrides=["name=test", "run_dir=none", *overrides])
    return plain(config)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option not in UNFINISHED])
def test_every_option_composes_and_instantiates(option, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_LIGHTNING_DATA", str(tmp_path))
    option_list = [option, f"data.root={tmp_path}"] if option == "data=folder" else [option]
    config = composed(*option_list)
    for key in ("data", "model", "objective", "optimizer"):
        assert instantiate(config[key], key) is not None
    for key in ("initialization", "schedule"):  # which may be left out
        assert (instantiate(config[key], key) is None) == (config[key] is None)
    for name, node in config["callbacks"].items():
        assert instantiate(node, f"callbacks.{name}") is not None
    for name, node in config["logger"].items():
        assert instantiate(node, f"logger.{name}", run_dir=str(tmp_path)) is not None


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


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "vae_lightning.run_dir.os.system",
        "torch.hub.load",
        "subprocess.run",
        "builtins.eval",
        "lightning.pytorch.core.saving._load_from_checkpoint",
    ],
)
def test_a_stored_config_runs_no_foreign_code(target, tmp_path):
    node = {"_target_": target, "_args_": [f"touch {tmp_path / 'owned'}"]}
    with pytest.raises(UserError, match="a stored config may only build classes of vae_lightning and torch"):
        instantiate({"_target_": "torch.nn.Sequential", "_args_": [node]}, "model", trusted=())
    assert list(tmp_path.iterdir()) == []


def test_a_stored_config_does_not_even_import_foreign_modules(tmp_path, monkeypatch):
    (tmp_path / "foreign_module.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\nclass Net: ...")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"trust=\[foreign_module\]"):
        instantiate({"_target_": "foreign_module.Net"}, "model", trusted=())
    assert not (tmp_path / "owned").exists()
    instantiate({"_target_": "foreign_module.Net"}, "model", trusted=("foreign_module",))
    assert (tmp_path / "owned").exists()


def test_a_trusted_package_may_be_built():
    node = {"_target_": "collections.OrderedDict"}
    with pytest.raises(UserError, match=r"trust=\[collections\]"):
        instantiate(node, "model", trusted=())
    assert instantiate(node, "model", trusted=("collections",)) == {}


def test_configs_are_found_beside_the_sources_and_in_the_wheel():
    assert (CONF_DIR / "train.yaml").is_file()
    assert CONF_DIR.is_absolute()
    assert Path(CONF_DIR).name == "conf"
