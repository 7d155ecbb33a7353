"""What all public sets have in common, on their tiny copies: images of any height and width, and names of labels."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import content, idx, idx_files, noise, written
from tests.data.test_cifar10 import IMAGES as CIFAR
from tests.data.test_cifar10 import batches
from tests.data.test_mat_set import BINARY, PICTURES, chardata, house_numbers, silhouettes
from tests.data.test_medmnist import COLOUR, npz
from vae_lightning.data.caltech101 import Caltech101
from vae_lightning.data.cifar10 import CIFAR10
from vae_lightning.data.emnist import EMNIST
from vae_lightning.data.fashion_mnist import FashionMNIST
from vae_lightning.data.kmnist import KMNIST
from vae_lightning.data.medmnist import MedMNIST
from vae_lightning.data.mnist import MNIST
from vae_lightning.data.named_set import NamedSet
from vae_lightning.data.omniglot import Omniglot
from vae_lightning.data.svhn import SVHN
from vae_lightning.errors import UserError

GREY = noise(24, 28, 28, seed=1)  # the test images of the sets of idx files
MAT = {
    Omniglot: {"chardata.mat": chardata()},
    Caltech101: {"caltech101_silhouettes_28_split1.mat": silhouettes()},
    SVHN: {
        "train_32x32.mat": house_numbers(PICTURES[:24]),
        "test_32x32.mat": house_numbers(PICTURES[24:]),
    },
}
FIRST = {  # test image, as one looks at it
    **dict.fromkeys((MNIST, FashionMNIST, KMNIST), GREY[0]),
    EMNIST: GREY[0].T,
    Omniglot: noise(60, 28, 28)[48],
    Caltech101: BINARY[24] * 255,
    CIFAR10: CIFAR[60],
    SVHN: PICTURES[24],
    MedMNIST: COLOUR[18],
}
LARGE = [kind for kind in FIRST if kind is not MedMNIST]  # whose larger images lie in the cache


@pytest.fixture
def made(tmp_path):
    def make(kind: type[NamedSet], **options) -> NamedSet:
        if kind in (MNIST, FashionMNIST, KMNIST, EMNIST):
            files = {name: idx(array) for name, array in idx_files(kind().needed).items()}
        elif kind is MedMNIST:
            files = {"pathmnist.npz": npz()}
        else:
            files = batches() if kind is CIFAR10 else MAT[kind]
        written(tmp_path / kind.below, files)
        own = {"num_val": 5} if kind is Omniglot else {}
        return kind(root=str(tmp_path), batch_size=4, binarize="none", **own, **options)

    return make


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", FIRST)
def test_images_may_be_rectangles_and_a_picture_in_a_file_becomes_the_very_same(made, tmp_path, kind, fit):
    data = made(kind, image_size=[12, 20], fit=fit)
    images = content(data, "test")
    assert images.shape[1:] == data.image_shape == (data.channels, 12, 20)
    Image.fromarray(np.ascontiguousarray(FIRST[kind])).save(tmp_path / "picture.png")
    assert torch.equal(data.read_image(tmp_path / "picture.png"), images[0])
    borders = images[..., [0, 1, 2, 3, 16, 17, 18, 19]]  # beside 12 x 12
    assert (borders.max() == 0) == (fit == "pad")
    assert next(iter(data.train_dataloader())).images.shape[1:] == (4, *data.image_shape)


@pytest.mark.parametrize("kind", LARGE)
def test_images_too_large_for_ram_are_refused_before_they_are_made(made, monkeypatch, kind):
    monkeypatch.setattr("vae_lightning.data.named_set._MOST_BYTES", 12 * 28 * 28)
    made(kind).setup()
    with pytest.raises(UserError, match=r"^data\.image_size=\[40, 30\]: \d+ images of this size take more than 0 GB"):
        made(kind, image_size=[40, 30]).setup()
