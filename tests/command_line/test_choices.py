"""What there is to choose from, and what is told of keys and words that are none."""

import sys

import pytest

from vae_lightning import __version__
from vae_lightning.command_line.choices import check_choices, groups, option_groups, options, options_with
from vae_lightning.errors import UserError
from vae_lightning.train import main


def test_what_others_are_built_on_is_no_option():
    assert "base" not in options("model")
    assert "conv" in options("model")
    for word in ("model=base", "model=conv,base"):
        with pytest.raises(UserError, match=r"^model=base: is what the others are built on, and none"):
            check_choices(["data=digits", word])
    check_choices(["data=base", "callbacks.x.model=base"])


OBJECTIVES = ("beta_tcvae", "capacity", "dip", "elbo", "free_bits", "geco", "info_vae", "iwae", "rae", "wae")


def test_the_help_lists_the_commands_own_groups_and_those_of_ones_own_folder(tmp_path, monkeypatch):
    lines = dict(line.split(": ") for line in option_groups("train").splitlines())
    assert groups("train") <= lines.keys()
    assert not {"mode", "metric", "picture", "hydra"} & lines.keys()
    assert lines["objective"] == ", ".join(OBJECTIVES)
    (tmp_path / "objective/more").mkdir(parents=True)
    (tmp_path / "objective/mine.yaml").touch()
    (tmp_path / "objective/more/other.yaml").touch()
    monkeypatch.setattr(sys, "argv", ["vae-train", "-h", "--config-dir", str(tmp_path)])
    lines = dict(line.split(": ") for line in option_groups("train").splitlines())
    assert lines["objective"] == ", ".join(sorted([*OBJECTIVES, "mine"]))
    assert lines["objective/more"] == "other"


def test_files_of_ones_own_that_say_little_have_no_keys(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    for name, text in {
        "mine": "defaults: [/model/conv, _self_]",
        "bare": "defaults: [/model/nowhere, own]\nlatent_dim: 3",
        "broken": "a: [",
        "empty": "",
        "list": "[1, 2]",
        "none": "defaults: null",
        "itself": "defaults: [itself]",
    }.items():
        (tmp_path / f"model/{name}.yaml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["vae-train", "--config-dir", str(tmp_path)])
    assert {"mine", "bare", "conv"} <= set(options_with("model.latent_dim"))
    assert not {"broken", "empty", "list", "none", "itself", "hvae"} & set(options_with("model.latent_dim"))
    assert options_with("model.latent_dim.deeper") == []


def test_the_version_is_the_packages(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vae-train", "--version"])
    main()
    assert capsys.readouterr().out == f"vae_lightning {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["latent_dim=8"], "latent_dim: no such key at the top; did you mean model.latent_dim?"),
        (["hidden=8"], "hidden: no such key at the top; did you mean model.encoder.hidden?"),
        (
            ["model=hvae", "model.latent_dims=[4,4]"],
            "model.latent_dims: model=hvae has no such key, but of model gated_hvae and ladder have",
        ),
        (
            ["model=hvae", "model.latent_dim=4"],
            "model.latent_dim: model=hvae has no such key, but of model burda, conv, ",
        ),
        (
            ["objective=wae", "objective.warmup_steps=4"],
            "objective.warmup_steps: objective=wae has no such key, but of ",
        ),
        (
            ["-m", "model=hvae,ladder", "model.latent_dim=3"],
            "model.latent_dim: what is chosen of model has no such key,",
        ),
        (["model=ladder", "model.latent_dim=4"], "model.latent_dim: no such key; did you mean latent_dims? valid here"),
        (["model=hvae", "model.latent_chanels=4"], "model.latent_chanels: no such key; did you mean latent_channels?"),
        (["callbacks=[basic,", "ema]"], 'callbacks=[basic,: the shell parts it at its space: callbacks="[basic, ema]"'),
        (["a/b"], "a/b: expected key=value, as in resume=a/b"),
        (["-m", "model.latent_dim="], "model.latent_dim=: no value is given to sweep over"),
        (["data=folder", "data.root=own.txt"], "data.root=own.txt: is a file, no folder of pictures; an archive is"),
    ],
)
def test_what_was_meant_is_told(words, message, error_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").touch()
    assert error_of(*words).startswith(message)
