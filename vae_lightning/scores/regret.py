"""Likelihood regret: how much likelier an image becomes when its posterior is fitted to it alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vae_lightning.errors import require_at_least
from vae_lightning.models.latent_model import Group
from vae_lightning.models.vae import VAE
from vae_lightning.noise import Indexed, derive_seed
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore, ScoredBatch

_SMALLEST_RATE = 1e-6
_PURPOSE = 21  # of the noise that the posterior is fitted with; what it has gained is told by other noise
_COMPARED = 16  # latents of each image, for that


@dataclass(frozen=True)
class LikelihoodRegret(AnomalyScore):
    """The ELBO of the best Gaussian posterior of an image less that of the encoder's, in nats (arXiv 2003.02977).

    The encoder has learned good posteriors for images like those of training; for others there are much better ones.
    Mean and scale of each image's posterior are fitted by Adam, starting from the encoder's, each step by noise of its
    own; what is compared is the mean over the second half of the steps, by one noise for both. (The paper fits the
    encoder's weights to each image.)

    Attributes:
        num_steps: of Adam.
        lr: its learning rate.
        num_samples: latents of each image in a step.

    Raises:
        ValueError: a number below 1, or a rate below 1e-6.
    """

    label: ClassVar[str] = "likelihood regret"
    unit: ClassVar[str] = "nats"
    num_steps: int = 50
    lr: float = 0.05
    num_samples: int = 2

    def __post_init__(self) -> None:
        require_at_least("num_steps", self.num_steps, 1)
        require_at_least("num_samples", self.num_samples, 1)
        require_at_least("lr", self.lr, _SMALLEST_RATE)

    def why_not(self, run: TrainedRun) -> str | None:
        if not isinstance(run.vae, VAE) or not run.vae.has_density or not _is_gaussian(run):
            return "it takes one group of latents with a Gaussian posterior of independent dimensions"
        return None

    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        vae = batch.run.vae
        assert isinstance(vae, VAE)
        with torch.no_grad():
            latents, prior = vae.encode(batch.x, batch.labels), vae.latent_prior()
            assert latents.scale is not None
            own = latents.loc, latents.scale.log()
        fitted_by = self._noise(batch, _PURPOSE, self.num_steps * self.num_samples, latents.loc.shape[1])
        compared_by = self._noise(batch, _PURPOSE + 1, _COMPARED, latents.loc.shape[1])
        with torch.enable_grad():
            best = self._fitted(vae, prior, batch.x, batch.labels, own, fitted_by)
        with torch.no_grad():
            before, after = (_elbo(vae, prior, batch.x, batch.labels, each, compared_by) for each in (own, best))
        return (after - before).double().cpu()

    def _noise(self, batch: ScoredBatch, purpose: int, count: int, dims: int) -> Float[Tensor, "K B D"]:
        seed = derive_seed(batch.seed, purpose)
        return Indexed(seed, batch.indices, count, batch.run.device).normal((dims,))

    def _fitted(
        self,
        vae: VAE,
        prior: Distribution,
        x: Float[Tensor, "B C H W"],
        labels: Int64[Tensor, " B"] | None,
        start: tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]],
        noise: Float[Tensor, "SK B D"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        loc, log_scale = (each.clone().requires_grad_() for each in start)
        optimizer = torch.optim.Adam([loc, log_scale], self.lr)  # each number by itself: no image depends on others
        late = [torch.zeros_like(each) for each in start]
        first = self.num_steps // 2
        for step, of_step in enumerate(noise.split(self.num_samples)):
            loss = -_elbo(vae, prior, x, labels, (loc, log_scale), of_step).sum()
            loc.grad, log_scale.grad = torch.autograd.grad(loss, [loc, log_scale])
            optimizer.step()
            if step >= first:
                for total, now in zip(late, (loc, log_scale), strict=True):
                    total += now.detach() / (self.num_steps - first)
        return late[0], late[1]


def _is_gaussian(run: TrainedRun) -> bool:
    with torch.no_grad():
        x = torch.zeros(1, *run.preprocessing.image_shape, device=run.device)
        labels = None if run.vae.num_classes is None else torch.zeros(1, dtype=torch.int64, device=run.device)
        return run.vae.encode(x, labels).scale is not None


def _elbo(
    vae: VAE,
    prior: Distribution,
    x: Float[Tensor, "B C H W"],
    labels: Int64[Tensor, " B"] | None,
    posterior: tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]],
    noise: Float[Tensor, "K B D"],
) -> Float[Tensor, " B"]:
    loc, log_scale = posterior
    scale = log_scale.exp()
    z = loc + scale * noise
    rate = Group(Independent(Normal(loc, scale), 1), prior, z).rate()
    return vae.decode(z, labels).log_prob(x).mean(0) - rate
