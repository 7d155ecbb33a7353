"""The page about a model that is given away: what it is, what it was trained on, how good it is, how to use it."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from tabulate import tabulate

from vae_lightning.errors import one_line
from vae_lightning.runs.hub import SCHEME
from vae_lightning.runs.records import for_shell, unit_of
from vae_lightning.runs.trained import TrainedRun

T = TypeVar("T")
_REPEATED = (
    *("experiment", "data", "model", "objective", "optimizer", "schedule", "averaging", "initialization"),
    *("trainer", "callbacks", "seed", "name", "debug"),
)
_TOLD = {  # of metrics.json, by their names there: what they are, their unit and digits
    "test/elbo": ("ELBO", None, 2),
    "test/nll": ("NLL", None, 2),
    "test/rate": ("rate", "nats per image", 2),
    "test/distortion": ("distortion", None, 2),
    "test/bits_per_dim": ("ELBO in bits/dim", "bits", 4),
    "test/nll_bits_per_dim": ("NLL in bits/dim", "bits", 4),
    "test/psnr": ("PSNR of reconstructions", "dB", 2),
    "test/ssim": ("SSIM of reconstructions", "", 3),
    "test/fid": ("FID of samples", "", 2),
    "test/fd_instances": ("FD by instances of samples", "", 3),
}
_PAGE = """---
library_name: vae_lightning
pipeline_tag: unconditional-image-generation
{head}
tags:
- vae
- variational-autoencoder
---

# {name}

{what} It was trained by vae_lightning {version} and holds the weights after epoch {epoch}{averaged}.

```python
from vae_lightning import open_run

run = open_run("{place}")  # {other_place}
z = run.encode("picture.png")  # posterior means, an array [N, {latent_dim}]
images = run.decode(z)  # {shape}, in [0, 1]
samples = run.sample(64, seed=0)
```

On the command line it is a run: `python -m vae_lightning.generate run={place} mode=samples`.
{pictures}
## Data

{data}

## Figures

{figures}

## To repeat it

```
{command}
```

All settings are in config.json, under `config`.

## Licence

{licence}
"""


@dataclass(frozen=True)
class Illustration:
    """A picture of the page: its file, and what it shows."""

    file: str
    title: str


@dataclass(frozen=True)
class Card:
    """The page.

    Attributes:
        content: that of config.json.
        run: the model.
        pictures: to be shown.
        licence: of the weights, by the Hub's name; None leaves it to be filled in.
        push: the name on the Hub where it goes, too.
    """

    content: dict[str, Any]
    run: TrainedRun
    pictures: Sequence[Illustration]
    licence: str | None = None
    push: str | None = None

    @property
    def text(self) -> str:
        """As Markdown, with the head that the Hugging Face Hub reads."""
        shape = " x ".join(map(str, self.run.preprocessing.image_shape))
        told = "" if self.run.vae.num_classes is None else f", told {self.run.vae.num_classes} labels"
        groups = self.run.vae.num_groups
        latents = f"{self.run.latent_dim} latents" + (f" in {groups} groups" if groups > 1 else "")
        name = re.sub(r"([\\`\[\]<>])", r"\\\1", one_line(self.run.config["name"]))  # no link, no tag
        return _PAGE.format(
            name=name,
            what=f"A variational autoencoder of {shape} images (channels, height, width) with {latents}{told}.",
            version=self.content["vae_lightning"],
            epoch=self.run.epoch,
            averaged=", averaged over training" if self.run.averaged else "",
            place="path/of/this/folder" if self.push is None else f"{SCHEME}{self.push.removeprefix(SCHEME)}",
            other_place="or its name on the Hugging Face Hub: hf://user/name"
            if self.push is None
            else "or the path of a copy of this folder",
            latent_dim=self.run.latent_dim,
            shape=shape,
            pictures="".join(f"\n![{picture.title}]({picture.file})\n" for picture in self.pictures),
            data=self._data(),
            figures=self._figures(),
            command=self._command(),
            head="license: other\nlicense_name: to-be-filled-in"
            if self.licence is None
            else yaml.safe_dump({"license": self.licence}).strip(),
            licence="To be filled in: of the weights, and of the images that they were trained on."
            if self.licence is None
            else f"The weights: {self.licence}. The images that they were trained on have their own.",
        )

    def _data(self) -> str:
        data = self.run.config["data"]
        name = str(data.get("_target_", "")).rpartition(".")[2]
        counts = [f"{each['num_images']:,} {split}" for split, each in (self.run.images or {}).items()]
        number = f", {', '.join(counts)} images" if counts else ""
        settings = {key: data[key] for key in ("fit", "binarize", "horizontal_flip") if key in data}
        told = ", ".join(f"{key}: {str(value).lower()}" for key, value in settings.items())
        return f"`{name}`{number}{f' ({told})' if told else ''}. Its log-probabilities are {self.run.kind}."

    def _figures(self) -> str:
        found = self.content["figures"]
        rows = [
            (label, self._number(name, digits), unit_of(self.run.kind) if unit is None else unit)
            for name, (label, unit, digits) in _TOLD.items()
            if is_number(found.get(name))
        ]
        if not rows:
            return "None are recorded."
        number = found.get("test/num_images")
        images = (
            f"Of {number:,} test images, with the standard error of the mean.\n\n" if isinstance(number, int) else ""
        )
        return images + tabulate(rows, ["figure", "value", "unit"], tablefmt="github", disable_numparse=True)

    def _number(self, name: str, digits: int) -> str:
        found = self.content["figures"]
        stderr = found.get(f"{name}_stderr")
        spread = f" +- {stderr:,.{digits}f}" if is_number(stderr) else ""
        return f"{found[name]:,.{digits}f}{spread}"

    def _command(self) -> str:
        typed = (one_line(for_shell(override)).replace("```", "") for override in self.content["overrides"])
        return " ".join(["python -m vae_lightning.train", *typed])


def is_number(value: Any) -> bool:
    """Whether it is a finite one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def repeatable(overrides: Sequence[str]) -> list[str]:
    """What was typed of the model and its training; places, services and whatever else is of one machine stay out."""
    kept = []
    for override in overrides:
        key, _, value = override.partition("=")
        group = re.split(r"[./@]", key.lstrip("+"))[0]
        if key == "data.root":
            kept.append(f"{key}={_last(value)}")
        elif group in _REPEATED and not re.search(r"[/\\~$\n]", value):
            kept.append(override)
    return kept


def without_places(value: T) -> T:
    """Plain data in which every place has its last part alone."""
    if isinstance(value, dict):
        return {key: without_places(part) for key, part in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [without_places(part) for part in value]  # type: ignore[return-value]
    is_place = isinstance(value, str) and re.match(r"~|/[^(]*$|[A-Za-z]:[\\/]|\\\\|\.\.?[\\/]", value) is not None
    return _last(value) if is_place else value  # type: ignore[return-value, arg-type]


def _last(place: str) -> str:
    return os.path.basename(re.sub(r"\\(?!')", "/", place).strip("'\"").rstrip("/"))
