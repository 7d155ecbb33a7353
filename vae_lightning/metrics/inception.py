"""The Inception network of FID and KID, with its weights from a file, torch's cache or the network."""

import socket
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn

from vae_lightning.errors import UserError, first_line
from vae_lightning.machine.world import World

_PATIENCE = 10.0  # seconds that a silent server is waited for


class NoWeightsError(Exception):
    """There are no weights to be had; the message says why and what to do."""


def inception(weights: str | None, world: World, device: torch.device) -> nn.Module:
    """The network that maps uint8 images `[B, 3, H, W]` of any size to features `[B, 2048]`.

    Args:
        weights: its file; None is looked for in torch's cache, and downloaded to there if it is missing.
        world: the ranks, the first of which downloads.
        device: where it computes.

    Raises:
        UserError: a file that was given and can't be read.
        NoWeightsError: none was given, and none can be downloaded.
    """
    path = Path(weights).expanduser() if weights is not None else _cached(world)
    if not path.is_file():
        raise UserError(f"samples.weights={weights}: no such file")
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    except Exception as error:
        reason = first_line(error)
        raise UserError(f"samples.weights={path}: not the weights of the Inception network ({reason})") from error
    return network.to(device).eval()


def _cached(world: World) -> Path:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
    problem = world.agree(lambda: None if path.is_file() else _downloaded(URL_INCEPTION_V3, path))
    if problem:
        raise NoWeightsError(
            f"the Inception network's weights can't be downloaded ({problem}); "
            f"give samples.weights=<a copy of {Path(URL_INCEPTION_V3).name}>"
        )
    return path


def _downloaded(url: str, path: Path) -> str | None:
    """Put the file there, whole or not at all; the reason if that fails."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]  # its name ends in its hash
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        reason = getattr(error, "reason", error)  # of a URLError, without its brackets
        return (str(reason).strip() or type(error).__name__).splitlines()[0]
    finally:
        socket.setdefaulttimeout(before)
    return None
