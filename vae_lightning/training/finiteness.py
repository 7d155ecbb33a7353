"""What becomes of a step whose loss or gradient is not finite, or too large: `trainer.on_nan`, `skip_gradient_norm`.

Nothing waits for the device within a step, but where one may be dropped with an optimizer that is not fused: losses and
norms are kept there, and looked at where figures are logged.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_lightning.loggers.fetching import Fetched
from vae_lightning.training.stepping import Stepping

_FEW = 4096  # numbers of a gradient that are looked at in each step at no cost that shows


SLOWER, _CLIPPED = "a smaller optimizer.lr", "trainer.gradient_clip_val=1"


class DivergedError(Exception):
    """Training can't go on; the message says why and at which step.

    Attributes:
        cure: what may be tried.
    """

    def __init__(self, message: str, cure: str = f"{SLOWER} or {_CLIPPED}"):
        super().__init__(message)
        self.cure = cure


class Watch(ABC):
    """Told of every step of a training.

    Args:
        module: what is trained, on its device.
        scaled: whether a scaler of fp16 multiplies the gradients: it drops the updates of those that overflow itself.
    """

    def __init__(self, module: nn.Module, scaled: bool = False):
        self._parameters = list(module.parameters())
        self._scaled = scaled

    @abstractmethod
    def begin(self) -> None:
        """Before the first batch of a step."""

    @abstractmethod
    def loss(self, loss: Tensor) -> Tensor:
        """The loss of a batch as it is to be differentiated."""

    @abstractmethod
    def gradient(self, optimizer: Optimizer) -> None:
        """Once a step's gradients are there, before they are clipped and the optimizer takes them."""

    @abstractmethod
    def end(self, optimizer: Optimizer) -> None:
        """After the optimizer has taken them."""

    @property
    def seen(self) -> tuple[Tensor, ...]:
        """What has to be looked at of the last batch, one number each, on the device."""
        return ()

    @abstractmethod
    def note(self, step: int, seen: Iterable[Tensor]) -> None:
        """After each batch: of which step it was, and what was `seen` of it. The rest may happen in a CUDA graph."""

    @abstractmethod
    def look(self) -> None:
        """Begin to look at the steps so far, without waiting for the device."""

    @abstractmethod
    def check(self, keep: int = 0) -> None:
        """Wait for what was looked at, but for the last `keep` times; raise DivergedError where training must end."""

    def figures(self) -> dict[str, float | Tensor]:
        """What is to be logged."""
        return {}

    def end_epoch(self) -> str | None:
        """A line on the epoch's updates that were dropped; None where there were none."""
        return None


class Stop(Watch):
    """The first loss, gradient or weight that is not finite ends the training.

    Of the gradient one small tensor is looked at, of the parameter that comes first: what goes wrong on the way back
    arrives there. The weights are looked at in `check`, whatever made them what they are.
    """

    def __init__(self, module: nn.Module, scaled: bool = False):
        super().__init__(module, scaled)
        self._probe = next((each for each in self._parameters if each.requires_grad and each.numel() <= _FEW), None)
        self._unseen: list[tuple[int, str, Tensor]] = []
        self._seen: list[Tensor] = []
        self._looks: deque[tuple[list[tuple[int, str]], Fetched]] = deque()

    def begin(self) -> None:
        pass

    def loss(self, loss: Tensor) -> Tensor:
        self._seen = [loss.detach()]
        return loss

    def gradient(self, optimizer: Optimizer) -> None:
        if self._probe is not None and self._probe.grad is not None and not self._scaled:
            self._seen.append(self._probe.grad.sum())

    def end(self, optimizer: Optimizer) -> None:
        pass

    @property
    def seen(self) -> tuple[Tensor, ...]:
        return tuple(self._seen)

    def note(self, step: int, seen: Iterable[Tensor]) -> None:
        self._unseen += [(step, what, value) for what, value in zip(("loss", "gradient"), seen, strict=False)]

    def look(self) -> None:
        unseen, self._unseen = self._unseen, []
        if unseen:
            values = torch.stack([value for *_, value in unseen] + [norm(self._parameters)])
            self._looks.append(([(step, what) for step, what, _ in unseen], Fetched(values.isfinite())))

    def check(self, keep: int = 0) -> None:
        while len(self._looks) > keep:
            places, found = self._looks.popleft()
            *finite, weights_are = found.numbers()
            for (step, what), is_finite in zip(places, finite, strict=True):
                if not is_finite:
                    raise DivergedError(f"the {what} was not finite at step {step}")
            if not weights_are:
                raise DivergedError(f"the weights were not finite after step {places[-1][0]}")


class Skip(Watch):
    """A step whose loss or gradient is not finite, or whose gradient is too large, is dropped, but for being counted.

    Weights, buffers such as BatchNorm's statistics, and the optimizer's state are bit by bit what they were before the
    step's first batch. The batch is used up, its random numbers are drawn, and the step counts for the schedules. Ranks
    drop a step together: a loss that is not finite makes the gradient so, which is the mean over all of them, and its
    norm is the same on each.

    Args:
        module: what is trained, on its device.
        max_skipped: that many in a row end the training.
        scaled: whether a scaler of fp16 drops updates itself; they are counted, too.
        limit: of the gradient's norm, over all parameters, before clipping (Child, arXiv 2011.10650); None for none.
        stop: what ends the training where something is not finite, which then is no reason to drop a step.

    Attributes:
        dropped: whether the last step was, a bool on the device.
    """

    def __init__(
        self,
        module: nn.Module,
        max_skipped: int,
        scaled: bool = False,
        limit: float | None = None,
        stop: Stop | None = None,
    ):
        super().__init__(module, scaled)
        self._max_skipped = max_skipped
        self._limit = limit
        self._stop = stop
        self._buffers = Undo(module.buffers())
        zero = torch.zeros((), device=self._parameters[0].device)
        self.dropped = zero.bool()
        self._norm = zero.clone()
        self._in_a_row, self._longest, self._in_epoch = zero.clone(), zero.clone(), zero.clone()
        self._step = 0
        self._looks: deque[tuple[int, Fetched]] = deque()

    def begin(self) -> None:
        self._buffers.keep()

    def loss(self, loss: Tensor) -> Tensor:
        if self._stop is not None:
            return self._stop.loss(loss)
        # NaN times any gradient, that of another rank added, is NaN.
        return loss * torch.where(loss.detach().isfinite(), 1.0, torch.nan)

    def gradient(self, optimizer: Optimizer) -> None:
        if self._stop is not None:
            self._stop.gradient(optimizer)
        gradients = [each.grad for each in self._parameters if each.grad is not None]
        self._norm.copy_(norm(gradients))
        self.dropped.copy_(self._is_to_be_dropped(gradients))
        self._in_epoch.add_(self.dropped)
        self._in_a_row.add_(1).mul_(self.dropped)
        torch.maximum(self._longest, self._in_a_row, out=self._longest)
        if self._scaled and self._limit is None:
            return
        fused = getattr(optimizer, "_step_supports_amp_scaling", False) and not self._scaled
        if optimizer.state and fused:
            optimizer.found_inf, optimizer.grad_scale = self.dropped.float(), None  # type: ignore[attr-defined]
        elif self.dropped:  # waits for the device; before the first step a fused one has no state to keep, either
            for each in self._parameters:
                each.grad = None  # which optimizers pass over

    def _is_to_be_dropped(self, gradients: list[Tensor]) -> Tensor:
        is_larger = torch.zeros_like(self.dropped) if self._limit is None else self._norm > self._limit
        if self._stop is None:
            return is_larger | ~self._norm.isfinite()
        # A gradient that is not finite is not to be dropped, which would hide it; its square may be too large only.
        return is_larger & torch.stack(torch._foreach_norm(gradients, math.inf)).isfinite().all()

    def end(self, optimizer: Optimizer) -> None:
        self._buffers.put_back(self.dropped)
        for name in ("found_inf", "grad_scale"):
            vars(optimizer).pop(name, None)

    @property
    def seen(self) -> tuple[Tensor, ...]:
        return () if self._stop is None else self._stop.seen

    def note(self, step: int, seen: Iterable[Tensor]) -> None:
        self._step = step
        if self._stop is not None:
            self._stop.note(step, seen)

    def look(self) -> None:
        if self._stop is not None:
            self._stop.look()
        self._looks.append((self._step, Fetched(self._longest)))
        self._longest.copy_(self._in_a_row)

    def check(self, keep: int = 0) -> None:
        if self._stop is not None:
            self._stop.check(keep)
        while len(self._looks) > keep:
            step, found = self._looks.popleft()
            longest = int(found.numbers()[0])
            if longest >= self._max_skipped:
                raise DivergedError(
                    f"{longest} updates in a row were skipped up to step {step}, as {self._reason} "
                    f"(trainer.max_skipped={self._max_skipped})",
                    f"{SLOWER} or {_CLIPPED if self._limit is None else 'a larger trainer.skip_gradient_norm'}",
                )

    @property
    def _reason(self) -> str:
        not_finite = [] if self._stop is not None else ["the loss or the gradient was not finite"]
        limit = [] if self._limit is None else [f"the gradient's norm was above skip_gradient_norm={self._limit:g}"]
        return " or ".join(not_finite + limit)

    def figures(self) -> dict[str, float | Tensor]:
        norm_of_step = {} if self._limit is None else {"train/gradient_norm": self._norm}
        return {"train/skipped": self._in_epoch, **norm_of_step}

    def end_epoch(self) -> str | None:
        count = int(self._in_epoch)
        self._in_epoch.zero_()
        return f"{count} updates were skipped, as {self._reason}" if count else None

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps of it."""
        return {"in_a_row": int(self._in_a_row), "in_epoch": int(self._in_epoch)}

    def restore(self, state: dict[str, int]) -> None:
        """Go on from what a checkpoint has kept."""
        self._in_a_row.fill_(int(state.get("in_a_row", 0)))
        self._longest.copy_(self._in_a_row)
        self._in_epoch.fill_(int(state.get("in_epoch", 0)))


class Undo:
    """Tensors that can be put back to what they were, without asking the device whether it has to be."""

    def __init__(self, tensors: Iterable[Tensor]):
        self._tensors = list(tensors)
        self._kept = [each.detach().clone() for each in self._tensors]

    @torch.no_grad()
    def keep(self) -> None:
        for kept, tensor in zip(self._kept, self._tensors, strict=True):
            kept.copy_(tensor)

    @torch.no_grad()
    def put_back(self, wanted: Tensor) -> None:
        """Where `wanted`, a bool on the device."""
        for kept, tensor in zip(self._kept, self._tensors, strict=True):
            tensor.copy_(torch.where(wanted.to(tensor.device), kept, tensor))


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all of them together; not finite where a square is too large for its type, either."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm([each.detach() for each in tensors])))


def watch(module: nn.Module, stepping: Stepping, scaled: bool = False) -> Watch:
    """What `stepping` asks for."""
    stop = Stop(module, scaled) if stepping.on_nan == "stop" else None
    if stop is not None and not stepping.skips:
        return stop
    return Skip(module, stepping.max_skipped, scaled, stepping.skip_gradient_norm, stop)
