"""The pages on what a model is made of name each choice in a command, and what they have one type composes."""

import re
import shlex

import pytest
from hydra import compose, initialize_config_dir

from tests.pages import commands_of, page
from vae_lightning.command_line.schema import CONF_DIR, register

NAMES = ("choices", "objectives", "likelihoods", "priors", "models", "hierarchies", "samplers")
PAGES = {name: page(f"docs/{name}.md") for name in NAMES}
ALL = "\n".join(one.text for one in PAGES.values())
MODULE = "python -m vae_lightning."
ENTRIES = ("train", "generate", "evaluate")
TYPED = [shlex.split(line.removeprefix(MODULE)) for one in PAGES.values() for line in one.commands]
# What the rows of a table add to the first command of the block above it.
TABLES = re.findall(r"```bash\n([^`]*)```\n(?:(?!```|\|).*\n)*\| added .*\n\|[-|]+\n((?:\| .*\n)+)", ALL)
ROWS = [
    [shlex.split(commands_of(block)[0].removeprefix(MODULE)), shlex.split(words)]
    for block, rows in TABLES
    for words in re.findall(r"^\| `(.*?)`", rows, re.MULTILINE)
]
# What is to be typed for a purpose, in place of words of the page's command or beside them.
_, _, _PURPOSES = PAGES["choices"].part("Which to take").text.partition("\n|---|")
PURPOSES = [shlex.split(words) for words in re.findall(r"^\|[^|`]*\| `(.*?)` \|", _PURPOSES, re.MULTILINE)]
CHOICES = {word for words in [*TYPED, *(added for _, added in ROWS)] for word in words}
GROUPS = ("objective", "model/likelihood", "model/prior", "model/posterior")
OPTIONS = [f"{group}={file.stem}" for group in GROUPS for file in sorted((CONF_DIR / group).glob("*.yaml"))]
OPTIONS += [f"model={name}" for name in ("vq", "fsq", "gated_hvae", "gated", "ladder", "hvae")]


def group_of(word: str) -> str | None:
    """The group whose option a word chooses; None where it is a value."""
    key, _, option = word.partition("=")
    return key if (CONF_DIR / key / f"{option}.yaml").is_file() else None


def together(rows: list[list[str]]) -> list[list[str]]:
    """The words of all rows in as few commands as choose one option of each group: composing one takes 0.1 s.

    A value needs its row's options beside it, so that rows are joined whole.
    """
    commands: list[dict[str, str]] = []
    for row in rows:
        chosen = {group_of(word) or word: word for word in row}
        for command in commands:
            if all(command.get(key, word) == word for key, word in chosen.items() if key != word):
                command |= chosen
                break
        else:
            commands.append(chosen)
    return [sorted(command.values(), key=lambda word: group_of(word) is None) for command in commands]


def without_place(words: list[str]) -> list[str]:
    return [word for word in words if not word.startswith("run_dir=")]


TRAINING = [without_place(words[1:]) for words in TYPED if words[0] == "train"]
COMPOSED = together([*TRAINING, *PURPOSES, *([*command[1:], *added] for command, added in ROWS)])


def compose_as(entry: str, *words: str) -> None:
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert compose(entry, overrides=[*words])


def test_the_pages_have_their_commands_and_tables():
    assert {words[0] for words in TYPED} == set(ENTRIES)
    assert len(TABLES) == ALL.count("\n| added ") == 7
    assert len(ROWS) >= 45
    assert len(PURPOSES) >= 8


@pytest.mark.parametrize("option", OPTIONS)
def test_each_choice_is_named_in_a_command(option):
    assert option in CHOICES


def test_every_model_has_a_row():
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", PAGES["models"].text, re.MULTILINE)))
    assert {file.stem for file in (CONF_DIR / "model").glob("*.yaml")} - {"base"} <= set(told)


def test_each_sampler_is_named_in_a_command():
    names = {name for word in CHOICES for name in re.findall(r"\w+", word.partition("sampler=")[2])}
    assert names == {file.stem for file in (CONF_DIR / "sampler").glob("*.yaml")}


@pytest.mark.parametrize("words", COMPOSED, ids=" ".join)
def test_what_is_typed_to_train_composes(words):
    # Groups that the page leaves to their defaults are taken as small as they come: half of the time goes to them.
    assert not {group_of(word) for word in words} & {"trainer", "logger"}
    compose_as("train", "name=page", "run_dir=none", "trainer=cpu", "logger=none", *words)


@pytest.mark.parametrize("words", [words for words in TYPED if words[0] != "train"], ids=" ".join)
def test_what_is_typed_of_a_run_composes(words):
    compose_as(*words)
