"""What the figures of several seeds say together: their mean, how they spread, and how far the mean can be trusted."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

LEVEL = 0.95  # of every interval in a report


@dataclass(frozen=True)
class SeedSpread:
    """The values of one figure, one of each seed.

    Attributes:
        values: at least one.
    """

    values: tuple[float, ...]

    @property
    def num(self) -> int:
        """How many seeds there are."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @cached_property
    def sd(self) -> float | None:
        """The standard deviation of the seeds, with n - 1 in its denominator; None of a single one."""
        return statistics.stdev(self.values) if self.num > 1 else None

    @cached_property
    def half_width(self) -> float | None:
        """Half the 95% interval of the mean, by Student's t: sd / sqrt(n) times its quantile for n - 1."""
        return None if self.sd is None else quantile(self.num - 1) * self.sd / math.sqrt(self.num)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean; None of a single seed."""
        return None if self.half_width is None else (self.mean - self.half_width, self.mean + self.half_width)


def spread_of(values: Sequence[float | None]) -> SeedSpread | None:
    """Of the values that there are; None where there are none."""
    known = tuple(value for value in values if value is not None)
    return SeedSpread(known) if known else None


def quantile(degrees: float) -> float:
    """Student's t that 97.5% of draws with so many degrees of freedom, at least 1, lie below."""
    from scipy.special import stdtrit  # which takes a tenth of a second to import

    return float(stdtrit(degrees, 0.5 + LEVEL / 2))
