"""Fashion-MNIST: found where torchvision keeps it, or downloaded to there."""

from typing import final

from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.idx_set import IdxSet, packed_files

_REPOSITORY = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"


@final
class FashionMNIST(IdxSet):
    """70,000 pieces of clothing of 28 x 28: 55,000 / 5,000 (the last of the training file) / 10,000.

    `root` holds `FashionMNIST/raw` with the four idx files (`.gz` or not). Xiao, Rasul and Vollgraf, arXiv 1708.07747.
    """

    title = "Fashion-MNIST"
    below = "FashionMNIST/raw"
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    def remote_files(self) -> list[RemoteFile]:
        """Four packed files, 31 MB."""
        return packed_files("FashionMNIST", (26_421_880, 29_515, 4_422_102, 5_148), _REPOSITORY)
