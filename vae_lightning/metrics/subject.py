"""What is evaluated: a trained run on one split of its data, shared out over the ranks."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from vae_lightning.data.loader import ImageBatch
from vae_lightning.errors import UserError
from vae_lightning.latents.encoding import encoded, joined
from vae_lightning.machine.world import World
from vae_lightning.models.latent_model import LatentModel, Latents
from vae_lightning.noise import Indexed, evaluation_seed
from vae_lightning.runs.images import SPLIT_NAMES
from vae_lightning.runs.trained import TrainedRun

log = logging.getLogger("vae_lightning")
_EVERY_S = 30.0  # a line of progress
_RATES = 6  # the purpose of the noise of rates without a closed form


@dataclass(frozen=True)
class Subject:
    """A trained run, the split of its data that is evaluated, and this rank's part in it.

    Attributes:
        run: the model in evaluation mode and float32, and its data.
        split: "train", "val" or "test".
        seed: of all that is drawn.
        batch_size: images encoded at a time.
        world: the ranks that share the images.
    """

    run: TrainedRun
    split: str
    seed: int
    batch_size: int
    world: World
    _posteriors: dict[str, Latents] = field(default_factory=dict, init=False, repr=False)

    @property
    def vae(self) -> LatentModel:
        return self.run.vae

    @property
    def num_images(self) -> int:
        """Of the split."""
        return len(self.run.data.splits[self.split])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.run.data.image_shape

    def batches(self, split: str | None = None, most: int | None = None) -> Iterator[ImageBatch]:
        """This rank's share of a split's images, or of its first `most`, in order: float32 in [0, 1] on the device.

        With their labels if the model is told labels, else without.
        """
        split = split or self.split
        indices = self.share(min(len(self.run.data.splits[split]), most or sys.maxsize))
        for part in indices.split(self.batch_size):
            batch = self.run.data.images_at(part, split)
            labels = self.run.told(batch.labels, len(part))
            told = None if labels is None else labels.to(self.run.device)
            yield batch._replace(images=batch.images.to(self.run.device).float().div_(255), labels=told)

    @contextmanager
    def progress(self, what: str, count: int | None = None) -> Iterator["tqdm | _Lines"]:
        """A bar of this rank's share of `count` images, all of the split by default, which goes when it is done.

        Where stderr is a file or a pipe it is a line of the log every half minute.
        """
        total = len(self.share(self.num_images if count is None else count))
        hidden = self.world.rank > 0 or not sys.stderr.isatty()
        with tqdm(total=total, desc=what, unit=" images", leave=False, disable=hidden, dynamic_ncols=True) as bar:
            yield _Lines(what, total) if hidden and self.world.rank == 0 else bar

    def share(self, count: int) -> Int64[Tensor, " B"]:
        """This rank's part of the numbers 0 to count - 1, such that the ranks' parts follow one another.

        Raises:
            UserError: there are fewer numbers than ranks.
        """
        if count < self.world.size:
            raise UserError(f"split={self.split}: {self.world.size} ranks cannot share {count} images")
        return torch.arange(count).tensor_split(self.world.size)[self.world.rank]

    def gathered(self, rows: Tensor) -> Tensor:
        """The rows of all ranks in the order of the images, on the CPU."""
        return torch.cat(self.world.collect(rows.detach().cpu()))

    def posteriors(self, split: str | None = None) -> Latents:
        """The posteriors of all images of a split, on every rank; encoded once."""
        split = split or self.split
        if split not in self._posteriors:
            self._posteriors[split] = self._encoded(split)
        return self._posteriors[split]

    def labels(self, split: str | None = None) -> Int64[Tensor, " N"] | None:
        """Of all images of a split; None where the data have none."""
        return self.run.data.splits[split or self.split].labels

    @torch.no_grad()
    def _encoded(self, split: str) -> Latents:
        parts, seed = [], evaluation_seed(self.seed, split, _RATES)
        with self.progress(f"encoding {SPLIT_NAMES[split]} images", len(self.run.data.splits[split])) as bar:
            for batch in self.batches(split):
                noise = Indexed(seed, batch.indices, 1, self.run.device)
                parts.append(encoded(self.vae, batch.images, batch.labels, noise))
                bar.update(len(batch.indices))
        own = joined(parts)
        gathered = (None if each is None else self.gathered(each) for each in (own.loc, own.scale, own.rates))
        loc, scale, rates = gathered
        assert loc is not None
        return Latents(loc, scale, rates)


class _Lines:
    """How far something is, a line now and then.

    Args:
        what: is done.
        total: images.
    """

    def __init__(self, what: str, total: int):
        self._what, self.total = what, total
        self._done, self._told = 0, time.monotonic()

    def update(self, count: int) -> None:
        """So many images more are done."""
        self._done += count
        if time.monotonic() - self._told > _EVERY_S:
            self._told = time.monotonic()
            log.info("%s: %s of %s images", self._what, f"{self._done:,}", f"{self.total:,}")
