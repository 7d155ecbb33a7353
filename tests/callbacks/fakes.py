"""A tiny VAE-like model, its data, and a real Trainer to run callbacks in."""

import io
import re

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader

from vae_lightning.callbacks.pictures import DrawPicture, as_callbacks
from vae_lightning.data.loader import ImageBatch, ImageSet, TrainingBatches
from vae_lightning.data.picture_files import EXTENSIONS
from vae_lightning.models.distributions import DiagonalNormal, UnitNormal, normal_image, sample
from vae_lightning.models.latent_model import Group, LatentModel, Latents
from vae_lightning.noise import Indexed
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.picture import Picture

NUM_IMAGES = 24


class FakeVAE(LatentModel):
    """Answers what the callbacks ask; BatchNorm, dropout and noise would betray a drawing that trains."""

    num_classes = None

    def __init__(self, channels: int, latent_dim: int):
        super().__init__()
        self.shape = (channels, 8, 8)
        self.latent_dim = latent_dim
        width = channels * 64
        encode = [nn.Linear(width, latent_dim), nn.BatchNorm1d(latent_dim), nn.Dropout(0.5)]
        self.encoder = nn.Sequential(nn.Flatten(), *encode)
        regularized = nn.Sequential(nn.BatchNorm1d(width), nn.Dropout(0.5))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, width), regularized, nn.Sigmoid())
        self.likelihood = nn.Identity()

    def latent_prior(self):
        return UnitNormal(torch.zeros(self.latent_dim), torch.ones(self.latent_dim))

    def observe(self, x, labels=None):
        self._require_quiet()
        loc = self.encoder(x)
        return DiagonalNormal(loc, 0.2 + 0.6 * loc.roll(1, -1).sigmoid())

    def infer(self, observed, noise):
        return (Group(observed, self.latent_prior(), sample(observed, noise)),)

    def latents(self, observed):
        return Latents(observed.base_dist.loc, observed.base_dist.scale)

    def draw(self, noise, labels=None, temperature=1.0):
        return sample(self.latent_prior(), noise, temperature)

    def sampled(self, num_images: int, seed: int):
        """What is drawn with this seed."""
        return self.draw(Indexed(seed, torch.arange(num_images), 1, torch.device("cpu")))[0]

    def decode(self, z, labels=None, target=None):
        self._require_quiet()
        return normal_image(self.decoder(z).view(-1, *self.shape), 1.0)

    def _require_quiet(self):
        assert not any(module.training for module in self.modules())
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        torch.rand(3)  # a network that draws noise even in evaluation


class FakeModule(LightningModule):
    def __init__(self, channels: int, latent_dim: int):
        super().__init__()
        self.vae = FakeVAE(channels, latent_dim)
        self.config = {"name": "fake"}
        self.seed = 0
        self.units = None
        self.frozen = nn.Dropout(0.5).eval()  # a part kept in evaluation mode on purpose

    def training_step(self, batch, batch_idx):
        images = batch.images.flatten(0, 1)
        output = self.vae.decoder(self.vae.encoder(images) + torch.randn(self.vae.latent_dim))
        loss = (output - images.flatten(1)).square().sum(dim=1).mean()
        self.log("train/loss", loss)
        self.log("train/loss_epoch", loss)
        self.log("train/elbo", -loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/elbo", -batch.images.sum(), batch_size=len(batch.images))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-2)


class FakeData(LightningDataModule):
    """24 training images and other validation images; of the labels 0, 1 and 2 in turns, where they have labels.

    Training has six batches of four, of which `steps` come at once.
    """

    def __init__(self, channels: int = 3, has_labels: bool = True, num_val: int = NUM_IMAGES, steps: int = 1):
        super().__init__()
        self.steps, self.channels = steps, channels
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(0, 256, (2, NUM_IMAGES, channels, 8, 8), generator=generator).to(torch.uint8)
        self.levels = {"train": drawn[0], "val": drawn[1][:num_val]}
        self.has_labels = has_labels
        self.splits = {
            split: ImageSet(levels.permute(0, 2, 3, 1), torch.arange(len(levels)), None)
            for split, levels in self.levels.items()
        }

    frame, fit = (8, 8), "crop"
    eval_batch_size = 7
    class_names = None
    num_train_batches = 6
    first_batch = 0
    shown_channels = None
    extensions = EXTENSIONS

    def pictures_in(self, path):
        return [path]

    def examples(self, num_images: int, split: str = "val", balanced: bool = True):
        return self.images_of_indices(range(len(self.levels[split]))[:num_images], split)

    def example_images(self, num_images: int, split: str = "val"):
        return self.examples(num_images, split).images / 255

    def images_of_indices(self, indices, split: str = "val"):
        chosen = torch.tensor(list(indices))
        return ImageBatch(self.levels[split][chosen], chosen, chosen % 3 if self.has_labels else None)

    def images_of_labels(self, labels, split: str = "val"):
        return self.images_of_indices(labels, split)

    def read_images(self, files):
        return torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files])

    def stream(self, split: str, batch_size: int = 5):
        for indices in torch.arange(len(self.levels[split])).split(batch_size):
            yield self.images_of_indices(indices.tolist(), split)

    def train_dataloader(self):
        return self._loader("train", 4 * self.steps, self._joined)

    def val_dataloader(self):
        return self._loader("val", 4, lambda images: ImageBatch(images, torch.zeros(len(images)), None))

    def _joined(self, images):
        return TrainingBatches(images.unflatten(0, (-1, 4)), torch.zeros(len(images)).unflatten(0, (-1, 4)))

    def _loader(self, split: str, batch_size: int, batch_of):
        images = self.levels[split] / 255
        return DataLoader(images, batch_size=batch_size, collate_fn=lambda rows: batch_of(torch.stack(rows)))


def train(run_dir, *callbacks, data=None, channels=3, latent_dim=6, max_epochs=3, ckpt_path=None, **options):
    """Train for three epochs of six steps in `run_dir`, and return the Trainer; the options are the Trainer's."""
    torch.manual_seed(0)
    module = FakeModule(channels, latent_dim)
    defaults = {
        "precision": "bf16-mixed",
        "enable_progress_bar": False,
        "log_every_n_steps": 2,
        "logger": TensorBoardLogger(run_dir, name="", version=""),
    }
    trainer = Trainer(
        default_root_dir=run_dir,
        callbacks=as_callbacks({name_of(each): each for each in callbacks}, module.vae)[0],
        max_epochs=max_epochs,
        accelerator="cpu",
        enable_model_summary=False,
        **defaults | options,
    )
    trainer.fit(module, datamodule=data or FakeData(channels), ckpt_path=ckpt_path, weights_only=True)
    return trainer


def drawing(picture):
    """The callback that draws a picture."""
    return DrawPicture(picture, name_of(picture))


def name_of(callback):
    """The name that a picture has in conf/callbacks; of another callback one that no other has."""
    if isinstance(callback, Embedding):
        return callback.method
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(callback).__name__).lower()
    return name if isinstance(callback, Picture) else f"{name} {id(callback)}"


def events(run_dir):
    """What TensorBoard has of a run."""
    return EventAccumulator(str(run_dir), size_guidance={"images": 0, "scalars": 0}).Reload()


def pixels(png):
    """The picture in a file, or in the bytes of one."""
    return np.asarray(Image.open(io.BytesIO(png) if isinstance(png, bytes) else png))


def frames(gif):
    """The frames of a GIF in a file, or in the bytes of one, and how long each is shown in milliseconds."""
    image = Image.open(io.BytesIO(gif) if isinstance(gif, bytes) else gif)
    shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    return [frame for frame, _ in shown], [duration for _, duration in shown]


def places(picture, image, scale):
    """Where an image in [0, 1] is in a picture that enlarges it so many times: (top, left) from the top down.

    A level more or less is let pass: numbers that were computed in other batches may be rounded the other way.
    """
    levels = image.mul(255).round().expand(3, -1, -1).permute(1, 2, 0).numpy().astype(int)
    tile = levels.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width, _ = tile.shape
    room = picture[: len(picture) - height + 1, : picture.shape[1] - width + 1].astype(int)
    corners = np.argwhere(np.abs(room - tile[0, 0]).max(axis=-1) <= 1).tolist()
    return [(y, x) for y, x in corners if np.abs(picture[y : y + height, x : x + width] - tile).max() <= 1]


def evaluated(trainer):
    """The model a run ended with, as callbacks see it."""
    return trainer.lightning_module.vae.eval()


def captured(monkeypatch, target):
    """Let a function that draws work as before, and collect its arguments, call by call."""
    from pkgutil import resolve_name

    module, name = target.rsplit(".", 1)
    draw, calls = getattr(resolve_name(module), name), []
    monkeypatch.setattr(target, lambda *args: calls.append(args) or draw(*args))
    return calls


def unchecked(cls, *args, **kwargs):
    """An object made without the type checker that the tests put before every constructor."""
    made = cls.__new__(cls)
    cls.__init__.__wrapped__(made, *args, **kwargs)
    return made
