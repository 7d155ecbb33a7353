"""How close reconstructions come, as image processing measures it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from vae_lightning.metrics.score import Figure, Metric, Score, mean_figure
from vae_lightning.metrics.subject import Subject

_SMALLEST = 11  # pixels a side of SSIM's Gaussian window


@dataclass(frozen=True)
class Reconstruction(Metric):
    """MSE, PSNR and SSIM between images in [0, 1] and the mean image at their posterior's mean.

    PSNR and SSIM (torchmetrics; Wang et al., Image quality assessment, 2004) are means over images of each image's own.

    Sharpness is how much of the originals' fine detail is left: the energy of the Laplacian, summed over all
    reconstructions, by that of the originals; 1 is as sharp, 0 is without an edge, and noise would have more than 1.
    """

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Score:
        rows = []
        with subject.progress("reconstructions") as bar:
            for batch in subject.batches():
                rows.append(_measures(subject.vae.reconstruct(batch.images, batch.labels), batch.images).cpu())
                bar.update(len(batch.indices))
        squared, decibels, similarity, edges, own = subject.gathered(torch.cat(rows)).unbind(1)
        figures = {
            "mse": mean_figure(squared, "MSE of reconstructions", "per pixel in [0, 1]", 5),
            "psnr": mean_figure(decibels, "PSNR", "dB"),
            "ssim": mean_figure(similarity, "SSIM", "", 4),
            "sharpness": _sharpness(edges, own),
        }
        if min(subject.image_shape[1:]) < _SMALLEST:
            reason = f"SSIM's window is {_SMALLEST} pixels wide, the images {min(subject.image_shape[1:])}"
            figures["ssim"] = Figure(None, label="SSIM", reason=reason)
        return Score(figures, {"num_images": len(squared)})


def _measures(made: Float[Tensor, "B C H W"], x: Float[Tensor, "B C H W"]) -> Float64[Tensor, "B 5"]:
    squared = (made - x).square().mean((1, 2, 3)).double()
    decibels = -10 * squared.log10()
    if min(x.shape[2:]) < _SMALLEST:
        similarity = torch.full_like(squared, torch.nan)
    else:
        values = structural_similarity_index_measure(made, x, data_range=1.0, reduction="none")
        assert isinstance(values, Tensor)
        similarity = values.reshape(len(x)).double()
    return torch.stack([squared, decibels, similarity, laplacian_energy(made), laplacian_energy(x)], 1)


def laplacian_energy(x: Float[Tensor, "B C H W"]) -> Float64[Tensor, " B"]:
    """The mean square of each image's discrete Laplacian, inside of its edge; NaN for images without an inside."""
    x = x.double()
    inside = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (around - 4 * inside).square().flatten(1).mean(1)


def _sharpness(made: Float64[Tensor, " N"], own: Float64[Tensor, " N"]) -> Figure:
    """The ratio of two means, with the standard error of such a ratio."""
    label, below = "sharpness of reconstructions", own.mean()
    if not bool(below > 0):
        reason = "the originals have no edge within them, or are no 3 pixels wide"
        return Figure(None, label=label, reason=reason)
    ratio = made.mean() / below
    error = (made - ratio * own).std() / below / len(own) ** 0.5 if len(own) > 1 else None
    return Figure(float(ratio), None if error is None else float(error), label, "of the originals'", 4)
