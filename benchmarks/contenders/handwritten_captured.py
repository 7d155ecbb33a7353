"""The hand-written loop with its whole step captured as one CUDA graph: the measure of what a framework costs on a GPU.

As in `handwritten`: uint8 images on the device, fused Adam, channels_last, the same loss. The order of an epoch's
images and the gathering of a batch are outside of the graph.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from benchmarks.contenders.cases import Case
from benchmarks.contenders.handwritten import negative_elbo
from benchmarks.contenders.images import uint8_images
from benchmarks.contenders.turns import Turns

_WARM_UP = 3


def train(
    case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns, *, compiled: bool = False
) -> None:
    """Train an epoch a turn; precision is "32-true" or "bf16-mixed"."""
    device = torch.device("cuda")
    images = uint8_images(case).to(device)
    network = case.network().to(device, memory_format=torch.channels_last)
    if compiled:
        network.compile()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True, capturable=True)
    batch = torch.empty(batch_size, *images.shape[1:], dtype=torch.uint8, device=device)
    mixed = precision == "bf16-mixed"

    def step() -> Tensor:
        x = batch.permute(0, 3, 1, 2)
        if case.flips:
            x = torch.where(torch.rand(len(x), 1, 1, 1, device=device) < 0.5, x.flip(3), x)
        x = x.float().div_(255)
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False) if mixed else nullcontext():
            decoded, mean, log_variance = network(x)
        loss = negative_elbo(case, x, decoded.float(), mean.float(), log_variance.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    batch.copy_(images[:batch_size])
    graph = _captured(step)
    num_batches = (case.num_images or len(images)) // batch_size
    for _ in range(num_epochs):
        turns.begin()
        order = torch.randperm(len(images), device=device)
        for chosen in order[: num_batches * batch_size].split(batch_size):
            torch.index_select(images, 0, chosen, out=batch)
            graph.replay()
        torch.cuda.synchronize()
        turns.end(num_batches * batch_size)


def _captured(step: Callable[[], Tensor]) -> torch.cuda.CUDAGraph:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph
