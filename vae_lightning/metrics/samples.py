"""How real samples look to networks: one that was trained on photographs, one that was trained on the run's images."""

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vae_lightning.config import named_option
from vae_lightning.errors import require_at_least
from vae_lightning.metrics.features import Features, features_of
from vae_lightning.metrics.frechet import frechet_distance
from vae_lightning.metrics.inception import NoWeightsError, inception
from vae_lightning.metrics.score import Figure, Metric, Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.noise import Indexed, evaluation_seed, seeded
from vae_lightning.runs.sampling import Draw, check_sampler, drawing_by

_PURPOSE, _SUBSETS = 4, 5
_FEWEST = 2  # images of which a covariance can be taken
_LABELS = {"fid": "FID", "kid": "KID x 1000"}


@dataclass(frozen=True)
class SampleQuality(Metric):
    """FID (arXiv 1706.08500), KID (arXiv 1801.01401) and a distance that needs no download, of samples to images.

    FID and KID (by torchmetrics) are on the 2,048 features of the Inception network that the papers use; neither has a
    standard error. The other distance, `fd_classifier` or without labels `fd_instances`, is on 64 features of a small
    network that is trained on the run's training images (`metrics.features`): of reconstructions too, and comparable
    between runs on the same images only. All fall with the number of images that they are computed from: only figures
    from equally many can be compared. Samples and reconstructions are mean images, which are grey where binarized
    images are not: of these, too, a part of each distance.

    Figures of another sampler than the prior end in its name: `fid_gmm`.

    Attributes:
        num_images: the first so many images of the split, and as many samples.
        sampler: what draws the samples, an option of the config group `sampler` or several.
        weights: a file of the Inception network's weights, `weights-inception-2015-12-05-6726825d.pth`; None is the one
            in torch's cache, or else a download of 96 MB. Where that fails there are no such figures, and a reason.
        kid_subset_size: images of each of KID's 100 subsets.
        feature_seed: of the small network; the same for runs that are to be compared.
        batch_size: images at a time.

    Raises:
        ValueError: a number below 1, or 2 where one image is not enough; no sampler.
    """

    num_images: int = 10_000
    weights: str | None = None
    kid_subset_size: int = 1000
    batch_size: int = 50
    sampler: str | Sequence[str] = "prior"
    feature_seed: int = 0

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, _FEWEST)
        require_at_least("kid_subset_size", self.kid_subset_size, _FEWEST)
        require_at_least("batch_size", self.batch_size, 1)
        require_at_least("feature_seed", self.feature_seed, 0)
        if not self.sampler:
            raise ValueError("sampler must be an option of the group sampler, or a list of them")

    def check(self, subject: Subject) -> None:
        if self.weights is not None and _without(subject) is None:
            inception(self.weights, subject.world, subject.run.device)
        self._draws(subject)

    def __call__(self, subject: Subject) -> Score:
        count = min(self.num_images, subject.num_images)
        look = _Look(subject, self._networks(subject), count, self.batch_size)
        draws = self._draws(subject)
        with subject.progress("features", (len(draws) + 2) * count) as bar:
            real = look.at(look.real(), bar)
            found = {name: look.at(look.made(draw), bar) for name, draw in draws.items()}
            again = look.at(look.reconstructed(), bar, for_papers=False)
        figures: dict[str, Figure] = {}
        for name, made in found.items():
            ending, of = ("", "") if name == "prior" else (f"_{name}", f" of {name}")
            papers = look.networks.papers
            figures |= {
                f"{key}{ending}": replace(figure, label=f"{figure.label}{of}")
                for key, figure in (
                    _papers(real.papers, made.papers, self.kid_subset_size, subject)
                    if isinstance(papers, nn.Module)
                    else _none(papers)
                ).items()
            }
            figures[f"fd_{look.networks.own.what}{ending}"] = look.distance(real, made, f"samples{of}")
        figures[f"fd_{look.networks.own.what}_reconstructions"] = look.distance(real, again, "reconstructions")
        accuracy = look.networks.own.accuracy
        tried = None if math.isnan(accuracy) else round(accuracy, 4)
        facts = {"num_images": count, "num_samples": count, "feature_accuracy": tried}
        return Score(figures, facts)

    def _draws(self, subject: Subject) -> dict[str, Draw | None]:
        """What draws the samples, by the name of the sampler; None for the prior."""
        names = [self.sampler] if isinstance(self.sampler, str) else list(self.sampler)
        samplers = {name: named_option("sampler", name, "samples.sampler") for name in names}
        for sampler in samplers.values():  # before any of them is fitted
            if sampler is not None:
                check_sampler(subject.run, sampler)
        agree = subject.world.agree
        return {
            name: None if sampler is None else drawing_by(subject.run, sampler, agree)
            for name, sampler in samplers.items()
        }

    def _networks(self, subject: Subject) -> "_Networks":
        run = subject.run
        own = subject.world.agree(lambda: features_of(run.data, self.feature_seed, run.device))
        papers: nn.Module | str | None = _without(subject)
        if papers is None:
            try:
                papers = inception(self.weights, subject.world, run.device)
            except NoWeightsError as error:
                papers = str(error)
        return _Networks(papers, replace(own, network=copy.deepcopy(own.network).to(run.device)))


class _Networks(NamedTuple):
    """That of the papers or why there is none, and that of the run's own images."""

    papers: nn.Module | str
    own: Features


class _Seen(NamedTuple):
    """Features of images: the papers' where their network is there, and those of the network of the run's own."""

    papers: Float[Tensor, "N F"]
    own: Float[Tensor, "N F2"]


@dataclass(frozen=True)
class _Look:
    """Images of three kinds, as the networks see them."""

    subject: Subject
    networks: _Networks
    count: int
    batch_size: int

    def real(self) -> Iterator[Float[Tensor, "B C H W"]]:
        for batch in self.subject.batches(most=self.count):
            yield from batch.images.split(self.batch_size)

    @torch.no_grad()
    def reconstructed(self) -> Iterator[Float[Tensor, "B C H W"]]:
        for batch in self.subject.batches(most=self.count):
            yield from self.subject.vae.reconstruct(batch.images, batch.labels).split(self.batch_size)

    @torch.no_grad()
    def made(self, draw: Draw | None) -> Iterator[Float[Tensor, "B C H W"]]:
        subject, device = self.subject, self.subject.run.device
        seed = evaluation_seed(subject.seed, subject.split, _PURPOSE)
        known = subject.run.told(
            subject.labels(), subject.num_images
        )  # a sample has the label of the image it stands for
        for indices in subject.share(self.count).split(self.batch_size):
            labels = None if known is None else known[indices].to(device)
            if draw is None:
                z = subject.vae.draw(Indexed(seed, indices, 1, device), labels)[0]
            else:
                z = draw(indices, seed).to(device)
            yield subject.vae.generate(z, labels)

    @torch.no_grad()
    def at(self, batches: Iterator[Float[Tensor, "B C H W"]], bar: Any, for_papers: bool = True) -> _Seen:
        """The features of all ranks' images; those of the papers' network, which takes long, where they are wanted."""
        papers, rows = self.networks.papers if for_papers else None, []
        for images in batches:
            seen = (
                papers(_bytes(images)).float().cpu() if isinstance(papers, nn.Module) else torch.empty(len(images), 0)
            )
            rows.append(_Seen(seen, self.networks.own.network(images).float().cpu()))
            bar.update(len(images))
        columns = (self.subject.gathered(torch.cat(column)) for column in zip(*rows, strict=True))
        return _Seen(*columns)

    def distance(self, real: _Seen, made: _Seen, of: str) -> Figure:
        """The Frechet distance on the features of the run's own network."""
        label = f"FD by {self.networks.own.what}, {of}"
        if min(len(real.own), len(made.own)) < _FEWEST:
            return Figure(None, label=label, reason="it takes two images")
        return Figure(frechet_distance(real.own, made.own), label=label, digits=3)


def _none(reason: str) -> dict[str, Figure]:
    return {name: Figure(None, label=label, reason=reason) for name, label in _LABELS.items()}


def _papers(real: Tensor, made: Tensor, subset_size: int, subject: Subject) -> dict[str, Figure]:
    from torchmetrics.image.kid import KernelInceptionDistance

    identity: Any = _Given(real.shape[1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        # All ranks have all features: nothing is to be summed over them.
        kid = KernelInceptionDistance(identity, subset_size=min(subset_size, len(real)), sync_on_compute=False)
    kid.update(real, real=True)
    kid.update(made, real=False)
    with seeded(evaluation_seed(subject.seed, subject.split, _SUBSETS)):
        mean, _ = kid.compute()  # its spread over subsets of the same images is no standard error
    return {
        "fid": Figure(frechet_distance(real, made), label="FID"),
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


def _bytes(images: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B 3 H W"]:
    """Rounded to 256 levels, as files of pictures are, and grey in three equal channels."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)
