"""Entry point: `python -m vae_lightning.train data=anime model=conv5`, or `vae-train`."""

from pathlib import Path

from omegaconf import DictConfig

from vae_lightning.commands import is_sweep, run_command


def main() -> None:
    """Compose the config from the command line, train, and tell what there is to look at."""
    run_command("train", _train)


def _train(config: DictConfig) -> None:
    # Imported here: `--help` must answer without torch.
    from hydra.core.hydra_config import HydraConfig

    from vae_lightning import launch
    from vae_lightning.config import plain
    from vae_lightning.console import print_run
    from vae_lightning.resume import resumed_config
    from vae_lightning.run_dir import open_run

    typed, overrides = plain(config), list(HydraConfig.get().overrides.task)
    if typed["resume"] is not None:
        run = open_run(typed["resume"], "resume")
        stored = resumed_config(run, typed, overrides)
        launch.resume(stored, overrides, run, trusted=tuple(typed["trust"]), fresh_process=is_sweep())
    else:
        path = HydraConfig.get().runtime.output_dir if is_sweep() else typed["run_dir"]
        run = launch.start(typed, overrides, Path(path), fresh_process=is_sweep())
    print_run(run, typed["output_dir"])


if __name__ == "__main__":
    main()
