"""The space of a search: Hydra's grammar becomes Optuna's distributions, and their values overrides again."""

import random

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vae_lightning.search.space import SearchSpace, distribution_of, parse_space


def parse(*overrides: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("interval(1,10)", FloatDistribution(1, 10)),
        ("interval(-0.5,0.5)", FloatDistribution(-0.5, 0.5)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(2,64))", IntDistribution(2, 64)),
        ("tag(log,int(interval(2,64)))", IntDistribution(2, 64, log=True)),
        ("range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("range(10,1,-3)", IntDistribution(4, 10, step=3)),
        ("range(3)", IntDistribution(0, 2)),
        ("shuffle(range(1,4))", IntDistribution(1, 3)),
        ("range(0.1,1.0,0.1)", FloatDistribution(0.1, 0.9, step=0.1)),
        ("2,8,32", CategoricalDistribution(["2", "8", "32"])),
        ("choice(2,8,8)", CategoricalDistribution(["2", "8"])),
        ("shuffle(choice(3,1,2))", CategoricalDistribution(["3", "1", "2"])),
        ("choice([16],[32,16])", CategoricalDistribution(["[16]", "[32,16]"])),
        ("null,true,1,'1'", CategoricalDistribution(["null", "True", "1", "'1'"])),
    ],
)
def test_hydras_grammar_becomes_optunas_distributions(text, distribution):
    assert distribution_of(parse(f"key={text}")[0]) == distribution


@pytest.mark.parametrize(
    "text", ["range(1,10,2)", "range(10,1,-3)", "range(0,7)", "range(0.1,1.0,0.1)", "range(2,1.0,-.3)"]
)
def test_a_range_holds_what_hydra_would_sweep_over(text):
    (override,) = parse(f"key={text}")
    swept, found = sorted(override.sweep_iterator()), distribution_of(override)
    assert [found.low, found.high] == pytest.approx([swept[0], swept[-1]])
    assert (found.high - found.low) / found.step == pytest.approx(len(swept) - 1)


CHOICES = [
    "a",
    "a b",
    r"'it\'s'",
    '"x,y"',
    "'8'",
    "8",
    "-8",
    "1e-05",
    "0.1",
    "1.0",
    "inf",
    "true",
    "'true'",
    "null",
    "'null'",
    "[]",
    "[16]",
    "[32,[16,a]]",
    "{a:1,b:[2]}",
    "/a/b.c",
    r"C:\\d",
    "''",
    "'${x}'",
]


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_come_back_as_they_were(choice):
    (fixed,) = parse(f"key={choice}")
    (swept,) = parse(f"key={choice},other")  # choice(...) knows no null
    chosen = distribution_of(swept).choices[0]
    (again,) = parse(*SearchSpace({}).overrides({"key": chosen}))
    assert again.value() == fixed.value()
    assert type(again.value()) is type(fixed.value())


def test_numbers_come_back_exactly():
    draw = random.Random(0)
    numbers = [draw.choice([-1, 1]) * 10 ** draw.uniform(-300, 300) for _ in range(200)]
    numbers += [draw.uniform(0, 1) for _ in range(200)] + [0.0, 1.0, 1e16, 5e-324, 0.1 + 0.2]
    numbers += [draw.randrange(-(10**12), 10**12) for _ in range(100)]
    for number in numbers:
        (override,) = parse(*SearchSpace({}).overrides({"key": number}))
        assert override.value() == number
        assert type(override.value()) is type(number)


def test_the_command_line_wins_over_params_and_the_rest_is_fixed():
    params = {"optimizer.lr": "interval(1,2)", "model.latent_dim": "choice(1,2)", "seed": 3, "data.crop": [1, None]}
    typed = ["model.latent_dim=7", "++optimizer.lr=interval(3,4)", "~trainer.x", "+a=b c"]
    space = parse_space(OverridesParser.create(), params, typed)
    assert space.distributions == {"++optimizer.lr": FloatDistribution(3, 4)}
    assert space.overrides({"++optimizer.lr": 3.5}) == [
        "++optimizer.lr=3.5",
        "model.latent_dim=7",
        "seed=3",
        "data.crop=[1,null]",
        "~trainer.x",
        "+a=b c",
    ]


def test_corners_hold_every_choice():
    space = parse_space(OverridesParser.create(), {}, ["a=x,y,z", "b=1,2", "c=interval(1,2)", "d=4"])
    corners = space.corners()
    assert {corner[0] for corner in corners} == {"a=x", "a=y", "a=z"}
    assert {corner[1] for corner in corners} == {"b=1", "b=2"}
    assert {tuple(corner[2:]) for corner in corners} == {("c=1.0", "d=4")}
