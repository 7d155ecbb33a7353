"""Pictures of several runs beside each other, as the settings that they were trained with."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from vae_lightning.drawing.panels import Panel, Stacked, as_layout
from vae_lightning.drawing.sheets import Captioned
from vae_lightning.errors import UserError
from vae_lightning.exports.saving import check_room, save_drawing
from vae_lightning.pictures.picture import Drawing
from vae_lightning.reports.gallery import Arrangement

log = logging.getLogger("vae_lightning")


def save_side_by_side(
    arrangements: list[Arrangement],
    draw: Callable[[Path], Mapping[str, Drawing]],
    folder: Path,
    title: str,
    context: str,
) -> None:
    """Save each picture that `draw` makes of a run, those of all runs in one.

    Args:
        arrangements: which run stands where.
        draw: of a run's directory its pictures by name.
        folder: to save to.
        title, context: above each; none where the context is empty.

    Raises:
        UserError: no run has such a picture, or there are too many for the paper.
    """
    across = max((len(part.columns) for part in arrangements), default=0)
    check_room(across, sum(len(part.rows) for part in arrangements))
    drawn: dict[Path, Mapping[str, Drawing]] = {}
    reason = ""
    for run in [run for part in arrangements for row in part.rows for run in row if run is not None]:
        try:
            drawn[run.path] = draw(run.path)
        except UserError as error:  # it has no such picture, or can't be opened
            reason = reason or str(error)
            log.info("run %s is left out: %s", run.name, error)
    names = dict.fromkeys(name for pictures in drawn.values() for name in pictures)
    if not names:
        raise UserError(reason or "there is no finished run to draw")
    for name in names:
        panels = [panel for part in arrangements if (panel := _panel(part, drawn, name)) is not None]
        body = panels[0] if len(panels) == 1 else Stacked(panels)
        save_drawing(folder, name, Drawing(Captioned(body, title, context)))


def _panel(part: Arrangement, drawn: Mapping[Path, Mapping[str, Drawing]], name: str) -> Panel | None:
    """None where none of its runs has the picture."""
    found = [[drawn.get(run.path, {}).get(name) if run else None for run in row] for row in part.rows]
    cells = [[None if drawing is None else as_layout(drawing.sheet) for drawing in row] for row in found]
    return Panel(cells, part.columns, part.names) if any(cell for row in cells for cell in row) else None
