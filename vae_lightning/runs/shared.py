"""A model that was given away: a folder of its config, its weights and a page about it; without torch."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import check_regular, load_json, read_text
from vae_lightning.errors import UserError
from vae_lightning.runs.hub import SCHEME, downloaded
from vae_lightning.runs.opening import EXAMPLES, check_safe, examples
from vae_lightning.runs.records import TRAINING_IMAGES, RunDir

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
SHARED_FILES = (CONFIG, WEIGHTS, CARD, "samples.png", "reconstructions.png")  # all that such a folder may hold
FORMAT = "vae_lightning"
VERSION = 1  # of what config.json holds


@dataclass(frozen=True)
class SharedModel:
    """What `vae-export format=safetensors` has written.

    Attributes:
        path: the folder.
        place: where what is made of it goes unless its user says where: it may lie where nobody may write.
        named: what its user has called it.
        key: the config key by which it was called so.
    """

    path: Path
    place: Path
    named: str
    key: str = "run"

    @property
    def told(self) -> str:
        """What messages about it begin with."""
        return f"{self.key}={self.named}"

    @cached_property
    def content(self) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            UserError: it can't be read, or is of something else.
        """
        file = self.path / CONFIG
        try:
            content = load_json(read_text(file))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.told}: {CONFIG} can't be read ({_reason(error)})") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UserError(f"{self.told}: its {CONFIG} is not of a model that vae-export has written")
        version = content.get("format_version")
        if type(version) is not int or version < 1:
            raise UserError(f"{self.told}: its {CONFIG} has no format_version")
        if version > VERSION:
            raise UserError(f"{self.told}: was written by a newer vae_lightning; install that")
        return content

    def config(self) -> dict[str, Any]:
        """The resolved config that it was trained with, as plain data; nothing of it is checked yet.

        Raises:
            UserError: there is none.
        """
        config = self.content.get("config")
        if not isinstance(config, dict):
            raise UserError(f"{self.told}: its {CONFIG} has no config")
        return dict(config)  # whose data may get another place

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.path / WEIGHTS

    def environment(self) -> dict[str, Any]:
        """As `RunDir.environment`, of which there is the record of the training images."""
        return {TRAINING_IMAGES: self.content.get(TRAINING_IMAGES)}

    def overrides(self) -> list[str]:
        """As `RunDir.overrides`."""
        typed = self.content.get("overrides")
        return [str(override) for override in typed] if isinstance(typed, list) else []

    def metrics(self) -> dict[str, Any]:
        """As `RunDir.metrics`."""
        figures = self.content.get("figures")
        return figures if isinstance(figures, dict) else {}


def find_shared(run: str, key: str = "run") -> SharedModel | None:
    """The model that was given away by this name: a folder, one of the Hub, or an example; None if it is none.

    A folder that is there wins over an example of its name.

    Args:
        run: the name.
        key: the config key that has it, for the messages.

    Raises:
        UserError: there is none of that name on the Hub, or it can't be downloaded; a link in a folder leads out of it.
    """
    if run.startswith(SCHEME):
        folder, name = downloaded(run, (CONFIG, WEIGHTS, CARD), key), run.removeprefix(SCHEME)
        return SharedModel(folder, _made_of(name), run, key)
    path = Path(run)
    if is_shared(path):
        check_safe(RunDir(path), f"{key}={run}")  # what is made of it is written into it
        return SharedModel(path, path, run, key)
    return SharedModel(EXAMPLES / run, _made_of(run), run, key) if is_given_away(run) else None


def is_given_away(run: str) -> bool:
    """Whether `find_shared` would find a model by this name, or look for it on the Hub."""
    path = Path(run)
    is_example = not os.path.lexists(path) and run in examples()
    return run.startswith(SCHEME) or is_shared(path) or is_example


def is_shared(path: Path) -> bool:
    """Whether a folder is one, and no run directory."""
    if os.path.lexists(path / "config.yaml"):
        return False
    return all(os.path.lexists(path / name) for name in (CONFIG, WEIGHTS))


def check_file(path: Path, told: str) -> None:
    """Raise a UserError, which begins with `told`, unless there is a regular file, whatever links lead to it."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        check_regular(real)
    except (OSError, ValueError) as error:
        raise UserError(f"{told}: {path.name} can't be read ({_reason(error)})") from error


def _made_of(name: str) -> Path:
    return Path("outputs") / "shared" / name.replace("/", "--").replace("@", "--")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
