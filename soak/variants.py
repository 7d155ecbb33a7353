"""The runs that are killed: small ones, of all that has a state of its own."""

from dataclasses import dataclass
from pathlib import Path

_MODEL = ("model=mlp", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "model.latent_dim=4")
_CONV = (
    *("model=conv", "model.encoder.channels=[4,4,4]", "model.encoder.hidden=8", "model.latent_dim=4"),
    *("data.image_size=16", "data.batch_size=256"),
)
_PICTURES = (
    *(
        "callbacks.samples.num_images=4",
        "callbacks.training_gif.num_images=4",
        "callbacks.reconstructions.num_images=4",
    ),
)
_EMA = ("callbacks=basic", "averaging=ema", "averaging.decay=0.9")
_FOLDER = ("data=folder", "data.image_size=16", "data.batch_size=8", "data.val_fraction=0.2", "data.test_fraction=0.2")
_LATENT_SPACE = tuple(
    f"callbacks.{name}.{key}"
    for name, keys in {
        "transition": ("every_n_epochs=1", "num_images=2", "num_frames=3"),
        "traversals": ("every_n_epochs=1", "num_dims=2", "num_columns=3", "num_images=20"),
        "reconstruction_history": ("num_images=3",),
    }.items()
    for key in keys
)


@dataclass(frozen=True)
class Variant:
    """A run.

    Attributes:
        arguments: of the train command.
        weight: how often it is taken, relative to the others.
        ranks: how many processes train it.
        pictures: whether it trains on the folder of pictures, which it decodes into a cache of the case.
        whole: whether it is killed as a whole command in a fresh process.
        jobs: of a sweep over so many seeds; 0 for a single run.
    """

    arguments: tuple[str, ...]
    weight: int
    ranks: int = 1
    pictures: bool = False
    whole: bool = False
    jobs: int = 0

    def typed(self, place: Path, pictures: Path) -> tuple[str, ...]:
        """The whole command line in a place, but for the run directory."""
        data = (f"data.root={pictures}", f"data.cache_dir={place / 'cache/data'}") if self.pictures else ()
        return (*self.arguments, *data)


def _on_digits(*arguments: str, model: tuple[str, ...] = _MODEL, callbacks: str = "callbacks=basic") -> tuple[str, ...]:
    chosen = () if any(argument.startswith("callbacks=") for argument in arguments) else (callbacks,)
    return ("data=digits", "trainer=cpu", "trainer.max_epochs=3", *model, *chosen, *arguments, *_PICTURES)


_FP32 = "trainer.precision=32-true"
_BF16 = "trainer.precision=bf16-mixed"
_RANKS = ("trainer=ddp_cpu", _FP32)
_STEPS = ("data.batch_size=32", "checkpoint.every_steps=7")
VARIANTS: dict[str, Variant] = {
    "fp32": Variant(_on_digits(_FP32), 8),
    "bf16": Variant(_on_digits(_BF16), 6),
    "conv with EMA": Variant(_on_digits(_FP32, *_EMA, model=_CONV), 6),
    "conv with EMA, bf16": Variant(_on_digits(_BF16, *_EMA, model=_CONV), 2),
    "two ranks": Variant(_on_digits(*_RANKS), 4, ranks=2),
    "accumulation": Variant(_on_digits(_FP32, "trainer.accumulate_grad_batches=3"), 2),
    "binarized, importance-weighted": Variant(
        _on_digits(_FP32, "data.binarize=dynamic", "objective=iwae", "objective.num_samples=2"), 2
    ),
    "all pictures": Variant(
        _on_digits(_FP32, *_LATENT_SPACE, callbacks="callbacks=[basic,transition,traversals,reconstruction_history]"), 2
    ),
    "steps, all pictures": Variant(
        _on_digits(
            *(_FP32, *_STEPS, *_LATENT_SPACE),
            callbacks="callbacks=[basic,transition,traversals,reconstruction_history,latent_units,early_stopping]",
        ),
        2,
    ),
    "a folder and its cache": Variant(
        (*_FOLDER, *_MODEL, "trainer=cpu", "trainer.max_epochs=2", "callbacks=basic", *_PICTURES), 4, pictures=True
    ),
    "steps": Variant(_on_digits(_FP32, *_STEPS), 6),
    "steps, conv with EMA, bf16": Variant(_on_digits(_BF16, *_EMA, "checkpoint.every_steps=2", model=_CONV), 4),
    "steps, two ranks": Variant(_on_digits(*_RANKS, *_STEPS), 2, ranks=2),
    "steps, accumulation, importance-weighted": Variant(
        _on_digits(_FP32, *_STEPS, "trainer.accumulate_grad_batches=3", "objective=iwae", "objective.num_samples=2"), 2
    ),
    "a whole command": Variant(_on_digits(_FP32), 4, whole=True),
    "a sweep": Variant(_on_digits(_FP32), 1, whole=True, jobs=2),
}
