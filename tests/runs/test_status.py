"""What is recorded of a run that ends, and in which order."""

import pytest

from vae_lightning.runs.status import record_status


def test_that_a_run_has_finished_is_the_last_thing_to_be_recorded(train, monkeypatch):
    run = train("callbacks=none")
    record_status(run, "running")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vae_lightning.runs.status.write_entry", killed)
    with pytest.raises(KeyboardInterrupt):
        record_status(run, "finished")
    assert run.status()["status"] == "running"
