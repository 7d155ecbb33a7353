"""The whole of a 2-D latent space at a glance."""

from dataclasses import dataclass
from pathlib import Path

from vae_lightning.drawing.walks import manifold_picture
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.paths import manifold, why_no_manifold
from vae_lightning.pictures.saving import save_picture
from vae_lightning.runs.trained import TrainedRun

_MOST = 100


@dataclass(frozen=True)
class DrawManifold:
    """The images at the Gaussian quantiles of a 2-D latent space, `manifold.png`: Kingma & Welling, arXiv 1312.6114.

    Attributes:
        num_points: the picture is of num_points x num_points images.

    Raises:
        ValueError: `num_points` is below 1 or above 100.
    """

    num_points: int = 20

    def __post_init__(self) -> None:
        require_at_least("num_points", self.num_points, 1)
        if self.num_points > _MOST:
            raise ValueError(f"num_points must be at most {_MOST}, got {self.num_points}")

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        reason = why_no_manifold(run.vae)
        if reason is not None:
            raise UserError(f"mode=manifold {reason}; try mode=traversal")
        z, values = manifold(self.num_points)
        images = run.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        picture = manifold_picture(images, values.tolist(), "images over the latent plane", run.context)
        save_picture(folder / "manifold.png", picture)
