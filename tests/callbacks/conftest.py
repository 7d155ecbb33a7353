"""A tiny VAE-like model, its data, and a real Trainer to run callbacks in."""

from collections import namedtuple

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

Batch = namedtuple("Batch", "images")


class FakeVAE(nn.Module):
    """Answers what the callbacks ask; BatchNorm and dropout would betray a drawing that trains."""

    def __init__(self, channels: int):
        super().__init__()
        self.shape = (channels, 8, 8)
        width = channels * 64
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(width, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        regularized = nn.Sequential(nn.BatchNorm1d(width), nn.Dropout(0.5))
        self.decoder = nn.Sequential(nn.Linear(6, width), regularized, nn.Sigmoid())

    def sample_prior(self, num_images: int, seed: int):
        return torch.randn(num_images, 6, generator=torch.Generator().manual_seed(seed))

    def generate(self, z):
        assert not any(module.training for module in self.modules())
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        torch.rand(3)  # a network that draws noise even in evaluation
        return self.decoder(z).view(-1, *self.shape)

    def reconstruct(self, x):
        return self.generate(self.encoder(x))


class FakeModule(LightningModule):
    def __init__(self, channels: int):
        super().__init__()
        self.vae = FakeVAE(channels)
        self.frozen = nn.Dropout(0.5).eval()  # a part kept in evaluation mode on purpose

    def training_step(self, batch, batch_idx):
        output = self.vae.decoder(self.vae.encoder(batch.images) + torch.randn(6))
        loss = (output - batch.images.flatten(1)).square().sum(dim=1).mean()
        self.log("train/loss", loss)
        self.log("train/elbo", -loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/elbo", -batch.images.sum(), batch_size=len(batch.images))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-2)


class FakeData(LightningDataModule):
    def __init__(self, channels: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        levels = torch.randint(0, 256, (24, channels, 8, 8), generator=generator)
        self.images = levels / 255

    def example_images(self, num_images: int):
        return self.images[:num_images]

    def train_dataloader(self):
        return DataLoader(self.images, batch_size=4, collate_fn=lambda rows: Batch(torch.stack(rows)))

    val_dataloader = train_dataloader


@pytest.fixture
def fit(tmp_path):
    """`fit(*callbacks)` trains for three epochs in `tmp_path`, and returns the Trainer."""

    def run(*callbacks, channels=3, max_epochs=3, ckpt_path=None, run_dir=tmp_path, **options):
        torch.manual_seed(0)
        module = FakeModule(channels)
        options = {"precision": "bf16-mixed", "enable_progress_bar": False, "log_every_n_steps": 2} | options
        trainer = Trainer(
            default_root_dir=run_dir,
            logger=TensorBoardLogger(run_dir, name="", version=""),
            callbacks=list(callbacks),
            max_epochs=max_epochs,
            accelerator="cpu",
            enable_model_summary=False,
            **options,
        )
        trainer.fit(module, datamodule=FakeData(channels), ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return run


@pytest.fixture
def tensorboard(tmp_path):
    """`tensorboard()` reads back the events written below `tmp_path`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read():
        return EventAccumulator(str(tmp_path), size_guidance={"images": 0, "scalars": 0}).Reload()

    return read
