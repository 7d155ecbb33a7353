"""Splits and labels of images that lie in a file of arrays."""

import torch

from vae_lightning.data.arrays import Arrays
from vae_lightning.data.labelling import AUTO, NONE, Labelled
from vae_lightning.data.splits import SPLITS
from vae_lightning.data.splitting import deal, tell_of_moved
from vae_lightning.data.tables import too_few
from vae_lightning.errors import UserError


def dealt_arrays(
    arrays: Arrays, source: str, val_fraction: float, test_fraction: float, of_files: dict[str, str | None]
) -> dict[str, str]:
    """The split of each image, by the name that it has: that of its array and its number in it.

    Args:
        arrays: some of which may be a split of their own.
        source: how messages call them, as `data.root=digits.npz`.
        val_fraction, test_fraction: the expected shares of what is dealt by names.
        of_files: settings that go by the names of files, which images of an array have not.

    Raises:
        UserError: such a setting, or a split that is empty.
    """
    for name, value in of_files.items():
        if value is not None:
            raise UserError(
                f"data.{name}={value}: goes by the names of files, and {source} is a file of arrays; x_train, x_val "
                "and x_test in it are taken for the splits"
            )
    own = arrays.own_splits
    fractions = [0.0 if "val" in own else val_fraction, 0.0 if "test" in own else test_fraction]
    dealt, moved = deal([name for name, its in zip(arrays.names, own, strict=True) if its is None], *fractions)
    splits = {name: its or dealt[name] for name, its in zip(arrays.names, own, strict=True)}
    for split, name in moved.items():
        tell_of_moved(split, name, len(dealt), {"val": val_fraction, "test": test_fraction}.get(split), False)
    if set(splits.values()) != set(SPLITS):
        wanted = [split for split in SPLITS if split not in own]
        raise too_few(source, len(dealt), " to deal out" if len(wanted) < len(SPLITS) else "", wanted)
    return splits


def labels_of_arrays(arrays: Arrays, labels: str, source: str) -> Labelled:
    """The arrays' own labels, in the order of the images, unless `labels` is "none".

    Raises:
        UserError: labels of folders or of a table, which images of an array have not.
    """
    if labels == NONE:
        return Labelled()
    if labels != AUTO:
        raise UserError(
            f"data.labels={labels}: goes by the names of files, and {source} is a file of arrays; labels are its array "
            "labels, or y_train; choose auto or none"
        )
    known = arrays.labels
    return Labelled() if known is None else Labelled(torch.from_numpy(known).long(), arrays.class_names)
