"""A key of one command that is a config group of another's."""

import pytest

from tests.conftest import refusal
from vae_lightning.command_line.plain_keys import as_keys, as_values, plain_keys


def test_generate_has_one_and_the_command_whose_group_it_is_has_none():
    assert plain_keys("generate") == ["format"]
    assert plain_keys("export") == []


def test_only_such_words_are_read_otherwise_and_are_told_as_they_were_typed():
    words = ["format=[pdf,png]", "mode=samples", "data.root=there", "format"]
    read = as_values(words, "generate")
    assert read == ["format={_value_:[pdf,png]}", *words[1:]]
    assert as_keys(f"wrong: {read[0]}", words, "generate") == "wrong: format=[pdf,png]"
    assert as_values(["format=onnx"], "export") == ["format=onnx"]


@pytest.mark.parametrize("word", ["format=pdf", "format=[pdf]", "'format=[png,pdf]'"])
def test_hydra_takes_it_for_a_value(generate, word):
    assert refusal(generate, word.strip("'")) == "run: give a run directory, as in run=outputs/<date>/<time>_<name>"
