"""Which channels of an image are drawn: the one place where images of any number of them become grey or RGB."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from jaxtyping import Shaped
from torch import Tensor

_chosen: ContextVar[tuple[int, ...] | None] = ContextVar("shown_channels", default=None)


@contextmanager
def showing(channels: Sequence[int] | None) -> Iterator[None]:
    """Draw these three channels as red, green and blue meanwhile; None is `drawable`'s own choice."""
    before = _chosen.set(None if channels is None else tuple(channels))
    try:
        yield
    finally:
        _chosen.reset(before)


def told_shown(count: int, channels: Sequence[int] | None) -> str:
    """Which of so many channels are drawn, where `channels` are chosen; empty where grey or RGB is drawn as it is."""
    if channels is None and count not in (1, 3):
        channels = [0] if count == 2 else [0, 1, 2]
    if channels is None or [*channels] == [*range(count)]:
        return ""
    return f"channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))} of {count}"


def drawable(images: Shaped[Tensor, "*N C H W"]) -> Shaped[Tensor, "*N c H W"]:
    """The channels that are drawn: those that `showing` has chosen; else all of 1 or 3, the first of 2, and the first
    three of more.

    Raises:
        ValueError: there are no images, or no such channels.
    """
    count, chosen = images.shape[-3], _chosen.get()
    if 0 in images.shape:
        raise ValueError(f"images must be at least one, with at least 1 channel, got shape {tuple(images.shape)}")
    if chosen is None:
        return images if count in (1, 3) else images[..., : 1 if count == 2 else 3, :, :]
    if not all(0 <= channel < count for channel in chosen):
        raise ValueError(f"shown_channels must be from 0 to {count - 1}, got {list(chosen)}")
    return images[..., list(chosen), :, :]
