"""The usual Lightning tutorial: a torchvision dataset, ToTensor, a DataLoader of two workers, self.log each step."""

import tempfile
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import MNIST

from benchmarks.contenders.cases import DATA, Case
from benchmarks.contenders.epochs import EpochTurns
from benchmarks.contenders.handwritten import negative_elbo
from benchmarks.contenders.turns import Turns


class Faces(Dataset):
    """Pictures of a folder, opened when they are asked for."""

    def __init__(self, files: list[Path], transform: transforms.Compose):
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.open(self.files[index]).convert("RGB")), 0


class TutorialVAE(LightningModule):
    """Automatic optimization with plain Adam, and the loss on the progress bar."""

    def __init__(self, case: Case):
        super().__init__()
        self.case = case
        self.network = case.network()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, _ = batch
        loss = negative_elbo(self.case, x, *self.network(x))
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn; precision as Lightning's Trainer takes it."""
    loader = DataLoader(_dataset(case), batch_size=batch_size, shuffle=True, drop_last=True, num_workers=2)
    callbacks = [EpochTurns(turns, batch_size)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(max_epochs=num_epochs, precision=precision, default_root_dir=folder, callbacks=callbacks)
        trainer.fit(TutorialVAE(case), loader)


def _dataset(case: Case) -> Dataset:
    if case.is_grey:
        return MNIST(DATA, train=True, transform=transforms.ToTensor())
    size = case.image_shape[1]
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.RandomHorizontalFlip()]
    faces = Faces(sorted((DATA / "anime-faces").glob("*.jpg")), transforms.Compose([*steps, transforms.ToTensor()]))
    return Subset(faces, range(case.num_images)) if case.num_images else faces
