"""Entry point: `python -m vae_lightning.score run=outputs/<date>/<time>_<name> images=photos out=scores`."""

from dataclasses import replace

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vae_lightning.building.early import check_early
from vae_lightning.command_line.commands import chosen_nodes, refusing_sweeps, run_command, take, take_opening, take_out
from vae_lightning.command_line.places import with_home
from vae_lightning.config import checked, instantiate, plain
from vae_lightning.data.picture_files import check_given
from vae_lightning.errors import UserError, one_line, plain_lines
from vae_lightning.machine.interruption import undivided
from vae_lightning.machine.process import run_as_program


def main() -> None:
    """Compose the config from the command line, open the run, and write the scores of images."""
    run_command("score", _score, check=refusing_sweeps("score takes one run; start it for each"))


def _score(config: DictConfig) -> None:
    settings = with_home(plain(config))
    opening = take_opening(settings)  # what is left at last are the keys of what is written
    folder, overwrite = take_out(settings, "scores")
    wanted, own, invert, label = take(settings, "scores", "score", "invert", "label").values()
    nodes = {name: node for name, node in settings.items() if isinstance(node, dict) and "_target_" in node}
    for name in nodes:
        del settings[name]
    chosen = chosen_nodes(nodes, wanted, "scores", "score")
    if isinstance(wanted, list):
        chosen = {name: chosen[name] for name in wanted}  # the first one sorts
    false_alarms = _false_alarms(own)
    check_early(settings)
    check_early(chosen)
    if not isinstance(invert, bool):
        raise UserError(f"invert={invert}: expected true or false")
    if invert and all(settings.get(name) is None for name in ("images", "good")):
        raise UserError("invert=true: inverts images of your own, and none are given; give images=, or good= and bad=")
    for name in ("images", "good", "bad"):
        check_given(settings.get(name), name)
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        from vae_lightning.machine.hardware import flush_denormals, keep_freed_memory
        from vae_lightning.runs.generated import listed, output_folder
        from vae_lightning.runs.trained import open_trained
        from vae_lightning.scores.scoring import applicable
        from vae_lightning.scores.telling import table_of
        from vae_lightning.scores.writing import MANIFEST

        write = instantiate(settings, "")
        scores = {name: instantiate(node, name) for name, node in chosen.items()}
    flush_denormals()
    run = replace(checked(checked(open_trained, opening).with_label, {"label": label}), invert=invert)
    if run.device.type == "cpu":
        keep_freed_memory()
    scores = applicable(run, scores, list(chosen) if _is_typed("scores") and wanted != "all" else ())
    facts = {
        "run": str(run.run_dir.path),
        "checkpoint": run.checkpoint,
        "epoch": run.epoch,
        "settings": settings,
        "invert": invert,
    }
    print(f"{one_line(run.context)}\n{one_line(run.kind)}", flush=True)
    with output_folder(folder, overwrite, facts, MANIFEST) as staging:
        result = write(run, scores, false_alarms, staging)
        facts |= {"num_images": len(result.rows.kinds), "kind": run.kind, "scores": result.facts()}
    print(plain_lines(table_of(result)))
    print(one_line(folder))
    for line in listed(folder, MANIFEST):
        print(f"  {one_line(line)}", flush=True)


def _false_alarms(own: object) -> float | None:
    """What `score.false_alarms` says.

    Raises:
        UserError: it is no fraction, or there is another key.
    """
    if not isinstance(own, dict) or set(own) != {"false_alarms"}:
        raise UserError(f"score={own}: has one key, score.false_alarms=")
    wanted = own["false_alarms"]
    if wanted is not None and (not isinstance(wanted, int | float) or isinstance(wanted, bool) or not 0 < wanted < 1):
        raise UserError(f"score.false_alarms={wanted}: expected a fraction between 0 and 1, as 0.01")
    return None if wanted is None else float(wanted)


def _is_typed(key: str) -> bool:
    return any(override.startswith(f"{key}=") for override in HydraConfig.get().overrides.task)


if __name__ == "__main__":
    run_as_program(main)
