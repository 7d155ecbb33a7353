"""The evaluate command: what it records, that nothing but the model decides it, and how it answers mistakes."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import refusal
from tests.end_to_end.runs import TORCHRUN, run_command, started, wait_for
from tests.trained import DIGITS, train_once, write_pictures
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.tested_images import read_test_images

EVALUATE = [sys.executable, "-m", "vae_lightning.evaluate"]
QUICK = "metrics=[elbo,nll,units,aggregate,reconstruction,probes]"


@pytest.fixture
def evaluate(monkeypatch, tmp_path, capsys) -> Callable[..., str]:
    """Call the evaluate command in an empty folder and return what it printed."""
    from vae_lightning.evaluate import main

    monkeypatch.chdir(tmp_path)
    # Where no test may reach: neither the network, nor weights that this machine happens to have.
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.URL_INCEPTION_V3", "http://127.0.0.1:9/none.pth")
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-evaluate", "device=cpu", *arguments])
        main()
        return capsys.readouterr().out

    return call


def figures(metrics: dict[str, object]) -> dict[str, object]:
    """What must not differ between two evaluations."""
    how = ("_seconds", "_settings")
    return {name: value for name, value in metrics.items() if not name.endswith(how) and value is not None}


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    assert figures(one).keys() == figures(other).keys()
    for name, value in figures(one).items():
        # A small difference of large sums is as exact as they are.
        tolerance = 1e-5 if "gap" in name or "aggregate" in name else 1e-9
        expected = value if isinstance(value, str | dict) else pytest.approx(value, rel=1e-6, abs=tolerance)
        assert figures(other)[name] == expected, name


def test_everything_is_recorded_beside_what_training_left(evaluate, plane_run, moved, monkeypatch, tmp_path):
    run = moved(plane_run)
    before = run.metrics()
    monkeypatch.setattr("vae_lightning.metrics.features._STEPS", 3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # networks of so few steps are for nobody else
    printed = evaluate(f"run={run.path}", "nll.num_samples=300")
    after = run.metrics()
    assert_same(before, {name: after[name] for name in before})  # the ELBO of the run's own test, once more
    for name in ("elbo", "rate", "distortion", "nll", "nll_gap", "bits_per_dim", "nll_bits_per_dim", "active_units"):
        assert f"test/{name}" in after
        assert f"test/{name}_stderr" in after
    assert len(after["test/rate_per_dimension"]) == len(after["test/rate_per_dimension_stderr"]) == 2
    facts = {"num_images": 360, "num_samples": 300, "seed": 0, "checkpoint": "best.ckpt", "epoch": 1}
    assert {name: after[f"test/nll_{name}"] for name in facts} == facts
    assert after["test/nll_seconds"] > 0
    assert -after["test/elbo"] > after["test/nll"]
    assert after["test/nll_bits_per_dim"] == pytest.approx(after["test/nll"] / 784 / 0.6931472)
    parts = [after[f"test/aggregate_{name}"] for name in ("mutual_information", "total_correlation", "dimension_kl")]
    assert sum(parts) == pytest.approx(after["test/aggregate_rate"], abs=1e-9)
    assert parts[0] <= after["test/aggregate_most_information"]
    assert after["test/aggregate_rate"] == pytest.approx(
        after["test/rate"], abs=4 * after["test/aggregate_rate_stderr"]
    )
    assert after["test/fid"] is None
    assert "samples.weights=" in after["test/fid_reason"]
    assert printed.count("samples.weights=") == 1
    for text in ("ELBO", "NLL by 300 samples", "gap of the ELBO", "active units of 2", "I(x; z)", "PSNR", "linear"):
        assert text in printed


def test_no_figure_depends_on_the_batch_size(evaluate, plane_run, moved):
    one = moved(plane_run, "one")
    config = (one.path / "config.yaml").read_text()
    few = config.replace("exclude_labels: []", f"exclude_labels: {list(range(2, 10))}")  # of the training's alone
    assert few != config
    (one.path / "config.yaml").write_text(few)
    options = [QUICK, "nll.num_samples=50", "nll.num_images=60"]
    others = {batch_size: moved(one, f"other_{batch_size}") for batch_size in (1, 7, 500)}
    evaluate(f"run={one.path}", *options, "batch_size=360", "nll.memory_mb=1")
    assert one.metrics()["test/probes_num_train"] < 300
    for batch_size, other in others.items():
        evaluate(f"run={other.path}", *options, f"batch_size={batch_size}", "nll.memory_mb=100")
        assert_same(one.metrics(), other.metrics())


def test_two_ranks_find_what_one_finds(evaluate, plane_run, moved, tmp_path):
    one, two = moved(plane_run, "one"), moved(plane_run, "two")
    options = [QUICK, "nll.num_samples=50", "nll.num_images=77", "aggregate.num_images=101", "batch_size=50"]
    evaluate(f"run={one.path}", *options)
    program = [*TORCHRUN[:-1], "vae_lightning.evaluate"]
    done = run_command(f"run={two.path}", "device=cpu", *options, cwd=tmp_path, program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("NLL by 50 samples") == 1
    assert_same(one.metrics(), two.metrics())
    of_one, of_two = (read_test_images(run) for run in (one, two))
    assert of_one is not None
    assert of_two is not None
    assert of_one.elbo == pytest.approx(of_two.elbo, rel=1e-5)
    assert (of_one.digest == of_two.digest).all()


def test_only_what_is_asked_for_is_computed(evaluate, plane_run, moved):
    run = moved(plane_run)
    before = run.metrics()
    printed = evaluate(f"run={run.path}", "metrics=nll", "nll.num_samples=20", "nll.num_images=30", "split=val")
    new = set(run.metrics()) - set(before)
    assert new
    assert all(name.startswith("val/nll") or name == "val/kind" for name in new)
    assert run.metrics()["val/nll_num_images"] == 30
    assert "distortion" not in printed


def test_of_one_image_no_figure_is_told_with_an_interval(evaluate, tmp_path):
    write_pictures(tmp_path / "pictures", 3)
    places = [f"data.root={tmp_path / 'pictures'}", f"data.cache_dir={tmp_path / 'cache'}"]
    small = ["data.image_size=8", "data.batch_size=1", "trainer.max_epochs=1"]
    run = train_once(tmp_path / "run", *DIGITS[1:], "data=folder", *places, *small)
    assert run.metrics()["test/num_images"] == 1
    printed = evaluate(f"run={run.path}", "metrics=[elbo,nll,units,reconstruction]", "nll.num_samples=20")
    assert "+-" not in printed
    assert [name for name in run.metrics() if name.endswith("_stderr")] == []


def test_a_metric_of_ones_own_is_one_yaml(evaluate, plane_run, moved):
    Path("mine/metric").mkdir(parents=True)
    node = "# @package _global_\nown:\n  _target_: vae_lightning.metrics.reconstruction.Reconstruction\n"
    Path("mine/metric/own.yaml").write_text(node)
    run = moved(plane_run)
    evaluate("metric=[elbo,own]", f"run={run.path}", "out=figures.json", "--config-dir", "mine")
    recorded = json.loads(Path("figures.json").read_text())
    assert {"test/elbo_num_images", "test/own_num_images", "test/mse"} <= recorded.keys()
    assert "test/units_num_images" not in recorded


def test_less_exact_products_are_asked_for_and_recorded(evaluate, plane_run, moved):
    run = moved(plane_run)
    before = torch.get_float32_matmul_precision()
    found = {}
    for precision in ("highest", "refined", "medium"):
        evaluate(f"run={run.path}", "metrics=nll", "nll.num_samples=200", f"nll.matmul_precision={precision}")
        assert run.metrics()["test/nll_matmul_precision"] == precision
        found[precision] = run.metrics()["test/nll"]
    assert torch.get_float32_matmul_precision() == before
    assert found["refined"] == pytest.approx(found["highest"], abs=0.005)
    assert found["medium"] == pytest.approx(found["highest"], abs=0.5)


@pytest.mark.parametrize("native", [True, False])
def test_what_carries_the_likelihood_alone_is_exact_where_that_is_faster(
    evaluate, plane_run, colour_run, moved, monkeypatch, native
):
    monkeypatch.setattr("vae_lightning.metrics.log_likelihood.computes_in_bfloat16", lambda device: native)
    for run, expected in ((plane_run, "refined" if native else "highest"), (colour_run, "highest")):
        copied = moved(run, run.path.parent.name)
        evaluate(f"run={copied.path}", "metrics=nll", "nll.num_samples=2", "nll.num_images=3")
        assert copied.metrics()["test/nll_matmul_precision"] == expected


def test_what_are_no_bits_is_refused_with_the_reason(evaluate, digits_run, colour_run, moved):
    grey, colour = moved(digits_run, "grey"), moved(colour_run, "colour")
    for run, kind in ((grey, "cross-entropy of grey levels"), (colour, "log-density")):
        printed = evaluate(f"run={run.path}", "metrics=[elbo,nll]", "nll.num_samples=5")
        metrics = run.metrics()
        assert metrics["test/bits_per_dim"] is None
        assert metrics["test/nll_bits_per_dim"] is None
        assert kind in metrics["test/bits_per_dim_reason"]
        assert "bits/dim of the ELBO: none, these are no bits" in printed


def test_data_without_labels_have_no_probes(evaluate, colour_run, moved):
    run = moved(colour_run)
    printed = evaluate(f"run={run.path}", "metrics=probes")
    assert run.metrics()["test/linear_accuracy"] is None
    assert "none, these data have no labels" in printed


def test_probes_learn_from_the_training_images(evaluate, plane_run, moved):
    run = moved(plane_run)
    evaluate(f"run={run.path}", "metrics=probes")
    metrics = run.metrics()
    assert metrics["test/probes_num_train"] == 1257
    assert 20 < metrics["test/linear_accuracy"] < 100  # guessing finds 10
    assert 20 < metrics["test/knn_accuracy"] < 100
    p = metrics["test/knn_accuracy"] / 100
    assert metrics["test/knn_accuracy_stderr"] == pytest.approx(100 * (p * (1 - p) / 360) ** 0.5)


def test_another_checkpoint_has_its_own_file(evaluate, digits_run, moved):
    run = moved(digits_run)
    before = (run.path / "metrics.json").read_bytes()
    evaluate(f"run={run.path}", "metrics=elbo", "ckpt=last")
    evaluate(f"run={run.path}", "metrics=elbo", f"checkpoint={run.last}", "out=by_path.json")  # the same key
    assert (run.path / "metrics.json").read_bytes() == before
    of_last, by_path = (json.loads(file.read_text()) for file in (run.path / "metrics_last.json", Path("by_path.json")))
    assert of_last["test/elbo_checkpoint"] == "last.ckpt"
    assert_same(of_last, by_path)


def test_a_checkpoint_from_elsewhere_does_not_pass_for_the_runs_own(evaluate, digits_run, moved):
    run = moved(digits_run)
    before = (run.path / "metrics.json").read_bytes()
    Path("best.ckpt").write_bytes(run.last.read_bytes())
    evaluate(f"run={run.path}", "metrics=elbo", "ckpt=best.ckpt")
    assert (run.path / "metrics.json").read_bytes() == before
    figures = json.loads((run.path / "metrics_best.json").read_text())
    assert figures["test/elbo_checkpoint"] == str(Path("best.ckpt").resolve())


def test_a_reason_goes_once_there_is_a_figure(evaluate, digits_run, moved):
    run = moved(digits_run)
    earlier = run.metrics() | {"test/linear_accuracy": None, "test/linear_accuracy_reason": "no labels", "mine": 3}
    run.write_metrics(earlier)
    evaluate(f"run={run.path}", "metrics=probes")
    after = run.metrics()
    assert after["test/linear_accuracy"] > 0
    assert "test/linear_accuracy_reason" not in after
    assert after["mine"] == 3
    assert after["test/elbo"] == earlier["test/elbo"]


def test_another_seed_is_another_draw_of_the_same_figure(evaluate, plane_run, moved):
    run = moved(plane_run)
    evaluate(f"run={run.path}", "metrics=[elbo,nll]", "nll.num_samples=20", "out=one.json", "seed=1")
    evaluate(f"run={run.path}", "metrics=[elbo,nll]", "nll.num_samples=20", "out=two.json", "seed=2")
    one, two = (json.loads(Path(name).read_text()) for name in ("one.json", "two.json"))
    for name in ("test/elbo", "test/nll"):
        assert one[name] != two[name]
        assert one[name] == pytest.approx(two[name], abs=1)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_model_trained_in_bf16_is_evaluated_in_float32(evaluate, train, monkeypatch, objective):
    from vae_lightning.models.vae import VAE

    run = train("trainer.precision=bf16-mixed", f"objective={objective}", "objective.num_samples=3", "callbacks=none")
    before, dtypes = run.metrics(), set()
    decode = VAE.decode

    def noted(self, z, labels=None, target=None):
        dtypes.add(self.decoder(z.flatten(0, -2)).dtype)
        return decode(self, z, labels, target)

    monkeypatch.setattr(VAE, "decode", noted)
    evaluate(f"run={run.path}", "metrics=[elbo,nll]", "nll.num_samples=10", "nll.num_images=5")
    assert dtypes == {torch.float32}
    assert_same(before, {name: run.metrics()[name] for name in before})
    assert run.metrics()["test/elbo_num_samples"] == 3


def test_ctrl_c_keeps_the_metrics_that_are_there_and_what_was_before(plane_run, moved, tmp_path):
    run = moved(plane_run)
    before = run.metrics()
    files = set(run.path.rglob("*"))
    arguments = [f"run={run.path}", "device=cpu", "metrics=[elbo,nll]", "nll.num_samples=1000000000"]
    process = started(*arguments, cwd=tmp_path, program=[*EVALUATE])
    wait_for(lambda: "libtorch" in Path(f"/proc/{process.pid}/maps").read_text())
    with pytest.raises(Exception, match="timed out"):
        process.communicate(timeout=5)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "interrupted: Ctrl-C; elbo recorded; the rest by metrics=[nll]"
    assert "Traceback" not in errors
    after = run.metrics()
    assert "test/elbo_seconds" in after
    assert "nats per image" in printed
    assert not [name for name in after if name.startswith("test/nll")]
    assert_same(before, {name: after[name] for name in before})
    assert set(run.path.rglob("*")) == files


def test_the_nll_takes_as_long_as_it_may_unless_its_size_is_typed(evaluate, plane_run, moved, told):
    run = moved(plane_run)
    printed = evaluate(f"run={run.path}", "metrics=nll", "nll.max_seconds=1")
    metrics = run.metrics()
    num_images, num_samples = metrics["test/nll_num_images"], metrics["test/nll_num_samples"]
    if (num_images, num_samples) != (360, 5000):  # a machine that is not that fast
        assert metrics["test/nll_max_seconds"] == 1
        assert f"{num_samples:,} samples, " in printed
        assert "as many as fit into 1 s)" in printed
        assert metrics["test/nll_seconds"] < 20
    evaluate(f"run={run.path}", "metrics=nll", "nll.max_seconds=1", "nll.num_images=3")
    metrics = run.metrics()
    assert (metrics["test/nll_num_images"], metrics["test/nll_num_samples"]) == (3, 5000)
    assert metrics["test/nll_max_seconds"] is None


METRICS = "elbo, nll, units, aggregate, reconstruction, samples, probes, disentanglement"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["metrics=fdi"], f"metrics=fdi: no such metric; valid here: all, {METRICS}"),
        (["metrics=[]"], f"metrics=[]: choose all or some of {METRICS}"),
        (["split=tset"], "split='tset': expected train, val, test"),
        (["batch_size=0"], "batch_size must be at least 1, got 0"),
        (["nll.max_seconds=nan"], "nll.max_seconds must be at least 1, got nan"),
        (["nll.max_seconds=0"], "nll.max_seconds must be at least 1, got 0"),
        (["nll.num_samples=0"], "nll.num_samples must be at least 1, got 0"),
        (["nll.num_smples=5"], "nll.num_smples: no such key; did you mean num_samples?"),
        (["nll.num_samples=many"], "nll.num_samples='many': expected int"),
        (["nll.memory_mb=0.5"], "nll.memory_mb must be at least 1, got 0.5"),
        (["nll.memory_mb=all"], "nll.memory_mb='all': expected float or auto"),
        (["aggregate.num_images=0"], "aggregate.num_images must be at least 1, got 0"),
        (["samples.weights=nowhere.pth"], "samples.weights=nowhere.pth: no such file"),
        (["ckpt=worst"], "ckpt=worst: no such file; choose best, last or the path of a checkpoint"),
        (["ckpt={_target_:foo}"], "ckpt={'_target_': 'foo'}: expected str"),
        (["seed={_target_:foo}", "metrics=elbo"], "seed={'_target_': 'foo'}: expected int or null"),
        (["data=null"], "data: has no options to choose from here; give single keys, data.<key>=..., as in --help"),
        (["~ckpt"], "~ckpt: can't be left out; give a value, as in --help"),
        (["~metrics"], "~metrics: can't be left out; give a value, as in --help"),
        (["metric=[]"], "metric=[]: leaves no metric; choose one at least, as in metric=[elbo]"),
        (["device=tpu"], "device='tpu': expected auto, cpu, cuda, mps"),
        (["run=nowhere"], "run=nowhere: no such directory"),
        (["data.root=nowhere"], "data.root"),
        (["-m", "split=val,test"], "-m: evaluate takes one run; several runs are given as sweep="),
        (["out=nowhere/metrics.json", "metrics=elbo"], "out=nowhere/metrics.json: can't be written"),
    ],
)
def test_mistakes_are_answered_in_one_line(evaluate, colour_run, moved, arguments, expected):
    run = moved(colour_run)
    before = sorted(run.path.rglob("*"))
    message = refusal(evaluate, f"run={run.path}", *arguments)
    assert message.startswith(expected)
    assert sorted(run.path.rglob("*")) == before


def test_a_run_must_be_given(evaluate):
    assert refusal(evaluate) == "run: give a run directory, as in run=outputs/<date>/<time>_<name>"


def test_figures_survive_saving(evaluate, tmp_path, train):
    from vae_lightning.likelihood.importance import importance_sampled
    from vae_lightning.runs.trained import open_trained

    run: RunDir = train("data.binarize=fixed", "callbacks=none")
    opened = open_trained(str(run.path), device="cpu")
    torch.save(opened.vae.state_dict(), tmp_path / "saved.pt")
    images = opened.data.example_images(20, "test")

    def nll() -> torch.Tensor:
        options = {"num_samples": 100, "seed": 0, "max_latents": 1000}
        parts = importance_sampled(opened.vae, images, torch.arange(20), **options)
        return torch.cat([bounds.log_likelihood for _, bounds in parts])

    before = nll()
    for parameter in opened.vae.parameters():
        torch.nn.init.zeros_(parameter)
    assert not torch.equal(nll(), before)
    opened.vae.load_state_dict(torch.load(tmp_path / "saved.pt", weights_only=True))
    assert torch.equal(nll(), before)


def test_an_evaluation_of_a_run_that_was_ended_does_not_end_its_training(evaluate, train, command):
    run = train("callbacks=none")
    whole = run.metrics()
    (run.path / "metrics.json").unlink()  # as when it was ended during its test
    evaluate(f"run={run.path}", "metrics=elbo")
    assert not run.is_tested()
    command(f"resume={run.path}")
    assert run.metrics()["test/elbo"] == pytest.approx(whole["test/elbo"], rel=1e-6)
    assert run.is_tested()
