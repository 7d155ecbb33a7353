"""Weights & Biases: `logger=wandb`, whose files lie in the run directory."""

import html
import logging
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.disk.files import folder_in
from vae_lightning.errors import UserError
from vae_lightning.loggers.tracker import Row, Tracker, written

log = logging.getLogger("vae_lightning")

_STEP = "trainer/global_step"  # the axis of Lightning's own logger: runs of both lie over one another
_BEGIN_S, _END_S = 60.0, 60.0  # waited for its server; what is not there by then lies in the run directory
_FLUSH_S = 0.2  # what a killed run loses at most of what it has told; W&B's own is 15 s
_EXIT_CODES = {"finished": 0, "failed": 1, "interrupted": 130}


class WandB(Tracker):
    """Tells Weights & Biases of a run: figures over optimizer steps, pictures, animations, config, and how it ended.

    A sweep's runs have the name of its directory as their group. A resumed run keeps its id; offline it leaves a folder
    `wandb/offline-run-*` of that id each time that it goes on.

    Args:
        run_dir, first_step: those of `Tracker`.
        run_tags: those that the run has for every logger.
        project: of W&B, which makes it where it is new.
        mode: online needs an account; offline writes into the run directory, and W&B's own log into the user's cache;
            disabled does nothing.
        entity: the user or team whose project it is; None for the account's own.
        tags, notes: of the run, for W&B alone.

    Raises:
        UserError: wandb is not installed, or online there is no account.
    """

    service = "wandb"
    pattern = r"[a-z0-9]{8,64}"

    def __init__(
        self,
        run_dir: str,
        first_step: int = 0,
        run_tags: list[str] | None = None,
        *,
        project: str = "vae_lightning",
        # Who types logger=wandb wants to be online, as its YAML has it. Where a stored config's mode does not count, or
        # Python code gives none, nobody has asked for the network.
        mode: Literal["online", "offline", "disabled"] = "offline",
        entity: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
    ):
        super().__init__(run_dir, first_step)
        self._wandb = _imported()
        all_tags = list(dict.fromkeys([*(run_tags or []), *(tags or [])]))
        self._options = {"project": project, "mode": mode, "entity": entity, "tags": all_tags or None, "notes": notes}
        is_asked = mode == "online" and rank_zero_only.rank == 0
        if is_asked and not self._wandb.login(prompt=False, verify=False):
            raise UserError(
                "logger.wandb.mode=online: no account is known here; type `wandb login`, or choose "
                "logger.wandb.mode=offline"
            )

    def begin(self, known: str | None) -> tuple[Any, str]:
        run_id = known or secrets.token_hex(8)
        folder_in(self.run_dir, "wandb")  # not through a link that leads out of the run directory
        settings = self._wandb.Settings(
            console="off",  # train.log has it
            disable_code=True,
            init_timeout=_BEGIN_S,
            finish_timeout=_END_S,
            silent=True,
            symlink=False,
            x_transaction_log_flush_interval=_FLUSH_S,
        )
        run = self._wandb.init(
            **self._options,
            id=run_id,
            name=self.run_name,
            group=self.sweep,
            dir=str(self.run_dir),
            resume="allow" if known and self._options["mode"] == "online" else None,
            reinit="create_new",  # another run of this process is another one there
            settings=settings,
        )
        self._remove_links()
        run.define_metric(_STEP)
        run.define_metric("*", step_metric=_STEP)
        self._tell_place(run)
        return run, run_id

    def send_settings(self, settings: Mapping[str, Any]) -> None:
        self.experiment.config.update(dict(settings), allow_val_change=True)

    def send_figures(self, rows: list[Row]) -> None:
        for row in rows:
            at = {} if row.step is None else {_STEP: row.step}
            self.experiment.log(row.figures | at)

    def send_picture(self, tag: str, encoded: bytes, step: int) -> None:
        with tempfile.TemporaryDirectory() as folder:  # W&B copies files as they are, and would encode what is none
            if tag.startswith("animations/"):
                shown = self._wandb.Video(written(folder, "shown.gif", encoded), format="gif")
            else:
                shown = self._wandb.Image(written(folder, "shown.png", encoded))
            self.experiment.log({tag: shown, _STEP: step})

    def send_text(self, tag: str, text: str) -> None:
        self.experiment.log({f"text/{tag}": self._wandb.Html(f"<pre>{html.escape(text)}</pre>", inject=False)})

    def send_end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        final = {f"final/{name}": value for name, value in figures.items()}
        self.experiment.summary.update(final | {"status": status, "reason": reason})
        self.experiment.finish(exit_code=_EXIT_CODES[status])
        self._remove_links()

    def _remove_links(self) -> None:
        """Remove W&B's link to a log in the user's cache: with a link that leads out a run directory is refused."""
        for path in (self.run_dir / "wandb").glob("*/logs/*"):
            if path.is_symlink():
                path.unlink(missing_ok=True)

    def _tell_place(self, run: Any) -> None:
        if self._options["mode"] == "online":
            log.info("logger=wandb: %s", run.url)
        elif self._options["mode"] == "offline":
            log.info("logger=wandb: offline; wandb sync %s", Path(run.dir).parent)


def _imported() -> Any:
    try:
        import wandb
    except ImportError as error:
        message = 'logger=wandb: wandb is not installed: pip install "vae-lightning[wandb]"'
        raise UserError(message) from error
    return wandb
