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
from vae_lightning.errors import UserError, one_line
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program


def main() -> None:
    """Compose the config from the command line, open the run, and write what the mode makes of it."""
    run_command("generate", _generate, check=refusing_sweeps("generate takes one run and one mode; start it for each"))


def _generate(config: DictConfig) -> None:
    settings, mode = with_home(plain(config)), HydraConfig.get().runtime.choices["mode"]
    opening = take_opening(settings)  # what is left at last are the mode's own keys
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
    if all(settings.get(name) is None for name in ("indices", "labels")):  # of two ways neither is the one
        check_given(settings.get("images"))
    check_plane(settings, mode, recorded_config(opening).get("model"))
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.drawing.shown import showing
        from vae_lightning.exports.saving import save_picture
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
    facts |= ({} if label is None else {"label": label}) | ({"invert": True} if invert else {}) | {"settings": settings}
    shown = run.preprocessing.shown_channels
    with output_folder(folder, overwrite, facts) as staging, showing(shown):
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


def _tell(context: str, folder: Path) -> None:
    """What was written, a line a file; of many of one kind the first and their number."""
    from vae_lightning.runs.generated import listed

    print(f"{one_line(context)}\n{one_line(folder)}")
    for line in listed(folder):
        print(f"  {one_line(line)}")


if __name__ == "__main__":
    run_as_program(main)
