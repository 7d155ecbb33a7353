"""Opens a run for Python code."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from vae_lightning.errors import ArgumentError
from vae_lightning.face.devices import named_device
from vae_lightning.face.run import Run
from vae_lightning.face.surroundings import undisturbed
from vae_lightning.reports.best import named_best
from vae_lightning.runs.trained import Device, open_trained


def open_run(
    path: str | os.PathLike[str],
    *,
    ckpt: str | os.PathLike[str] = "best",
    device: Device | torch.device = "auto",
    data: dict[str, Any] | None = None,
    trust: str | Sequence[str] = (),
    invert: bool = False,
) -> Run:
    """Open a run for use, from its directory alone: neither its images are needed nor the machine that trained it.

    Its weights are the averages where the run has averaged them.

    A file from a stranger runs no code: its config may build this project's own classes only.

    Args:
        path: the run directory, such as outputs/2026-11-20/14-03-27_mnist_conv, or a sweep's job; "latest" for the
            newest in outputs, best@ and a sweep's directory for the best of its runs; or what `vae-export` has
            written: a folder, hf://user/name on the Hugging Face Hub, or the name of an example.
        ckpt: "best", of the highest validation ELBO, "last", or the path of a checkpoint.
        device: where the model computes, by name or as a `torch.device`; "auto" is a GPU where there is one.
        data: keys of the data's config that replace the run's.
        trust: packages besides this project whose classes the config may build.
        invert: whether all images that it is given are inverted, 1 - x: drawn black on white for a run that has learned
            white on black.

    Raises:
        UserError: no such run, no checkpoint in it or one that can't be read, a device that is not there; a ValueError,
            too, where it is of a kind that can't be one.
    """
    for name, value in {"path": path, "ckpt": ckpt}.items():
        if not isinstance(value, str | os.PathLike):
            raise ArgumentError(f"{name}: expected a path, got {value!r}")
    if not isinstance(data, dict | None):
        raise ArgumentError(f'data: expected keys of the data, as in {{"root": "pictures"}}, got {data!r}')
    if not isinstance(trust, str | list | tuple) or not all(isinstance(name, str) for name in trust):
        raise ArgumentError(f'trust: expected names of packages, as in ["your_package"], got {trust!r}')
    if not isinstance(invert, bool):
        raise ArgumentError(f"invert: expected True or False, got {invert!r}")
    with undisturbed():  # the weights are drawn before they are read
        named = named_best(os.path.expanduser(path), "run")
        opened = open_trained(named, os.fspath(ckpt), named_device(device), data, trust)
        return Run(replace(opened, invert=invert))
