"""Kuzushiji-MNIST: found where torchvision keeps it, or downloaded to there."""

from typing import final

from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.idx_set import IdxSet, packed_files


@final
class KMNIST(IdxSet):
    """70,000 handwritten characters of old Japanese, of 28 x 28: 55,000 / 5,000 (the last for training) / 10,000.

    `root` holds `KMNIST/raw` with the four idx files (`.gz` or not). Clanuwat et al., arXiv 1812.01718.
    """

    title = "KMNIST"
    below = "KMNIST/raw"
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

    def remote_files(self) -> list[RemoteFile]:
        """Four packed files, 21 MB."""
        sizes = 18_165_135, 29_497, 3_041_136, 5_120
        return packed_files("KMNIST", sizes, "https://codh.rois.ac.jp/kmnist/dataset/kmnist/")
