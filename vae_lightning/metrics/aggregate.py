"""What the rate is made of: mutual information, total correlation and the dimensions' own KL."""

import math
from dataclasses import dataclass

import torch

from vae_lightning.errors import require_at_least
from vae_lightning.latents.aggregated import RateTerms, rate_terms
from vae_lightning.latents.encoding import Latents
from vae_lightning.metrics.score import Figure, Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject
from vae_lightning.noise import evaluation_seed, indexed_normal

_PURPOSE = 3
_ROWS = 50  # latents between two looks at the progress bar

_LABELS = {
    "rate": "sampled rate = I + KL(q(z) || p(z))",
    "mutual_information": "  I(x; z)",
    "marginal_kl": "  KL(q(z) || p(z)) = TC + sum",
    "total_correlation": "    total correlation (TC)",
    "dimension_kl": "    sum of KL(q(z_d) || p(z_d))",
}


@dataclass(frozen=True)
class Aggregate(Metric):
    """The rate taken apart over the aggregated posterior q(z) = 1/N sum_n q(z|x_n) (see `RateTerms`).

    One latent of each image is drawn, and q(z) is the exact mixture over all N: of N times as many images it takes N^2
    times as long. The mutual information can't exceed ln N.

    Attributes:
        num_images: the first so many images of the split, N at most.

    Raises:
        ValueError: a num_images below 1.
    """

    num_images: int = 10_000

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)

    def __call__(self, subject: Subject) -> Score:
        latents = subject.posteriors()
        count = min(self.num_images, len(latents))
        latents, share = Latents(latents.loc[:count], latents.scale[:count]), subject.share(count)
        noise = indexed_normal(evaluation_seed(subject.seed, subject.split, _PURPOSE), share, (subject.run.latent_dim,))
        parts: list[RateTerms] = []
        with subject.progress("aggregated posterior", count) as bar:
            for rows, part in zip(share.split(_ROWS), noise.split(_ROWS), strict=True):
                own = Latents(latents.loc[rows], latents.scale[rows])
                parts.append(rate_terms(part, own, latents, subject.vae.prior()))
                bar.update(len(rows))
        terms = {name: torch.cat([part.by_name()[name] for part in parts]) for name in _LABELS}
        figures = {f"aggregate_{name}": mean_figure(subject.gathered(terms[name]), _LABELS[name]) for name in _LABELS}
        figures["aggregate_most_information"] = Figure(math.log(count), label="  ln N, the most that I can be")
        return Score(figures, {"num_images": count})
