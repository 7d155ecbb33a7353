"""MNIST: found where torchvision keeps it, or downloaded to there."""

from typing import final

from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.idx_set import IdxSet, packed_files


@final
class MNIST(IdxSet):
    """70,000 digits of 28 x 28, resized if so configured: 55,000 / 5,000 / 10,000.

    Validation is the last of the training file, whatever the seed; test is the official one. `root` holds `MNIST/raw`
    with the four idx files (`.gz` or not). LeCun, Cortes and Burges.
    """

    title = "MNIST"
    below = "MNIST/raw"

    def remote_files(self) -> list[RemoteFile]:
        """Four packed files, 12 MB."""
        return packed_files("MNIST", (9_912_422, 28_881, 1_648_877, 4_542))
