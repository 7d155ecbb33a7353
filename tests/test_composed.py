"""What tests/composed.py repeats or copies is what Hydra composes."""

import hydra
import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from vae_lightning.command_line.schema import CONF_DIR, register

LINES = [
    ["data=digits", "model.latent_dim={}"],
    ["data=digits", "model=mlp", "hparams_search=optuna", "hydra.sweeper.n_trials={}"],
    ["model=conv", "+new.key={{a:{}}}", "~callbacks"],
    ["callbacks=[basic,tsne]", "~callbacks.tsne", "seed={}"],
    ["experiment=demo", "optimizer={{lr:{}}}", "hydra/launcher=joblib", "hydra.launcher.n_jobs={}"],
    ["model=mlp", "model/prior=vamp", "trainer=cpu", "seed={}"],
]


def compose(line: list[str], value: int) -> str:
    register()
    overrides = [word.format(value) for word in line]
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = hydra.compose("train", overrides=overrides, return_hydra_config=True)
    return OmegaConf.to_yaml(config)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_it_is_the_same_first_and_later_and_for_another_value(monkeypatch, line):
    told = [compose(line, value) for value in (1, 2, 1)]
    for place, name in (
        (ConfigLoaderImpl, "load_configuration"),
        (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
        (config_loader_impl, "create_defaults_list"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name).__wrapped__)
    assert told == [compose(line, value) for value in (1, 2, 1)]


def test_what_is_done_to_a_config_is_done_to_no_other():
    register()
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        for _ in range(2):
            config = hydra.compose("train", overrides=["data=digits", "seed=1"])
            assert config.model.latent_dim != 77
            config.model.latent_dim = 77
        assert hydra.compose("train", overrides=["data=digits", "seed=2"]).model.latent_dim != 77


def test_a_choice_that_there_is_not_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(ConfigCompositionException, match="Could not override 'modell'"):
            compose(["modell=conv", "seed={}"], 1)


def test_files_of_ones_own_are_read_each_time(tmp_path):
    for value in ("1", "2"):
        (tmp_path / "train.yaml").write_text(f"seed: {value}\n")
        with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
            assert hydra.compose("train").seed == int(value)


def test_a_choice_that_follows_another_is_made(tmp_path):
    for file in ("model/small", "model/large", "data/small", "data/large"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / f"{file}.yaml").write_text(f"name: {file}\n")
    (tmp_path / "train.yaml").write_text("defaults:\n- data: small\n- model: ${data}\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        names = [hydra.compose("train", overrides=choice).model.name for choice in ([], ["data=large"])]
        assert names == ["model/small", "model/large"]
        with pytest.raises(ConfigCompositionException, match="Could not find 'model/none'"):
            hydra.compose("train", overrides=["data=small", "model=none"])


def test_what_is_done_to_a_word_is_done_to_no_other():
    for _ in range(2):
        (word,) = OverridesParser.create().parse_overrides(["+new={a:[1,2]}"])
        assert word.value() == {"a": [1, 2]}
        word.value()["a"].append(3)
