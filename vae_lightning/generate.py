"""Entry point: `python -m vae_lightning.generate run=outputs/<date>/<time>_<name> mode=samples`, or `vae-generate`."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vae_lightning.building.early import check_early, check_plane
from vae_lightning.command_line.commands import recorded_config, refusing_sweeps, run_command, take, take_opening
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain, takes
from vae_lightning.data.picture_files import check_given
from vae_lightning.disk.files import check_within
from vae_lightning.drawing.printing import Paper
from vae_lightning.errors import UserError, one_line
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program

if TYPE_CHECKING:
    from vae_lightning.reports.named import NamedRuns
    from vae_lightning.runs.trained import TrainedRun

_OF_PAPER = ("format", "dpi", "columns", "caption")
_TABLES, _SAMPLES = "WriteEncodings", "WriteSamples"  # what draws no picture, and what need not draw one


def main() -> None:
    """Compose the config from the command line, open the run, and write what the mode makes of it."""
    run_command("generate", _generate, check=refusing_sweeps("generate takes one run and one mode; start it for each"))


def _generate(config: DictConfig) -> None:
    settings, mode = with_home(plain(config)), HydraConfig.get().runtime.choices["mode"]
    several = take(settings, "sweep", "runs")
    named = _named_runs(several, settings["run"])
    opening = take_opening(settings if named is None else settings | {"run": str(named.directories[0])})
    for key in (*opening, "checkpoint"):
        settings.pop(key, None)  # what is left at last are the mode's own keys
    paper = checked(Paper, take(settings, *_OF_PAPER))
    own = take(settings, "out", "overwrite", "label", "invert")
    for key in ("overwrite", "invert"):
        if not isinstance(own[key], bool):
            raise UserError(f"{key}={own[key]}: expected true or false")
    if own["invert"] and settings.get("images") is None:
        raise UserError(
            "invert=true: inverts images of your own, and none are given; give images=, with a mode that takes them"
        )
    _hand_on(settings, mode)
    check_early(settings)
    _check_drawn(settings, mode, paper, {key: value for key, value in several.items() if value})
    if all(settings.get(name) is None for name in ("indices", "labels")):  # of two ways neither is the one
        check_given(settings.get("images"))
    if named is None:  # of several, those that have no such picture are left out
        check_plane(settings, mode, recorded_config(opening).get("model"))
    _draw(_Wanted(mode, settings, opening, paper, **own), named)


@dataclass(frozen=True)
class _Wanted:
    """What is to be drawn, of which run, and where it goes."""

    mode: str
    settings: dict[str, Any]
    opening: dict[str, Any]
    paper: Paper
    out: Any
    overwrite: bool
    label: Any
    invert: bool

    def folder(self, beside: Path) -> Path:
        """The one to write: what was asked for, or one of its own there."""
        from vae_lightning.runs.generated import own_folder

        if self.out is not None:
            return Path(str(self.out)).expanduser()
        folder = own_folder(beside / "generated" / self.mode, self.overwrite)
        try:
            check_within(folder, beside)  # a sweep may come from a stranger, as a run may
        except ValueError as error:
            raise UserError(f"out={folder}: {error}; remove it, or give another out") from error
        return folder

    @property
    def facts(self) -> dict[str, Any]:
        """What is recorded of it beside the files."""
        told = ({} if self.label is None else {"label": self.label}) | ({"invert": True} if self.invert else {})
        return {"mode": self.mode} | told | _asked(self.paper) | {"settings": self.settings}

    def open(self, run: Any) -> "TrainedRun":
        """A run as it is to be seen."""
        from vae_lightning.runs.trained import open_trained

        opened = checked(open_trained, self.opening | {"run": run})
        return replace(checked(opened.with_label, {"label": self.label}), invert=self.invert)


def _draw(wanted: _Wanted, named: "NamedRuns | None") -> None:
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.drawing.shown import showing
        from vae_lightning.exports.saving import printing_on, save_made
        from vae_lightning.runs.generated import output_folder

        made = instantiate(wanted.settings, "")
    if named is not None:
        _draw_each(wanted, named, made)
        return
    run = wanted.open(wanted.opening["run"])
    folder = wanted.folder(run.run_dir.path)
    facts = {"run": str(run.run_dir.path), "checkpoint": run.checkpoint, "epoch": run.epoch} | wanted.facts
    with (
        output_folder(folder, wanted.overwrite, facts) as staging,
        showing(run.preprocessing.shown_channels),
        printing_on(wanted.paper),
    ):
        save_made(made, run, staging, wanted.mode)
    _tell(run.context, folder)


def _draw_each(wanted: _Wanted, named: "NamedRuns", made: Any) -> None:
    """The pictures of several runs beside each other, one run opened at a time."""
    from vae_lightning.drawing.shown import showing
    from vae_lightning.exports.saving import collecting, printing_on, save_made
    from vae_lightning.exports.side_by_side import save_side_by_side
    from vae_lightning.pictures.picture import Drawing
    from vae_lightning.reports.gallery import arranged
    from vae_lightning.runs.generated import output_folder

    arrangements = arranged(named.comparison)
    folder = wanted.folder(named.place)
    facts = {"runs": [str(path) for path in named.directories]} | wanted.facts
    with output_folder(folder, wanted.overwrite, facts) as staging, printing_on(wanted.paper):

        def draw(path: Path) -> dict[str, Drawing]:
            run, drawings = wanted.open(str(path)), dict[str, Drawing]()
            with (
                showing(run.preprocessing.shown_channels),
                collecting(drawings),
                TemporaryDirectory(dir=staging.parent) as rest,
            ):
                save_made(made, run, Path(rest), wanted.mode)
            return drawings

        context = named.title if wanted.paper.caption else ""
        save_side_by_side(arrangements, draw, staging, wanted.mode, context)
    _tell(named.title, folder)


def _named_runs(several: dict[str, Any], run: Any) -> "NamedRuns | None":
    """The runs of `sweep=` or `runs=`; None where neither is given."""
    given = {key: value for key, value in (several | {"run": run}).items() if value}
    if len(given) > 1:
        raise UserError(f"{' and '.join(f'{key}={value}' for key, value in given.items())}: give one of them")
    if "run" in given or not given:
        return None
    from vae_lightning.reports.named import named_runs

    return named_runs(several["sweep"], several["runs"])


def _hand_on(settings: dict[str, Any], mode: str) -> None:
    """Leave the sampler to a mode that takes one.

    Raises:
        UserError: one is chosen for a mode that takes none.
    """
    if not settings.get("sampler"):  # the option of the prior describes nothing
        settings.pop("sampler", None)
    elif not takes(str(settings.get("_target_")), "sampler"):
        chosen = HydraConfig.get().runtime.choices["sampler"]
        raise UserError(f"sampler={chosen}: mode={mode} takes none; mode=samples does")


def _asked(paper: Paper) -> dict[str, Any]:
    """What of pictures was asked for that is not usual."""
    usual = Paper()
    given = {name: getattr(paper, name) for name in _OF_PAPER}
    return {name: value for name, value in given.items() if value != getattr(usual, name)}


def _check_drawn(settings: dict[str, Any], mode: str, paper: Paper, several: dict[str, Any]) -> None:
    """Raise a UserError if something is asked of pictures, as of several runs it is, and the mode draws none."""
    kind, asked = str(settings.get("_target_")).rpartition(".")[2], several | _asked(paper)
    saved = settings.get("save") if kind == _SAMPLES else None
    if asked and (kind == _TABLES or (saved is not None and "grid" not in saved)):
        name, value = next(iter(asked.items()))
        how = f"mode={mode}" if saved is None else f"save={saved if isinstance(saved, str) else ','.join(saved)}"
        hint = "" if saved is None else "; with save=grid there is one"
        told = str(value).lower() if isinstance(value, bool) else value
        raise UserError(f"{name}={told}: there is no picture with {how}{hint}")


def _tell(context: str, folder: Path) -> None:
    """What was written, a line a file; of many of one kind the first and their number."""
    from vae_lightning.runs.generated import listed

    print(f"{one_line(context)}\n{one_line(folder)}")
    for line in listed(folder):
        print(f"  {one_line(line)}")


if __name__ == "__main__":
    run_as_program(main)
