"""Entry point: `python -m vae_lightning.evaluate run=outputs/<date>/<time>_<name>`, or `vae-evaluate`."""

from omegaconf import DictConfig

from vae_lightning.building.early import check_early
from vae_lightning.command_line.commands import chosen_nodes, refusing_sweeps, run_command, take, take_opening
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain
from vae_lightning.errors import plain_lines
from vae_lightning.launch.output import silent
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program


def main() -> None:
    """Compose the config from the command line, open the run, compute the metrics and record them."""
    run_command("evaluate", _evaluate, check=refusing_sweeps("evaluate takes one run; start it for each"))


def _evaluate(config: DictConfig) -> None:
    settings = with_home(plain(config))
    opening, choice = take_opening(settings), take(settings, "split", "seed", "batch_size")
    out, wanted = take(settings, "out", "metrics").values()
    nodes = chosen_nodes(settings, wanted, "metrics", "metric")
    check_early(nodes)
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.machine.hardware import flush_denormals
        from vae_lightning.machine.world import joined_world
        from vae_lightning.metrics.evaluation import Evaluation
        from vae_lightning.runs.trained import open_trained

        metrics = {name: instantiate(node, name) for name, node in nodes.items()}
    flush_denormals()
    with joined_world(opening["device"]) as world, silent(world.rank > 0):
        run = checked(open_trained, opening)
        evaluation = checked(Evaluation, choice)
        evaluation(run, metrics, world, out, lambda text: print(plain_lines(text), flush=True))


if __name__ == "__main__":
    run_as_program(main)
