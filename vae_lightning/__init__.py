"""Variational autoencoders on images: PyTorch Lightning experiments with Hydra configs.

The names below are the package's public face; each is imported when it is first used, for PyTorch takes seconds.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from vae_lightning.errors import UserError
    from vae_lightning.face.fitting import fit
    from vae_lightning.face.opening import open_run
    from vae_lightning.face.run import Run
    from vae_lightning.models.ladder import Ladder
    from vae_lightning.models.top_down import TopDown
    from vae_lightning.models.vae import VAE, build_vae
    from vae_lightning.noise import Fresh
    from vae_lightning.objectives.beta_tcvae import BetaTCVAE
    from vae_lightning.objectives.capacity import Capacity
    from vae_lightning.objectives.dip import DIPVAE
    from vae_lightning.objectives.elbo import ELBO
    from vae_lightning.objectives.free_bits import FreeBits
    from vae_lightning.objectives.geco import GECO
    from vae_lightning.objectives.info_vae import InfoVAE
    from vae_lightning.objectives.iwae import IWAE
    from vae_lightning.objectives.rae import RAE
    from vae_lightning.objectives.terms import Progress
    from vae_lightning.objectives.wae import WAE
    from vae_lightning.training.module import VAEModule

_HOMES = {
    "BetaTCVAE": "objectives.beta_tcvae",
    "DIPVAE": "objectives.dip",
    "Capacity": "objectives.capacity",
    "ELBO": "objectives.elbo",
    "FreeBits": "objectives.free_bits",
    "Fresh": "noise",
    "GECO": "objectives.geco",
    "IWAE": "objectives.iwae",
    "InfoVAE": "objectives.info_vae",
    "Ladder": "models.ladder",
    "Progress": "objectives.terms",
    "RAE": "objectives.rae",
    "Run": "face.run",
    "TopDown": "models.top_down",
    "UserError": "errors",
    "VAE": "models.vae",
    "VAEModule": "training.module",
    "WAE": "objectives.wae",
    "build_vae": "models.vae",
    "fit": "face.fitting",
    "open_run": "face.opening",
}

__all__ = [  # noqa: RUF022  (what a user comes for first)
    "Run",
    "open_run",
    "fit",
    "UserError",
    "VAE",
    "Ladder",
    "TopDown",
    "build_vae",
    "ELBO",
    "IWAE",
    "GECO",
    "BetaTCVAE",
    "DIPVAE",
    "InfoVAE",
    "WAE",
    "RAE",
    "Capacity",
    "FreeBits",
    "Fresh",
    "Progress",
    "VAEModule",
    "__version__",
]


if not TYPE_CHECKING:  # which would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found  # found at once from then on
        return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
