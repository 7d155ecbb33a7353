"""Entry point: `python -m vae_lightning.generate run=outputs/<date>/<time>_<name> mode=samples`, or `vae-generate`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vae_lightning.building.early import check_early, check_plane
from vae_lightning.command_line.commands import recorded_config, refusing_sweeps, run_command, take, take_opening
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain, takes
from vae_lightning.data.picture_files import check_given
from vae_lightning.drawing.printing import Paper
from vae_lightning.errors import UserError, one_line
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program

_OF_PAPER = ("format", "dpi", "columns", "caption")
_TABLES, _SAMPLES = "WriteEncodings", "WriteSamples"  # what draws no picture, and what need not draw one


def main() -> None:
    """Compose the config from the command line, open the run, and write what the mode makes of it."""
    run_command("generate", _generate, check=refusing_sweeps("generate takes one run and one mode; start it for each"))


def _generate(config: DictConfig) -> None:
    settings, mode = with_home(plain(config)), HydraConfig.get().runtime.choices["mode"]
    opening = take_opening(settings)  # what is left at last are the mode's own keys
    paper = checked(Paper, take(settings, *_OF_PAPER))
    own = take(settings, "out", "overwrite", "label", "invert")
    for key in ("overwrite", "invert"):
        if not isinstance(own[key], bool):
            raise UserError(f"{key}={own[key]}: expected true or false")
    out, overwrite, label, invert = own.values()
    if invert and settings.get("images") is None:
        raise UserError(
            "invert=true: inverts images of your own, and none are given; give images=, with a mode that takes them"
        )
    _hand_on(settings, mode)
    check_early(settings)
    _check_drawn(settings, mode, paper)
    if all(settings.get(name) is None for name in ("indices", "labels")):  # of two ways neither is the one
        check_given(settings.get("images"))
    check_plane(settings, mode, recorded_config(opening).get("model"))
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.drawing.shown import showing
        from vae_lightning.exports.saving import printing_on, save_picture
        from vae_lightning.pictures.picture import Picture
        from vae_lightning.runs.generated import output_folder, own_folder
        from vae_lightning.runs.trained import open_trained

        made = instantiate(settings, "")
    run = checked(open_trained, opening)
    run = replace(checked(run.with_label, {"label": label}), invert=invert)
    if out is not None:
        folder = Path(str(out)).expanduser()
    else:
        folder = own_folder(run.run_dir.path / "generated" / mode, overwrite)
    facts = {"run": str(run.run_dir.path), "checkpoint": run.checkpoint, "epoch": run.epoch, "mode": mode}
    facts |= ({} if label is None else {"label": label}) | ({"invert": True} if invert else {})
    facts |= _asked(paper) | {"settings": settings}
    shown = run.preprocessing.shown_channels
    with output_folder(folder, overwrite, facts) as staging, showing(shown), printing_on(paper):
        if isinstance(made, Picture):
            save_picture(made, run, staging, mode)
        else:
            made(run, staging)
    _tell(run.context, folder)


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


def _check_drawn(settings: dict[str, Any], mode: str, paper: Paper) -> None:
    """Raise a UserError if something is asked of pictures, and the mode draws none."""
    kind, asked = str(settings.get("_target_")).rpartition(".")[2], _asked(paper)
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
