"""How real samples look to a network that was trained on photographs."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vae_lightning.errors import require_at_least
from vae_lightning.metrics.inception import NoWeightsError, inception
from vae_lightning.metrics.score import Figure, Metric, Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.noise import Indexed, evaluation_seed

_PURPOSE, _SUBSETS = 4, 5
_FEWEST = 2  # images of which a covariance can be taken
_LABELS = {"fid": "FID", "kid": "KID x 1000"}


@dataclass(frozen=True)
class SampleQuality(Metric):
    """FID (arXiv 1706.08500) and KID (arXiv 1801.01401) between samples of the prior and images of the split.

    By torchmetrics, on the 2,048 features of the Inception network that the papers use; neither has a standard error.
    FID falls with the number of images that it is computed from: only figures from equally many can be compared.

    Attributes:
        num_images: the first so many images of the split, and as many samples.
        weights: a file of the network's weights, `weights-inception-2015-12-05-6726825d.pth`; None is the one in
            torch's cache, or else a download of 96 MB. Where that fails there are no figures, and a reason.
        kid_subset_size: images of each of KID's 100 subsets.
        batch_size: images at a time.

    Raises:
        ValueError: a number below 1, or 2 where one image is not enough.
    """

    num_images: int = 10_000
    weights: str | None = None
    kid_subset_size: int = 1000
    batch_size: int = 50

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, _FEWEST)
        require_at_least("kid_subset_size", self.kid_subset_size, _FEWEST)
        require_at_least("batch_size", self.batch_size, 1)

    def check(self, subject: Subject) -> None:
        if self.weights is not None and _without(subject) is None:
            inception(self.weights, subject.world, subject.run.device)

    def __call__(self, subject: Subject) -> Score:
        reason = _without(subject)
        if reason is not None:
            return Score({name: Figure(None, label=label, reason=reason) for name, label in _LABELS.items()})
        try:
            network = inception(self.weights, subject.world, subject.run.device)
        except NoWeightsError as error:
            return Score({name: Figure(None, label=label, reason=str(error)) for name, label in _LABELS.items()})
        count = min(self.num_images, subject.num_images)
        with subject.progress("Inception features", 2 * count) as bar:
            real = subject.gathered(_features(network, self._real(subject, count), bar))
            made = subject.gathered(_features(network, self._made(subject, count), bar))
        return Score(self._figures(real, made, subject), {"num_images": count, "num_samples": count})

    def _real(self, subject: Subject, count: int) -> Iterator[Float[Tensor, "B C H W"]]:
        for batch in subject.batches(most=count):
            yield from batch.images.split(self.batch_size)

    @torch.no_grad()
    def _made(self, subject: Subject, count: int) -> Iterator[Float[Tensor, "B C H W"]]:
        seed, device = evaluation_seed(subject.seed, subject.split, _PURPOSE), subject.run.device
        known = subject.run.told(
            subject.labels(), subject.num_images
        )  # a sample has the label of the image it stands for
        for indices in subject.share(count).split(self.batch_size):
            labels = None if known is None else known[indices].to(device)
            z = subject.vae.draw(Indexed(seed, indices, 1, device), labels)[0]
            yield subject.vae.generate(z, labels)

    def _figures(self, real: Tensor, made: Tensor, subject: Subject) -> dict[str, Figure]:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

        identity: Any = _Given(real.shape[1])
        # All ranks have all features: nothing is to be summed over them.
        fid = FrechetInceptionDistance(identity, sync_on_compute=False)
        size = min(self.kid_subset_size, len(real))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
            kid = KernelInceptionDistance(identity, subset_size=size, sync_on_compute=False)
        for metric in (fid, kid):
            metric.update(real, real=True)
            metric.update(made, real=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(evaluation_seed(subject.seed, subject.split, _SUBSETS))
            mean, _ = kid.compute()  # its spread over subsets of the same images is no standard error
        return {
            "fid": Figure(float(fid.compute()), label="FID"),
            "kid": Figure(1000 * float(mean), label="KID x 1000", digits=3),
        }


def _without(subject: Subject) -> str | None:
    """Why there are no figures of such images, if there are none."""
    channels = subject.run.preprocessing.channels
    return (
        None if channels in (1, 3) else f"the network looks at grey or RGB, and these images have {channels} channels"
    )


class _Given(nn.Module):
    """Stands in for the network where its features are there already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return features


@torch.no_grad()
def _features(network: nn.Module, batches: Iterator[Float[Tensor, "B C H W"]], bar: Any) -> Float[Tensor, "N F"]:
    rows = []
    for images in batches:
        rows.append(network(_bytes(images)).float().cpu())
        bar.update(len(images))
    return torch.cat(rows)


def _bytes(images: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B 3 H W"]:
    """Rounded to 256 levels, as files of pictures are, and grey in three equal channels."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)
