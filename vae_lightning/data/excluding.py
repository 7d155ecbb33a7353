"""Classes that a model is not to learn, so that it can be measured how strange their images are to it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from vae_lightning.data.class_names import Label, choices, label_number
from vae_lightning.data.loader import ImageSet
from vae_lightning.errors import UserError


def excluding(splits: Mapping[str, ImageSet], excluded: Sequence[Label]) -> dict[str, ImageSet]:
    """The splits, of which training and validation have no images of these labels any more; the test split stays.

    Args:
        splits: "train", "val" and "test".
        excluded: labels by number or name, as `data.exclude_labels` has them.

    Raises:
        UserError: a label that no image has, data without labels, or no image left to train on or to validate.
    """
    if not excluded:
        return dict(splits)
    numbers = excluded_numbers(splits, excluded)
    return {split: images if split == "test" else _without(images, numbers, split) for split, images in splits.items()}


def excluded_numbers(splits: Mapping[str, ImageSet], excluded: Sequence[Label]) -> list[int]:
    """The numbers of these labels; raises as `excluding`."""
    key = f"data.exclude_labels={list(excluded)}"
    labels = [images.labels for images in splits.values() if images.labels is not None]
    if len(labels) < len(splits):
        raise UserError(f"{key}: these data have no labels, of which some could be left out")
    known, names = set(torch.cat(labels).tolist()), splits["test"].class_names
    numbers = [label_number(given, names, key) for given in excluded]
    absent = next((number for number in numbers if number not in known), None)
    if absent is not None:
        raise UserError(f"{key}: no image has label {absent}; {choices(names, max(known) + 1)}")
    return numbers


def _without(images: ImageSet, numbers: Sequence[int], split: str) -> ImageSet:
    assert images.labels is not None
    stay = torch.isin(images.labels, torch.tensor(numbers), invert=True).nonzero().squeeze(1)
    if not len(stay):
        raise UserError(f"data.exclude_labels={list(numbers)}: leaves no image in {split}; leave out fewer labels")
    names, factors = images.names, images.factors
    return replace(
        images,
        rows=images.rows[stay],
        labels=images.labels[stay],
        names=None if names is None else tuple(names[index] for index in stay.tolist()),
        factors=None if factors is None else {name: values[stay] for name, values in factors.items()},
    )
