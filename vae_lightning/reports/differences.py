"""Whether one setting is really better than another: the difference of their test ELBOs, and how far it can be trusted.

Two things make such a difference uncertain: the seeds, of which others would have given other models, and the test
images, of which others would have been easier or harder. The settings' models were tested on the same images mostly,
and an image that is hard is so for both: image by image the difference varies much less than the ELBO does.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vae_lightning.reports.comparison import Comparison, Ranking
from vae_lightning.reports.entries import ReportEntry, best_entry
from vae_lightning.reports.spread import quantile
from vae_lightning.reports.wording import nats

ELBO = "test/elbo"
_Part = tuple[float, float]  # a variance of a mean, and its degrees of freedom


@dataclass(frozen=True)
class Difference:
    """The test ELBO of one setting, of several seeds its mean, less that of another.

    Attributes:
        value: the difference.
        half_width: of its 95% interval; None where nothing is known of its error.
        over: what the interval is over: "seeds and images", or "seeds" where the images' own figures are not recorded;
            "images of one seed each", or "unpaired images of one seed each" likewise; empty without an interval.
        num_seeds: of either.
    """

    value: float
    half_width: float | None
    over: str
    num_seeds: tuple[int, int]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the difference."""
        return None if self.half_width is None else (self.value - self.half_width, self.value + self.half_width)

    @property
    def may_be_noise(self) -> bool:
        """Whether it may as well be the other way round: 0 lies in the interval, or there is none."""
        return self.half_width is None or abs(self.value) <= self.half_width

    def in_words(self) -> str:
        """As in `-9.68, 95%: -10.76 to -8.60 over seeds and images`."""
        if self.interval is None:
            return f"{nats(self.value)}, and nothing tells how far to trust it"
        low, high = self.interval
        told = f"{nats(self.value)}, 95%: {nats(low)} to {nats(high)} over {self.over}"
        return f"{told}: may be noise" if self.may_be_noise else told


def differences_from_best(comparison: Comparison, ranking: Ranking, listed: list[ReportEntry]) -> dict[str, Difference]:
    """Id -> how far the entry's test ELBO lies from that of the best, of those that have one; the best is none."""
    best = best_entry(listed)
    if best is None:
        return {}
    found = {entry.id: difference(entry, best) for entry in listed if entry is not best}
    return {name: apart for name, apart in found.items() if apart is not None}


def difference(one: ReportEntry, other: ReportEntry, figure: str = ELBO) -> Difference | None:
    """A figure of one, as the test ELBO, less that of the other; None where either has none.

    Of seeds the interval is Welch's: of sd^2 / n of either, with the same sd for one that has a single seed. Of images
    it is that of the differences image by image, each a mean over seeds. The squares of both half-widths are added:
    what seeds and images do together is counted in both, so that the interval is rather too wide.
    """
    means = one.figure(figure), other.figure(figure)
    if means[0] is None or means[1] is None:
        return None
    numbers = len(one.counted), len(other.counted)
    widths = {"seeds": _half_width(_of_seeds(one, other, figure))}
    if figure == ELBO:  # which alone is recorded of each image
        widths["images"] = _half_width(_of_images(one, other))
    known = {name: width for name, width in widths.items() if width is not None}
    if max(numbers) > 1 and "seeds" not in known:  # whose spread is beyond all measure
        return Difference(means[0] - means[1], None, "", numbers)
    if not known and (unpaired := _unpaired(one, other, figure)) is not None:
        known = {"unpaired images": unpaired}
    half_width = math.hypot(*known.values()) if known else None
    over = " and ".join(known) if "seeds" in known else f"{''.join(known)} of one seed each"
    return Difference(means[0] - means[1], half_width, over if known else "", numbers)


def _of_seeds(one: ReportEntry, other: ReportEntry, figure: str) -> list[_Part]:
    """Nothing where neither has several seeds."""
    spreads = [spread for entry in (one, other) if (spread := entry.spread(figure)) is not None]
    known = [(spread.sd * spread.sd, spread.num) for spread in spreads if spread.sd is not None]
    if len(known) == 1:
        ((variance, num),) = known
        return [(variance * sum(1 / spread.num for spread in spreads), num - 1)]
    return [(variance / num, num - 1) for variance, num in known]


def _of_images(one: ReportEntry, other: ReportEntry) -> list[_Part]:
    """Nothing where the images' own figures are not recorded, or they are other images."""
    first, second = _image_means(one), _image_means(other)
    if first is None or second is None or not np.array_equal(first[0], second[0]) or len(first[0]) < 2:
        return []
    apart = first[1] - second[1]
    return [(float(apart.var(ddof=1)) / len(apart), len(apart) - 1)]


def _image_means(entry: ReportEntry) -> tuple[np.ndarray, Float[np.ndarray, " N"]] | None:
    """What tells the images of the test, and the ELBO of each, a mean over seeds."""
    found = [run.test_images for run in entry.counted]
    known = [images for images in found if images is not None]
    if not known or len(known) < len(found):
        return None
    if any(not np.array_equal(images.digest, known[0].digest) for images in known):
        return None
    return known[0].digest, np.mean([images.elbo.astype(np.float64) for images in known], axis=0)


def _unpaired(one: ReportEntry, other: ReportEntry, figure: str) -> float | None:
    errors = [entry.counted[0].metrics.get(f"{figure}_stderr") for entry in (one, other)]
    known = [error for error in errors if error is not None]
    return quantile(math.inf) * math.hypot(*known) if len(known) == len(errors) else None


def _half_width(parts: list[_Part]) -> float | None:
    """Of the sum of the parts, with the degrees of freedom of Welch and Satterthwaite; None where there is no part."""
    variance = sum(part for part, _ in parts)
    if not parts or not math.isfinite(variance):
        return None
    if variance == 0:
        return 0.0
    shares = [(part / variance, degrees) for part, degrees in parts]
    degrees = 1 / sum(share**2 / degrees for share, degrees in shares)
    return quantile(max(degrees, 1.0)) * math.sqrt(variance)
