"""A model as ONNX files, for programs without PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vae_lightning.errors import UserError, require_at_least
from vae_lightning.exports.graphs import Graph, facts_of, graphs_of, quiet, refused
from vae_lightning.runs.trained import TrainedRun

_LEAST_OPSET = 18  # that torch.onnx makes


@dataclass(frozen=True)
class WriteONNX:
    """Writes encoder.onnx, decoder.onnx and reconstruction.onnx, each of any number of images and whole in one file.

    Each is computed by onnxruntime, too, and compared with PyTorch at three numbers of images.

    Attributes:
        opset: the version of the operators; None is what PyTorch chooses.

    Raises:
        ValueError: an opset that PyTorch has no operators of.
        UserError: when called, of a model that can't be exported, or whose export computes something else.
    """

    opset: int | None = None
    manifest: ClassVar[str] = "export.json"

    def __post_init__(self) -> None:
        if self.opset is not None:
            require_at_least("opset", self.opset, _LEAST_OPSET)

    def __call__(self, run: TrainedRun, folder: Path) -> dict[str, Any]:
        check_installed("format=onnx")
        graphs = graphs_of(run.vae.to("cpu"), run.preprocessing.image_shape)
        told = {graph.name: write_onnx(graph, folder / f"{graph.name}.onnx", self.opset) for graph in graphs}
        return facts_of(run) | {"graphs": told}

    def after(self, folder: Path, files: Sequence[str]) -> list[str]:
        """Nothing is to be told beside the files."""
        return []


def write_onnx(graph: Graph, path: Path, opset: int | None = None, told: str = "format=onnx") -> dict[str, Any]:
    """One function of a model as a file, and what is recorded of it: shapes, opset, the largest difference found.

    Raises:
        UserError: it can't be exported, or computes something else; the message begins with `told`.
    """
    import onnxruntime

    try:
        with quiet():
            program = torch.onnx.export(
                graph.module,
                graph.example(),
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamo=True,
                dynamic_shapes=graph.dynamic_shapes,
                opset_version=opset,
                verbose=False,
            )
            assert program is not None
            for node in program.model.graph.all_nodes():
                node.metadata_props.clear()  # where in whose folders the source lies
            program.save(path, external_data=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # of three libraries
        raise refused(graph, told, error) from error

    made = program.model.opset_imports[""]
    if opset not in (None, made):
        raise UserError(f"opset={opset}: PyTorch could make only {made} of this model's {graph.name}; leave opset out")

    def computed(given: tuple[Tensor, ...]) -> Any:
        return session.run(None, {name: each.numpy() for name, each in zip(graph.inputs, given, strict=True)})

    difference = graph.difference(computed, told)
    return {
        "inputs": {each.name: [str(size) for size in each.shape] for each in session.get_inputs()},
        "outputs": {each.name: [str(size) for size in each.shape] for each in session.get_outputs()},
        "opset": made,
        "largest_difference": difference,
    }


def check_installed(told: str) -> None:
    """Raise a UserError, which begins with `told`, where a library that this takes is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{told}: {error.name} is not installed: pip install 'vae-lightning[onnx]'") from error
