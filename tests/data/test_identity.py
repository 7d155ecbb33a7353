"""What tells a data set's images from others, wherever they lie: their number, and their names or their labels."""

from dataclasses import replace

from tests.data.test_image_data import Ramp
from vae_lightning.data.digits import Digits


class Named(Ramp):
    """With names, in an order of their own."""

    order = slice(None)

    def load_splits(self):
        splits = super().load_splits()
        return {
            split: replace(images, names=tuple(f"{row}.png" for row in images.rows.tolist())[self.order])
            for split, images in splits.items()
        }


class Backwards(Named):
    order = slice(None, None, -1)


class Unlabelled(Ramp):
    def load_splits(self):
        return {split: replace(images, labels=None) for split, images in super().load_splits().items()}


class Relabelled(Named):
    def load_splits(self):
        return {split: replace(each, labels=1 + each.labels) for split, each in super().load_splits().items()}


def test_of_images_with_names_the_names_count_in_whatever_order_and_labels_do_not():
    assert Named().identity == Backwards().identity == Relabelled().identity
    assert Named().identity["val"]["num_images"] == 200
    assert len({str(split["digest"]) for split in Named().identity.values()}) == 3
    assert Named().identity != Ramp().identity


def test_of_images_without_names_the_labels_count():
    assert Unlabelled().identity["test"] == {"num_images": 100, "digest": None}
    other = Digits(seed=1).identity
    assert Digits().identity == Digits(seed=0, image_size=8, binarize="fixed", batch_size=1).identity
    assert all(Digits().identity[split]["digest"] != other[split]["digest"] for split in ("train", "val", "test"))


def test_it_is_plain_data():
    assert all(type(value) in (int, str) for split in Ramp().identity.values() for value in split.values())
    assert set(Ramp().identity) == {"train", "val", "test"}
