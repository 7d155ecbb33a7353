"""Entry point `vae-tensorboard`: TensorBoard on the runs, keeping every picture of an epoch."""

import sys

from vae_lightning.command_line.console import quiet_when_unread


def main() -> None:
    """Start TensorBoard on `outputs`, or with the arguments given."""
    from tensorboard.main import run_main

    # TensorBoard keeps ten pictures a tag unless told otherwise, which cuts the epochs out of a run's history.
    defaults = ["--samples_per_plugin", "images=500"]
    if not any(argument.startswith("--logdir") for argument in sys.argv[1:]):
        defaults += ["--logdir", "outputs"]
    sys.argv[1:] = defaults + sys.argv[1:]
    with quiet_when_unread():
        run_main()


if __name__ == "__main__":
    main()
