"""Labels by name: what users type, and what they read."""

import pytest

from vae_lightning.data.class_names import choices, label_name, label_number
from vae_lightning.errors import UserError

NAMES = ("cat", "dog", "true")


@pytest.mark.parametrize(("given", "number"), [("cat", 0), ("dog", 1), (1, 1), (7, 7), ("true", 2)])
def test_a_label_is_typed_by_name_or_number(given, number):
    assert label_number(given, NAMES, "labels") == number


def test_numbers_that_are_names_mean_these():
    assert [label_number(given, ("3", "8"), "labels") for given in (8, "3")] == [1, 0]
    assert label_number(1, ("3", "x1"), "labels") == 1
    assert label_number(4, None, "labels") == 4


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        ("cow", NAMES, "labels=x: no label is called 'cow'; choose one of cat, dog, true"),
        (True, NAMES, "labels=x: no label is called 'True'; choose one of cat, dog, true"),
        (0, ("3", "8"), "labels=x: no label is called '0'; choose one of 3, 8"),
        ("cat", None, "labels=x: no label is called 'cat'; these labels have no names"),
    ],
)
def test_others_are_refused(given, names, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        label_number(given, names, "labels=x")


def test_names_are_shown_short_and_printable():
    assert label_name(1, NAMES) == "dog"
    assert label_name(3, NAMES) == label_name(3, None) == "3"
    assert label_name(0, ("x" * 30,)) == "x" * 23 + "…"
    assert label_name(0, ("a\tb\x1b",)) == "a?b?"


def test_few_of_many_are_told():
    assert choices(tuple(f"c{number}" for number in range(12))).endswith("c8, c9, ... (12 in all)")
    assert choices(None, 10) == "choose 0 to 9"
