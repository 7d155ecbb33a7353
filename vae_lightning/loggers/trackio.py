"""Trackio: `logger=trackio`, into its store on this machine, or into a Space of the Hugging Face hub."""

import contextlib
import io
import logging
import re
import secrets
import tempfile
from collections.abc import Mapping
from typing import Any

from vae_lightning.errors import UserError
from vae_lightning.loggers.tracker import Row, Tracker, written

log = logging.getLogger("vae_lightning")


class Trackio(Tracker):
    """Tells Trackio of a run: figures over optimizer steps, pictures, animations, config, and how it ended.

    A sweep's runs have the name of its directory as their group.

    Args:
        run_dir, first_step: those of `Tracker`.
        project: of Trackio, which makes it where it is new.
        space_id: of the Space that it is sent to; None for the store on this machine, where TRACKIO_DIR says.

    Raises:
        UserError: trackio is not installed.
    """

    service = "trackio"
    pattern = r"\w[\w.-]{0,199}"

    def __init__(
        self, run_dir: str, first_step: int = 0, *, project: str = "vae_lightning", space_id: str | None = None
    ):
        super().__init__(run_dir, first_step)
        self._trackio = _imported()
        self._project, self._space_id = project, space_id

    def begin(self, known: str | None) -> tuple[Any, str]:
        # Trackio knows a run by its name again.
        name = known or _plain(f"{self.run_name}-{secrets.token_hex(4)}")
        with _unprinted():
            run = self._trackio.init(
                self._project, name=name, group=self.sweep, space_id=self._space_id, resume="allow", embed=False
            )
        log.info("logger=trackio: trackio show --project %s", self._project)
        return run, name

    def send_settings(self, settings: Mapping[str, Any]) -> None:
        self.experiment.config.update(settings)  # goes with the first figures

    def send_figures(self, rows: list[Row]) -> None:
        for row in rows:
            self.experiment.log(row.figures, step=row.step)

    def send_picture(self, tag: str, encoded: bytes, step: int) -> None:
        with tempfile.TemporaryDirectory() as folder:  # it copies files as they are, and would encode what is none
            if tag.startswith("animations/"):
                shown = self._trackio.Video(written(folder, "shown.gif", encoded), format="gif")
            else:
                shown = self._trackio.Image(written(folder, "shown.png", encoded))
            self.experiment.log({tag: shown}, step=step)

    def send_text(self, tag: str, text: str) -> None:
        self.experiment.log({f"text/{tag}": self._trackio.Markdown(f"```\n{text}\n```")}, step=0)

    def send_end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        final = {f"final/{name}": value for name, value in figures.items()}
        self.experiment.log(final | {"status": status, "reason": reason or ""})
        with _unprinted():
            self.experiment.finish()


def _plain(name: str) -> str:
    """The end of a name, as `Trackio.pattern` has it."""
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)[-200:].lstrip(".-")


def _unprinted() -> contextlib.AbstractContextManager[Any]:
    return contextlib.redirect_stdout(io.StringIO())


def _imported() -> Any:
    try:
        import trackio
    except ImportError as error:
        message = 'logger=trackio: trackio is not installed: pip install "vae-lightning[trackio]"'
        raise UserError(message) from error
    return trackio
