"""What is said of a run when it starts, fails or ends: `RunDir.write_status`, and TensorBoard's HPARAMS tab."""

from vae_lightning.disk.unwritten import spared
from vae_lightning.loggers.hparams import write_entry
from vae_lightning.runs.records import RunDir


def record_status(run: RunDir, status: str, reason: str | None = None) -> None:
    """Record running, finished, failed or interrupted, and why.

    That a run has finished is the last thing to be said of it: one that is killed before can be gone on with.
    """
    if status == "finished":
        _write_entry(run, status)
    run.write_status(status, reason)
    if status != "finished":
        _write_entry(run, status)


def _write_entry(run: RunDir, status: str) -> None:
    config = run.config()
    if any("TensorBoard" in str((node or {}).get("_target_")) for node in (config.get("logger") or {}).values()):
        with spared("TensorBoard's hparams entry"):
            write_entry(run.path, config, status, run.metrics() if status == "finished" else {})
