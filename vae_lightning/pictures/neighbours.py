"""Whether the model has learned its training images by heart."""

from dataclasses import dataclass
from pathlib import Path

import torch

from vae_lightning.drawing.walks import neighbours_picture
from vae_lightning.errors import require_at_least
from vae_lightning.latents.classes import labels_of_samples
from vae_lightning.latents.memorizing import HELD_OUT, memorizing
from vae_lightning.pictures.saving import save_picture
from vae_lightning.runs.trained import TrainedRun


@dataclass(frozen=True)
class DrawNeighbours:
    """Samples beside their nearest training images, by root mean squared pixel difference: `neighbours.png`.

    Attributes:
        num_images: how many samples, the first ones of `mode=samples` with the same seed.
        num_nearest: how many training images beside each.
        seed: of the samples.

    Raises:
        ValueError: a number too small.
    """

    num_images: int = 12
    num_nearest: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)
        require_at_least("num_nearest", self.num_nearest, 1)
        require_at_least("seed", self.seed, 0)

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        data = run.data
        indices = torch.arange(self.num_images)
        labels = labels_of_samples(run.vae, indices)
        samples = run.decode(run.draw(indices, self.seed, labels=labels), labels)
        training_images = (batch.images for batch in data.stream("train"))
        held_out = data.examples(HELD_OUT)
        own = run if held_out.labels is None else run.with_label(None)  # what is made has `label`, not what is compared
        told = own.told(held_out.labels, len(held_out.images))
        reconstructions = own.decode(own.encode(held_out.images.float() / 255, told), told)
        found = memorizing(samples, reconstructions, training_images, self.num_nearest)
        title, neighbours = "samples and their nearest training images", found.neighbours.float() / 255
        picture = neighbours_picture(samples, neighbours, found.distances, found.reference, title, run.context)
        save_picture(folder / "neighbours.png", picture)
