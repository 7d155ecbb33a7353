import numpy as np
import pytest

from vae_lightning.errors import UserError
from vae_lightning.scores.truth import BAD, GOOD, UNKNOWN, bad_numbers, truth_of_files, truth_of_folders, truth_of_split

NAMES = ("dent", "good", "hole")


@pytest.mark.parametrize(
    ("good", "bad", "found"),
    [(None, None, {0, 2}), (["good"], None, {0, 2}), ([1, "hole"], None, {0}), (None, ["hole"], {2}), (None, [0], {0})],
)
def test_what_is_not_said_to_be_good_is_bad_and_the_other_way_round(good, bad, found):
    assert bad_numbers(NAMES, {0, 1, 2}, good, bad) == found


@pytest.mark.parametrize("names", [None, ("a", "b", "c")])
def test_where_nobody_says_which_are_bad_nothing_is_guessed(names):
    assert bad_numbers(names, {0, 1, 2}, None, None) is None


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (["good"], ["hole"], "good_labels and bad_labels: give one of them"),
        (["fine"], None, r"good_labels=\['fine'\]: no label is called 'fine'; choose one of dent, good, hole"),
        (None, [7], r"bad_labels=\[7\]: no image has label 7"),
        (["dent", "good", "hole"], None, r"good_labels=\['dent', 'good', 'hole'\]: leaves no image that is bad"),
        (None, [0, 1, 2], "leaves no image that is good"),
        (None, [], r"bad_labels=\[\]: leaves no image that is bad"),
    ],
)
def test_what_leaves_one_kind_alone_is_told(good, bad, told):
    with pytest.raises(UserError, match=told):
        bad_numbers(NAMES, {0, 1, 2}, good, bad)


def test_two_folders_say_it_of_their_files():
    truth = truth_of_folders(["x/a", "x/b", "g/a", "b/a", "b/b"], 2, 1)
    kinds, labels = truth.of(["g/a", "x/b", "b/b"], None)
    assert kinds.tolist() == [GOOD, UNKNOWN, BAD]
    assert labels is None


def test_class_folders_and_tables_say_it(tmp_path):
    names = {"dent/1.png": "photos/dent/1.png", "good/1.png": "photos/good/1.png", "good/2.png": "photos/good/2.png"}
    truth = truth_of_files(names, tmp_path, "folders", None, None)
    kinds, labels = truth.of(["photos/good/2.png", "photos/dent/1.png"], None)
    assert kinds.tolist() == [GOOD, BAD]
    assert [truth.names[label] for label in labels] == ["good", "dent"]
    (tmp_path / "labels.csv").write_text("file,label\ndent/1.png,yes\ngood/1.png,no\ngood/2.png,no\n")
    table = truth_of_files(names, tmp_path, str(tmp_path / "labels.csv"), None, ["yes"])
    assert table.of(list(names.values()), None)[0].tolist() == [BAD, GOOD, GOOD]
    with pytest.raises(UserError, match="good_labels or bad_labels must say which of no, yes are good or bad"):
        truth_of_files(names, tmp_path, str(tmp_path / "labels.csv"), None, None)


def test_of_a_split_those_are_bad_that_training_left_out(digits):
    assert truth_of_split(digits, "test", None, None).bad is None
    truth = truth_of_split(digits, "test", None, [3])
    kinds, labels = truth.of(range(4), np.array([3, 1, 2, 3]))
    assert kinds.tolist() == [BAD, GOOD, GOOD, BAD]
    assert labels.tolist() == [3, 1, 2, 3]


def test_labels_of_data_without_any_are_told(colour):
    assert truth_of_split(colour, "test", None, None).bad is None
    with pytest.raises(UserError, match="split=test: its images have no labels"):
        truth_of_split(colour, "test", None, [1])
