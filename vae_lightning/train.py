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

    from vae_lightning import launch, run_dir
    from vae_lightning.config import plain
    from vae_lightning.console import print_run
    from vae_lightning.resume import resumed_config

    hydra_config = HydraConfig.get()
    settings, overrides = plain(config), list(hydra_config.overrides.task)
    trusted = None
    if settings["resume"] is not None:
        run = run_dir.open_run(settings["resume"], "resume")
        settings, trusted = resumed_config(run, settings, overrides), tuple(settings["trust"])
    elif is_sweep():
        run = run_dir.plan(Path(hydra_config.runtime.output_dir))
    else:
        run = run_dir.plan(Path(settings["run_dir"]))
    launch.launch(settings, overrides, run, resume=trusted is not None, fresh_process=is_sweep(), trusted=trusted)
    print_run(run, settings["output_dir"])


if __name__ == "__main__":
    main()
