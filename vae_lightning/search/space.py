"""The space of a hyperparameter search: Hydra's sweep grammar on one side, Optuna's distributions on the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import FrozenTrial, Trial

from vae_lightning.errors import UserError

Value = str | int | float  # of a parameter: a number, or the text of a choice as it stands in an override


@dataclass(frozen=True)
class SearchSpace:
    """What a search varies and what it leaves alone.

    Attributes:
        entries: by an override's key, such as `optimizer.lr`: its distribution, or the whole override if it is fixed.
    """

    entries: Mapping[str, BaseDistribution | str]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What is searched, by key."""
        return {key: entry for key, entry in self.entries.items() if not isinstance(entry, str)}

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """The trial's values, asked of Optuna where it has none yet."""
        asked = {key: _suggest(trial, key, distribution) for key, distribution in self.distributions.items()}
        return asked | trial.params

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """The overrides of a job: those that are fixed, and the values of what is searched."""
        keys = [*self.entries, *(key for key in values if key not in self.entries)]
        return [f"{key}={_text(values[key])}" if key in values else str(self.entries[key]) for key in keys]

    def corners(self) -> list[list[str]]:
        """A few jobs' overrides that have every choice among them, to find out beforehand what can't be composed."""
        choices = {key: _examples(distribution) for key, distribution in self.distributions.items()}
        count = max(len(values) for values in choices.values())
        return [self.overrides({key: values[i % len(values)] for key, values in choices.items()}) for i in range(count)]

    def check_known(self, trials: Iterable[FrozenTrial]) -> None:
        """Raise a UserError if one of these trials was made in a space that does not go together with this one."""
        for trial in trials:
            for key, known in trial.distributions.items():
                try:
                    check_distribution_compatibility(known, self.distributions.get(key, known))
                except ValueError as error:
                    before = _describe(known)
                    raise UserError(f"{key}: trial {trial.number} of this study was searched in {before}") from error


def parse_space(parser: OverridesParser, params: Mapping[str, Any], arguments: list[str]) -> SearchSpace:
    """Read a search space from the sweeper's `params` and the command line, whose overrides win.

    Raises:
        UserError: a space that can't be, or nothing to search.
        HydraException: what is no override.
    """
    texts = {key: value if isinstance(value, str) else Transformer.str(value) for key, value in params.items()}
    lines = [f"{key}={text}" for key, text in texts.items()]
    entries: dict[tuple[str, str | None], tuple[str, BaseDistribution | str]] = {}
    for override in parser.parse_overrides([*lines, *arguments]):
        searched = override.is_sweep_override()
        entry = distribution_of(override) if searched else str(override.input_line)
        entries[override.key_or_group, override.package] = override.get_key_element(), entry
    space = SearchSpace(dict(entries.values()))
    if not space.distributions:
        raise UserError(
            "hparams_search=optuna: nothing to search; give keys several values, as in "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' 'model.latent_dim=choice(2,8,32)'"
        )
    return space


def distribution_of(override: Override) -> BaseDistribution:
    """The Optuna distribution of what an override sweeps over.

    Raises:
        UserError: it is empty, or no distribution.
    """
    try:
        if override.is_choice_sweep():
            return _choice(override)
        sweep = override.value()
        assert isinstance(sweep, IntervalSweep | RangeSweep)
        unknown = sorted(sweep.tags - {"log"})
        if unknown:
            raise ValueError(f"no such tag as {unknown[0]}; valid here: log")
        return _interval(sweep) if isinstance(sweep, IntervalSweep) else _range(sweep)
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{override.input_line}: {reason}") from error


def _choice(override: Override) -> CategoricalDistribution:
    sweep = override.value()
    if getattr(sweep, "tags", None):
        raise ValueError("a choice has no order and takes no tag; a tag is for interval(...) or range(...)")
    # Hydra's own iterator would shuffle what is to be shuffled, and Optuna wants the same list each time.
    listed = getattr(sweep, "list", None)
    texts = list(override.sweep_string_iterator()) if listed is None else [Transformer.str(value) for value in listed]
    if not texts:
        raise ValueError("there is nothing to choose from")
    # As text: Optuna takes no lists, and can't tell 1 from true or "8" from 8.
    return CategoricalDistribution(list(dict.fromkeys(texts)))


def _interval(sweep: IntervalSweep) -> BaseDistribution:
    assert sweep.start is not None
    assert sweep.end is not None
    log = "log" in sweep.tags
    if isinstance(sweep.start, int) and isinstance(sweep.end, int):
        return IntDistribution(sweep.start, sweep.end, log=log)
    return FloatDistribution(_finite(sweep.start), _finite(sweep.end), log=log)


def _range(sweep: RangeSweep) -> BaseDistribution:
    """From its smallest to its largest element; the stop is none of them, as everywhere in Hydra."""
    assert sweep.start is not None
    assert sweep.stop is not None
    # By their decimal digits: ten steps of 0.1 are to be 1.
    start, stop, step = (Decimal(repr(_finite(number))) for number in (sweep.start, sweep.stop, sweep.step))
    if step == 0:
        raise ValueError("the step is zero")
    count = ceil((stop - start) / step)
    if count < 1:
        raise ValueError("there is nothing in this range")
    low, high = sorted([start, start + (count - 1) * step])
    log = "log" in sweep.tags
    if all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step)):
        return IntDistribution(int(low), int(high), log=log, step=int(abs(step)))
    return FloatDistribution(float(low), float(high), log=log, step=float(abs(step)))


def _finite(number: float) -> float:
    if number - number != 0:  # inf or nan
        raise ValueError("its ends must be finite")
    return number


def _suggest(trial: Trial, key: str, distribution: BaseDistribution) -> Value:
    if isinstance(distribution, FloatDistribution):
        low, high, step, log = distribution.low, distribution.high, distribution.step, distribution.log
        return trial.suggest_float(key, low, high, step=step, log=log)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return str(trial.suggest_categorical(key, distribution.choices))


def _examples(distribution: BaseDistribution) -> list[Value]:
    if isinstance(distribution, CategoricalDistribution):
        return [str(choice) for choice in distribution.choices]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [distribution.low]


def _text(value: Value) -> str:
    """A value as it stands in an override, of which Hydra reads the same value again."""
    return value if isinstance(value, str) else repr(value)


def _describe(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({','.join(map(str, distribution.choices))})"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    interval = f"interval({distribution.low},{distribution.high})"
    interval = f"int({interval})" if isinstance(distribution, IntDistribution) else interval
    return f"tag(log,{interval})" if distribution.log else interval
