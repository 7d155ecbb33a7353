"""A service that a run is told to: it never ends the training, and hears everything once."""

from typing import Any

import pytest

from tests.tiny import fit
from vae_lightning.errors import UserError
from vae_lightning.loggers import tracker as module
from vae_lightning.loggers.tracker import Tracker


class Service(Tracker):
    """Keeps what it is told, and fails while it is down."""

    service = "service"
    pattern = "[a-z]+"
    most_figures = 1_000

    def __init__(self, run_dir, first_step=0):
        super().__init__(str(run_dir), first_step)
        self.is_down = False
        self.heard: list[tuple[str, Any]] = []

    def begin(self, known):
        self._hear("begin", known)
        return self, known or "run"

    def send_settings(self, settings):
        self._hear("settings", dict(settings))

    def send_figures(self, rows):
        self._hear("figures", [(row.step, dict(row.figures)) for row in rows])

    def send_picture(self, tag, encoded, step):
        self._hear("picture", (tag, encoded, step))

    def send_text(self, tag, text):
        self._hear("text", (tag, text))

    def send_end(self, status, reason, figures):
        self._hear("end", (status, reason, dict(figures)))

    def of(self, kind: str) -> list[Any]:
        return [what for heard, what in self.heard if heard == kind]

    def _hear(self, kind, what):
        if self.is_down:
            raise RuntimeError("in short:") from ConnectionError("no route\nto the service")
        self.heard.append((kind, what))


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """What the time is, in seconds."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_training_begins_there_and_lightning_ends_nothing(tmp_path):
    service = Service(tmp_path)
    fit(4, logger=service)
    assert service.heard[0] == ("begin", None)
    assert not service.of("end")
    steps = [step for rows in service.of("figures") for step, row in rows if "val/elbo" in row]
    assert steps == [10, 21]


def test_what_cannot_be_told_waits_and_is_said_once(tmp_path, clock, told):
    service = Service(tmp_path)
    service.log_hyperparams({"a": 1})
    service.is_down = True
    for step in range(5):
        clock[0] += 7
        service.log_metrics({"loss": step}, step)
        service.save()
        service.show_picture("images/a", b"", (1, 1), step)
    assert told() == ["logger=service: no route; the run goes on without it"]
    service.is_down = False
    clock[0] += 100
    service.save()
    assert service.of("figures") == [[(step, {"loss": step}) for step in range(5)]]
    assert told()[1:] == ["logger=service: can be told again"]


@pytest.mark.parametrize(("most", "sent"), [(1, [[0], [1], [2, 3, 4]]), (5, [[0, 1], [2, 3], [4]])])
def test_what_was_told_before_it_failed_is_not_told_again(tmp_path, clock, monkeypatch, most, sent):
    monkeypatch.setattr(Service, "most_figures", most)
    service = Service(tmp_path)
    service.log_hyperparams({})
    for step in range(5):
        service.log_metrics({"loss": step, "epoch": 0}, step)
    hear = service.send_figures

    def fail_once(rows):
        if len(service.of("figures")) == 2:
            monkeypatch.setattr(Service, "most_figures", max(most, 6))
            service.send_figures = hear
            raise ConnectionError
        hear(rows)

    service.send_figures = fail_once
    service.save()
    told = Service(tmp_path, first_step=9).told
    assert [told.is_new("loss", step) for step in (sent[1][-1], sent[2][0])] == [False, True]
    clock[0] += 100
    service.save()
    assert [[step for step, _ in rows] for rows in service.of("figures")] == sent


def test_a_service_that_is_down_is_not_asked_each_time(tmp_path, clock):
    service = Service(tmp_path)
    service.log_hyperparams({})
    tries = []
    service.send_figures = lambda rows: tries.append(clock[0]) or 1 / 0
    for _ in range(100):
        clock[0] += 1
        service.log_metrics({"loss": 1.0}, 1)
        service.save()
    assert len(tries) <= 4


def test_what_waits_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_HELD", 10)
    service = Service(tmp_path)
    for step in range(30):
        service.log_metrics({"loss": step}, step)
    service.save()
    assert [step for step, _ in service.of("figures")[0]] == list(range(20, 30))


def test_where_it_cannot_begin_the_run_is_refused_in_one_line(tmp_path):
    service = Service(tmp_path)
    service.is_down = True
    with pytest.raises(UserError) as error:
        service.log_hyperparams({})
    assert str(error.value) == "logger=service: the run can't begin at service (no route)"


def test_the_end_is_told_once_with_what_waited(tmp_path):
    service = Service(tmp_path)
    service.log_hyperparams({})
    service.log_metrics({"loss": 1.0}, 3)
    service.end("failed", "why", {})
    service.end("interrupted", None, {})
    assert service.heard[-2:] == [("figures", [(3, {"loss": 1.0})]), ("end", ("failed", "why", {}))]


def test_a_run_that_has_not_begun_has_no_end(tmp_path):
    service = Service(tmp_path)
    service.end("failed", "why", {})
    assert service.heard == []


def test_a_resumed_run_goes_on_and_tells_nothing_twice(tmp_path):
    first = Service(tmp_path)
    first.log_hyperparams({})
    first.log_metrics({"loss": 1.0, "epoch": 0}, 8)
    first.save()
    first.show_picture("images/a", b"png", (1, 1), 8)
    resumed = Service(tmp_path, first_step=5)
    resumed.log_hyperparams({})
    for step in (8, 9):
        resumed.log_metrics({"loss": 1.0, "epoch": 0}, step)
        resumed.show_picture("images/a", b"png", (1, 1), step)
    resumed.save()
    assert resumed.of("begin") == ["run"]
    assert resumed.of("figures") == [[(9, {"loss": 1.0, "epoch": 0})]]
    assert resumed.of("picture") == [("images/a", b"png", 9)]


def test_a_job_knows_its_sweep(tmp_path):
    for folder in ("sweep/3", "sweep/best", "outputs/3"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sweep/multirun.yaml").touch()
    sweeps = {folder: Service(tmp_path / folder).sweep for folder in ("sweep/3", "sweep/best", "outputs/3")}
    assert sweeps == {"sweep/3": "sweep", "sweep/best": None, "outputs/3": None}
    assert Service(tmp_path / "sweep/3").run_name == "sweep/3"
