from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from vae_lightning.data.decode import decode_image
from vae_lightning.data.image_data import ImageDataModule, randomly_flipped, round_robin
from vae_lightning.data.loader import ImageBatch, ImageSet
from vae_lightning.errors import UserError


class Ramp(ImageDataModule):
    """600 images of 6 x 6 that are 40 % grey, but for their left column, which is black; 300 / 200 / 100."""

    sizes = (300, 200, 100)
    times_loaded = 0

    def __init__(self, **options):
        defaults = {"image_size": 6, "channels": 1, "batch_size": 50, "seed": 0}
        super().__init__(**{**defaults, **options})

    def prepare_data(self):
        pass

    def decode(self, path):
        return torch.from_numpy(decode_image(path, self.image_size, self.channels).copy())

    def load_splits(self):
        self.times_loaded += 1
        pixels = torch.full((600, 6, 6, self.channels), 102, dtype=torch.uint8)
        pixels[:, :, 0] = 0
        splits = zip(("train", "val", "test"), torch.arange(600).split(self.sizes), strict=True)
        return {split: ImageSet(pixels, rows, rows % 3) for split, rows in splits}


class Numbered(Ramp):
    """Image n of all 600 has n in its upper left corner, in two pixels."""

    def load_splits(self):
        splits = super().load_splits()
        pixels, rows = splits["train"].pixels, torch.arange(600)
        pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = rows // 256, rows % 256
        return splits


def numbers(images: torch.Tensor) -> list[int]:
    """Which of `Numbered`'s images these are."""
    return (images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1].long()).tolist()


class Collector(LightningModule):
    """Keeps the batches it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches: dict[str, list[ImageBatch]] = {"train": [], "val": [], "test": []}

    def training_step(self, batches):
        for images, indices in zip(batches.images, batches.indices, strict=True):
            seen = self.trainer.datamodule.training_images(images)
            self.batches["train"].append(ImageBatch(seen, indices, None))
        return self.weight**2

    def validation_step(self, batch):
        self.batches["val"].append(batch)

    def test_step(self, batch):
        self.batches["test"].append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def images(self, split: str) -> torch.Tensor:
        """All images of the split, in the order of their indices."""
        indices = torch.cat([batch.indices for batch in self.batches[split]])
        return torch.cat([batch.images for batch in self.batches[split]])[indices.argsort()]


def collect(data: ImageDataModule, epochs: int = 1) -> Collector:
    extras = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    module = Collector()
    quiet = dict.fromkeys(extras, False)
    trainer = Trainer(max_epochs=epochs, num_sanity_val_steps=0, accelerator="cpu", **quiet)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    return module


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"eval_batch_size": -1}, "eval_batch_size must be at least 1, got -1"),
        ({"image_size": 0}, "image_size must be a positive number of pixels, or two as [height,width], got 0"),
        ({"channels": 2}, "channels must be 1 (grey) or 3 (RGB), got 2"),
    ],
)
def test_impossible_options_are_named(option, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Ramp(**option)
    assert str(error.value) == message


def test_too_large_a_batch_is_refused_with_the_choices():
    data = Ramp(batch_size=301)
    with pytest.raises(UserError) as error:
        data.setup()
    expected = "data.batch_size=301 is larger than the training split of 300 images; choose 1 to 300"
    assert str(error.value) == expected
    Ramp(batch_size=300).setup()


def test_an_empty_split_is_refused(monkeypatch):
    monkeypatch.setattr(Ramp, "sizes", (500, 0, 100))
    with pytest.raises(UserError, match="0 val images"):
        Ramp().setup()


def test_splits_are_loaded_once():
    data = Ramp()
    data.setup("fit")
    data.setup("test")
    data.val_dataloader()
    assert data.times_loaded == 1
    assert data.image_shape == (1, 6, 6)


def test_batches_become_floats_in_the_unit_interval_and_keep_their_memory_format():
    module = collect(Ramp(channels=3))
    for split, size in [("train", 300), ("val", 200), ("test", 100)]:
        images = module.images(split)
        assert images.shape == (size, 3, 6, 6)
        assert images.dtype == torch.float32
        assert images.unique().tolist() == [0.0, pytest.approx(0.4)]
        assert module.batches[split][0].images.is_contiguous(memory_format=torch.channels_last)
    assert module.batches["train"][0].labels is None
    assert torch.equal(module.batches["val"][0].labels[:4], torch.tensor([0, 1, 2, 0]))


def test_about_half_the_training_images_are_flipped_and_no_others():
    module = collect(Ramp(horizontal_flip=True))
    left_is_black = {split: module.images(split)[:, 0, :, 0].amax(1) == 0 for split in module.batches}
    right_is_black = module.images("train")[:, 0, :, -1].amax(1) == 0
    assert left_is_black["val"].all()
    assert left_is_black["test"].all()
    assert torch.equal(left_is_black["train"], ~right_is_black)
    assert 100 < left_is_black["train"].sum() < 200  # 300 draws: further off than 5 sigma


def test_a_flip_mirrors_whole_images_and_keeps_their_memory_format():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (64, 4, 5, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    flipped = randomly_flipped(images)
    kept = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 0 < kept.sum() < 64
    assert flipped.is_contiguous(memory_format=torch.channels_last)


def is_binary(images: torch.Tensor) -> bool:
    return images.unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("binarize", ["dynamic", "fixed"])
def test_binarized_pixels_are_bernoulli_draws_of_the_grey(binarize):
    module = collect(Ramp(binarize=binarize, channels=3))
    for split in module.batches:
        images = module.images(split)
        assert is_binary(images)
        assert images[:, :, :, 0].max() == 0
        assert module.batches[split][0].images.is_contiguous(memory_format=torch.channels_last)
        assert images[:, :, :, 1:].mean() == pytest.approx(0.4, abs=0.02)  # 9,000 draws or more: 4 sigma


@pytest.mark.parametrize("binarize", ["dynamic", "fixed"])
def test_evaluation_binarizes_alike_whatever_the_batch_size_and_the_global_generator(binarize):
    torch.manual_seed(1)
    one = collect(Ramp(binarize=binarize, eval_batch_size=500))
    torch.manual_seed(2)
    other = collect(Ramp(binarize=binarize, eval_batch_size=7))
    reseeded = collect(Ramp(binarize=binarize, seed=1))
    for split in ("val", "test"):
        assert torch.equal(one.images(split), other.images(split))
        assert not torch.equal(one.images(split), reseeded.images(split))
    assert not torch.equal(one.images("val")[:100], one.images("test"))  # splits don't share noise


def test_training_draws_anew_each_time_if_dynamic_and_never_if_fixed():
    for binarize in ("dynamic", "fixed"):
        module = collect(Ramp(binarize=binarize), epochs=2)
        batches = module.batches["train"]
        epochs = []
        for half in (batches[:6], batches[6:]):
            module.batches["train"] = half
            epochs.append(module.images("train"))
        assert torch.equal(*epochs) == (binarize == "fixed")


@pytest.mark.parametrize("binarize", ["none", "dynamic", "fixed"])
def test_examples_are_what_evaluation_sees(binarize):
    data = Ramp(binarize=binarize)
    state = torch.get_rng_state()
    examples = data.example_images(16)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(data.example_images(16), examples)
    assert torch.equal(data.example_images(4), examples[:4])
    seen = collect(data).images("val")
    assert all((seen == example).flatten(1).all(1).any() for example in examples)
    if binarize != "none":
        assert not torch.equal(Ramp(binarize=binarize, seed=1).example_images(16), examples)
        assert is_binary(data.example_images(16, "train"))
        assert torch.equal(data.example_images(16, "train"), data.example_images(16, "train"))


def test_there_are_no_more_examples_than_images():
    assert Ramp().example_images(1000, "test").shape == (100, 1, 6, 6)


# A few images, chosen


@pytest.mark.parametrize(("split", "first"), [("train", 0), ("val", 300), ("test", 500)])
def test_examples_are_told_with_their_indices_and_labels(split, first):
    data = Numbered()
    batch = data.examples(30, split)
    assert batch.images.dtype == torch.uint8
    assert [first + index for index in batch.indices.tolist()] == numbers(batch.images)
    assert len(set(batch.indices.tolist())) == 30
    assert batch.labels.tolist() == [number % 3 for number in numbers(batch.images)]
    assert batch.labels.bincount().tolist() == [10, 10, 10]
    assert torch.equal(data.examples(10, split).indices, batch.indices[:10])
    assert not torch.equal(Numbered(seed=1).examples(30, split).indices, batch.indices)
    assert torch.equal(data.example_images(30, split), batch.images.float() / 255)


def test_images_come_in_the_order_of_the_indices_as_often_as_they_are_named():
    data = Numbered()
    batch = data.images_at(torch.tensor([7, 0, 199, 7]))
    assert numbers(batch.images) == [307, 300, 499, 307]
    assert batch.indices.tolist() == [7, 0, 199, 7]
    assert batch.labels.tolist() == [307 % 3, 0, 499 % 3, 307 % 3]
    assert numbers(data.images_of_indices([99, 3], "test").images) == [599, 503]


@pytest.mark.parametrize(("wrong", "split"), [([3, 200], "val"), ([-1], "val"), ([100, 300], "test")])
def test_an_index_that_is_not_there_is_named(wrong, split):
    sizes = {"val": 200, "test": 100}
    with pytest.raises(UserError) as error:
        Numbered().images_of_indices(wrong, split)
    index = next(index for index in wrong if not 0 <= index < sizes[split])
    expected = f"indices: {index} is none of the {sizes[split]} {split} images; choose 0 to {sizes[split] - 1}"
    assert str(error.value) == expected


def test_each_label_gets_an_image_and_a_repeated_one_another():
    data = Numbered()
    batch = data.images_of_labels([2, 0, 2, 2], "test")
    assert batch.labels.tolist() == [2, 0, 2, 2]
    assert [number % 3 for number in numbers(batch.images)] == [2, 0, 2, 2]
    assert len(set(numbers(batch.images))) == 4
    assert torch.equal(data.images_of_labels([2, 0], "test").indices, batch.indices[:2])
    assert any(
        not torch.equal(Numbered(seed=seed).images_of_labels([2], "test").indices, batch.indices[:1]) for seed in (1, 2)
    )


def test_a_label_without_images_is_named_with_the_choices():
    with pytest.raises(UserError) as error:
        Numbered().images_of_labels([1, 7], "val")
    assert str(error.value) == "labels: the val images have no more of label 7; valid here: 0, 1, 2"
    with pytest.raises(UserError, match="the test images have no more of label 0"):
        Numbered().images_of_labels([0] * 34, "test")  # of which there are 33


@pytest.mark.parametrize("size", [1, 64, 1000])
@pytest.mark.parametrize("binarize", ["none", "dynamic", "fixed"])
def test_a_stream_is_all_of_a_split_as_evaluation_sees_it(size, binarize):
    data = Numbered(binarize=binarize)
    for split in ("val", "test"):
        batches = list(data.stream(split, size))
        assert max(len(batch.images) for batch in batches) == min(size, len(data.splits[split]))
        loaded = list(data.val_dataloader() if split == "val" else data.test_dataloader())
        for name in ("images", "indices", "labels"):
            streamed, expected = (torch.cat([getattr(batch, name) for batch in each]) for each in (batches, loaded))
            assert torch.equal(streamed, expected)
            assert streamed.dtype == expected.dtype


@pytest.mark.parametrize("binarize", ["dynamic", "fixed"])
def test_a_training_image_is_binarized_alike_however_it_is_asked_for(binarize):
    data = Numbered(binarize=binarize)
    streamed = torch.cat([batch.images for batch in data.stream("train", 70)])
    assert streamed.unique().tolist() == [0, 255]
    assert torch.equal(data.images_at(torch.tensor([250, 3]), "train").images, streamed[[250, 3]])
    examples = data.examples(5, "train")
    assert torch.equal(examples.images, streamed[examples.indices])


# Picture files


@pytest.fixture
def grey_file(tmp_path):
    Image.new("L", (9, 6), 102).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_a_file_becomes_one_of_the_images_without_the_data(grey_file):
    data = Ramp(channels=3)
    image = data.read_image(grey_file)
    assert image.shape == data.image_shape
    assert image.dtype == torch.uint8
    assert image.unique().tolist() == [102]
    assert data.times_loaded == 0
    assert torch.equal(data.read_images([grey_file, str(grey_file)]), torch.stack([image, image]))


@pytest.mark.parametrize("binarize", ["dynamic", "fixed"])
def test_files_are_binarized_by_a_draw_of_the_seed_and_their_place(grey_file, binarize):
    data = Ramp(binarize=binarize)
    files = [grey_file] * 200
    images = data.read_images(files)
    assert images.unique().tolist() == [0, 255]
    assert images.float().mean() / 255 == pytest.approx(0.4, abs=0.025)  # 7,200 draws: over 4 sigma
    assert not torch.equal(images[0], images[1])
    assert torch.equal(data.read_images(files[:3], first_index=5), images[5:8])
    assert torch.equal(data.read_image(grey_file, 7), images[7])
    assert not torch.equal(Ramp(binarize=binarize, seed=1).read_image(grey_file), images[0])
    drawn = data._drawn(torch.full((1, 1, 6, 6), 102, dtype=torch.uint8), torch.tensor([0]), "val")
    assert not torch.equal(drawn[0], images[0])  # not the noise of the data's own images


def test_a_file_that_cannot_be_read_is_named(grey_file, tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "cut.png").write_bytes(grey_file.read_bytes()[:45])
    for name, reason in (
        ("missing.png", "no such file"),
        ("text.png", "can't be read as a picture (cannot identify its format)"),
        ("cut.png", "can't be read as a picture ("),
        (".", "can't be read as a picture ("),
    ):
        with pytest.raises(UserError) as error:
            Ramp().read_images([grey_file, tmp_path / name])
        assert str(error.value).startswith(f"images: {tmp_path / name}: {reason}")
        assert "\n" not in str(error.value)


def test_round_robin_takes_the_labels_in_turn():
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 2)
    order = torch.randperm(57, generator=torch.Generator().manual_seed(0))
    spread = round_robin(order, labels)
    assert sorted(spread.tolist()) == list(range(57))
    assert sorted(labels[spread[:3]].tolist()) == sorted(labels[spread[3:6]].tolist()) == [0, 1, 2]
    assert labels[spread[:12]].bincount().tolist() == [5, 5, 2]


def test_round_robin_counts_the_turns_of_each_label_and_takes_any_number_for_one():
    labels = torch.tensor([3, 0, 3, 7, 3, 0])
    order = torch.tensor([5, 4, 3, 2, 1, 0])
    one_hot = torch.nn.functional.one_hot(labels[order])
    turns = (one_hot.cumsum(0) * one_hot).sum(1)
    assert torch.equal(round_robin(order, labels), order[turns.argsort(stable=True)])
    assert round_robin(torch.arange(3), torch.tensor([10**12, 10**12, 5])).tolist() == [0, 2, 1]


def test_ranks_of_the_trainer_get_their_shares():
    class OnRank:
        global_rank, world_size, training = 1, 2, False
        strategy = SimpleNamespace(root_device=torch.device("cpu"))

    data = Ramp()
    data.trainer = OnRank()
    assert [len(batch.indices) for batch in data.val_dataloader()] == [100]
    assert next(iter(data.val_dataloader())).indices[0] == 100
    assert len(data.train_dataloader()) == 3
    too_large = Ramp(batch_size=151)
    too_large.trainer = OnRank()
    with pytest.raises(UserError, match=r"data\.batch_size=151 on 2 ranks .* choose 1 to 150"):
        too_large.setup()
