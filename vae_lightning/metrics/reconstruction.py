"""How close reconstructions come, as image processing measures it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from vae_lightning.metrics.score import Figure, Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject

_SMALLEST = 11  # pixels a side of SSIM's Gaussian window


@dataclass(frozen=True)
class Reconstruction(Metric):
    """MSE, PSNR and SSIM between images in [0, 1] and the mean image at their posterior's mean.

    PSNR and SSIM (torchmetrics; Wang et al., Image quality assessment, 2004) are means over images of each image's own.
    """

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Score:
        rows = []
        with subject.progress("reconstructions") as bar:
            for batch in subject.batches():
                rows.append(_measures(subject.vae.reconstruct(batch.images, batch.labels), batch.images).cpu())
                bar.update(len(batch.indices))
        squared, decibels, similarity = subject.gathered(torch.cat(rows)).unbind(1)
        figures = {
            "mse": mean_figure(squared, "MSE of reconstructions", "per pixel in [0, 1]", 5),
            "psnr": mean_figure(decibels, "PSNR", "dB"),
            "ssim": mean_figure(similarity, "SSIM", "", 4),
        }
        if min(subject.image_shape[1:]) < _SMALLEST:
            reason = f"SSIM's window is {_SMALLEST} pixels wide, the images {min(subject.image_shape[1:])}"
            figures["ssim"] = Figure(None, label="SSIM", reason=reason)
        return Score(figures, {"num_images": len(squared)})


def _measures(made: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3"]:
    squared = (made - x).square().mean((1, 2, 3)).double()
    decibels = -10 * squared.log10()
    if min(x.shape[2:]) < _SMALLEST:
        similarity = torch.full_like(squared, torch.nan)
    else:
        values = structural_similarity_index_measure(made, x, data_range=1.0, reduction="none")
        assert isinstance(values, Tensor)
        similarity = values.reshape(len(x)).double()
    return torch.stack([squared, decibels, similarity], 1)
