"""The widths of layers, and the sizes of feature maps that are halved again and again, and back."""

from collections.abc import Sequence


def halvings(image_size: Sequence[int], num_blocks: int) -> list[tuple[int, int]]:
    """Height and width of the feature maps, largest first, when each of `num_blocks` blocks halves both, rounding up.

    Halving (28, 40) three times gives [(28, 40), (14, 20), (7, 10), (4, 5)].

    Raises:
        ValueError: a side of the map is down to one pixel before the last block.
    """
    height, width = image_size
    smallest = 2 ** (num_blocks - 1) + 1
    if min(height, width) < smallest and num_blocks:
        given, each = (f"{height}", "") if height == width else (f"[{height},{width}]", " for each side")
        raise ValueError(f"image_size={given} is too small for {num_blocks} halvings; choose at least {smallest}{each}")
    sizes = [(height, width)]
    for _ in range(num_blocks):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def check_channels(channels: Sequence[int]) -> None:
    """Raise a ValueError unless `channels` names at least one block and only positive widths."""
    if len(channels) == 0 or min(channels) < 1:
        raise ValueError(f"channels must be a list of positive widths, one a block, got {list(channels)}")


def check_hidden(hidden: Sequence[int]) -> None:
    """Raise a ValueError unless `hidden` names at least one layer and only positive widths."""
    if len(hidden) == 0 or min(hidden) < 1:
        raise ValueError(f"hidden must be a list of positive widths, got {list(hidden)}")
