"""What of a run is in MLflow's store."""

import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY, refusal
from tests.end_to_end.runs import weights
from tests.loggers.tracked import command, picture_files, trained
from vae_lightning.building.trust import Trust
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.loggers.mlflow import MLflow
from vae_lightning.loggers.tracker import Row
from vae_lightning.runs.records import RunDir

pytestmark = pytest.mark.skipif(not find_spec("mlflow"), reason="mlflow is not installed")  # it takes long to import
NODE = {"_target_": "vae_lightning.loggers.mlflow.MLflow"}


@pytest.fixture(scope="module", autouse=True)
def _no_other_store():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    """A run of an epoch that has then been gone on with for another."""
    folder = tmp_path_factory.mktemp("mlflow")
    run = trained(folder, "logger=[default,mlflow]", "tags=[paper,baseline]")
    command(folder, "resume=outputs/run", "trainer.max_epochs=2")
    return run


@pytest.fixture(scope="module")
def client(run):
    return client_of(run.path.parent / "mlflow.db")


def client_of(store: Path):
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{store}")


@pytest.fixture(scope="module")
def told(client):
    """The one run that the store has."""
    (told,) = client.search_runs([client.get_experiment_by_name("vae_lightning").experiment_id])
    return told


def files(uri: str) -> dict[str, bytes]:
    place = Path(uri.removeprefix("file://"))
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def test_a_resumed_run_goes_on_as_the_same_and_tells_each_step_once(run, client, told):
    assert json.loads((run.path / "mlflow.json").read_text())["run"] == told.info.run_id
    for name in ("train/loss", "val/elbo", "test/elbo"):
        assert [metric.step for metric in client.get_metric_history(told.info.run_id, name)] == [8, 17]


def test_pictures_and_animations_are_there_byte_for_byte(run, told):
    there = files(told.info.artifact_uri)
    assert Path(told.info.artifact_uri.removeprefix("file://")).is_relative_to(run.path.parent / "mlflow-files")
    for name, pictures in picture_files(run).items():
        assert [content for path, content in there.items() if path.startswith(f"{name}/step_")] == pictures
    assert b"latent_dim: 4" in there["config.txt"]
    assert b"VAE" in there["model.txt"]


def test_hyperparameters_final_figures_and_the_end_are_there(run, told):
    assert (told.data.params["model.latent_dim"], told.data.params["objective"]) == ("4", "ELBO")
    # MLflow lets no parameter change.
    assert (told.data.params["trainer.max_epochs"], told.data.tags["trainer.max_epochs"]) == ("1", "2")
    final = {name: value for name, value in run.metrics().items() if name != "test/kind"}
    assert {name: told.data.metrics[f"final/{name}"] for name in final} == pytest.approx(final)
    assert told.data.tags["test/kind"] == run.metrics()["test/kind"]
    assert (told.info.status, told.data.tags["status"]) == ("FINISHED", "finished")
    assert (told.data.tags["tags"], told.data.params["tags"]) == ("paper, baseline", "paper, baseline")
    assert (told.info.run_name, "sweep" in told.data.tags) == ("outputs/run", False)


def test_a_failed_job_of_a_sweep_is_told_with_its_reason_and_its_sweep(run, client):
    folder = run.path.parents[1]
    (folder / "sweep").mkdir()
    (folder / "sweep/multirun.yaml").touch()
    failing = ["optimizer.lr=1e30", "callbacks=none", "trainer.max_epochs=3", "run_dir=sweep/4"]
    reason = refusal(command, folder, *TINY[:6], "logger=mlflow", *failing)
    told = client.get_run(json.loads((folder / "sweep/4/mlflow.json").read_text())["run"])
    assert (told.info.status, told.data.tags["status"], told.data.tags["reason"]) == ("FAILED", "failed", reason)
    assert told.data.tags["sweep"] == "sweep"


@pytest.fixture
def logger(run, tmp_path) -> MLflow:
    """One of a run that tells the same store."""
    return MLflow(str(tmp_path / "one"), output_dir=str(run.path.parent))


def test_an_interrupted_run_is_killed_and_one_that_goes_on_is_running(logger, client, tmp_path):
    (tmp_path / "one").mkdir()
    logger.log_hyperparams({"a": 1})
    logger.end("interrupted", "Ctrl-C", {})
    assert client.get_run(logger.version).info.status == "KILLED"
    resumed = MLflow(str(tmp_path / "one"), 5, tracking_uri=logger._uri)
    resumed.log_hyperparams({"a": 1})
    told = client.get_run(logger.version)
    assert told.info.status == "RUNNING"
    assert not {"status", "reason"} & told.data.tags.keys()


def test_many_figures_and_odd_names_are_told(logger, client, tmp_path):
    (tmp_path / "one").mkdir()
    logger.log_hyperparams({f"setting.{number}": "" for number in range(250)})
    name = "grad|norm" * 50
    logger.send_figures([Row(1e9 + step, step, {name: float(step)}) for step in range(2_500)])
    assert len(client.get_metric_history(logger.version, ("grad_norm" * 50)[:250])) == 2_500
    logger.send_end("finished", None, {name: 1.0})
    assert len(client.get_run(logger.version).data.params) == 250


def test_a_run_that_the_store_does_not_have_begins_anew(run, tmp_path, caplog):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/mlflow.json").write_text(json.dumps({"run": "0" * 32, "steps": {"loss": 100}}))
    logger = MLflow(str(tmp_path / "one"), 5, output_dir=str(run.path.parent))
    with caplog.at_level(logging.WARNING, "vae_lightning"):
        logger.log_hyperparams({})
    assert "does not have this run, which begins anew there" in caplog.text
    assert logger.version != "0" * 32
    assert logger.told.is_new("loss", 1)


@pytest.mark.parametrize("kind", ["link", "link to nothing", "folder"])
@pytest.mark.parametrize("place", [{}, {"output_dir": "."}])
def test_what_is_no_file_is_no_store(tmp_path, monkeypatch, kind, place):
    monkeypatch.chdir(tmp_path)
    if kind == "folder":
        (tmp_path / "mlflow.db").mkdir()
    else:
        (tmp_path / "mlflow.db").symlink_to(tmp_path / "anything.db")
    if kind == "link":
        (tmp_path / "anything.db").touch()
    expected = rf"^logger=mlflow: {tmp_path}/mlflow\.db is no regular file but .*tracking_uri="
    with pytest.raises(UserError, match=expected):
        MLflow(str(tmp_path / "run"), 5, **place)


@pytest.mark.parametrize("is_typed", [False, True], ids=["sealed", "typed"])
def test_a_resumed_run_goes_on_in_its_store_wherever_it_lies(run, client, tmp_path, is_typed):
    typed = ["logger=mlflow", f"output_dir={run.path.parent}"]  # where there is one: to make another takes seconds
    command(tmp_path, *TINY[:6], "trainer.max_epochs=1", "run_dir=own/run", "callbacks=none", *typed)
    if is_typed:
        (tmp_path / "own/run/services.json").unlink()  # as a run of an earlier version
    command(tmp_path, "resume=own/run", "trainer.max_epochs=2", *(typed if is_typed else []))
    known = json.loads((tmp_path / "own/run/mlflow.json").read_text())["run"]
    assert [metric.step for metric in client.get_metric_history(known, "val/elbo")] == [8, 17]
    assert not (tmp_path / "own/mlflow.db").exists()


def test_what_all_loggers_are_told_changes_no_weights(run, tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    told = ["logger=[default,wandb,mlflow]", "logger.wandb.mode=offline", f"output_dir={run.path.parent}"]
    (tmp_path / "none").mkdir()
    shown, alone = weights(trained(tmp_path, *told)), weights(trained(tmp_path / "none", "logger=none"))
    assert (tmp_path / "outputs/run/mlflow.json").exists()
    assert [name for name in shown if not torch.equal(shown[name], alone[name])] == []


def test_the_users_environment_names_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    assert MLflow(str(tmp_path), output_dir=str(tmp_path))._uri == "sqlite:///mine.db"
    assert MLflow(str(tmp_path), tracking_uri="http://localhost:1")._uri == "http://localhost:1"


def test_a_server_that_is_not_there_is_said_in_one_line(error_of, tmp_path):
    server = "logger.mlflow.tracking_uri='http://me:secret@127.0.0.1:9'"
    message = error_of(*TINY, "logger=mlflow", server, "run_dir=run")
    assert message == "logger=mlflow: the run can't begin at http://127.0.0.1:9 ([Errno 111] Connection refused)"
    assert RunDir(tmp_path / "run").status()["status"] == "failed"


def test_what_is_missing_is_said_in_one_line_before_anything_is_written(error_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    message = error_of(*TINY, "logger=mlflow", "run_dir=run")
    assert message == 'logger=mlflow: mlflow is not installed: pip install "vae-lightning[mlflow]"'
    assert not list(tmp_path.iterdir())


def test_a_stored_config_names_no_store(tmp_path):
    stored = NODE | {"tracking_uri": "http://stranger", "output_dir": "/elsewhere", "run_dir": "/elsewhere"}
    offered = {"run_dir": str(tmp_path / "run"), "first_step": 3, "output_dir": str(tmp_path)}
    is_typed = Trust(typed=frozenset({"logger.mlflow._target_"}))
    built = instantiate(stored, "logger.mlflow", trusted=is_typed, offered=offered)
    assert built._uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
