import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from vae_lightning.data.loader import BatchLoader, ImageSet, seeded_generator


def image_set(size: int) -> ImageSet:
    """Images whose first pixel is their index, stored in reverse."""
    rows = torch.arange(size).flip(0)
    pixels = rows.to(torch.uint8).reshape(size, 1, 1, 1).expand(-1, 4, 5, 3).contiguous()
    return ImageSet(pixels, rows, torch.arange(size) % 10)


def loader(size: int, batch_size: int, *, train: bool = True, **options) -> BatchLoader:
    defaults = {"shuffle": train, "drop_last": train, "with_labels": not train, "seed": 0}
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


def test_training_has_no_labels_and_whole_batches():
    batches = list(loader(50, 8))
    assert [len(batch.images) for batch in batches] == [8] * 6
    assert all(batch.labels is None for batch in batches)


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
