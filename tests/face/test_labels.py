"""Labels as Python code gives them."""

import numpy as np
import pytest
import torch

from vae_lightning.face.labels import as_labels


@pytest.mark.parametrize("labels", [[1, 2, 0], (1, 2, 0), np.array([1, 2, 0], np.uint8), torch.tensor([1, 2, 0])])
def test_one_for_each_image(labels):
    told = as_labels(labels, 3, 10)
    assert told.dtype == torch.int64
    assert told.tolist() == [1, 2, 0]


@pytest.mark.parametrize("label", [7, np.int32(7), torch.tensor(7)])
def test_one_for_all(label):
    assert as_labels(label, 3, 10).tolist() == [7] * 3


def test_a_model_that_is_not_told_labels_takes_none():
    assert as_labels(None, 3, None) is None
    with pytest.raises(ValueError, match="labels: this run's model is not told labels"):
        as_labels(1, 3, None)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "this run's model is told labels; give a label from 0 to 9, or a sequence of 3 of them"),
        ([1, 2], r"int64 of shape \[2\]; give a label from 0 to 9, or a sequence of 3"),
        ([1.0, 2.0, 0.0], "float64 of shape"),
        (True, "bool of shape"),
        ([1, 2, 10], "has 1 to 10; give a label from 0 to 9"),
        (-1, "has -1 to -1"),
        ("one", "of shape"),
    ],
)
def test_others_are_refused(labels, message):
    with pytest.raises(ValueError, match=f"^labels: .*{message}"):
        as_labels(labels, 3, 10)
