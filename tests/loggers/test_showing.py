"""Pictures, texts, hyperparameters and the end reach the loggers that take them; Lightning's own are left as typed."""

import csv

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import refusal
from tests.loggers.test_tracker import Service
from tests.loggers.tracked import command, trained
from tests.test_config import composed
from tests.tiny import Rows, trainer
from vae_lightning.config import instantiate
from vae_lightning.loggers.showing import show_end, show_picture, show_start, show_text
from vae_lightning.runs.records import RunDir

OWN = "+logger.own={_target_:lightning.pytorch.loggers.CSVLogger,save_dir:mine}"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    return trained(tmp_path_factory.mktemp("foreign"), "logger=none", OWN)


def test_a_logger_of_lightnings_gets_figures_and_hyperparameters(run):
    (file,) = run.path.parents[1].glob("mine/lightning_logs/*/metrics.csv")
    rows = list(csv.DictReader(file.open()))
    assert [float(row["test/elbo"]) for row in rows if row["test/elbo"]] == [run.metrics()["test/elbo"]]
    assert "model.latent_dim: 4" in file.with_name("hparams.yaml").read_text()


def test_a_stored_logger_of_lightnings_is_refused_with_the_way_on(run):
    folder = run.path.parents[1]
    message = refusal(command, folder, "resume=outputs/run", "trainer.max_epochs=2")
    assert message.startswith("logger.own._target_=lightning.pytorch.loggers.CSVLogger: a stored config may only build")
    assert message.endswith("add it: trust=[lightning.pytorch.loggers.CSVLogger], or trust=[lightning]")
    command(folder, "resume=outputs/run", "trainer.max_epochs=2", "trust=[lightning]")
    assert run.metrics()["epochs"] == 2


@pytest.mark.parametrize(
    ("package", "node"),
    [
        ("mlflow", {"_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": "sqlite:///own.db"}),
        ("wandb", {"_target_": "lightning.pytorch.loggers.WandbLogger", "offline": True, "save_dir": "x"}),
        ("torch", {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "x"}),
        ("torch", {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": "x"}),
    ],
)
def test_lightnings_loggers_are_built_of_what_was_typed_alone(package, node, monkeypatch, tmp_path):
    pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    place = {"run_dir": str(tmp_path), "first_step": 3, "output_dir": str(tmp_path)}
    built = instantiate(node, "logger.own", offered=place)
    assert type(built).__name__ == node["_target_"].rpartition(".")[2]
    assert not {"run_dir", "first_step", "output_dir"} & built.__dict__.get("_wandb_init", {}).keys()


def test_a_logger_of_the_users_own_may_still_ask_for_the_run_directory(tmp_path):
    node = {"_target_": "vae_lightning.loggers.metrics_csv.MetricsCSV"}
    assert instantiate(node, "logger.own", offered={"run_dir": str(tmp_path), "first_step": 0})._file.parent == tmp_path


def test_every_logger_gets_what_it_takes(tmp_path):
    service, rows = Service(tmp_path), Rows()
    lightnings = TensorBoardLogger(tmp_path, name="", version="")
    shown = trainer(logger=[service, rows, CSVLogger(tmp_path / "csv"), lightnings])
    config = composed("model.latent_dim=7")
    show_start(shown, config)
    show_picture(shown, "images/a", b"png", (3, 4))
    show_text(shown, "config", "a: 1\nb: 2")
    show_end(shown, "finished", None, {"test/elbo": -1.0})
    assert service.of("settings")[0]["model.latent_dim"] == 7
    assert service.heard[2:] == [
        ("picture", ("images/a", b"png", 0)),
        ("text", ("config", "a: 1\nb: 2")),
        ("end", ("finished", None, {"test/elbo": -1.0})),
    ]
    lightnings.save()
    events = EventAccumulator(str(tmp_path), {"images": 0, "tensors": 0}).Reload()
    assert [(image.encoded_image_string, image.width, image.height) for image in events.Images("images/a")] == [
        (b"png", 3, 4)
    ]
    assert b"    a: 1\n    b: 2" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0]
