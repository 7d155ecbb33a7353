"""What the rate is made of: mutual information, total correlation and the dimensions' own KL."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.distributions import Distribution

from vae_lightning.errors import require_at_least
from vae_lightning.latents.aggregated import RateTerms, rate_terms, why_no_aggregate
from vae_lightning.metrics.score import Figure, Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.latent_model import Latents
from vae_lightning.noise import Indexed, evaluation_seed

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
        latents, prior = subject.posteriors(), subject.vae.latent_prior()
        reason = why_no_aggregate(subject.vae, latents)
        if reason is not None or prior is None or latents.scale is None:
            return Score({f"aggregate_{name}": Figure(None, label=_LABELS[name], reason=reason) for name in _LABELS})
        count = min(self.num_images, len(latents))
        latents, share = Latents(latents.loc[:count], latents.scale[:count]), subject.share(count)
        noise = Indexed(evaluation_seed(subject.seed, subject.split, _PURPOSE), share, 1, torch.device("cpu"))
        terms = self._terms(subject, latents, share, noise.normal((subject.run.latent_dim,))[0], prior)
        figures = {f"aggregate_{name}": mean_figure(subject.gathered(terms[name]), _LABELS[name]) for name in _LABELS}
        if not isinstance(prior, DiagonalNormal):
            reason = "the prior does not factorize over dimensions"
            figures["aggregate_dimension_kl"] = Figure(None, label=_LABELS["dimension_kl"], reason=reason)
        figures["aggregate_most_information"] = Figure(math.log(count), label="  ln N, the most that I can be")
        return Score(figures, {"num_images": count})

    def _terms(
        self,
        subject: Subject,
        latents: Latents,
        share: Int64[Tensor, " M"],
        noise: Float32[Tensor, "M D"],
        prior: Distribution,
    ) -> dict[str, Tensor]:
        """The terms of this rank's share of the images, by name."""
        assert latents.scale is not None
        parts: list[RateTerms] = []
        with subject.progress("aggregated posterior", len(latents)) as bar:
            for rows, part in zip(share.split(_ROWS), noise.split(_ROWS), strict=True):
                own = Latents(latents.loc[rows], latents.scale[rows])
                parts.append(rate_terms(part, own, latents, prior))
                bar.update(len(rows))
        return {name: torch.cat([part.by_name()[name] for part in parts]) for name in _LABELS}
