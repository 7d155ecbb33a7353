"""The three splits, and the shares that are dealt to two of them."""

SPLITS = ("train", "val", "test")


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuse shares of validation and test images that leave a split empty.

    Raises:
        ValueError: one is not between 0 and 1, or both leave nothing to train on; begins with the parameter's name.
    """
    for name, share in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 < share < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {share}")
    if val_fraction + test_fraction >= 1:
        both = f"{val_fraction} + {test_fraction}"
        raise ValueError(f"val_fraction and test_fraction must leave something to train on, got {both}")
