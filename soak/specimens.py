"""Runs that are trained once and of which each case attacks a copy: one on the digits, one on a folder of pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from soak import commands
from soak.forks import forked
from soak.warm import TINY

FOLDER = (
    *("data=folder", "data.image_size=16", "data.batch_size=8", "data.val_fraction=0.2", "data.test_fraction=0.2"),
    *("model=mlp", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "model.latent_dim=3", "trainer=cpu"),
    *("callbacks=basic", "trainer.max_epochs=1"),
)


@dataclass(frozen=True)
class Specimens:
    """Runs of two epochs: `digits`, and `folder` on `pictures` by way of `cache`."""

    root: Path

    @property
    def digits(self) -> Path:
        return self.root / "digits"

    @property
    def folder(self) -> Path:
        return self.root / "folder"

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    @property
    def readable(self) -> tuple[Path, ...]:
        """What a run on the pictures may read: they, and what they were decoded to."""
        return self.pictures, self.root / "cache"


def made(root: Path) -> Specimens:
    """Train them, in forks."""
    specimens = Specimens(root)
    root.mkdir(parents=True, exist_ok=True)
    write_pictures(specimens.pictures, 48)
    places = (f"data.root={specimens.pictures}", f"data.cache_dir={root / 'cache'}")
    for run, arguments in ((specimens.digits, TINY), (specimens.folder, (*FOLDER, *places))):
        ended = forked(
            lambda run=run, arguments=arguments: _trained(run, arguments),  # type: ignore[misc]
            cwd=root,
            limit_s=300,
            variables={"XDG_CACHE_HOME": str(root / "cache")},
        )
        if not (run / "metrics.json").is_file():
            raise RuntimeError(f"the specimen {run.name} did not train:\n{ended.output}")
    return specimens


def _trained(run: Path, arguments: tuple[str, ...]) -> None:
    commands.train(*arguments, f"run_dir={run}")
    commands.train(f"resume={run}", "trainer.max_epochs=2")


def write_pictures(folder: Path, count: int) -> None:
    """Smooth coloured pictures of 24 x 20, half of them PNG and half JPEG, some in a folder within."""
    (folder / "sub").mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, 3, 4, 3), dtype=np.uint8)):
        picture = Image.fromarray(pixels).resize((24, 20), Image.Resampling.BICUBIC)
        place = folder / "sub" if number % 5 == 0 else folder
        picture.save(place / f"{number:03}.{'jpg' if number % 2 else 'png'}")
