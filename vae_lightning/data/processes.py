"""Work on many files that processes share out among themselves."""

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


def by_processes(items: Dataset[T], num_workers: int) -> Iterator[T]:
    """The items in their order, as they are, each got by one of so many processes; by this one for 0."""
    loader = DataLoader(
        items,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=num_workers,
        generator=torch.Generator(),  # the global one stays as it is
    )
    return cast(Iterator[T], iter(loader))


def _as_it_is(value: Any) -> Any:
    return value
