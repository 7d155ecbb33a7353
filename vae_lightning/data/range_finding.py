"""By what scale the files of a dataset are read: found in them or given, checked, and told."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from vae_lightning.data.array_files import check_channels
from vae_lightning.data.tables import counted
from vae_lightning.data.values import Found, Layout, Reading, Scale, given_scale
from vae_lightning.errors import UserError, one_line

logger = logging.getLogger(__name__)

_OF_PICTURES = (1, 3, 4)
_LOOKED_AT = 500  # images, in search of what levels there are
_FEWEST_LEVELS = 32  # an eighth


def reading_of(
    value_range: str | Sequence[float] | None,
    layout: Layout,
    channels: int,
    source: str,
    survey: Callable[[Scale | None], Found],
) -> tuple[Reading, tuple[object, ...]]:
    """How the files are read, and what of it a cache's key has to name: nothing where they are all pictures of 8 bits.

    Args:
        value_range: `auto`, a range, or None, which is taken for `auto`.
        layout, channels: of the dataset.
        source: how messages call it, as `data.root=faces`.
        survey: what numbers the files hold; it is given the scale outside of which they are counted.

    Raises:
        UserError: values that are not finite, files that share no scale, or of other channels than the dataset's.
    """
    scale = given_scale(value_range)
    found = survey(scale)
    if found.num_not_finite:
        told = f"{source}: {found.not_finite!r} has values that are not finite (NaN or infinity)"
        raise UserError(one_line(f"{told}, the first of {found.num_not_finite:,}; mend or remove them"))
    _check_channels(found, channels, source)
    for what, count, first in found.notes:
        logger.info("%s", one_line(f"{source}: {counted(count, 'file')}, the first {first!r}: {what}"))
    is_given = scale is not None
    try:
        scale = scale or found.scale()
    except ValueError as error:
        raise UserError(f"data.value_range=auto: {source}: {error}; give data.value_range=[low,high]") from error
    if scale is not None and (found.is_deep or (scale.is_of_bytes and found.num_outside)):
        logger.info(found.told(scale))
    has_arrays = any(number for number, _, _ in found.channels)
    changes = scale is not None and (found.is_deep or scale.is_of_bytes)
    key: tuple[object, ...] = ("values", scale.low, scale.high) if scale is not None and changes else ()
    key += (("formats", 3),) if found.num_later else ()
    key += (("layout", layout),) if has_arrays and layout != "auto" else ()
    return Reading(scale if is_given or found.is_deep else None, layout), key


def _check_channels(found: Found, channels: int, source: str) -> None:
    unfit = [each for each in found.channels if not _fits(each[0], channels)]
    if not unfit:
        return
    count, total = sum(each[1] for each in unfit), sum(each[1] for each in found.channels)
    number, _, first = unfit[0]
    has = f"has {number}" if number else "is a picture of 1, 3 or 4"
    told = f"data.channels={channels}: {source}: {count:,} of {total:,} files have other channels"
    raise UserError(one_line(f"{told}: the first, {first!r}, {has}; choose data.channels to fit, or remove them"))


def _fits(number: int, channels: int) -> bool:
    if number == 0:
        return channels in _OF_PICTURES
    try:
        check_channels(number, channels)
    except ValueError:
        return False
    return True


def tell_of_few_levels(
    pixels: UInt8[np.ndarray, "N H W C"],
    readable: Bool[np.ndarray, " N"],
    source: str,
    value_range: str | Sequence[float] | None,
) -> None:
    """Warn where most of the 256 levels are not used, by some images spread over all."""
    rows = np.flatnonzero(readable)
    some = [pixels[row] for row in rows[:: max(1, len(rows) // _LOOKED_AT)]] or [np.zeros(1)]
    low, high = int(min(map(np.min, some))), int(max(map(np.max, some)))
    if 0 < high - low < _FEWEST_LEVELS:
        cure = "[low,high]" if value_range == "auto" else "auto"
        told = f"{source}: its images use {low} to {high} of 256 levels, less than 1/8"
        logger.warning("%s; data.value_range=%s chooses what becomes black and white", told, cure)
