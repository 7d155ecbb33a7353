"""The posteriors of training images, mixed."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.samplers.sampler import CodeDistribution, Codes, Sampler
from vae_lightning.models.distributions import DiagonalNormal, NormalMixture, sample
from vae_lightning.noise import Noise

_OTHERS = (
    "sampler=vamp: needs posteriors that are normal with independent components, and this run's are not; valid here: "
    "prior, gaussian, gmm, flow, two_stage"
)


@dataclass(frozen=True)
class VampSampler(Sampler):
    """Codes from the mixture of the posteriors of training images, drawn by the seed, with equal weights.

    A VampPrior (Tomczak & Welling, arXiv 1705.07120) that is not trained. What it makes lies around images that are
    there: as many different ones as components, and no more.

    Attributes:
        num_components: training images.

    Raises:
        ValueError: a num_components below 1.
    """

    name: ClassVar[str] = "vamp"

    num_components: int = 500

    def __post_init__(self) -> None:
        require_at_least("num_components", self.num_components, 1)

    @property
    def num_images(self) -> int:  # type: ignore[override]
        return self.num_components

    def check(self, posterior: Distribution) -> None:
        if not isinstance(posterior, DiagonalNormal):
            raise UserError(_OTHERS)

    def empty(self, code_dim: int) -> "_Posteriors":
        return _Posteriors(self.num_components, code_dim)

    def fit(self, codes: Codes, seed: int) -> "_Posteriors":
        if codes.scale is None:
            raise UserError(_OTHERS)
        if len(codes) < self.num_components:
            raise ValueError(f"num_components must be at most {len(codes)}, as there are training images")
        fitted = self.empty(codes.z.shape[1])
        chosen = slice(0, self.num_components)
        fitted.load_state_dict({"loc": codes.loc[chosen], "scale": codes.scale[chosen]})
        return fitted


class _Posteriors(CodeDistribution):
    loc: Tensor
    scale: Tensor

    def __init__(self, num_components: int, code_dim: int):
        super().__init__()
        self.register_buffer("loc", torch.zeros(num_components, code_dim))
        self.register_buffer("scale", torch.ones(num_components, code_dim))

    def forward(self, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
        logits = torch.zeros(len(self.loc), dtype=self.loc.dtype)
        return sample(NormalMixture(logits, self.loc, self.scale), noise, temperature)
