"""A model as `torch.export` programs, for PyTorch without this package."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vae_lightning.exports.graphs import Graph, facts_of, graphs_of, quiet, refused
from vae_lightning.runs.trained import TrainedRun


@dataclass(frozen=True)
class WriteProgram:
    """Writes encoder.pt2, decoder.pt2 and reconstruction.pt2, each of any number of images.

    `torch.export.load("encoder.pt2").module()(images)` computes one.

    Raises:
        UserError: when called, of a model that can't be exported, or whose export computes something else.
    """

    manifest: ClassVar[str] = "export.json"

    def __call__(self, run: TrainedRun, folder: Path) -> dict[str, Any]:
        graphs = graphs_of(run.vae.to("cpu"), run.preprocessing.image_shape)
        told = {graph.name: write_program(graph, folder / f"{graph.name}.pt2") for graph in graphs}
        return facts_of(run) | {"graphs": told}

    def after(self, folder: Path, files: Sequence[str]) -> list[str]:
        """Nothing is to be told beside the files."""
        return []


def write_program(graph: Graph, path: Path) -> dict[str, Any]:
    """One function of a model as a file, and what is recorded of it: its inputs, outputs, the largest difference found.

    Raises:
        UserError: it can't be exported, or computes something else.
    """
    try:
        with quiet():
            program = torch.export.export(graph.module, graph.example(), dynamic_shapes=graph.dynamic_shapes)
            _forget_unused(program)
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # where in whose folders the source lies
            torch.export.save(program, path)
            loaded = torch.export.load(path).module()
    except Exception as error:
        raise refused(graph, "format=pt2", error) from error

    def computed(given: tuple[Tensor, ...]) -> Any:
        return loaded(*given)

    difference = graph.difference(computed, "format=pt2")
    return {"inputs": list(graph.inputs), "outputs": list(graph.outputs), "largest_difference": difference}


def _forget_unused(program: torch.export.ExportedProgram) -> None:
    """Leave out the weights of the model's other half."""
    used = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    for spec in program.graph_signature.input_specs:
        weights = program.state_dict.get(spec.target)
        if weights is not None and spec.arg.name not in used:
            empty = weights.new_empty(0)
            is_trained = isinstance(weights, nn.Parameter)
            program.state_dict[spec.target] = nn.Parameter(empty, requires_grad=False) if is_trained else empty
