from vae_lightning.reports.settings import as_setting, flatten, setting_order, setting_text, typed_settings


def test_a_config_is_flattened_to_dotted_keys_without_its_places():
    config = {
        "seed": 0,
        "run_dir": "outputs/x",
        "sweep_dir": "outputs/sweeps/x",
        "trial": 7,
        "data": {"_target_": "vae_lightning.data.digits.Digits", "root": "/data", "cache_dir": None, "flip": False},
        "model": {"encoder": {"_target_": "x.MLPEncoder", "_partial_": True, "hidden": [400, 200], "dropout": None}},
        "callbacks": {"samples": {"num_images": 64}},
        "checkpoint": {"best": {"filename": "best"}},
    }
    assert flatten(config) == {
        "seed": 0,
        "data._target_": "Digits",
        "data.flip": "false",
        "model.encoder._target_": "MLPEncoder",
        "model.encoder.hidden": "[400, 200]",
        "model.encoder.dropout": "null",
    }


def test_what_was_typed_is_read_as_the_settings_it_gave():
    typed = typed_settings(
        [
            "model=conv",
            "+objective.beta=0.5",
            "~debug",
            "name='a b'",
            "data.binarize='none'",
            "objective.beta=4",
            "x=a=b",
        ]
    )
    assert typed == {"model": "conv", "objective.beta": 4, "data.binarize": "none", "x": "a=b"}
    assert typed_settings(["run_dir=x", "hydra.launcher.n_jobs=2", "hydra/launcher=joblib", "callbacks=none"]) == {}
    assert typed_settings(["model@other=conv", "model/likelihood=gaussian"]) == {
        "model": "conv",
        "model/likelihood": "gaussian",
    }


def test_values_that_read_like_numbers_are_numbers():
    assert [as_setting(text) for text in ("1e-3", "8", "4.0", "-2")] == [0.001, 8, 4, -2]
    assert [as_setting(text) for text in ("nan", "infinity", "1_000", "[1]", "16-mixed")] == [
        "nan",
        "infinity",
        "1_000",
        "[1]",
        "16-mixed",
    ]
    assert [as_setting(value) for value in (True, "False", None)] == ["true", "false", "null"]


def test_settings_are_ordered_as_numbers_then_texts_then_those_left_out():
    assert sorted([32, None, "b", 2.5, "a", 8, 2], key=setting_order) == [2, 2.5, 8, 32, "a", "b", None]


def test_how_settings_read():
    assert [setting_text(value) for value in (0.001, 1e-05, 0.1 + 0.2, 4.0, 8, "conv", None)] == [
        "0.001",
        "1e-05",
        "0.3",
        "4",
        "8",
        "conv",
        "-",
    ]
