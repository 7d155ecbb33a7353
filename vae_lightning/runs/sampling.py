"""Samplers of a run: fitted once on the codes of its training images, and kept in its directory."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vae_lightning.checkpoints.reader import StoredTensor, UnreadableError, stored
from vae_lightning.disk.files import check_within, folder_in, replacing
from vae_lightning.errors import UserError, first_line, one_line
from vae_lightning.latents.samplers.sampler import CodeDistribution, Codes, Sampler
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.latent_model import LatentModel, Temperature, of_each_group
from vae_lightning.noise import Indexed, derive_seed
from vae_lightning.runs.source import Source
from vae_lightning.runs.trained import TrainedRun

log = logging.getLogger("vae_lightning")

FOLDER = "samplers"
PRIOR = "the prior"  # what samples are from, in words
_UNIT = "N(0, I)"
_VERSION = 1  # of what a fit is: another one is fitted anew
_BATCH = 500  # images encoded at a time
_CHOICE, _DRAWS, _FIT = 11, 12, 13  # purposes of the run's seed
_CPU = torch.device("cpu")

Draw = Callable[..., Float32[Tensor, "N D"]]  # (indices, seed, temperature, labels), as `Source.draw`


def drawn_from(vae: LatentModel, sampler: Sampler | None = None) -> str:
    """What samples of a model are from, in words."""
    if sampler is not None:
        return f"sampler={sampler.name}"
    if vae.is_discrete:
        return "the uniform prior over codes, which is not learned"
    if vae.has_density:
        return PRIOR
    return f"{_UNIT if vae.has_unit_prior else PRIOR}, to which no rate holds the codes"


def mean_of_prior(vae: LatentModel) -> str:
    """Where traversals stay, in words: codes without noise need not lie where N(0, I) does, which is no prior then."""
    return f"the mean of {_UNIT}" if not vae.has_density and vae.has_unit_prior else f"{PRIOR}'s mean"


def _alone(decide: Callable[[], Any]) -> Any:
    return decide()


def drawing_by(source: Source, sampler: Sampler | None, agree: Callable[..., Any] = _alone) -> Draw:
    """What draws latents of a model: each is a function of the seed and its index alone.

    Args:
        source: the model; for a sampler a run that was opened.
        sampler: fitted now unless it was before; None is the model's own prior.
        agree: `World.agree` where there are ranks, of which one then fits for all.

    Raises:
        UserError: as `fitted`.
        TypeError: a sampler for what is no opened run.
    """
    if sampler is None:
        return source.draw
    if not isinstance(source, TrainedRun):
        raise TypeError(f"a sampler is for an opened run, got {type(source).__name__}")
    codes, model, place = agree(lambda: fitted(source, sampler)), source.work.exact, source.work.place

    @torch.no_grad()
    def draw(
        indices: Int64[Tensor, " N"], seed: int, temperature: Temperature = 1.0, labels: Tensor | None = None
    ) -> Float32[Tensor, "N D"]:
        noise = Indexed(seed, indices, 1, _CPU)
        code = codes(noise, of_each_group(temperature, model.num_groups)[0]).to(source.work.dtype)
        parts = []
        for rows in torch.arange(len(indices)).split(_BATCH):
            below = Indexed(derive_seed(seed, _DRAWS), indices[rows], 1, place)
            parts.append(model.completed(code[:, rows].to(place), below, temperature)[0].float().cpu())
        return torch.cat(parts)

    return draw


def fitted(run: TrainedRun, sampler: Sampler) -> CodeDistribution:
    """The distribution of codes that a sampler has been fitted to for this run, on the CPU, in float64.

    What is kept in the run directory is taken if it is of the same weights, settings and seed; else it is fitted now,
    and kept there. A file that can't be read as one is told of, and replaced.

    Raises:
        UserError: there are no training images to fit it on, it can't be fitted to them, or the model is told labels
            or has codes of a codebook.
    """
    name, key = sampler.name, _key(run, sampler)
    if (name, key) not in run.fits:
        check_sampler(run, sampler)
        found = _kept(run, sampler, key)
        run.fits[name, key] = (found or _fit(run, sampler, key)).double().eval().requires_grad_(False)
    return run.fits[name, key]


@torch.no_grad()
def check_sampler(run: TrainedRun, sampler: Sampler) -> None:
    """Raise a UserError where a sampler can't be fitted to the codes of this run's model, of whatever images."""
    if (reason := _why_not(run)) is not None:
        raise UserError(f"sampler={sampler.name}: this run's model {reason}; valid here: prior")
    blank = torch.zeros(1, *run.preprocessing.image_shape, device=run.device)
    noise = Indexed(0, torch.zeros(1, dtype=torch.int64), 1, run.device)
    sampler.check(run.vae.infer(run.vae.observe(blank), noise)[0].posterior)


def _why_not(run: TrainedRun) -> str | None:
    if run.vae.num_classes is not None:
        return "is told labels, whose codes differ"
    return "has codes of a codebook, and not of real numbers" if run.vae.is_discrete else None


def file_of(run: TrainedRun, name: str) -> Path:
    """Where the fit of a sampler of that name is kept: of the best checkpoint under its name alone."""
    is_best = run.checkpoint == run.run_dir.best.name
    return run.run_dir.path / FOLDER / (f"{name}.pt" if is_best else f"{name}_{Path(run.checkpoint).stem}.pt")


def _key(run: TrainedRun, sampler: Sampler) -> str:
    digest = hashlib.sha256(f"{_VERSION} {sampler!r} {run.seed}".encode())
    for name, value in sorted(run.vae.state_dict().items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# What is kept


def _kept(run: TrainedRun, sampler: Sampler, key: str) -> CodeDistribution | None:
    """The fit in the run directory; None where there is none of this key, or a damaged one."""
    path = file_of(run, sampler.name)
    if not path.is_file():
        return None
    try:
        check_within(path, run.run_dir.path)
        with stored(path) as content:
            if not isinstance(content, Mapping) or content.get("key") != key:
                log.info("sampler=%s: that in the run is of another checkpoint or other settings", sampler.name)
                return None
            empty = sampler.empty(run.vae.code_dim)
            empty.load_state_dict(_tensors(content.get("tensors"), empty.state_dict()))
    except (OSError, ValueError, UnreadableError) as error:
        log.warning("sampler=%s: %s can't be read (%s)", sampler.name, one_line(path), one_line(first_line(error)))
        return None
    return empty


def _tensors(found: Any, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a file holds of a fit, which may be a stranger's.

    Raises:
        ValueError: it is not what the fit is made of, or not finite.
    """
    if not isinstance(found, Mapping) or found.keys() != wanted.keys():
        raise ValueError("it has other tensors")
    return {name: _tensor(found[name], name, like) for name, like in wanted.items()}


def _tensor(found: Any, name: str, like: Tensor) -> Tensor:
    if isinstance(found, StoredTensor) and found.dtype == like.dtype and found.shape == tuple(like.shape):
        tensor = found.read()
        if bool(tensor.isfinite().all()):
            return tensor
    raise ValueError(f"{name} is of another shape, or not finite")


def _keep(run: TrainedRun, sampler: Sampler, key: str, fit: CodeDistribution) -> str:
    """Put the fit into the run directory; what is to be said of where it is."""
    path = file_of(run, sampler.name)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in fit.state_dict().items()}
    try:
        folder_in(run.run_dir.path, FOLDER)
        with replacing(path) as file:
            torch.save({"key": key, "tensors": tensors}, file)
    except (OSError, ValueError, RuntimeError) as error:
        return f"not kept, for the run can't be written ({one_line(first_line(error))})"
    return f"kept in {FOLDER}/{path.name}"


# Fitting


def _fit(run: TrainedRun, sampler: Sampler, key: str) -> CodeDistribution:
    codes, started = codes_of(run, sampler), time.monotonic()
    try:
        fit = sampler.fit(codes, derive_seed(run.seed, _FIT))
    except ValueError as error:
        raise UserError(f"sampler.{first_line(error)}") from error
    seconds = time.monotonic() - started
    if not all(bool(value.isfinite().all()) for value in fit.state_dict().values()):
        raise UserError(
            f"sampler={sampler.name}: its fit on {len(codes):,} codes is not finite; choose another sampler"
        )
    place = _keep(run, sampler, key, fit)
    log.info("sampler=%s: fitted on %s codes in %.0f s, %s", sampler.name, f"{len(codes):,}", seconds, place)
    return fit


@torch.no_grad()
def codes_of(run: TrainedRun, sampler: Sampler) -> Codes:
    """The codes of the training images, or of as many as the sampler wants, drawn by the run's seed.

    Raises:
        UserError: the images are not there, or their codes are not finite.
    """
    try:
        count = len(run.data.splits["train"])
    except UserError as error:
        reason = f"it is fitted on the training images, which are not there: {error}"
        raise UserError(f"sampler={sampler.name}: {reason}") from error
    generator = torch.Generator().manual_seed(derive_seed(run.seed, _CHOICE))
    chosen = torch.randperm(count, generator=generator)[: sampler.num_images].sort().values
    parts = [_codes(run, indices) for indices in chosen.split(_BATCH)]
    scales = [part.scale for part in parts if part.scale is not None]
    scale = torch.cat(scales) if len(scales) == len(parts) else None
    codes = Codes(torch.cat([part.z for part in parts]), torch.cat([part.loc for part in parts]), scale)
    if not bool(codes.z.isfinite().all()):
        raise UserError(f"sampler={sampler.name}: the codes of the training images are not finite")
    return codes


def _codes(run: TrainedRun, indices: Int64[Tensor, " B"]) -> Codes:
    vae, dim = run.vae, run.vae.code_dim
    images = run.data.images_at(indices, "train").images.to(run.device).float() / 255
    observed = vae.observe(images)
    group = vae.infer(observed, Indexed(derive_seed(run.seed, _DRAWS), indices, 1, run.device))[0]
    posterior = group.posterior
    scale = posterior.base_dist.scale.float().cpu() if isinstance(posterior, DiagonalNormal) else None
    loc = vae.latents(observed).loc[:, :dim]
    return Codes(group.z[0].float().cpu(), loc.float().cpu(), scale)
