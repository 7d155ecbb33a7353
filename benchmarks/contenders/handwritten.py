"""A loop as fast as plain PyTorch allows, which does nothing but train: the measure of what a framework costs.

Whole batches are sliced from uint8 memory on the device; Adam is fused; convolutions are channels_last.
"""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.contenders.cases import Case
from benchmarks.contenders.images import uint8_images
from benchmarks.contenders.turns import Turns


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn; precision is "32-true" or "bf16-mixed"."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = uint8_images(case).to(device)
    network = case.network().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    num_batches = (case.num_images or len(images)) // batch_size
    for _ in range(num_epochs):
        turns.begin()
        order = torch.randperm(len(images), device=device)
        for batch in order[: num_batches * batch_size].split(batch_size):
            x = images.index_select(0, batch).permute(0, 3, 1, 2)
            if case.flips:
                x = torch.where(torch.rand(len(x), 1, 1, 1, device=device) < 0.5, x.flip(3), x)
            x = x.float().div_(255)
            with torch.autocast(device.type, torch.bfloat16) if precision == "bf16-mixed" else nullcontext():
                decoded, mean, log_variance = network(x)
            loss = negative_elbo(case, x, decoded.float(), mean.float(), log_variance.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        turns.end(num_batches * batch_size)


def negative_elbo(case: Case, x: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """In nats per image: Bernoulli pixels for grey images, Gaussian ones of the batch's best scale for colour."""
    if case.is_grey:
        distortion = functional.binary_cross_entropy_with_logits(decoded, x, reduction="sum") / len(x)
    else:
        squared = (torch.sigmoid(decoded) - x).square().sum()
        num_pixels = x[0].numel()
        variance = squared.detach() / x.numel()
        distortion = squared / (2 * variance * len(x)) + 0.5 * num_pixels * (2 * torch.pi * variance).log()
    rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(x)
    return distortion + rate
