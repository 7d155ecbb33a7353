"""Entry point: `python -m vae_lightning.explore run=outputs/<date>/<time>_<name> out=page.html`, or `vae-explore`."""

from omegaconf import DictConfig

from vae_lightning.building.early import check_early
from vae_lightning.command_line.commands import refusing_sweeps, run_command, take_opening, take_out
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain
from vae_lightning.errors import one_line
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program


def main() -> None:
    """Compose the config from the command line, open the run, and write its page."""
    run_command("explore", _explore, check=refusing_sweeps("explore takes one run; start it for each"))


def _explore(config: DictConfig) -> None:
    settings = with_home(plain(config))
    opening = take_opening(settings)  # what is left at last are the page's own keys
    page, overwrite = take_out(settings, "explorer.html", "file")
    check_early(settings)
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.explorer.saving import check_place, save_page
        from vae_lightning.runs.trained import open_trained

        write = instantiate(settings, "")
    check_place(page, overwrite)
    run = checked(open_trained, opening)
    text, told = write(run)
    save_page(page, text, overwrite)
    print(one_line(run.context))
    for line in told:
        print(one_line(line))
    print(f"{one_line(page)} ({len(text) / 1e6:.1f} MB)", flush=True)


if __name__ == "__main__":
    run_as_program(main)
