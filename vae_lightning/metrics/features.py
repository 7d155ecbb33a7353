"""A small network that is trained on the spot on a run's training images, for distances that need no download.

With labels it learns these (`classifier`). Without, it learns to tell each image from all others, however it is shifted
and scaled (`instances`; Chen et al., A simple framework for contrastive learning of visual representations, arXiv
2002.05709). What it computes one layer before its answer are the features.
"""

import hashlib
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from vae_lightning.checkpoints.reader import StoredTensor, UnreadableError, stored
from vae_lightning.data.cache import cache_folder, cache_key
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.loader import ImageBatch
from vae_lightning.disk.files import replacing
from vae_lightning.errors import first_line, one_line
from vae_lightning.noise import derive_seed, seeded

log = logging.getLogger("vae_lightning")

What = Literal["classifier", "instances"]
NUM_FEATURES = 64
_VERSION = 2  # of the network and its training: another one is trained anew
_FOLDER = "feature_networks"
_STEPS, _EPOCHS, _BATCH, _LR = 600, 10, 128, 3e-3  # the fewer of 600 looks at a batch and 10 epochs
_MOVED = 0.15  # of half an image, at most; as much larger or smaller
_TEMPERATURE = 0.2  # of the similarities of two looks at images
_LOOKED_AT = 256  # training images whose pixels tell the data from others
_TESTED = 1000  # validation images, at most


class FeatureNetwork(nn.Module):
    """Three convolutions, the mean over the image, 64 features, and from these the answer.

    Args:
        channels: of the images.
        num_answers: that it chooses from.
    """

    def __init__(self, channels: int, num_answers: int):
        super().__init__()

        def block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
            convolution = nn.Conv2d(num_inputs, num_outputs, 3, stride=2, padding=1)
            return [convolution, nn.GroupNorm(8, num_outputs), nn.ReLU()]

        self.body = nn.Sequential(*block(channels, 16), *block(16, 32), *block(32, 64))
        self.features = nn.Linear(64, NUM_FEATURES)
        self.answer = nn.Linear(NUM_FEATURES, num_answers)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The features of images in [0, 1]."""
        return self.features(self.body(x - 0.5).mean((2, 3)))

    def logits(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B A"]:
        """Of the answers."""
        return self.answer(self(x).relu())


@dataclass(frozen=True)
class Features:
    """A trained network, and what it has learned.

    Attributes:
        what: `classifier` or `instances`.
        network: in evaluation mode, on the CPU.
        accuracy: the fraction of validation images that it gets right: their labels, or which of up to 128 images
            (the first 1,000, in parts) is the same one; nan where there are none, or one to tell from no other.
    """

    what: What
    network: FeatureNetwork
    accuracy: float


def features_of(data: ImageDataModule, seed: int, device: torch.device, cache_dir: str | None = None) -> Features:
    """The network of these training images and this seed: from the cache, or trained now and kept there.

    Args:
        data: with the images; they are looked at as evaluation sees them.
        seed: of its weights and its batches. All that is drawn comes from it, and no other generator is moved.
        device: where it is trained.
        cache_dir: where it is kept; None is the user's cache folder.

    A cache that can't be written or read is told of, and done without.
    """
    task = _Classes(data) if _has_classes(data) else _Instances(data)
    what = task.what
    key = cache_key("features", _VERSION, what, *_identity(data), seed)
    path = cache_folder(cache_dir) / _FOLDER / f"{key}.pt"
    with seeded(seed, device):
        network = FeatureNetwork(data.images_at(torch.arange(1), "train").images.shape[1], task.num_answers)
    accuracy = _kept(path, network)
    if accuracy is None:
        started = time.monotonic()
        with seeded(derive_seed(seed, 1), device):
            _train(network.to(device), task, device)
        with seeded(derive_seed(seed, 2), device):
            accuracy = _accuracy(network.eval(), task, device)
        right = (
            f"{accuracy:.1%} of validation images right"
            if not math.isnan(accuracy)
            else "no validation images to try it on"
        )
        told = f"{right}, {time.monotonic() - started:.0f} s"
        log.info("features by %s, trained on the spot: %s", what, told)
        _keep(path, network.cpu(), accuracy)
    return Features(what, network.cpu().eval().requires_grad_(False), accuracy)


def _has_classes(data: ImageDataModule) -> bool:
    labels = data.splits["train"].labels
    return labels is not None and data.num_classes is not None and len(labels.unique()) > 1


def _identity(data: ImageDataModule) -> Iterator[Any]:
    """What tells these training images from others: number, names or labels, shape, the pixels of the first ones."""
    first = data.images_at(torch.arange(min(_LOOKED_AT, len(data.splits["train"]))), "train").images
    yield from (data.identity["train"], data.image_shape)
    yield hashlib.sha256(first.contiguous().numpy().tobytes()).hexdigest()


Judged = tuple[Float[Tensor, "N A"], Int64[Tensor, " N"]]


class _Task(ABC):
    """What is learned of images."""

    what: What
    num_answers: int  # numbers that the network answers with
    num_looks: int  # at each image of a batch
    fewest: int  # images of which there is something to learn

    def __init__(self, data: ImageDataModule):
        self.data = data

    @abstractmethod
    def logits(self, network: FeatureNetwork, rows: Int64[Tensor, " B"], split: str, device: torch.device) -> Judged:
        """Of these images of a split: the logits of possible answers, and which of them are right."""

    def images(self, rows: Int64[Tensor, " B"], split: str, device: torch.device) -> ImageBatch:
        found = self.data.images_at(rows, split)
        return found._replace(images=found.images.to(device).float() / 255)


class _Classes(_Task):
    """Their labels."""

    what = "classifier"
    num_looks, fewest = 1, 1

    def __init__(self, data: ImageDataModule):
        super().__init__(data)
        self.num_answers = data.num_classes or 0

    def logits(self, network: FeatureNetwork, rows: Int64[Tensor, " B"], split: str, device: torch.device) -> Judged:
        found = self.images(rows, split, device)
        assert found.labels is not None
        return network.logits(found.images), found.labels.to(device)


class _Instances(_Task):
    """Which of them is the same one, looked at twice (the NT-Xent loss)."""

    what = "instances"
    num_answers = NUM_FEATURES
    num_looks, fewest = 2, 2

    def logits(self, network: FeatureNetwork, rows: Int64[Tensor, " B"], split: str, device: torch.device) -> Judged:
        images = self.images(rows, split, device).images
        looks = normalize(network.logits(torch.cat([_moved(images), _moved(images)])), dim=1)
        similarities = (looks @ looks.t() / _TEMPERATURE).fill_diagonal_(-torch.inf)
        return similarities, torch.arange(2 * len(images), device=device).roll(len(images))


def _moved(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Each shifted and scaled by chance, with its own mirror image beyond its edges."""
    scale, *shift = (2 * torch.rand(3, len(images)) - 1) * _MOVED
    none = torch.zeros_like(scale)
    rows = [torch.stack(row, 1) for row in ([1 + scale, none, shift[0]], [none, 1 + scale, shift[1]])]
    grid = affine_grid(torch.stack(rows, 1).to(images.device), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _train(network: FeatureNetwork, task: _Task, device: torch.device) -> None:
    count = len(task.data.splits["train"])
    per_epoch = max(1, -(-count // _BATCH))
    num_steps = min(_STEPS // task.num_looks, _EPOCHS * per_epoch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=num_steps + 1)
    with torch.enable_grad():
        for step in range(num_steps):
            if step % per_epoch == 0:
                order = torch.randperm(count)
            rows = order[step % per_epoch * _BATCH :][:_BATCH]
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(*task.logits(network, rows, "train", device)).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def _accuracy(network: FeatureNetwork, task: _Task, device: torch.device) -> float:
    right, total = 0, 0
    for rows in torch.arange(min(_TESTED, len(task.data.splits["val"]))).split(_BATCH):
        if len(rows) < task.fewest:
            continue
        logits, answers = task.logits(network, rows, "val", device)
        right += int((logits.argmax(1) == answers).sum())
        total += len(answers)
    return right / total if total else math.nan


def _kept(path: Path, network: FeatureNetwork) -> float | None:
    """Load what the cache has into the network, and return its accuracy; None where there is nothing of use."""
    if not path.is_file():
        return None
    try:
        with stored(path) as content:
            tensors: Mapping[str, StoredTensor] = content["tensors"]
            network.load_state_dict({name: tensor.read() for name, tensor in tensors.items()})
            return float(content["accuracy"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, UnreadableError) as error:
        log.warning("features: %s can't be read (%s)", one_line(path), one_line(first_line(error)))
        return None


def _keep(path: Path, network: FeatureNetwork, accuracy: float) -> None:
    tensors = {name: value.detach().contiguous().clone() for name, value in network.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save({"accuracy": accuracy, "tensors": tensors}, file)
    except OSError as error:
        log.warning("features: not kept, for %s can't be written (%s)", one_line(path.parent), error.strerror)
