"""Which latent dimensions carry anything; of discrete codes, how many of them are used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.latents.code_use import CodeMeter
from vae_lightning.latents.units import ACTIVE, UnitStatistics, unit_statistics
from vae_lightning.metrics.score import NATS, Figure, Metric, Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.models.latent_model import Latents
from vae_lightning.noise import Indexed, evaluation_seed

_PURPOSE = 2
_NUM_RESAMPLES = 200


@dataclass(frozen=True)
class ActiveUnits(Metric):
    """Active units and the KL of each latent dimension.

    A unit is active if Var_x(E_q(z|x)[z_d]) > 0.01 (arXiv 1509.00519). The standard error of their number and of the
    variances is that of 200 bootstrap resamples of the images. Of a hierarchy there are those of each group.
    Of a model of discrete codes it is the use of the codebook, as `CodeUse` has it, over all positions of all images.
    """

    def __call__(self, subject: Subject) -> Score:
        if subject.vae.is_discrete:
            return _code_use(subject)
        latents = subject.posteriors()
        statistics = unit_statistics(latents)
        variances = _resampled_variances(latents, evaluation_seed(subject.seed, subject.split, _PURPOSE))
        num_active = (variances > ACTIVE).sum(1).double()
        of_number, of_variance = num_active.std().item(), variances.std(0)
        label = f"active units of {subject.run.latent_dim}"
        figures = {
            "active_units": Figure(int(statistics.active().sum()), of_number, label, ""),
            "rate_per_dimension": _rates(statistics, latents),
            "variance_of_means": Figure(statistics.variance.tolist(), of_variance.tolist()),
        }
        if subject.vae.num_groups > 1:
            figures |= _of_groups(statistics, subject.vae.group_dims)
        if len(latents) < 2:
            figures = {name: replace(figure, stderr=None) for name, figure in figures.items()}
        return Score(figures, {"num_images": len(latents)})


@torch.no_grad()
def _code_use(subject: Subject) -> Score:
    meter, count = CodeMeter(), subject.num_images
    with subject.progress("codes") as bar:
        for batch in subject.batches():
            noise = Indexed(0, batch.indices, 1, subject.run.device)  # which codes have no use for
            meter.update(subject.vae.infer(subject.vae.observe(batch.images, batch.labels), noise))
            bar.update(len(batch.indices))
    use = meter.compute(lambda counts: torch.stack(subject.world.collect(counts.cpu())).sum(0))
    assert use is not None
    figures = {
        "codebook_use": Figure(use.share, label=f"part of the {len(use.counts):,} codes in use", digits=3),
        "perplexity": Figure(use.perplexity, label="perplexity of the codes"),
        "active_units": Figure(None, label="active units", reason="codes have none"),
    }
    return Score(figures, {"num_images": count})


def _of_groups(statistics: UnitStatistics, dims: Sequence[int]) -> dict[str, Figure]:
    """The active units of each group, the top one first."""
    digits = len(str(len(dims)))
    return {
        f"active_units_group_{number:0{digits}d}": Figure(
            int(units.sum()), None, f"... in group {number}, of {len(units)}"
        )
        for number, units in enumerate(statistics.active().split(list(dims)), 1)
    }


def _rates(statistics: UnitStatistics, latents: Latents) -> Figure:
    if statistics.rate is None or latents.rates is None:
        return Figure(None, reason=NO_DENSITY)
    rates = latents.rates.double()
    stderr = rates.std(0, correction=min(1, len(rates) - 1)) / len(rates) ** 0.5
    return Figure(statistics.rate.tolist(), stderr.tolist(), "", NATS)


def _resampled_variances(latents: Latents, seed: int) -> Float64[Tensor, "R D"]:
    """Var_x of the posterior means in bootstrap resamples of the images."""
    count, generator = len(latents), torch.Generator().manual_seed(seed)
    means: Float[Tensor, "N D"] = latents.loc.double() - latents.loc.double().mean(0)
    rows = [
        torch.bincount(torch.randint(count, (count,), generator=generator), minlength=count)
        for _ in range(_NUM_RESAMPLES)
    ]
    weights = torch.stack(rows).double() / count
    return (weights @ means.square() - (weights @ means).square()).clamp(min=0)
