import pytest
import torch

from vae_lightning.data.digits import Digits
from vae_lightning.data.excluding import excluding
from vae_lightning.data.loader import ImageSet
from vae_lightning.errors import UserError


def some(labels: list[int] | None, first: int = 0, **more) -> ImageSet:
    count = 6 if labels is None else len(labels)
    pixels = torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1)
    rows = torch.arange(first, first + count)
    return ImageSet(pixels, rows, None if labels is None else torch.tensor(labels), **more)


def three(labels: list[int] | None = None, **more) -> dict[str, ImageSet]:
    given = [0, 1, 2, 0, 1, 2] if labels is None else labels
    return {split: some(given, 10 * number, **more) for number, split in enumerate(("train", "val", "test"))}


def test_training_and_validation_have_none_of_it_and_test_has_all():
    splits = excluding(three(), [1])
    assert splits["train"].labels.tolist() == [0, 2, 0, 2]
    assert splits["train"].rows.tolist() == [0, 2, 3, 5]
    assert splits["val"].images(torch.arange(4)).flatten().tolist() == [10, 12, 13, 15]
    assert splits["test"].labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_names_and_factors_stay_with_their_images():
    more = {"names": tuple("abcdef"), "factors": {"angle": torch.arange(6)}}
    kept = excluding(three(**more), [0, 2])["train"]
    assert kept.names == ("b", "e")
    assert kept.factors["angle"].tolist() == [1, 4]


def test_labels_go_by_their_names_too():
    kept = excluding(three(class_names=("cat", "dog", "owl")), ["dog"])["train"]
    assert kept.labels.tolist() == [0, 2, 0, 2]
    assert kept.class_names == ("cat", "dog", "owl")  # whose numbers stay


def test_a_label_that_one_split_lacks_is_known_all_the_same():
    splits = three() | {"val": some([0, 0, 2])}
    assert len(excluding(splits, [1])["val"]) == 3


@pytest.mark.parametrize(
    ("excluded", "labels", "told"),
    [
        ([7], [0, 1, 2], r"data.exclude_labels=\[7\]: no image has label 7; choose 0 to 2"),
        (["cat"], [0, 1, 2], r"data.exclude_labels=\['cat'\]: no label is called 'cat'"),
        ([0], [0, 0, 0], r"data.exclude_labels=\[0\]: leaves no image in train"),
    ],
)
def test_what_cannot_be_left_out_is_told_in_a_line(excluded, labels, told):
    with pytest.raises(UserError, match=told):
        excluding(three(labels), excluded)


def test_data_without_labels_have_none_to_leave_out():
    splits = {split: some(None) for split in ("train", "val", "test")}
    with pytest.raises(UserError, match="these data have no labels"):
        excluding(splits, [1])


def test_a_data_module_trains_and_validates_without_it():
    data = Digits(exclude_labels=[3])
    assert 3 not in data.splits["train"].labels
    assert 3 not in data.splits["val"].labels
    assert 3 in data.splits["test"].labels
    assert data.num_classes == 10
    whole = Digits().splits["test"]
    assert torch.equal(data.splits["test"].rows, whole.rows)
    assert all((batch.labels != 3).all() for batch in data.val_dataloader())
