"""Runs that tell a service, as small as a run can be."""

import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from vae_lightning.runs.records import RunDir

PICTURES = ["callbacks=[samples,transition,run_description]", "callbacks.samples.every_n_epochs=1"]
PICTURES += ["callbacks.transition.num_images=2", "callbacks.transition.num_frames=2"]


def command(folder: Path, *arguments: str) -> None:
    """Call the train command in the folder."""
    from vae_lightning.train import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["vae-train", *arguments])
        main()


def trained(folder: Path, *overrides: str) -> RunDir:
    """An epoch on the digits with a picture of samples and a transition, in `outputs/run`."""
    command(folder, *TINY[:6], *PICTURES, "trainer.max_epochs=1", "run_dir=outputs/run", *overrides)
    return RunDir(folder / "outputs/run")


def picture_files(run: RunDir) -> dict[str, list[bytes]]:
    """What the pictures are that a run has drawn, by the name that loggers know them by."""
    found: dict[str, list[bytes]] = {}
    for file in sorted((run.path / "images").glob("*/*")):
        if file.suffix == ".mp4":  # which no logger is told of
            continue
        kind = "animations" if file.suffix == ".gif" else "images"
        found.setdefault(f"{kind}/{file.parent.name}", []).append(file.read_bytes())
    return found
