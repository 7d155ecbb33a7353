"""The explorer's page: one file that opens from the disk, with networks, images and libraries in it, and no way out."""

import base64
import gzip
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from vae_lightning.data.class_names import label_name
from vae_lightning.errors import UserError, require_at_least, require_at_most
from vae_lightning.explorer.encoded import EncodedImages, Thumbnails, encoded_images, most_images, planes_of
from vae_lightning.explorer.page_networks import networks_of, sampled_by
from vae_lightning.latents.paths import prior_spread, why_no_path
from vae_lightning.runs.images import Split
from vae_lightning.runs.trained import TrainedRun

MARK = '<meta name="generator" content="vae_lightning explorer">'  # of a page that may be replaced by another
_HERE = Path(__file__).parent
_VENDOR = _HERE / "vendor"
_LIBRARIES = {
    "ort": "ort.wasm.bundle.min.mjs.gz",
    "wasm": "ort-wasm-simd-threaded.wasm.gz",
    "gifenc": "gifenc.esm.js.gz",
}
# In this order, for they are one script.
_SCRIPTS = ("blocks", "networks", "picture", "state", "address", "sliders", "plane", "own_image", "morph", "start")
_MOST_IMAGES = 10_000
_POOL = 1000  # samples of a prior that the page can not draw from itself


@dataclass(frozen=True)
class WriteExplorer:
    """Makes the page of a run.

    Attributes:
        split: whose encoded images lie on the planes.
        num_images: how many of them; 0 for none.
        num_neighbours: so many encoded training images are searched for the nearest ones; 0 for none.
        thumbnails: what is shown of each: `reconstructions`, what the model makes of it; or `originals`, copies of the
            images themselves, which then leave with the page.
        num_sliders: how many latents have a slider at first, those with the most KL.

    Raises:
        ValueError: a number too small or too large.
    """

    split: Split = "test"
    num_images: int = 500
    num_neighbours: int = 1000
    thumbnails: Thumbnails = "reconstructions"
    num_sliders: int = 10

    def __post_init__(self) -> None:
        for name in ("num_images", "num_neighbours"):
            require_at_least(name, getattr(self, name), 0)
            require_at_most(name, getattr(self, name), _MOST_IMAGES)
        require_at_least("num_sliders", self.num_sliders, 1)

    def __call__(self, run: TrainedRun) -> tuple[str, list[str]]:
        """The page as text, and what is to be told of what it does not have.

        Raises:
            UserError: the model's latents are no real numbers, or its networks can't be exported.
        """
        if (reason := why_no_path(run.vae)) is not None:
            raise UserError(f"explore is {reason}")
        told: list[str] = []
        of_split, of_training = self._images(run, told)
        facts, arrays = _model_facts(run, told)
        sheets = {}
        for name, images in {"encoded": of_split, "training": of_training}.items():
            facts[name] = None if images is None else images.facts()
            if images is not None:
                arrays[f"{name}_codes"] = _halved(images.codes.numpy())
                sheets[name] = images.sheet
        if of_split is not None:
            planes, facts["pca"] = planes_of(of_split.codes, run.seed)
            arrays |= planes
        facts |= {"num_sliders": self.num_sliders, "thumbnails": self.thumbnails}
        return _html(run, facts, arrays, sheets, networks_of(run)), told

    def _images(self, run: TrainedRun, told: list[str]) -> tuple[EncodedImages | None, EncodedImages | None]:
        if not self.num_images and not self.num_neighbours:
            return None, None
        try:
            _ = run.data
        except UserError as error:
            told.append(f"without encoded images, for those of the data are not there: {error}")
            return None, None
        most = most_images(run.latent_dim)
        if most < max(self.num_images, self.num_neighbours):
            told.append(f"with {most:,} images of a kind at most, for codes of {run.latent_dim:,} latents take much")
        return (
            encoded_images(run, self.split, min(self.num_images, most), self.thumbnails),
            encoded_images(run, "train", min(self.num_neighbours, most), self.thumbnails),
        )


def _model_facts(run: TrainedRun, told: list[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the page has to know of a model, as plain data, and as arrays by name."""
    vae, data = run.vae, run.preprocessing
    channels, height, width = data.image_shape
    spread = prior_spread(vae, run.device)
    arrays = {"prior_mean": spread.mean.cpu().numpy(), "prior_deviation": spread.stddev.cpu().numpy()}
    try:
        statistics = run.unit_statistics(2000)
        order = statistics.by_rate
        if statistics.rate is not None:
            arrays["rates"] = statistics.rate.float().numpy()
    except UserError as error:
        told.append(f"without the KL of the latents: {error}")
        order = list(range(vae.latent_dim))
    how = sampled_by(vae)
    if how == "pool":
        arrays["pool"] = _halved(run.draw(torch.arange(_POOL), run.seed).numpy())
    arrays["order"] = np.array(order, dtype=np.int32)
    names = run.class_names
    facts = {
        "name": run.config["name"],
        "image": {"channels": channels, "height": height, "width": width, "fit": data.fit},
        "shown_channels": list(data.shown_channels or ((0, 1, 2) if channels >= 3 else (0,))),
        "latent_dim": vae.latent_dim,
        "groups": list(vae.group_dims),
        "sampled_by": how,
        "num_classes": vae.num_classes,
        "class_names": None if names is None else [label_name(number, names) for number in range(len(names))],
    }
    return facts, arrays


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2")


def _html(
    run: TrainedRun,
    facts: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    sheets: Mapping[str, bytes],
    networks: Mapping[str, bytes],
) -> str:
    blocks = {name: _block(np.ascontiguousarray(array)) for name, array in arrays.items()}
    blocks |= {name: {"kind": "bytes", "text": _packed(content)} for name, content in networks.items()}
    blocks |= {
        name: {"kind": "bytes", "text": _encoded((_VENDOR / file).read_bytes())} for name, file in _LIBRARIES.items()
    }
    return _template().render(
        mark=Markup(MARK),
        title=run.config["name"],
        nonce=secrets.token_urlsafe(16),
        facts=htmlsafe_json_dumps(facts, dumps=json.dumps),
        context=run.context,
        blocks=blocks,
        sheets={name: f"data:image/webp;base64,{_encoded(sheet)}" for name, sheet in sheets.items()},
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup("\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)),
        versions=vendor_versions(),
        groups=run.vae.num_groups,
        sampled_by=facts["sampled_by"],
        latent_dim=facts["latent_dim"],
        labels=_labels(facts),
        channels=facts["image"]["channels"],
        thumbnails=facts["thumbnails"],
        width=facts["image"]["width"],
        height=facts["image"]["height"],
        licences=[file.read_text(encoding="utf-8") for file in sorted(_VENDOR.glob("LICENSE.*.md"))],
        has_encoded=facts["encoded"] is not None,
        has_training=facts["training"] is not None,
    )


def _labels(facts: dict[str, Any]) -> list[str]:
    """The names of the labels that the model is told; empty for one that is told none."""
    names = facts["class_names"]
    return [names[n] if names and n < len(names) else str(n) for n in range(facts["num_classes"] or 0)]


def vendor_versions() -> str:
    """The libraries in the page, with their versions and licences."""
    known = json.loads((_VENDOR / "vendor.json").read_text(encoding="utf-8"))
    return ", ".join(f"{name} {facts['version']} ({facts['license']})" for name, facts in known.items())


def _block(array: np.ndarray) -> dict[str, str]:
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return {"kind": array.dtype.name, "text": _packed(array.astype(array.dtype.newbyteorder("<")).tobytes())}


def _halved(values: np.ndarray) -> np.ndarray:
    """As float16, unless a value is beyond it."""
    with np.errstate(over="ignore"):
        halved = values.astype(np.float16)
    return halved if np.isfinite(halved).all() else values


def _packed(content: bytes) -> str:
    return _encoded(gzip.compress(content, mtime=0))


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
