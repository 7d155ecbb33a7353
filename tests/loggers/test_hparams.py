"""TensorBoard's hparams tab, asked over HTTP as the browser asks it."""

import json
import time
import urllib.request

import pytest
from tensorboard import program

from tests.test_config import composed
from vae_lightning.loggers.hparams import hyperparameters
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.status import record_status

FIGURES = {
    "test/elbo": -100.5,
    "test/rate": 20.0,
    "test/distortion": 80.5,
    "val/elbo": -101.0,
    "train/images_per_s": 5000.0,
    "seconds": 12.5,
    "test/kind": "text",
}


def test_every_leaf_is_a_hyperparameter_but_the_places():
    conv = hyperparameters(composed("model=conv", "data=anime", "data.root=x"))
    assert conv["data"] == "ImageFolder"
    assert conv["model.encoder"] == "ConvEncoder"
    assert {"model.latent_dim", "objective.beta", "optimizer.lr", "trainer.max_epochs", "seed"} <= set(conv)
    assert "data.root" not in conv
    assert hyperparameters(composed("model=mlp"))["model.encoder.hidden"] == "[400]"
    assert {type(value) for value in conv.values()} <= {bool, int, float, str}
    trained = hyperparameters(composed("schedule=cosine", "schedule.warmup=0.1", "initialization=glorot"))
    assert trained["schedule"] == "Cosine"
    assert (trained["schedule.warmup"], trained["initialization"]) == (0.1, "Glorot")


def prepared(path, *overrides, logger="default") -> RunDir:
    run = RunDir(path)
    run.path.mkdir(parents=True)
    run.write_config(composed(*overrides, f"logger={logger}"), list(overrides))
    return run


def test_a_run_without_tensorboard_gets_no_event_file(tmp_path):
    run = prepared(tmp_path / "run", logger="csv")
    record_status(run, "running")
    assert not list(run.path.glob("*tfevents*"))


@pytest.fixture
def ask(tmp_path):
    """`ask("experiment")` answers as TensorBoard does for the runs below `tmp_path`."""
    tensorboard = program.TensorBoard()
    tensorboard.configure(argv=[None, "--logdir", str(tmp_path), "--port", "0", "--load_fast", "false"])
    url = tensorboard.launch()

    def post(route: str, **request) -> dict:
        body = json.dumps({"experimentName": ""} | request).encode()
        query = urllib.request.Request(f"{url}data/plugin/hparams/{route}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(query) as answer:
            return json.load(answer)

    return post


def test_the_tab_shows_every_run_of_a_mixed_sweep_with_its_real_status(tmp_path, ask):
    finished = prepared(tmp_path / "sweep/0", "model=conv", "data=digits")
    failed = prepared(tmp_path / "sweep/1", "model=mlp", "data=mnist", "objective.beta=4")
    running = prepared(tmp_path / "sweep/2", "model=conv5", "data=anime", "data.root=x")
    resumed = prepared(tmp_path / "sweep/3", "model=mlp", "data=digits")
    for run in (finished, failed, running, resumed):
        record_status(run, "running")
    record_status(failed, "failed", "the loss was not finite")
    record_status(resumed, "interrupted", "Ctrl-C")
    for run in (finished, resumed):
        record_status(run, "running")
        run.write_metrics(FIGURES)
        record_status(run, "finished")

    deadline = time.monotonic() + 30
    groups: list[dict] = []
    experiment: dict = {}
    while (len(groups) < 4 or not experiment.get("hparamInfos")) and time.monotonic() < deadline:
        time.sleep(0.5)
        experiment = ask("experiment", includeMetrics=True)
        names = [info["name"]["tag"] for info in experiment.get("metricInfos", [])]
        columns = {"startIndex": 0, "sliceSize": 100, "includeMetrics": True, "colParams": []}
        columns["colParams"] = [{"metric": {"tag": name}} for name in names]
        columns["allowedStatuses"] = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]
        groups = ask("session_groups", **columns).get("sessionGroups", [])
    experiment = ask("experiment", includeMetrics=True)  # which has seen all of them now

    sessions = {group["sessions"][0]["name"]: group for group in groups}
    assert set(sessions) == {f"sweep/{number}" for number in range(4)}
    statuses = {name: group["sessions"][0].get("status") for name, group in sessions.items()}
    assert statuses == {
        "sweep/0": "STATUS_SUCCESS",
        "sweep/1": "STATUS_FAILURE",
        "sweep/2": "STATUS_UNKNOWN",  # no end yet, which an open TensorBoard will see when it comes
        "sweep/3": "STATUS_SUCCESS",
    }
    hparams = {info["name"] for info in experiment["hparamInfos"]}
    assert {"model.encoder.hidden", "3 model.latent_dim", "objective.warmup_steps"} <= hparams
    assert sessions["sweep/1"]["hparams"]["4 objective.beta"] == 4
    shown = [info["name"] for info in experiment["hparamInfos"] if info.get("differs")]
    compared = ["1 data", "2 model.encoder", "3 model.latent_dim", "4 objective.beta"]
    assert shown[:4] == compared  # and not the many settings that only some of these runs have
    assert len(shown) > 10
    assert sessions["sweep/1"]["name"] == f"1 in {tmp_path.name}/sweep"  # cut off behind some letters
    figures = {value["name"]["tag"]: value["value"] for value in sessions["sweep/0"]["metricValues"]}
    assert figures == pytest.approx(
        {
            "(final)/elbo": -100.5,
            "(final)/rate": 20.0,
            "(final)/distortion": 80.5,
            "(final)/validation_elbo": -101.0,
            "(final)/images_per_s": 5000.0,
            "(final)/seconds": 12.5,
        }
    )
    assert not sessions["sweep/1"].get("metricValues")
    assert names[:5] == [f"(final)/{name}" for name in ("distortion", "elbo", "images_per_s", "rate", "seconds")]
