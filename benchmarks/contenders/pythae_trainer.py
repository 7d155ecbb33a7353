"""pythae 0.1.2's own VAE and trainer, as its documentation shows them, on the same layers."""

import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.contenders.cases import Case
from benchmarks.contenders.images import uint8_images
from benchmarks.contenders.turns import Turns


class Encoder(BaseEncoder):
    """The case's encoder with the two heads, as pythae wants it."""

    def __init__(self, case: Case):
        super().__init__()
        self.layers = case.encoder(case.image_shape)
        self.mean = nn.Linear(self.layers.num_features, case.latent_dim)
        self.log_variance = nn.Linear(self.layers.num_features, case.latent_dim)

    def forward(self, x: Tensor) -> ModelOutput:
        features = self.layers(x)
        return ModelOutput(embedding=self.mean(features), log_covariance=self.log_variance(features))


class Decoder(BaseDecoder):
    """The case's decoder, which in pythae ends in the sigmoid."""

    def __init__(self, case: Case):
        super().__init__()
        self.layers = case.decoder(case.latent_dim, case.image_shape)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))


class EpochTurns(TrainingCallback):
    """A turn for each training epoch."""

    def __init__(self, turns: Turns, num_images: int) -> None:
        self.turns = turns
        self.num_images = num_images

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **_: object) -> None:
        self.turns.begin()

    def on_epoch_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
        self.turns.end(self.num_images)


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn; pythae computes in float32 on the CPU."""
    if precision != "32-true":
        raise ValueError(f"precision must be 32-true, got {precision}")
    images = uint8_images(case)[: case.num_images]
    whole_batches = len(images) // batch_size * batch_size  # pythae keeps a last smaller batch
    data = images[:whole_batches].permute(0, 3, 1, 2).float() / 255
    callbacks = [EpochTurns(turns, len(data))]
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder, num_epochs=num_epochs, per_device_train_batch_size=batch_size, learning_rate=1e-3
        )
        loss = "bce" if case.is_grey else "mse"
        model_config = VAEConfig(input_dim=case.image_shape, latent_dim=case.latent_dim, reconstruction_loss=loss)
        model = VAE(model_config, encoder=Encoder(case), decoder=Decoder(case))
        dataset = BaseDataset(data, torch.zeros(len(data)))
        BaseTrainer(model, train_dataset=dataset, training_config=config, callbacks=callbacks).train()
