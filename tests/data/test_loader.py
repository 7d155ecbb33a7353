import dataclasses

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from vae_lightning.data.binarize import binarized
from vae_lightning.data.loader import BatchLoader, ImageSet, TrainingLoader, seeded_generator
from vae_lightning.data.packed_bits import packed


def image_set(size: int) -> ImageSet:
    """Images whose first pixel is their index, stored in reverse."""
    rows = torch.arange(size).flip(0)
    pixels = rows.to(torch.uint8).reshape(size, 1, 1, 1).expand(-1, 4, 5, 3).contiguous()
    return ImageSet(pixels, rows, torch.arange(size) % 10)


def loader(size: int, batch_size: int, *, train: bool = True, **options) -> BatchLoader:
    defaults = {"shuffle": train, "drop_last": train, "seed": 0}
    return BatchLoader(image_set(size), batch_size, **{**defaults, **options})


def loaders(world_size: int, *args, **options) -> list[BatchLoader]:
    """The loaders of all ranks."""
    return [loader(*args, rank=rank, world_size=world_size, **options) for rank in range(world_size)]


def order(batches: BatchLoader) -> list[int]:
    return torch.cat([batch.indices for batch in batches]).tolist()


def test_batches_are_the_rows_of_their_indices_channels_last():
    for batch in loader(50, 8, train=False):
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape[1:] == (3, 4, 5)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices % 10)


def test_training_has_whole_batches_with_their_labels():
    every = loader(50, 8)
    batches = list(every)
    assert [len(batch.images) for batch in batches] == [8] * 6
    assert all(torch.equal(batch.labels, every.images.labels[batch.indices]) for batch in batches)
    joined = list(TrainingLoader(every, 4))
    assert [tuple(execution.labels.shape) for execution in joined] == [(4, 8), (2, 8)]
    assert torch.equal(torch.cat([each.labels for each in joined]), torch.stack([batch.labels for batch in batches]))


def test_data_without_labels_have_none_in_training():
    unlabelled = dataclasses.replace(image_set(50), labels=None)
    [execution, *_] = TrainingLoader(BatchLoader(unlabelled, 8, shuffle=True, seed=0, drop_last=True), 2)
    assert execution.labels is None


def test_order_is_a_function_of_seed_and_epoch_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, again, other_seed = loader(100, 10), loader(100, 10), loader(100, 10, seed=1)
    epoch_0 = order(first)
    torch.rand(1)  # moves the global generator, and must not matter
    torch.set_rng_state(state)
    assert order(again) == epoch_0 == order(first)
    assert order(other_seed) != epoch_0
    first.set_epoch(1)
    again.set_epoch(1)
    assert order(first) == order(again) != epoch_0
    assert sorted(order(first)) == list(range(100))
    assert torch.equal(torch.get_rng_state(), state)


def test_unshuffled_training_keeps_the_order():
    assert order(loader(20, 5, shuffle=False)) == list(range(20))


@pytest.mark.parametrize("world_size", range(1, 6))
@pytest.mark.parametrize("size", [5, 17, 100, 101, 103])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 200])
def test_evaluation_shares_cover_everything_once_in_equally_many_batches(size, batch_size, world_size):
    ranks = loaders(world_size, size, batch_size, train=False)
    assert [index for rank in ranks for index in order(rank)] == list(range(size))
    counts = {len(list(rank)) for rank in ranks}
    assert counts == {len(ranks[0])}
    sizes = [len(batch.indices) for rank in ranks for batch in rank]
    assert min(sizes) >= 1
    assert max(sizes) <= max(batch_size, 2)


@pytest.mark.parametrize("world_size", range(1, 6))
@pytest.mark.parametrize("size", [40, 101, 103])
def test_training_shares_are_disjoint_and_cover_all_but_the_dropped(size, world_size):
    ranks = loaders(world_size, size, 4)
    seen = [index for rank in ranks for index in order(rank)]
    assert len(seen) == len(set(seen)) > size - world_size * 4 - world_size
    assert {len(list(rank)) for rank in ranks} == {size // world_size // 4}


def test_a_rank_without_a_batch_is_refused():
    with pytest.raises(ValueError, match="3 images make no batch of 1 on 4 ranks"):
        loader(3, 1, train=False, world_size=4)
    with pytest.raises(ValueError, match="no batch"):
        loader(7, 8)


def test_seeded_generator_differs_by_each_part_of_its_key():
    keys = [("a", 0), ("a", 1), ("b", 0), ("a", 0, 0), ("a", -1)]
    seeds = {seeded_generator(*key).initial_seed() for key in keys}
    assert len(seeds) == 5


class Recorder(LightningModule):
    """Notes the order in which it is shown the images."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[int]] = {}
        self.validated = 0

    def training_step(self, batch):
        self.seen.setdefault(self.current_epoch, []).extend(batch.indices.tolist())
        return self.weight**2

    def validation_step(self, batch):
        self.validated += len(batch.indices)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(epochs: int, folder, resume=None) -> Recorder:
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    quiet["num_sanity_val_steps"] = 0
    module = Recorder()
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=folder, **quiet)
    trainer.fit(module, loader(40, 8), loader(30, 8, train=False), ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return module


def test_a_trainer_sets_the_epoch_also_when_it_resumes(tmp_path):
    whole = fit(2, tmp_path)
    assert whole.seen[0] != whole.seen[1]
    assert sorted(whole.seen[0]) == sorted(whole.seen[1]) == list(range(40))
    assert whole.validated == 60
    assert fit(1, tmp_path).seen == {0: whole.seen[0]}
    assert fit(2, tmp_path, resume=tmp_path / "1.ckpt").seen == {1: whole.seen[1]}


# Several batches at once


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 16])
@pytest.mark.parametrize("ranks", [{}, {"rank": 1, "world_size": 2}])
def test_joined_batches_are_the_single_ones_in_their_order(steps, ranks):
    singles, joined = loader(50, 4, **ranks), TrainingLoader(loader(50, 4, **ranks), steps)
    for epoch in (0, 1):
        singles.set_epoch(epoch)
        joined.batch_sampler.sampler.set_epoch(epoch)  # as Lightning does
        executions = list(joined)
        assert len(executions) == len(joined) == -(-len(singles) // steps)
        assert [len(execution.images) for execution in executions[:-1]] == [steps] * (len(joined) - 1)
        for name in ("images", "indices"):
            together = torch.cat([getattr(execution, name) for execution in executions])
            assert torch.equal(together, torch.stack([getattr(batch, name) for batch in singles]))
            assert together.dtype == getattr(next(iter(singles)), name).dtype


def test_each_of_the_joined_batches_is_channels_last():
    for execution in TrainingLoader(loader(50, 8), 4):
        for images in execution.images:
            assert images.shape == (8, 3, 4, 5)
            assert images.is_contiguous(memory_format=torch.channels_last)


def test_images_are_copied_when_their_turn_comes_and_no_sooner(monkeypatch):
    copied = []
    plain = ImageSet.images
    monkeypatch.setattr(ImageSet, "images", lambda self, indices: copied.append(len(indices)) or plain(self, indices))
    executions = iter(TrainingLoader(loader(50, 4), 5))
    assert copied == []
    next(executions)
    assert copied == [5 * 4]
    assert len(list(executions)) == 2
    assert copied == [5 * 4, 5 * 4, 2 * 4]


@pytest.mark.parametrize(("limit", "num_batches"), [(None, 12), (1, 1), (5, 5), (12, 12), (100, 12)])
def test_a_limit_leaves_the_first_batches_of_each_epoch(limit, num_batches):
    limited, whole = loader(50, 4, max_batches=limit), loader(50, 4)
    for epoch in (0, 1):
        limited.set_epoch(epoch)
        whole.set_epoch(epoch)
        assert order(limited) == order(whole)[: num_batches * 4]
    assert len(limited) == len(list(limited)) == num_batches


# Where training images lie

GPU = torch.device("cuda", 1)


@pytest.fixture
def moves(monkeypatch):
    """What a GPU would be asked for, on a machine that needs none."""
    asked: list[object] = []
    plain = torch.Tensor.to

    def to(self, *args, **kwargs):
        if args[:1] != (GPU,):
            return plain(self, *args, **kwargs)
        asked.append(("to", self.dtype))
        return self.clone()

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: asked.append("pin") or self)
    return asked


def with_free_memory(monkeypatch, free: int) -> None:
    def mem_get_info(device):
        assert device == GPU
        return free, 10 * free

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)


def test_on_the_cpu_images_stay_where_they_are(moves):
    images = image_set(50)
    assert images.for_training_on(torch.device("cpu")) is images
    assert moves == []


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_images_go_to_a_gpu_with_room_for_twice_as_many(moves, monkeypatch, spare, fits):
    images = image_set(50)
    with_free_memory(monkeypatch, 2 * images.pixels.nbytes + spare)
    placed = images.for_training_on(GPU)
    assert moves == ([("to", torch.int64), ("to", torch.uint8), ("to", torch.int64)] if fits else [])
    assert placed.pinned is not fits
    assert (placed.pixels is images.pixels) is not fits
    assert not images.pinned
    list(TrainingLoader(BatchLoader(placed, 8, shuffle=True, seed=0, drop_last=True), 4))
    assert moves.count("pin") == (0 if fits else 2)  # once an execution


def test_batches_are_the_same_wherever_the_images_lie(moves, monkeypatch):
    images = image_set(50)
    options = {"shuffle": True, "seed": 0, "drop_last": True}
    orders = []
    for free in (0, 10**9):
        with_free_memory(monkeypatch, free)
        batches = list(BatchLoader(images.for_training_on(GPU), 8, **options))
        orders.append([batch.images[:, 0, 0, 0].tolist() for batch in batches])
    assert orders[0] == orders[1] == [batch.indices.tolist() for batch in BatchLoader(images, 8, **options)]


# Binary images that are kept as bits


def bits_and_bytes(channels: int) -> tuple[ImageSet, ImageSet]:
    """The same images, a bit and a byte a pixel."""
    rows = torch.arange(50).flip(0)
    pixels = 255 * torch.randint(2, (50, 4, 16, 1), dtype=torch.uint8, generator=seeded_generator("pixels"))
    plain = ImageSet(pixels.expand(-1, -1, -1, channels).contiguous(), rows, None)
    bits = torch.from_numpy(packed(pixels.numpy()))
    return dataclasses.replace(plain, pixels=bits, packed_channels=channels), plain


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_of_bits_are_those_of_bytes(channels):
    bits, plain = bits_and_bytes(channels)
    assert bits.image_shape == plain.image_shape == (4, 16, channels)
    pair = [BatchLoader(images, 8, shuffle=True, seed=0, drop_last=True) for images in (bits, plain)]
    for one, other in zip(*pair, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.images.stride() == other.images.stride()
    for one, other in zip(*(TrainingLoader(each, 4) for each in pair), strict=True):
        assert torch.equal(one.images, other.images)
        assert one.images.stride() == other.images.stride()


def test_a_draw_from_bits_is_that_from_bytes():
    bits, plain = (binarized(each, 0, "train") for each in bits_and_bytes(1))
    assert bits.packed_channels is None
    assert torch.equal(bits.pixels, plain.pixels)


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_bits_go_to_a_gpu_as_they_are_or_are_unpacked_into_pinned_memory(moves, monkeypatch, spare, fits):
    bits, plain = bits_and_bytes(3)
    with_free_memory(monkeypatch, 2 * 50 * 4 * 2 + spare)
    placed = bits.for_training_on(GPU)
    assert moves == ([("to", torch.uint8), ("to", torch.int64)] if fits else [])
    assert placed.image_shape == plain.image_shape
    assert torch.equal(placed.images(torch.arange(50)), plain.images(torch.arange(50)))
    assert moves.count("pin") == (not fits)
