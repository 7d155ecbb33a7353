"""A model as three functions of tensors alone, for programs that know nothing of it: encode, decode, reconstruct."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vae_lightning import __version__
from vae_lightning.errors import UserError, first_line
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.runs.trained import TrainedRun

_EXAMPLES = 3  # images that a graph is recorded with; it takes any number
CHECKED = (1, 4, 13)  # numbers of images for which it is compared with the model
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Graph:
    """One function of a model.

    Attributes:
        name: `encoder`, `decoder` or `reconstruction`.
        module: which computes it, in evaluation mode.
        inputs: by name the function that gives random ones of N images, in their order.
        outputs: their names.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Callable[[int], Tensor]]
    outputs: tuple[str, ...]

    def example(self, num_images: int = _EXAMPLES) -> tuple[Tensor, ...]:
        """Random inputs of so many images."""
        return tuple(make(num_images) for make in self.inputs.values())

    @property
    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """That the number of images is any."""
        number = torch.export.Dim("num_images", min=1)
        return tuple({0: number} for _ in self.inputs)

    def difference(self, computed: Callable[[tuple[Tensor, ...]], Any], told: str) -> float:
        """The largest difference of what was exported from the model, over several numbers of images.

        Args:
            computed: what was exported.
            told: what the message begins with.

        Raises:
            UserError: it is more than rounding makes.
        """
        found = []
        with torch.no_grad():
            for number in CHECKED:
                given = self.example(number)
                for ours, theirs in zip(self.module(*given), computed(given), strict=True):
                    found.append((ours - torch.as_tensor(theirs)).abs().max())
        largest = float(torch.stack(found).max())  # which is NaN where one of them is
        if not largest <= _TOLERANCE:
            raise UserError(f"{told}: {self.name} computes other values than the model, by up to {largest:.2g}")
        return largest


class _Encoder(nn.Module):
    def __init__(self, vae: LatentModel):
        super().__init__()
        self.vae = vae

    def forward(
        self, images: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None = None
    ) -> tuple[Float[Tensor, "N D"], ...]:
        latents = self.vae.encode(images, labels)
        return (latents.loc,) if latents.scale is None else (latents.loc, latents.scale)


class _Decoder(nn.Module):
    def __init__(self, vae: LatentModel):
        super().__init__()
        self.vae = vae

    def forward(
        self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"] | None = None
    ) -> tuple[Float[Tensor, "N C H W"]]:
        return (self.vae.generate(z, labels),)


class _Reconstruction(nn.Module):
    def __init__(self, vae: LatentModel):
        super().__init__()
        self.vae = vae

    def forward(
        self, images: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None = None
    ) -> tuple[Float[Tensor, "N C H W"]]:
        return (self.vae.reconstruct(images, labels),)


def graphs_of(vae: LatentModel, image_shape: tuple[int, int, int]) -> list[Graph]:
    """The three of a model on the CPU in evaluation mode: images [N, C, H, W] in [0, 1], latents z [N, D].

    The encoder gives `mean` and, where the posterior is a normal distribution with independent components, `scale`. Of
    a model with labels each takes them as well, whole numbers [N].
    """
    generator = torch.Generator().manual_seed(0)
    labels: dict[str, Callable[[int], Tensor]] = {}
    num_classes = vae.num_classes
    if num_classes is not None:
        labels["labels"] = lambda number: torch.arange(number) % num_classes

    def images(number: int) -> Tensor:
        return torch.rand(number, *image_shape, generator=generator)

    def latents(number: int) -> Tensor:
        return vae.encode(images(number), *(make(number) for make in labels.values())).loc

    with torch.no_grad():
        has_scale = vae.encode(images(1), *(make(1) for make in labels.values())).scale is not None
    encoded = ("mean", "scale") if has_scale else ("mean",)
    return [
        Graph("encoder", _Encoder(vae).eval(), {"images": images} | labels, encoded),
        Graph("decoder", _Decoder(vae).eval(), {"z": latents} | labels, ("images",)),
        Graph("reconstruction", _Reconstruction(vae).eval(), {"images": images} | labels, ("reconstructions",)),
    ]


def refused(graph: Graph, told: str, error: BaseException) -> UserError:
    """What is said, after `told`, of a model that can't be exported."""
    while error.__cause__ is not None:  # what the library tells of it is how to go on with its own report
        error = error.__cause__
    reason = re.sub(r"\x1b\[[0-9;]*m", "", first_line(error))
    return UserError(f"{told}: {graph.name} of this model can't be exported ({reason})")


def facts_of(run: TrainedRun) -> dict[str, Any]:
    """What export.json says of the model, beside its graphs."""
    versions = {"vae_lightning": __version__, "torch": torch.__version__}
    of_run = {"name": run.config["name"], "checkpoint": run.checkpoint, "epoch": run.epoch}
    return versions | of_run | {"image_shape": list(run.preprocessing.image_shape), "checked_with": list(CHECKED)}


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which PyTorch, which tells each step, is silent: its warnings are for whoever writes models."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
