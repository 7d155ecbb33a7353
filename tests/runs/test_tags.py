"""What may be a run's tag."""

import pytest

from vae_lightning.errors import UserError
from vae_lightning.runs.tags import checked_tags


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (None, []),
        ([], []),
        ("baseline", ["baseline"]),
        (["a", "b c", "a"], ["a", "b c"]),
        (["é" * 64], ["é" * 64]),
    ],
)
def test_words_are_tags_and_one_is_a_list_of_it(value, tags):
    assert checked_tags(value) == tags


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (7, "tags=7: give words"),
        ({"a": 1}, "tags={'a': 1}: give words"),
        (["a", 3], "tags: 3 is none; give words"),
        ([True], "tags: True is none"),
        ([["a"]], "tags: ['a'] is none"),
        ([""], "tags:  is none"),
        (["a\x1b[2J"], r"tags: a\x1b[2J is none"),
        (["x" * 65], f"tags: {'x' * 64}... is none"),
        (["x"] * 101, "tags=['x', 'x'"),
    ],
)
def test_anything_else_is_refused_in_a_line(value, told):
    with pytest.raises(UserError) as refused:
        checked_tags(value)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)
