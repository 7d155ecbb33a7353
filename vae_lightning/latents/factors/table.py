"""Codes and known factors of images, checked, with each factor as classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from vae_lightning.errors import ArgumentError, one_line

NUM_BINS = 20  # of what is cut into bins, as disentanglement_lib has it
MOST_LATENTS = 1000
MOST_FACTORS = 100
_MOST_VALUES = 20  # that floats may have and still be classes
_LEAST_ROWS = 4  # of each class: two in either half

Factors = np.ndarray | Mapping[str, np.ndarray]
Column = Shaped[np.ndarray, " n"]


@dataclass(frozen=True)
class Factor:
    """One factor of n images.

    Attributes:
        name: of the factor.
        classes: the number of each image's value among the different ones, or of the bin that it lies in, from 0.
        num_classes: how many there are.
        numbers: the values themselves where they were cut into bins; None for a factor of classes.
    """

    name: str
    classes: Int64[np.ndarray, " n"]
    num_classes: int
    numbers: Float64[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class FactorTable:
    """Codes [n, D] and factors of the n images of which all factors are known.

    The latents stand in an order of their own, by their standardized values, so that no score depends on how they were
    handed over.

    Attributes:
        codes: of the images.
        factors: of the same.
        latents: the number that each latent had there.
    """

    codes: Float64[np.ndarray, "n D"]
    factors: tuple[Factor, ...]
    latents: Int64[np.ndarray, " D"]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def standardized(self) -> Float64[np.ndarray, "n D"]:
        """The codes with mean 0 and variance 1 over the images; 0 for a latent that is the same in all of them."""
        return standardized(self.codes)


def factor_table(
    codes: np.ndarray, factors: Factors, names: Sequence[str] | None = None, least_factors: int = 1
) -> FactorTable:
    """Check what a user has handed over.

    Whole numbers, booleans and names are classes. Floats are classes too if they have 20 different values at most;
    else they are numbers, which are also cut into 20 bins of equal width between the smallest and the largest, a bin of
    fewer than 4 rows joined to the next. Rows in which a factor is NaN are left out.

    Args:
        codes: [n, D], finite.
        factors: [n, F], or F columns [n] by name.
        names: of the columns of an array, for messages; without them a column is called by its number.
        least_factors: F at least.

    Raises:
        ArgumentError: other shapes, a value that is not finite, more than 1,000 latents or 100 factors, fewer factors
            than are needed, a factor that is the same in all rows, or a class that fewer than 4 rows have.
    """
    checked, columns = _checked_codes(codes), _columns(factors, names)
    if not least_factors <= len(columns) <= MOST_FACTORS:
        raise ArgumentError(f"factors: expected {least_factors} to {MOST_FACTORS} of them, got {len(columns)}")
    for name, column in columns.items():
        if len(column) != len(checked):
            raise ArgumentError(f"factors: {name} has {len(column)} rows, and codes have {len(checked)}")
    rows = known_rows(columns)
    if not rows.any():
        raise ArgumentError("factors: no row has a value of each")
    for name, column in columns.items():
        reason = why_unfit(column[rows])
        if reason is not None:
            raise ArgumentError(f"factors: {name}: {reason}")
    checked = checked[rows]
    order = np.lexsort(standardized(checked)[::-1])
    return FactorTable(checked[:, order], tuple(_factor(name, column[rows]) for name, column in columns.items()), order)


def fitting(columns: Mapping[str, Column]) -> tuple[dict[str, Column], dict[str, str]]:
    """The factors that scores can be computed of together, and of each other one why it is left out."""
    left_out = {name: why_unfit(column[_is_known(column)]) for name, column in columns.items()}
    reasons = {name: reason for name, reason in left_out.items() if reason is not None}
    while True:  # the rows that one factor does not know may leave another without enough
        kept = {name: column for name, column in columns.items() if name not in reasons}
        rows = known_rows(kept) if kept else np.zeros(0, bool)
        more = {name: why_unfit(column[rows]) for name, column in kept.items()}
        further = {name: reason for name, reason in more.items() if reason is not None}
        if not further:
            return kept, reasons
        reasons |= further


def known_rows(columns: Mapping[str, Column]) -> Bool[np.ndarray, " n"]:
    """The rows in which every factor has a value."""
    return np.logical_and.reduce([_is_known(column) for column in columns.values()])


def why_unfit(known: Column) -> str | None:
    """Why no score can be computed of a factor that has these values; None where one can."""
    if known.dtype.kind not in "biufUS":
        return "its values are neither numbers nor names"
    if known.dtype.kind == "f" and np.isinf(known).any():
        return "it has infinite values"
    values, counts = np.unique(known, return_counts=True)
    if len(values) == 0:
        return "it has no value in any row"
    if len(values) == 1:
        return f"it is {one_line(values[0])} in all rows"
    if _are_numbers(known):
        return None if len(np.unique(_bins(known))) > 1 else "nearly all rows lie in one of 20 bins"
    if counts.min() >= _LEAST_ROWS:
        return None
    of = f"{counts.min()} row{'s' if counts.min() > 1 else ''}"
    cut = "" if known.dtype.kind in "US" else " (floats of more than 20 values are cut into bins)"
    few = f"of its {len(values):,} values {one_line(values[counts.argmin()])} is that of {of} in {len(known):,}"
    return f"{few}, and each needs {_LEAST_ROWS}{cut}"


def standardized(codes: Float64[np.ndarray, "n D"]) -> Float64[np.ndarray, "n D"]:
    """Each latent less its mean and over its standard deviation, where that is more than rounding leaves."""
    centred, scale = codes - codes.mean(0), codes.std(0)
    is_dead = scale <= 1e-12 * np.abs(codes).max(0)
    return np.where(is_dead, 0.0, centred / np.where(is_dead, 1.0, scale))


def equal_bins(values: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The number of the bin that each value lies in, of 20 of equal width between the smallest and the largest."""
    low, high = values.min(), values.max()
    return np.minimum(((values - low) / (high - low) * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def _checked_codes(codes: np.ndarray) -> Float64[np.ndarray, "n D"]:
    try:
        array = np.asarray(codes, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError("codes: expected numbers [n, D]") from error
    if array.ndim != 2 or 0 in array.shape:
        raise ArgumentError(f"codes: expected the shape [n, D], got {list(array.shape)}")
    if array.shape[1] > MOST_LATENTS:
        raise ArgumentError(f"codes: expected {MOST_LATENTS} latents at most, got {array.shape[1]}")
    if not np.isfinite(array).all():
        raise ArgumentError(f"codes: {int((~np.isfinite(array)).sum())} values are not finite")
    return array


def _columns(factors: Factors, names: Sequence[str] | None) -> dict[str, Column]:
    if isinstance(factors, Mapping):
        if names is not None:
            raise ArgumentError("names: the factors have names already")
        return {one_line(name): _column(name, values) for name, values in factors.items()}
    array = np.asarray(factors)
    if array.ndim != 2:
        raise ArgumentError(f"factors: expected the shape [n, F], got {list(array.shape)}")
    told = [f"column {number}" for number in range(array.shape[1])] if names is None else list(map(one_line, names))
    if len(told) != array.shape[1] or len(set(told)) != len(told):
        raise ArgumentError(f"names: expected {array.shape[1]} different ones, got {', '.join(told) or 'none'}")
    return {name: _column(name, values) for name, values in zip(told, array.T, strict=True)}


def _column(name: str, values: Any) -> Column:
    column = np.asarray(values)
    if column.ndim != 1:
        raise ArgumentError(f"factors: {one_line(name)}: expected the shape [n], got {list(column.shape)}")
    return np.array(column.tolist()) if column.dtype == object else column  # numbers or names, as NumPy finds them


def _is_known(column: Column) -> Bool[np.ndarray, " n"]:
    return ~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), bool)


def _are_numbers(known: Column) -> bool:
    return known.dtype.kind == "f" and len(np.unique(known)) > _MOST_VALUES


def _factor(name: str, known: Column) -> Factor:
    numbers = known.astype(np.float64) if _are_numbers(known) else None
    values, classes = np.unique(known if numbers is None else _bins(known), return_inverse=True)
    return Factor(name, classes.astype(np.int64), len(values), numbers)


def _bins(known: Column) -> Int64[np.ndarray, " n"]:
    """The bins of numbers, each of 4 rows at least: one of fewer is joined to the next, the last to the one before."""
    bins = equal_bins(known.astype(np.float64))
    joined, number, held = np.zeros(NUM_BINS, np.int64), 0, 0
    for bin_number, count in enumerate(np.bincount(bins, minlength=NUM_BINS)):
        joined[bin_number], held = number, held + count
        if held >= _LEAST_ROWS:
            number, held = number + 1, 0
    return np.minimum(joined, max(number - 1, 0))[bins]
