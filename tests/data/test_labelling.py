"""Labels of folders and of tables, and the factors beside them."""

import math
from pathlib import Path

import pytest
import torch

from vae_lightning.data.labelling import Labelling, as_factors, numbered
from vae_lightning.errors import UserError

NAMES = ["cat/1.png", "dog/1.png", "cat/2.png", "fish/1.png"]


def labelled(names, labels, root=Path(), unreadable=()):
    return Labelling("data.root=x", labels)(names, root, unreadable)


@pytest.mark.parametrize("prefix", ["", "photos/", "train/", "photos/Valid/"])
@pytest.mark.parametrize("labels", ["auto", "folders"])
def test_the_folders_of_pictures_are_their_classes(prefix, labels, told):
    found = labelled([prefix + name for name in NAMES], labels)
    assert found.class_names == ("cat", "dog", "fish")
    assert found.labels.tolist() == [0, 1, 0, 2]
    assert found.factors is None
    assert told() == ["labels: the 3 folders cat, dog, fish"]


def test_the_same_classes_in_several_splits_have_the_same_numbers():
    found = labelled(["train/b/1.png", "train/a/2.png", "test/b/1.png", "test/c/1.png"], "folders")
    assert (found.class_names, found.labels.tolist()) == (("a", "b", "c"), [1, 0, 1, 2])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([*NAMES, "a.png"], r"wants each image in the folder of its class, .*; 'a\.png' is not"),
        ([*NAMES, "cat/old/3.png"], r"wants each image in the folder of its class, .*; 'cat/old/3\.png' is not"),
        (["train/a.png", "test/b.png"], r"wants each image in the folder of its class, .*; 'train/a\.png' is not"),
        (["cat/1.png", "cat/2.png"], "wants folders of 2 classes or more, and there is one"),
    ],
)
def test_other_folders_are_no_classes_and_refused_where_they_must_be(names, message, told):
    assert labelled(names, "auto").labels is None
    assert told() == []
    with pytest.raises(UserError, match=f"^data.root=x: data.labels=folders {message}"):
        labelled(names, "folders")


def test_too_many_folders_are_classes_only_where_that_is_said(told):
    names = [f"{number}/a.png" for number in range(1001)]
    assert labelled(names, "auto").labels is None
    assert told() == ["labels: 1,001 folders are too many to be classes unasked; data.labels=folders takes them"]
    assert labelled(names, "folders").labels.tolist() == list(range(1001))


def test_none_is_none():
    found = labelled(NAMES, "none")
    assert (found.labels, found.class_names, found.factors) == (None, None, None)


def test_numbers_are_in_the_order_of_numbers_and_bytes_become_letters():
    assert numbered(["10", "9", "10", "2"])[1] == ("2", "9", "10")
    assert numbered(["10", "9", "x"])[1] == ("10", "9", "x")
    assert numbered(["a\udcff"])[1] == ("a\\xff",)


# Tables


def test_a_table_has_labels_and_factors(tmp_path, told):
    (tmp_path / "t.csv").write_text(
        "file,label,size,weight,colour,split\n2.png,dog,3,0.5,red,test\n1.png,cat,4,,blue,train\nx.png,cat,1,1,red,test\n"
    )
    found = labelled(["1.png", "2.png"], "t.csv", tmp_path)
    assert (found.class_names, found.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert found.factors["size"].tolist() == [4, 3]
    assert found.factors["size"].dtype == torch.int64
    assert math.isnan(found.factors["weight"][0])
    assert found.factors["weight"][1] == 0.5
    assert found.factors["colour"].tolist() == [0, 1]
    assert found.factor_names == {"colour": ("blue", "red")}
    assert set(found.factors) == {"size", "weight", "colour"}
    assert found.of(torch.tensor([1])).factors["size"].tolist() == [3]
    assert told() == [
        "labels: the 2 classes cat, dog, by data.labels=t.csv; factors size, weight, colour; "
        "1 more file is in it and not among the images"
    ]


def test_numbers_with_decimal_commas_are_numbers_where_commas_separate_no_cells(tmp_path, told):
    text = (
        "file;label;size;mixed;list;name\n1.png;a;1,3;0.5;1,2,3;x,1\n2.png;b;-20;1,5;4,5,6;y,2\n3.png;b;;2;7,8,9;z,3\n"
    )
    names = ["1.png", "2.png", "3.png"]
    (tmp_path / "t.csv").write_text(text)
    found = labelled(names, "t.csv", tmp_path)
    assert found.factors["size"][:2].tolist() == pytest.approx([1.3, -20])
    assert found.factors["size"][2].isnan()
    assert set(found.factor_names) == {"mixed", "list", "name"}
    assert told()[0] == "data.labels=t.csv: size: decimal commas: 1,3 is read as 1.3"
    (tmp_path / "c.csv").write_text('file,label,size\n1.png,a,"1,3"\n2.png,b,2\n3.png,b,3\n')
    assert set(labelled(names, "c.csv", tmp_path).factor_names) == {"size"}


@pytest.mark.parametrize("num_alone", [10, 11])
def test_labels_of_which_most_images_have_their_own_may_be_a_factor(num_alone, tmp_path, told):
    names = [f"{number:02}.png" for number in range(20)]
    labels = [f"{number / 7}" if number < num_alone else "twice" for number in range(20)]
    text = "".join(f"{name},{label}\n" for name, label in zip(names, labels, strict=True))
    (tmp_path / "t.csv").write_text(f"file,label\n{text}")
    labelled(names, "t.csv", tmp_path)
    line = "data.labels=t.csv: 11 of 20 images have a class of their own: the column label may be a factor, which takes"
    assert told()[1:] == ([f"{line} another name beside it"] if num_alone == 11 else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.png,cat\n", "has no row for 1 of 2 images, the first '2.png'"),
        (
            "file,label\n./x/1.png,cat\n",
            "has no row for 2 of 2 images, the first '1.png'; its own first is './x/1.png'",
        ),
        ("file,label\n1.png,cat\n2.png,\n", "has no label for 1 of its files, the first '2.png'"),
        ("id,breed\n1.png,cat\n", "its first line must name the columns file and label, got id, breed"),
        ("file,label\n1.png,cat\n1,dog\n2.png,cat\n", "names a picture twice, by '1.png' and '1'"),
        (None, "there is no such file"),
    ],
)
def test_a_table_that_does_not_cover_the_files_is_refused(text, message, tmp_path):
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=rf"^data\.labels=t\.csv: {message}"):
        labelled(["1.png", "2.png"], "t.csv", tmp_path)


def test_pictures_that_can_not_be_read_need_no_row_and_make_no_class(tmp_path, told):
    (tmp_path / "t.csv").write_text("file,label\n1.png,cat\n2.png,dog\n3.png,elk\n")
    assert labelled(["1.png", "2.png"], "t.csv", tmp_path, ["3.png", "4.png"]).class_names == ("cat", "dog")


def test_a_column_is_of_numbers_only_if_all_of_it_is():
    factors, names = as_factors(
        {"n": ["1", "2.0"], "f": ["1", "2.5"], "t": ["1", "two"], "e": ["", ""], "i": ["inf", "1"]}
    )
    assert [factors[name].dtype for name in "nftei"] == [
        torch.int64,
        torch.float32,
        torch.int64,
        torch.int64,
        torch.float32,
    ]
    assert names == {"t": ("1", "two"), "e": ("",)}


def test_names_of_classes_with_line_breaks_are_told_on_one_line(told):
    names = [f"{folder}/{number}.png" for folder in ("a\nb", "c") for number in range(3)]
    assert labelled(names, "auto").class_names == ("a\nb", "c")
    assert told() == ["labels: the 2 folders a\\nb, c"]
