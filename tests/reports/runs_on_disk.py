"""Run directories as training leaves them, made up, for the tests of the reports."""

import json
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

CROSS_ENTROPY = "cross-entropy of grey levels, no likelihood"
DENSITY = "log-density of pixels in [0, 1]"


def config(**changes: Any) -> dict[str, Any]:
    """A resolved config; `model__latent_dim=3` changes model.latent_dim."""
    whole: dict[str, Any] = {
        "name": "digits_mlp",
        "seed": 0,
        "run_dir": "outputs/somewhere",
        "data": {"_target_": "vae_lightning.data.digits.Digits", "root": "data", "image_size": 28, "channels": 1},
        "model": {
            "_target_": "vae_lightning.models.vae.build_vae",
            "latent_dim": 2,
            "encoder": {"_target_": "vae_lightning.models.networks.mlp.MLPEncoder", "hidden": [400, 200]},
        },
        "objective": {"_target_": "vae_lightning.objectives.elbo.ELBO", "beta": 1.0},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
        "trainer": {"max_epochs": 4},
        "callbacks": {"samples": {"num_images": 64}},
    }
    for key, value in changes.items():
        *groups, last = key.split("__")
        node = whole
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return whole


def figures(elbo: float, rate: float = 20.0, **more: Any) -> dict[str, Any]:
    """A metrics.json."""
    return {
        "test/elbo": elbo,
        "test/elbo_stderr": 0.25,
        "test/rate": rate,
        "test/distortion": -elbo - rate,
        "test/kind": CROSS_ENTROPY,
        "test/num_images": 360,
        "val/elbo": elbo - 1,
        "epochs": 4,
        "steps": 36,
        "seconds": 439.2,
        "train/images_per_s": 2058.7,
    } | more


def write_run(
    path: Path,
    changes: dict[str, Any] | None = None,
    typed: list[str] | None = None,
    metrics: dict[str, Any] | None = None,
    status: str | None = "finished",
    reason: str | None = None,
    curve: list[float] | None = None,
    colours: dict[str, str] | None = None,
) -> Path:
    """Write a run directory; what is None is not written.

    Args:
        curve: validation ELBOs, one an epoch.
        colours: picture (reconstructions, samples, training) -> the colour it is filled with.
    """
    path.mkdir(parents=True, exist_ok=True)
    if changes is not None:
        (path / "config.yaml").write_text(yaml.safe_dump(config(**changes), sort_keys=False))
    if typed is not None:
        (path / "overrides.yaml").write_text(yaml.safe_dump(typed))
    if metrics is not None:
        (path / "metrics.json").write_text(json.dumps(metrics))
    if status is not None:
        (path / "status.json").write_text(json.dumps({"status": status, "reason": reason, "host": "h", "pid": 1}))
    if curve is not None:
        write_curve(path, curve)
    for kind, colour in (colours or {}).items():
        write_picture(path, kind, colour)
    return path


def write_curve(path: Path, curve: list[float]) -> None:
    """A metrics.csv with rows of training, which have no validation, and the other way round."""
    lines = ["epoch,step,train/loss,val/elbo,train/images_per_s"]
    for epoch, elbo in enumerate(curve):
        lines += [f"{epoch},{epoch * 9 + 4},{-elbo + 5},,", f"{epoch},{epoch * 9 + 8},,{elbo},"]
    (path / "metrics.csv").write_text("\n".join(lines) + "\n")


def write_picture(path: Path, kind: str, colour: str, size: tuple[int, int] = (48, 32), epoch: int = 4) -> Path:
    """A picture of one colour, for `training` a GIF of three frames."""
    file = path / "training.gif" if kind == "training" else path / f"images/{kind}/epoch_{epoch:04d}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    if kind == "training":
        frames = [Image.new("RGB", size, other) for other in ("black", colour)]
        frames[0].save(file, save_all=True, append_images=[*frames[1:], image], duration=[100, 200, 900])
    else:
        image.save(file)
    return file


def write_sweep(path: Path, dims: list[int], betas: list[float], colours: list[str] | None = None) -> Path:
    """A sweep over latent_dim and beta, the latter varying fastest, as Hydra would number it."""
    grid = [(dim, beta) for dim in dims for beta in betas]
    for number, (dim, beta) in enumerate(grid):
        rate = 12.0 + 3 * dim**0.5 / beta
        elbo = -150.0 - 20 / dim - 8 * beta - number * 0.01
        colour = colours[number] if colours else "grey"
        write_run(
            path / str(number),
            {"model__latent_dim": dim, "objective__beta": beta},
            ["data=digits", f"model.latent_dim={dim}", f"objective.beta={beta}"],
            figures(elbo, rate),
            curve=[elbo - 200 / (epoch + 1) ** 2 for epoch in range(4)],
            colours={"reconstructions": colour, "samples": colour, "training": colour},
        )
    return path


def write_seeds(path: Path, elbos: dict[int, list[float]], **more: Any) -> Path:
    """A sweep over latent_dim and the seed: `{2: [-150, -151]}` has two seeds of 2 dimensions, and their test ELBOs."""
    runs = [(dim, seed, elbo) for dim, of_dim in elbos.items() for seed, elbo in enumerate(of_dim)]
    for number, (dim, seed, elbo) in enumerate(runs):
        changes = {"model__latent_dim": dim, "seed": seed}
        typed = [f"model.latent_dim={dim}", f"seed={seed}"]
        pictures = {"traversals": "grey", "samples": "grey"}
        write_run(path / str(number), changes, typed, figures(elbo, **more), curve=[elbo - 9, elbo], colours=pictures)
    return path
