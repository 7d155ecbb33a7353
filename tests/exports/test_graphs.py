"""Each shipped model, posterior and likelihood as functions of tensors alone: by torch.export, and as ONNX."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.test_combinations import CODES, MODELS, Combination, config_of
from tests.models.test_combinations import with_parts_of_its_model as complete
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.exports.graphs import Graph, graphs_of
from vae_lightning.exports.onnx import write_onnx
from vae_lightning.exports.program import write_program

CASES = {
    **{name: complete(Combination(model=name)) for name in MODELS},
    **{name: Combination(posterior=name) for name in ("full_covariance", "flow", "point")},
    **{name: Combination(likelihood=name) for name in ("continuous_bernoulli", "laplace scale=per_pixel")},
    **{name: Combination(likelihood=name) for name in ("discretized_logistic_mixture", "ms_ssim")},
}
# Each takes seconds, and many groups most.
AS_ONNX = {name: {} for name in ("conv", "ladder", *CODES)} | {"hvae": {"groups": [1, 1]}}


def graphs(one: Combination, **settings) -> list[Graph]:
    torch.manual_seed(0)
    vae = instantiate(config_of(one)["model"] | settings, "model").eval()
    with torch.no_grad():  # what begins with zeros would be equal whatever is exported
        for weights in vae.parameters():
            weights += 0.05 * torch.randn_like(weights)
    return graphs_of(vae, (1, 8, 8))


@pytest.mark.parametrize("case", CASES)
def test_each_is_computed_alike_by_torch_export(case, tmp_path):
    told = write_program(graphs(CASES[case])[2], tmp_path / "reconstruction.pt2")
    assert told["largest_difference"] < 1e-5


@pytest.mark.parametrize("case", AS_ONNX)
def test_and_by_onnxruntime(case, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    told = write_onnx(graphs(CASES[case], **AS_ONNX[case])[2], tmp_path / "reconstruction.onnx")
    assert told["largest_difference"] < 1e-5
    assert told["inputs"] == {"images": ["num_images", "1", "8", "8"]}
    model = onnx.load(tmp_path / "reconstruction.onnx", load_external_data=False)
    assert not any(each.external_data for each in model.graph.initializer)
    assert model.opset_import[0].version == told["opset"] >= 18


def test_a_model_with_labels_is_given_them(tmp_path):
    pytest.importorskip("onnxruntime")
    encoder, decoder, _ = graphs(Combination(), num_classes=3)
    assert list(encoder.inputs) == ["images", "labels"]
    told = write_onnx(decoder, tmp_path / "decoder.onnx")
    assert told["inputs"] == {"z": ["num_images", "3"], "labels": ["num_images"]}
    assert write_program(encoder, tmp_path / "encoder.pt2")["outputs"] == ["mean", "scale"]


def test_a_half_holds_the_weights_of_the_other_half_no_more(tmp_path):
    one, sizes = Combination(model="conv"), {}  # which has running means, too, that are no weights
    small = {name: config_of(one)["model"][name] | {"channels": [4]} for name in ("encoder", "decoder")}
    for graph in graphs(one, **small):
        write_program(graph, tmp_path / f"{graph.name}.pt2")
        program = torch.export.load(tmp_path / f"{graph.name}.pt2")
        sizes[graph.name] = sum(each.numel() for each in program.state_dict.values())
    assert sizes["encoder"] + sizes["decoder"] == sizes["reconstruction"]


def test_an_opset_that_can_not_be_had_is_told(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(
        UserError, match=r"^opset=3: PyTorch could make only \d+ of this model's decoder; leave opset out"
    ):
        write_onnx(graphs(Combination())[1], tmp_path / "decoder.onnx", 3)


def test_what_computes_something_else_is_not_given_out():
    graph = graphs(Combination())[1]
    with torch.no_grad(), pytest.raises(UserError, match=r"^format=onnx: decoder computes other values than the model"):
        graph.difference(lambda given: [graph.module(*given)[0] + 1e-3], "format=onnx")
    with torch.no_grad(), pytest.raises(UserError, match="by up to nan"):
        graph.difference(lambda given: [graph.module(*given)[0] * torch.nan], "format=onnx")


def test_a_model_that_can_not_be_exported_is_told_in_one_line(tmp_path):
    graph = graphs(Combination())[1]
    graph.module.vae.decoder.register_forward_pre_hook(lambda *_: print(float(torch.rand(1))) or None)
    graph.module.vae.decoder.register_forward_hook(lambda _, __, out: out if out.sum() > 0 else out + 1)
    with pytest.raises(UserError, match=r"^format=pt2: decoder of this model can't be exported \(") as refusal:
        write_program(graph, tmp_path / "decoder.pt2")
    assert "\n" not in str(refusal.value)


WITHOUT_TORCH = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("encoder.onnx")
mean, scale = session.run(None, {"images": np.full((2, 1, 28, 28), 0.25, np.float32)})
decoded = onnxruntime.InferenceSession("decoder.onnx").run(None, {"z": mean})[0]
print(json.dumps([mean.tolist(), decoded.mean().item(), "torch" in sys.modules, "vae_lightning" in sys.modules]))
"""
WITHOUT_PACKAGE = """
import json, sys, torch
images = torch.full((2, 1, 28, 28), 0.25)
mean, scale = torch.export.load("encoder.pt2").module()(images)
decoded, = torch.export.load("decoder.pt2").module()(mean)
print(json.dumps([mean.tolist(), decoded.mean().item(), False, "vae_lightning" in sys.modules]))
"""


@pytest.mark.parametrize(("kind", "script"), [("onnx", WITHOUT_TORCH), ("pt2", WITHOUT_PACKAGE)])
def test_other_programs_use_it(kind, script, export, digits_run, digits):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    told = export(f"run={digits_run.path}", f"format={kind}", "out=files")
    assert [f"  {name}.{kind}" in told for name in ("encoder", "decoder", "reconstruction")] == [True] * 3
    done = subprocess.run([sys.executable, "-c", script], cwd="files", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    mean, brightness, has_torch, has_package = json.loads(done.stdout)
    assert (has_torch, has_package) == (False, False)
    with torch.no_grad():
        expected = digits.vae.encode(torch.full((2, 1, 28, 28), 0.25)).loc
        assert np.allclose(mean, expected.numpy(), atol=1e-4)
        assert brightness == pytest.approx(float(digits.vae.generate(expected).mean()), abs=1e-4)
    own = str(Path(__file__).parents[2]).encode()
    assert [file.name for file in Path("files").iterdir() if own in file.read_bytes()] == []
    facts = json.loads(Path("files/export.json").read_text())
    assert facts["checked_with"] == [1, 4, 13]
    assert facts["files"] == [f"decoder.{kind}", f"encoder.{kind}", f"reconstruction.{kind}"]
