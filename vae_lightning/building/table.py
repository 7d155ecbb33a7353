"""The one table: what a config from a run directory may build (TABLE), and names of earlier versions (MOVED).

A run directory may come from a stranger: no argument of a stored config chooses a place that is written, takes code, or
reaches the network. What the user types beside it is exempt. `stored` keeps to this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """What a stored config may do with a class.

    Attributes:
        slots: where it may stand: a group of the config, or what a part of another class is called in `parts`.
        arguments: that it may be given; None for all of its signature but those in `withheld`.
        withheld: arguments that choose a place that is written, take code or other objects, or come from the caller.
        read_only: arguments that are places, which it may read and not write; it is told of them by an attribute of
            this name, unless they are typed, there or at the config's top.
        at_most: the highest values of arguments that limit what a stranger's files cost; more counts when it is typed.
        parts: arguments that are built of classes of the table themselves, with the slot of those.
        choices: the values that an argument may have.
        typed_as: of what is built only where it, or its `_target_`, is typed beside the stored config, for it works
            outside of the run directory: how it is typed; empty of all others.
    """

    slots: tuple[str, ...]
    arguments: tuple[str, ...] | None = None
    withheld: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    at_most: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    typed_as: str = ""


# Slots of what is made later.
PARTIAL = {"encoder", "between", "decoder", "posterior", "prior", "conditioning", "optimizer"}


@dataclass(frozen=True)
class Family:
    """Classes that need no entry each, for they lie in a room where none writes to the disk or reaches the network.

    Attributes:
        room: the package that they lie in.
        kind: the abstract class that they are derived from.
        but: not those, which are made by a function of TABLE.
        withheld: as in `Entry`.
    """

    room: str
    kind: str
    but: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {  # by the slot where one may stand, with all of its arguments
    "model": Family(
        "vae_lightning.models", "vae_lightning.models.latent_model.LatentModel", ("vae_lightning.models.vae.VAE",)
    ),
    "posterior": Family("vae_lightning.models.posteriors", "vae_lightning.models.parts.ConditionalDistribution"),
    "prior": Family("vae_lightning.models.priors", "vae_lightning.models.parts.ConditionalDistribution"),
    "likelihood": Family("vae_lightning.models.likelihoods", "vae_lightning.models.parts.Likelihood"),
    "quantizer": Family("vae_lightning.models.quantizers", "vae_lightning.models.parts.Quantizer"),
    "conditioning": Family("vae_lightning.models", "vae_lightning.models.parts.Conditioning"),
    "objective": Family("vae_lightning.objectives", "vae_lightning.objectives.terms.Objective"),
    "callbacks": Family(
        "vae_lightning.pictures",
        "vae_lightning.pictures.picture.Picture",
        withheld=("images", "files"),  # any file, read
    ),
}


def _each(prefix: str, names: str, entry: Entry) -> dict[str, Entry]:
    return {f"{prefix}.{name}": entry for name in names.split()}


_TRAINER = """
    accelerator strategy devices num_nodes precision fast_dev_run max_epochs min_epochs max_steps min_steps max_time
    limit_train_batches limit_val_batches limit_test_batches limit_predict_batches overfit_batches val_check_interval
    check_val_every_n_epoch num_sanity_val_steps log_every_n_steps enable_model_summary accumulate_grad_batches
    gradient_clip_val gradient_clip_algorithm deterministic benchmark inference_mode use_distributed_sampler
    detect_anomaly barebones sync_batchnorm reload_dataloaders_every_n_epochs
"""
_EARLY_STOPPING = """
    monitor min_delta patience verbose mode strict check_finite stopping_threshold divergence_threshold
    check_on_train_epoch_end log_rank_zero_only
"""
_AVERAGING = ("averaging", "callbacks")  # where an earlier version had it
_EMA = "device use_buffers decay update_every_n_steps update_starting_at_step update_starting_at_epoch"

_OPTIMIZERS = "Adadelta Adagrad Adam AdamW Adamax ASGD LBFGS NAdam RAdam RMSprop Rprop SGD"
MODEL_PARTS = {name: name for name in ("encoder", "posterior", "prior", "decoder", "likelihood", "conditioning")}
# Of a model that is a class of its own, derived from LatentModel.
FAMILY_PARTS = MODEL_PARTS | {"between": "between", "lower_encoder": "encoder", "quantizer": "quantizer"}
_OPTIMIZER = Entry(("optimizer",), withheld=("params",))
_CALLBACK = Entry(("callbacks",))
_PRUNER = Entry(("pruner",))
_LAYER = Entry(("layer",))  # for a network of the user's own, whose package is opened

TABLE: dict[str, Entry] = {
    # data
    "vae_lightning.data.digits.Digits": Entry(("data",)),
    "vae_lightning.data.mnist.MNIST": Entry(("data",), read_only=("root",)),
    **_each(
        "vae_lightning.data",
        "fashion_mnist.FashionMNIST kmnist.KMNIST emnist.EMNIST cifar10.CIFAR10 svhn.SVHN omniglot.Omniglot "
        "caltech101.Caltech101",
        Entry(("data",), read_only=("root",)),
    ),
    **_each(
        "vae_lightning.data",
        "celeba.CelebA medmnist.MedMNIST sprites.Sprites",
        Entry(("data",), read_only=("root", "cache_dir")),
    ),
    # Unless its cache_dir is typed, nothing is fetched either.
    "vae_lightning.data.hub.HubImages": Entry(("data",), read_only=("cache_dir",)),
    "vae_lightning.data.image_folder.ImageFolder": Entry(
        ("data",),
        read_only=("root", "archive", "cache_dir", "labels", "split_file"),
        at_most={"max_pixels": 128_000_000, "max_archive_gb": 20, "max_archive_files": 1_000_000},
    ),
    # model
    "vae_lightning.models.vae.build_vae": Entry(("model",), parts=MODEL_PARTS),
    **_each("vae_lightning.models.networks", "mlp.MLPEncoder conv.ConvEncoder", Entry(("encoder",))),
    **_each("vae_lightning.models.networks", "conv5.Conv5Encoder upsample.UpsampleEncoder", Entry(("encoder",))),
    **_each("vae_lightning.models.networks", "residual.ResidualEncoder gated.GatedEncoder", Entry(("encoder",))),
    "vae_lightning.models.networks.pyramid.PyramidEncoder": Entry(("encoder",)),
    "vae_lightning.models.networks.gated.GatedBetween": Entry(("between",)),
    **_each("vae_lightning.models.networks", "mlp.MLPDecoder conv.ConvDecoder", Entry(("decoder",))),
    **_each("vae_lightning.models.networks", "conv5.Conv5Decoder upsample.UpsampleDecoder", Entry(("decoder",))),
    **_each("vae_lightning.models.networks", "residual.ResidualDecoder gated.GatedDecoder", Entry(("decoder",))),
    **_each("vae_lightning.models.networks", "pyramid.LatentSum pyramid.LatentPyramid", Entry(("decoder",))),
    "vae_lightning.models.likelihoods.auto.default_likelihood": Entry(("likelihood",)),
    **_each("vae_lightning.models.initialization", "Glorot He", Entry(("initialization",))),
    **_each(
        "torch.nn",
        "ReLU LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Tanh Sigmoid Softplus Softsign Hardtanh Hardswish Identity "
        "BatchNorm1d BatchNorm2d GroupNorm LayerNorm RMSNorm InstanceNorm2d Dropout Dropout2d Flatten",
        _LAYER,
    ),
    # optimizer, schedule
    **_each("torch.optim", f"{_OPTIMIZERS} Adafactor SparseAdam", _OPTIMIZER),
    **_each("vae_lightning.training.schedules", "Burda Cosine Exponential", Entry(("schedule",))),
    # trainer
    "lightning.pytorch.Trainer": Entry(
        ("trainer",),
        tuple(_TRAINER.split()),
        choices={
            "accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
            "strategy": ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"),
        },
    ),
    # callbacks
    **_each(
        "vae_lightning.callbacks",
        "progress.ProgressBar projector.Projector reconstruction_history.ReconstructionHistory "
        "run_description.RunDescription throughput.Throughput training_gif.TrainingGif",
        _CALLBACK,
    ),
    # A search names the trial; its journal lies beside the run directory.
    "vae_lightning.callbacks.pruning.PruneTrial": Entry(
        ("callbacks",), withheld=("storage",), read_only=("trial",), parts={"pruner": "pruner"}
    ),
    **_each(
        "lightning.pytorch.callbacks",
        "LearningRateMonitor GradientAccumulationScheduler Timer TQDMProgressBar DeviceStatsMonitor",
        _CALLBACK,
    ),
    "lightning.pytorch.callbacks.EarlyStopping": Entry(("callbacks",), tuple(_EARLY_STOPPING.split())),
    "vae_lightning.callbacks.averaging.EMA": Entry(_AVERAGING),
    "lightning.pytorch.callbacks.EMAWeightAveraging": Entry(_AVERAGING, tuple(_EMA.split())),
    "lightning.pytorch.callbacks.WeightAveraging": Entry(_AVERAGING, ("device", "use_buffers")),
    "lightning.pytorch.callbacks.StochasticWeightAveraging": Entry(("callbacks",), withheld=("avg_fn",)),
    **_each("lightning.pytorch.callbacks", "ModelSummary RichModelSummary", Entry(("callbacks",), ("max_depth",))),
    "lightning.pytorch.callbacks.RichProgressBar": Entry(("callbacks",), ("refresh_rate", "leave")),
    **_each(
        "optuna.pruners",
        "HyperbandPruner MedianPruner NopPruner PercentilePruner SuccessiveHalvingPruner ThresholdPruner "
        "WilcoxonPruner",
        _PRUNER,
    ),
    "optuna.pruners.PatientPruner": Entry(("pruner",), parts={"wrapped_pruner": "pruner"}),
    # checkpoint and logger: they write into the run directory, which the caller names
    "vae_lightning.callbacks.checkpoints.Checkpoints": Entry(("checkpoint",)),
    **_each(
        "vae_lightning.loggers",
        "tensorboard.TensorBoard metrics_csv.MetricsCSV",
        Entry(("logger",), withheld=("run_dir", "first_step")),
    ),
    # Even offline a service has a store or a cache elsewhere, and the user's environment may name a server. Whoever
    # types one reaches with it no account and no network that a stored config names.
    "vae_lightning.loggers.trackio.Trackio": Entry(
        ("logger",), withheld=("run_dir", "first_step", "space_id"), typed_as="logger=[default,trackio]"
    ),
    "vae_lightning.loggers.mlflow.MLflow": Entry(
        ("logger",),
        withheld=("run_dir", "first_step", "output_dir", "tracking_uri"),
        typed_as="logger=[default,mlflow]",
    ),
    "vae_lightning.loggers.wandb.WandB": Entry(
        ("logger",),
        withheld=("run_dir", "first_step", "entity"),
        choices={"mode": ("offline", "disabled")},
        typed_as="logger=[default,wandb]",
    ),
}


def _moved(old: str, new: str, names: str) -> dict[str, str]:
    """From `<old>.<name>` to `<new>.<name>`, or `<new>.<other>` for a name that is written `name:other`."""
    pairs = (name.split(":") for name in names.split())
    return {f"{old}.{pair[0]}": f"{new}.{pair[-1]}" for pair in pairs}


# Names that a class had once, or has besides, and the one that it has today: run directories of then must still open,
# and YAML that users wrote then must still compose.
MOVED: dict[str, str] = {
    **_moved("vae_lightning.learning_rates", "vae_lightning.training.schedules", "Burda Cosine Exponential"),
    **_moved(
        "vae_lightning.models.posteriors",
        "vae_lightning.models.posteriors",
        "DiagonalGaussian:diagonal_gaussian.DiagonalGaussian LogScaleGaussian:log_scale_gaussian.LogScaleGaussian",
    ),
    **_moved("vae_lightning.models.priors", "vae_lightning.models.priors.standard_normal", "StandardNormal"),
    **_moved(
        "vae_lightning.models.likelihoods",
        "vae_lightning.models.likelihoods",
        "default_likelihood:auto.default_likelihood BernoulliLikelihood:bernoulli.BernoulliLikelihood "
        "GaussianLikelihood:gaussian.GaussianLikelihood",
    ),
    **_moved("vae_lightning.loggers", "vae_lightning.loggers.tensorboard", "TensorBoard"),
    **_moved("vae_lightning.loggers", "vae_lightning.loggers.metrics_csv", "MetricsCSV"),
    **_moved(
        "vae_lightning.scoring",
        "vae_lightning.metrics",
        "aggregate.Aggregate bounds.Bounds likelihood.LogLikelihood:log_likelihood.LogLikelihood probes.Probes "
        "reconstruction.Reconstruction samples.Samples:samples.SampleQuality units.Units:units.ActiveUnits",
    ),
    **_moved(
        "vae_lightning.generation",
        "vae_lightning.pictures",
        "manifold.Manifold neighbours.Neighbours transition.Transition reconstructions.Reconstructions "
        "traversal.Traversal:traversals.Traversals",
    ),
    **_moved(
        "vae_lightning.pictures",
        "vae_lightning.pictures",
        "manifold.DrawManifold:manifold.Manifold neighbours.DrawNeighbours:neighbours.Neighbours "
        "transition.DrawTransition:transition.Transition traversal.DrawTraversal:traversals.Traversals "
        "reconstructions.DrawReconstructions:reconstructions.Reconstructions",
    ),
    **_moved(
        "vae_lightning.callbacks",
        "vae_lightning.pictures",
        "embedding.Embedding latent_units.LatentUnits manifold.Manifold neighbours.Neighbours samples.Samples "
        "latent_units.AggregatedPosterior:aggregated_posterior.AggregatedPosterior "
        "reconstructions.Reconstructions transition.Transition traversals.Traversals",
    ),
    **_moved(
        "vae_lightning.pictures",
        "vae_lightning.exports",
        "embedding.DrawEmbedding:embedding.WriteEmbedding units.DrawUnits:units.WriteUnits",
    ),
    **_moved(
        "vae_lightning.generation",
        "vae_lightning.exports",
        "encode.Encode:encodings.WriteEncodings samples.Samples:samples.WriteSamples "
        "embedding.Embedding:embedding.WriteEmbedding units.Units:units.WriteUnits",
    ),
    "lightning.pytorch.trainer.Trainer": "lightning.pytorch.Trainer",
    "lightning.pytorch.trainer.trainer.Trainer": "lightning.pytorch.Trainer",
    **{f"torch.optim.{name.lower()}.{name}": f"torch.optim.{name}" for name in _OPTIMIZERS.split()},
    **_moved(
        "lightning.pytorch.callbacks",
        "lightning.pytorch.callbacks",
        "early_stopping.EarlyStopping:EarlyStopping lr_monitor.LearningRateMonitor:LearningRateMonitor "
        "timer.Timer:Timer weight_averaging.EMAWeightAveraging:EMAWeightAveraging",
    ),
}
MOVED_CALLBACKS = "vae_lightning.multirun"  # of Hydra's, which builds them itself: in copies of conf/hydra/default.yaml
