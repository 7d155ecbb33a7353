"""Options may stand anywhere among the overrides, and what is wrong with one is told in a line."""

import sys

import pytest

from vae_lightning.command_line.options import options_first
from vae_lightning.errors import UserError
from vae_lightning.train import main


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a=1", "--config-dir", "x=y", "b=2"], ["--config-dir", "x=y", "a=1", "b=2"]),
        (["a=1", "-m", "b=2", "-cd=x"], ["-m", "-cd=x", "a=1", "b=2"]),
        (["a=1", "--info", "searchpath", "b=2"], ["--info", "searchpath", "a=1", "b=2"]),
        (["a=1", "--info", "b=2"], ["--info=all", "a=1", "b=2"]),
        (["--cfg", "job", "--package", "model"], ["--cfg", "job", "--package", "model"]),
        (["a=1", "--info"], ["--info=all", "a=1"]),
        (["--info", "-m", "a=1"], ["--info=all", "-m", "a=1"]),
        (["a=1", "--config-d", "conf", "b=2"], ["--config-d", "conf", "a=1", "b=2"]),
        (["--multi", "a=1"], ["--multi", "a=1"]),
        ([], []),
    ],
)
def test_options_come_before_all_overrides(arguments, expected):
    assert options_first(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["a=1", "--foo"],
            "unrecognized arguments: --foo; a setting is key=value, without dashes, and --hydra-help lists the options",
        ),
        (["a=1", "--config-dir"], "--config-dir: a value is missing; --hydra-help lists the options"),
        (["--cfg", "x"], "argument --cfg/-c: invalid choice: 'x'"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vae-train", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert str(left.value).startswith(f"error: {message}")
    with pytest.raises(UserError):
        options_first(arguments)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["callbacks=none", "callbacks.mine={_target_:own.Mine}"],
            'callbacks.mine: callbacks has none of this name: +callbacks.mine="{_target_:own.Mine}" adds it',
        ),
        (
            ["seed=1,2"],
            "seed=1,2: several values are a sweep, python -m vae_lightning.train -m; as one list it is seed=",
        ),
    ],
)
def test_what_was_meant_is_told(words, message, error_of):
    assert error_of(*words).startswith(message)
