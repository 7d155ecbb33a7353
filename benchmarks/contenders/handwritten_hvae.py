"""The two-level VAE with VampPrior of arXiv 1705.07120 in a loop that does nothing but train.

Batches of binarized MNIST are sliced from uint8 memory; Adam is fused; a moving average of the weights is kept.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contenders.cases import Case
from benchmarks.contenders.images import uint8_images
from benchmarks.contenders.turns import Turns
from vae_lightning.machine.hardware import flush_denormals, keep_freed_memory

_PIXELS, _HIDDEN, _LATENTS, _COMPONENTS = 784, 300, 40, 500


class Gate(nn.Module):
    """A layer and its gate."""

    def __init__(self, num_inputs: int, num_outputs: int):
        super().__init__()
        self.both = nn.Linear(num_inputs, 2 * num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, as far as its gate is open."""
        value, gate = self.both(x).chunk(2, -1)
        return value * torch.sigmoid(gate)


class Heads(nn.Module):
    """Mean and log-variance."""

    def __init__(self):
        super().__init__()
        self.both = nn.Linear(_HIDDEN, 2 * _LATENTS)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of a normal distribution."""
        mean, log_variance = self.both(features).chunk(2, -1)
        return mean, functional.hardtanh(log_variance, -6, 2)


class Hierarchy(nn.Module):
    """The model; z2 is the top group."""

    def __init__(self, images: Tensor):
        super().__init__()
        self.q2 = nn.Sequential(Gate(_PIXELS, _HIDDEN), Gate(_HIDDEN, _HIDDEN), Heads())
        self.q1_of_x, self.q1_of_z = Gate(_PIXELS, _HIDDEN), Gate(_LATENTS, _HIDDEN)
        self.q1 = nn.Sequential(Gate(2 * _HIDDEN, _HIDDEN), Heads())
        self.p1 = nn.Sequential(Gate(_LATENTS, _HIDDEN), Gate(_HIDDEN, _HIDDEN), Heads())
        self.x_of_1, self.x_of_2 = Gate(_LATENTS, _HIDDEN), Gate(_LATENTS, _HIDDEN)
        self.x = nn.Sequential(Gate(2 * _HIDDEN, _HIDDEN), nn.Linear(_HIDDEN, _PIXELS))
        self.pseudo_inputs = nn.Parameter(images.clamp(0.01, 0.99).logit())

    def log_prior(self, z: Tensor) -> Tensor:
        """The mixture's density by products of matrices."""
        mean, log_variance = self.q2(torch.sigmoid(self.pseudo_inputs))
        precision = torch.exp(-log_variance)
        squares = z.square() @ precision.T - 2 * z @ (mean * precision).T + (mean.square() * precision).sum(1)
        constants = log_variance.sum(1) + _LATENTS * math.log(2 * math.pi)
        return torch.logsumexp(-0.5 * (squares + constants), -1) - math.log(len(mean))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distortion and rate of each image, by one sample."""
        q2 = self.q2(x)
        z2 = _drawn(*q2)
        q1 = self.q1(torch.cat([self.q1_of_x(x), self.q1_of_z(z2)], -1))
        z1 = _drawn(*q1)
        logits = self.x(torch.cat([self.x_of_1(z1), self.x_of_2(z2)], -1))
        distortion = functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        rate = _log_normal(z2, *q2) + _log_normal(z1, *q1) - _log_normal(z1, *self.p1(z2)) - self.log_prior(z2)
        return distortion, rate


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn, in float32."""
    flush_denormals()
    keep_freed_memory()
    images = uint8_images(case).flatten(1)
    network = Hierarchy(images[torch.randperm(len(images))[:_COMPONENTS]].float() / 255)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    num_batches = (case.num_images or len(images)) // batch_size
    for _ in range(num_epochs):
        turns.begin()
        order = torch.randperm(len(images))
        for number, batch in enumerate(order[: num_batches * batch_size].split(batch_size)):
            distortion, rate = network(torch.bernoulli(images[batch].float().div_(255)))
            loss = (distortion + rate).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if number % 10 == 0:
                with torch.no_grad():
                    for name, value in network.state_dict().items():
                        average[name].lerp_(value, 0.005)
        turns.end(num_batches * batch_size)


def _drawn(mean: Tensor, log_variance: Tensor) -> Tensor:
    return mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)


def _log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * math.pi) + log_variance + (z - mean).square() * torch.exp(-log_variance)).sum(-1)
