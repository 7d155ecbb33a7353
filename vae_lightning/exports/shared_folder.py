"""A model as a folder to give away, which `runs.shared` opens again."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from vae_lightning import __version__
from vae_lightning.checkpoints.safe_tensors import write_safely
from vae_lightning.errors import UserError
from vae_lightning.exports.card import Card, Illustration, is_number, repeatable, without_places
from vae_lightning.exports.saving import save_picture
from vae_lightning.pictures.samples import Samples
from vae_lightning.runs.hub import named, pushed
from vae_lightning.runs.records import TRAINING_IMAGES
from vae_lightning.runs.shared import CARD, CONFIG, FORMAT, VERSION, WEIGHTS
from vae_lightning.runs.trained import TrainedRun

_GROUPS = ("name", "seed", "data", "model", "objective", "optimizer", "schedule", "averaging")
_DRAWN = {"samples": "Samples", "reconstructions": "Images and their reconstructions"}
Drawn = Literal["samples", "reconstructions"]
Precision = Literal["float32", "float16"]


@dataclass(frozen=True)
class WriteSharedFolder:
    """Writes config.json, model.safetensors and README.md, a model card with pictures.

    What the run knows of the machine that trained it stays out: of every place only its last part is kept.

    Attributes:
        dtype: of the weights.
        pictures: of the card; reconstructions are those that the run has drawn last, with images of its data.
        license: of the weights, by the Hub's name, such as mit; None leaves it to be filled in.
        push: where on the Hugging Face Hub the files go, too, as user/name.

    Raises:
        ValueError: no licence's name, or a picture twice.
        UserError: a push to no such name; when called, a run that has drawn no reconstructions, or weights that this
            type can't hold.
    """

    dtype: Precision = "float32"
    pictures: Sequence[Drawn] = ("samples",)
    license: str | None = None
    push: str | None = None
    manifest: ClassVar[str] = CONFIG

    def __post_init__(self) -> None:
        if self.license is not None and not re.fullmatch(r"[a-z][a-z0-9.-]*", self.license):
            raise ValueError(f"license must be a name that the Hugging Face Hub has, such as mit; got {self.license!r}")
        if len(set(self.pictures)) < len(self.pictures):
            raise ValueError(f"pictures must differ, got {list(self.pictures)}")
        if self.push is not None:
            named(self.push, "push")

    def __call__(self, run: TrainedRun, folder: Path) -> dict[str, Any]:
        weights = run.vae.state_dict()
        dtype = getattr(torch, self.dtype)
        most = torch.finfo(dtype).max
        over = [name for name, each in weights.items() if each.is_floating_point() and each.abs().max() > most]
        if over:
            raise UserError(f"dtype={self.dtype}: {over[0]} has values beyond it; dtype=float32 takes them")
        write_safely(folder / WEIGHTS, weights, dtype)
        content = self._content(run)
        shown = [Illustration(self._draw(name, run, folder), _DRAWN[name]) for name in self.pictures]
        (folder / CARD).write_text(
            Card(content, run, shown, self.license, self.push).text, encoding="utf-8", errors="replace"
        )
        return content

    def after(self, folder: Path, files: Sequence[str]) -> list[str]:
        """What is to be told once the folder is there; the files go to the Hub, if they are to.

        Raises:
            UserError: the Hub does not take them.
        """
        if self.push is None:
            return []
        ordered = sorted(files, key=lambda name: name != CONFIG)
        try:
            return [f"pushed to {pushed(folder, self.push, 'push', ordered)}"]
        except UserError as error:
            raise UserError(f"{error}; the folder {folder} is written") from error

    def _content(self, run: TrainedRun) -> dict[str, Any]:
        home = run.shared or run.run_dir
        config = {group: run.config[group] for group in _GROUPS if group in run.config}
        return {
            "format": FORMAT,
            "format_version": VERSION,
            "vae_lightning": __version__,
            "epoch": run.epoch,
            "averaged": run.averaged,
            "dtype": self.dtype,
            "kind": run.kind,
            "class_names": None if run.named is None else list(run.named),
            "images": run.images,
            TRAINING_IMAGES: home.environment().get(TRAINING_IMAGES),
            "figures": _figures(run),
            "units": None if run.units is None else run.units.as_dict(),
            "overrides": repeatable(home.overrides()),
            "config": config | {"data": without_places(config["data"])},
        }

    def _draw(self, name: Drawn, run: TrainedRun, folder: Path) -> str:
        file = folder / f"{name}.png"
        if name == "samples":
            save_picture(Samples(), run, folder, name)
            return file.name
        drawn = sorted((run.run_dir.path / "images" / name).glob("epoch_*.png"))
        if not drawn:
            raise UserError(f"pictures=[{name}]: the run has drawn none; leave them out")
        shutil.copyfile(drawn[-1], file)
        return file.name


def _figures(run: TrainedRun) -> dict[str, Any]:
    """What was recorded of this checkpoint: single numbers, and what they are."""
    is_tested = run.shared is not None or run.checkpoint == run.run_dir.best.name
    try:
        recorded = (run.shared or run.run_dir).metrics() if is_tested else {}
    except (OSError, ValueError):  # not there, or cut short
        recorded = {}
    return {name: value for name, value in recorded.items() if isinstance(value, str) or is_number(value)}
