"""Entry point: `python -m vae_lightning.export run=outputs/<date>/<time>_<name> out=model`, or `vae-export`."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vae_lightning.building.early import check_early
from vae_lightning.command_line.commands import refusing_sweeps, run_command, take_opening, take_out
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain
from vae_lightning.errors import one_line
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program


def main() -> None:
    """Compose the config from the command line, open the run, and write it in the format that is wanted."""
    run_command("export", _export, check=refusing_sweeps("export takes one run; start it for each"))


def _export(config: DictConfig) -> None:
    settings, name = with_home(plain(config)), HydraConfig.get().runtime.choices["format"]
    opening = take_opening(settings)  # what is left at last are the format's own keys
    folder, overwrite = take_out(settings, "model")
    check_early(settings)
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.runs.generated import listed, output_folder
        from vae_lightning.runs.trained import open_trained

        write = instantiate(settings, "")
    run = checked(open_trained, opening)
    facts = {"format": name}
    with output_folder(folder, overwrite, facts, write.manifest) as staging:
        facts |= write(run, staging)
    print(f"{one_line(run.context)}\n{one_line(folder)}")
    files = listed(folder, write.manifest)
    for line in [*files, *write.after(folder, [*files, write.manifest])]:
        print(f"  {one_line(line)}", flush=True)


if __name__ == "__main__":
    run_as_program(main)
