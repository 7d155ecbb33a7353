"""Where a model computes, as Python code says it."""

from typing import Any, cast, get_args

import torch

from vae_lightning.errors import ArgumentError
from vae_lightning.runs.trained import Device


def named_device(device: Any) -> Device:
    """The device by its name.

    Raises:
        ArgumentError: it is none that there can be.
    """
    name = device.type if isinstance(device, torch.device) and device.index in (None, 0) else device
    if name not in get_args(Device):
        raise ArgumentError(f"device: expected one of {', '.join(get_args(Device))}, got {device!s}")
    return cast(Device, name)
