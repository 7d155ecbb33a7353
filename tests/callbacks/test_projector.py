"""TensorBoard's PROJECTOR tab, as its own plugin serves what the callback wrote."""

import json

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from tests.callbacks.fakes import FakeData, evaluated, pixels, train
from vae_lightning.callbacks.projector import Projector

NUM_IMAGES = 10


class Served:
    """What TensorBoard answers for the folder that a run directory lies in."""

    def __init__(self, run_dir):
        self.run = run_dir.name
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(run_dir.parent))
        provider = MultiplexerDataProvider(multiplexer.Reload(), str(run_dir.parent))
        plugin = ProjectorPlugin(TBContext(data_provider=provider, logdir=str(run_dir.parent)))
        self.apps = plugin.get_plugin_apps()

    def get(self, route, **query):
        response = Client(self.apps[route]).get(route, query_string=query)
        assert response.status_code == 200, response.text
        return response

    def embeddings(self):
        return json.loads(self.get("/info", run=self.run).text)["embeddings"]

    def tensor(self, embedding):
        answer = self.get("/tensor", run=self.run, name=embedding["tensorName"]).data
        return np.frombuffer(answer, np.float32).reshape(embedding["tensorShape"])

    def metadata(self, embedding):
        """The columns by name, None naming a single one: as in TensorBoard, which there takes no line for a header."""
        lines = self.get("/metadata", run=self.run, name=embedding["tensorName"]).text.splitlines()
        rows = [line.split("\t") for line in lines]
        names, rows = (rows[0], rows[1:]) if "\t" in lines[0] else ([None], rows)
        return dict(zip(names, zip(*rows, strict=True), strict=True))

    def sprite(self, embedding):
        return pixels(self.get("/sprite_image", run=self.run, name=embedding["tensorName"]).data)


def means(trainer):
    with torch.no_grad():
        return evaluated(trainer).encode(trainer.datamodule.example_images(NUM_IMAGES)).loc.numpy()


def config_of(run_dir):
    return text_format.Parse((run_dir / "projector_config.pbtxt").read_text(), ProjectorConfig())


def epochs_listed(run_dir):
    return [int(embedding.tensor_name.rpartition(" ")[2]) for embedding in config_of(run_dir).embeddings]


def epochs_on_disk(run_dir):
    return sorted(int(path.stem.removeprefix("epoch_")) for path in (run_dir / "projector").glob("epoch_*.tsv"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run with a tensor after epoch 2 and after the last: the Trainer and the run directory."""
    run_dir = tmp_path_factory.mktemp("projector") / "run"
    return train(run_dir, Projector(every_n_epochs=2, num_images=NUM_IMAGES)), run_dir


def test_tensorboard_serves_the_posterior_means_of_the_newest_epoch_first(written):
    trainer, run_dir = written
    served = Served(run_dir)
    assert served.get("/runs").json == ["run"]
    newest, older = served.embeddings()
    assert newest["tensorName"] == "newest posterior means, epoch 0003"
    assert older["tensorName"] == "posterior means, epoch 0002"
    assert newest["tensorName"] < older["tensorName"]  # by which the browser orders them
    assert np.allclose(served.tensor(newest), means(trainer), rtol=1e-5, atol=1e-5)
    assert served.tensor(older).shape == (NUM_IMAGES, 6)
    assert not np.allclose(served.tensor(older), means(trainer), rtol=1e-3)


def test_tensorboard_serves_a_label_and_an_index_for_each_point(written):
    _, run_dir = written
    served = Served(run_dir)
    for embedding in served.embeddings():
        assert served.metadata(embedding) == {
            "label": tuple(str(index % 3) for index in range(NUM_IMAGES)),
            "index": tuple(str(index) for index in range(NUM_IMAGES)),
        }


@pytest.mark.parametrize("channels", [1, 3])
def test_each_cell_of_the_sprite_is_its_point_s_image(tmp_path, channels):
    run_dir, data = tmp_path / "run", FakeData(channels)
    train(run_dir, Projector(None, NUM_IMAGES), data=data, channels=channels, max_epochs=1)
    served = Served(run_dir)
    [embedding] = served.embeddings()
    sprite, (width, height) = served.sprite(embedding), embedding["sprite"]["singleImageDim"]
    columns = sprite.shape[1] // width  # as TensorBoard counts them
    for index, image in enumerate(data.levels["val"][:NUM_IMAGES]):
        top, left = index // columns * height, index % columns * width
        cell = sprite[top : top + height, left : left + width]
        assert np.array_equal(cell, image.expand(3, -1, -1).permute(1, 2, 0).numpy())


def test_without_labels_each_line_is_a_point(tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, Projector(None, NUM_IMAGES), data=FakeData(has_labels=False), max_epochs=1)
    served = Served(run_dir)
    [embedding] = served.embeddings()
    assert served.metadata(embedding) == {None: tuple(str(index) for index in range(NUM_IMAGES))}


def test_labels_go_by_their_names(fit, tmp_path):
    data = FakeData()
    data.class_names = ("cat", "d\tog", "owl")
    fit(Projector(None, NUM_IMAGES), latent_dim=1, max_epochs=1, data=data)
    lines = (tmp_path / "projector/metadata.tsv").read_text().splitlines()
    assert lines[:4] == ["label\tindex", "cat\t0", "d?og\t1", "owl\t2"]


def test_there_are_fewer_points_where_there_are_fewer_images(fit, tmp_path):
    fit(Projector(None, num_images=2000), latent_dim=1, max_epochs=1, data=FakeData(num_val=3))
    assert len(np.loadtxt(tmp_path / "projector/epoch_0001.tsv")) == 3
    assert len((tmp_path / "projector/metadata.tsv").read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 4])
def test_points_have_the_three_components_without_which_none_is_drawn(fit, tmp_path, latent_dim):
    fit(Projector(None, NUM_IMAGES), latent_dim=latent_dim, max_epochs=1)
    points = np.loadtxt(tmp_path / "projector/epoch_0001.tsv")
    assert points.shape == (NUM_IMAGES, max(3, latent_dim))
    assert (points.std(0) > 0).tolist() == [True] * latent_dim + [False] * (3 - latent_dim)


def test_a_resumed_run_keeps_its_tensors_and_gives_up_those_of_another_future(fit, tmp_path):
    fit(Projector(1, NUM_IMAGES), ModelCheckpoint(tmp_path, filename="run", save_on_train_epoch_end=True), max_epochs=2)
    kept = (tmp_path / "projector/epoch_0002.tsv").read_bytes()
    fit(Projector(1, NUM_IMAGES), max_epochs=5, ckpt_path=tmp_path / "run.ckpt")
    assert epochs_listed(tmp_path) == [5, 4, 3, 2, 1]
    fit(Projector(4, NUM_IMAGES), max_epochs=4, ckpt_path=tmp_path / "run.ckpt")
    assert epochs_listed(tmp_path) == [4, 2, 1]
    assert epochs_on_disk(tmp_path) == [1, 2, 4]
    assert (tmp_path / "projector/epoch_0002.tsv").read_bytes() == kept


@pytest.mark.parametrize(("resumed", "left"), [(True, [1]), (False, [])])
def test_tensorboard_works_on_while_there_is_no_new_tensor_yet(fit, tmp_path, resumed, left):
    run_dir = tmp_path / "run"
    fit(Projector(1, NUM_IMAGES), max_epochs=1, run_dir=run_dir).save_checkpoint(tmp_path / "run.ckpt")
    checkpoint = {"ckpt_path": tmp_path / "run.ckpt"} if resumed else {}
    fit(Projector(1, NUM_IMAGES), max_epochs=3, run_dir=run_dir, **checkpoint)

    class KilledError(Exception):
        pass

    class Killed(Projector):
        def act(self, trainer, pl_module, epoch):
            raise KilledError

    with pytest.raises(KilledError):
        fit(Killed(1, NUM_IMAGES), max_epochs=3, run_dir=run_dir, **checkpoint)
    assert epochs_listed(run_dir) == epochs_on_disk(run_dir) == left
    assert Served(run_dir).get("/runs").json == (["run"] if left else [])


def test_nothing_is_written_without_tensorboard(fit, tmp_path):
    run_dir = tmp_path / "run"
    stale = run_dir / "projector/epoch_0009.tsv"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"1\t2\n")
    fit(Projector(1), logger=CSVLogger(tmp_path / "csv"), run_dir=run_dir)
    assert [path.name for path in run_dir.rglob("*") if path.suffix in (".pbtxt", ".tsv", ".png")] == ["epoch_0009.tsv"]


def test_tensorboard_may_be_one_of_several_loggers(fit, tmp_path):
    loggers = [CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path, name="", version="")]
    fit(Projector(1), logger=loggers, max_epochs=2)
    assert epochs_listed(tmp_path) == [2, 1]


def test_a_resumed_run_that_shows_other_images_keeps_no_tensor_of_the_former_ones(fit, tmp_path):
    fit(Projector(1, num_images=10), max_epochs=1).save_checkpoint(tmp_path / "run.ckpt")
    fit(Projector(1, num_images=5), max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert [path.name for path in (tmp_path / "projector").glob("epoch_*")] == ["epoch_0002.tsv"]
    assert "epoch 0001" not in (tmp_path / "projector_config.pbtxt").read_text()
