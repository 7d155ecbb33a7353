"""The sizes of feature maps that are halved again and again, and back."""

from collections.abc import Sequence


def halvings(image_size: int, num_blocks: int) -> list[int]:
    """The sides of the feature maps, largest first, when each of `num_blocks` blocks halves them, rounding up.

    Halving 28 px three times gives [28, 14, 7, 4].

    Raises:
        ValueError: the map is down to one pixel before the last block.
    """
    sizes = [image_size]
    for _ in range(num_blocks):
        if sizes[-1] == 1:
            smallest = 2 ** (num_blocks - 1) + 1
            raise ValueError(
                f"image_size={image_size} is too small for {num_blocks} halvings; choose at least {smallest}"
            )
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def check_channels(channels: Sequence[int]) -> None:
    """Raise a ValueError unless `channels` names at least one block and only positive widths."""
    if len(channels) == 0 or min(channels) < 1:
        raise ValueError(f"channels must be a list of positive widths, one a block, got {list(channels)}")
