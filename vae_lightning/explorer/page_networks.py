"""A model's networks as a page computes them: ONNX of half the size, and the prior as a function of its noise."""

import tempfile
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from vae_lightning.exports.graphs import Graph, graphs_of, quiet
from vae_lightning.exports.onnx import check_installed, write_onnx
from vae_lightning.models.distributions import marginals
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.models.priors.flow import FlowPrior
from vae_lightning.noise import Draw, Noise
from vae_lightning.runs.trained import TrainedRun

SampledBy = Literal["moments", "network", "pool"]

_TOLD = "explore"
_FEWEST_HALVED = 64  # numbers of a tensor: of fewer nothing is gained


def networks_of(run: TrainedRun) -> dict[str, bytes]:
    """`decoder` and `encoder` as `exports.graphs.graphs_of` has them, and `prior` where samples are drawn by it.

    Each is an ONNX file whose weights are kept in float16 and computed with in float32; it was compared with the model
    before they were rounded.

    Raises:
        UserError: a network can't be exported, or a library is missing.
    """
    check_installed(_TOLD)
    vae = run.vae.to("cpu")
    encoder, decoder, _ = graphs_of(vae, run.preprocessing.image_shape)
    graphs = [encoder, decoder, prior_graph(vae)] if sampled_by(vae) == "network" else [encoder, decoder]
    with tempfile.TemporaryDirectory() as folder:
        return {graph.name: _written(graph, Path(folder) / f"{graph.name}.onnx") for graph in graphs}


def sampled_by(vae: LatentModel) -> SampledBy:
    """How a page draws from the prior of a model.

    By its `moments` where samples are its mean and its standard deviation times noise, dimension by dimension; by a
    `network` of that noise; or from a `pool` of samples that are drawn before where a flow takes a pass for each
    dimension, which would be as many copies of its network.
    """
    prior = vae.latent_prior()
    if prior is not None and isinstance(marginals(prior), Normal):  # of a mixture they are mixtures themselves
        return "moments"
    return "pool" if any(isinstance(part, FlowPrior) for part in vae.modules()) else "network"


def prior_graph(vae: LatentModel) -> Graph:
    """Latents z [N, D] of any prior as a function of its noise, which standard normal and uniform numbers are.

    `normals` [N, D] belong to the groups as they lie side by side; of each group a temperature multiplies them.
    `uniforms` [N, U] choose components of mixtures; there is no such input where there are none.

    Raises:
        ValueError: the prior makes a latent of fewer or more normal numbers than it has dimensions.
    """
    counted = _Counted()
    with torch.no_grad():
        vae.draw(counted)
    if counted.normals != vae.latent_dim:
        raise ValueError(f"the prior draws {counted.normals} normal numbers for {vae.latent_dim} dimensions")
    generator = torch.Generator().manual_seed(0)
    inputs = {"normals": lambda number: torch.randn(number, counted.normals, generator=generator)}
    if counted.uniforms:
        inputs["uniforms"] = lambda number: torch.rand(number, counted.uniforms, generator=generator)
    return Graph("prior", _Prior(vae).eval(), inputs, ("z",))


class _Prior(nn.Module):
    def __init__(self, vae: LatentModel):
        super().__init__()
        self.vae = vae

    def forward(
        self, normals: Float[Tensor, "N D"], uniforms: Float[Tensor, "N U"] | None = None
    ) -> tuple[Float[Tensor, "N D"]]:
        return (self.vae.draw(_Given(normals, uniforms))[0],)


class _Given(Noise):
    """The next columns of numbers that are given."""

    def __init__(self, normals: Tensor, uniforms: Tensor | None):
        self._numbers = {torch.randn: normals, torch.rand: uniforms}
        self._taken = {torch.randn: 0, torch.rand: 0}

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        numbers, start = self._numbers[draw], self._taken[draw]
        assert numbers is not None
        self._taken[draw] = end = start + torch.Size(shape).numel()
        return numbers[:, start:end].reshape(1, numbers.shape[0], *shape)


class _Counted(Noise):
    """Zeros for one image, which counts them."""

    def __init__(self):
        self.normals = self.uniforms = 0

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        count = torch.Size(shape).numel()
        if draw is torch.randn:
            self.normals += count
        else:
            self.uniforms += count
        return torch.zeros(1, 1, *shape)


def _written(graph: Graph, path: Path) -> bytes:
    write_onnx(graph, path, told=_TOLD)
    return _halved(path)


def _halved(path: Path) -> bytes:
    """The same network with its weights as float16, each cast to float32 as it is loaded."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    with quiet():
        model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _FEWEST_HALVED:
            continue
        name, halved = tensor.name, values.astype(np.float16)
        if not np.isfinite(halved).all():
            continue
        tensor.CopyFrom(numpy_helper.from_array(halved, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model.SerializeToString()
