"""A run's settings as flat, comparable values, and how they read."""

from typing import Any

Setting = int | float | str

# Where a run wrote, what drew it and what watched it: no setting that could explain a figure.
_NO_SETTINGS = (
    *("run_dir", "output_dir", "resume", "name", "trial", "hparams_search", "trust", "tags", "print_config"),
    *("callbacks", "logger", "checkpoint"),
)
_HUGE = 1e300
_IMAGES = ("data.root", "data.archive")
_PLACES = ("root", "archive", "cache", "cache_dir", "dirpath", "download")


def flatten(config: dict[str, Any]) -> dict[str, Setting]:
    """A resolved config as dotted keys, such as `model.latent_dim`; of a `_target_` the class's name will do."""
    flat: dict[str, Setting] = {}
    _collect(config, "", flat)
    return {key: value for key, value in flat.items() if not is_place(key)}


def typed_settings(overrides: list[str]) -> dict[str, Setting]:
    """What was typed: `["model=conv", "+objective.beta=4"]` is {"model": "conv", "objective.beta": 4}.

    The last one counts where a key was typed twice, as in a run that was resumed. Which images there were counts, too:
    two folders that were typed are two data sets, while a config's may have moved.
    """
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    typed = {key.partition("@")[0]: as_setting(_unquoted(value)) for key, equals, value in pairs if equals}
    return {key: value for key, value in typed.items() if key in _IMAGES or not is_place(key)}


def is_place(key: str) -> bool:
    """Whether a key says where something lies, or what was drawn of the run, rather than how it was trained."""
    parts = key.replace("/", ".").split(".")
    if parts[0] in _NO_SETTINGS or parts[0].startswith(("sweep", "hydra")):
        return True
    return parts[0] == "data" and parts[-1] in _PLACES


def as_setting(value: Any) -> Setting:
    """A value as a number where it is one, or reads like one, else as the text that a user would type for it."""
    if isinstance(value, bool) or value is None or (isinstance(value, str) and value.lower() in ("true", "false")):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(setting_text(as_setting(item)) for item in value)}]"
    if isinstance(value, int | float) and -_HUGE < value < _HUGE:  # nor is "not a number" one, which equals nothing
        return value
    return _number(str(value))


def setting_text(value: Setting | None) -> str:
    """How a setting reads: numbers to six digits, one that was left at its default as a dash."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def setting_order(value: Setting | None) -> tuple[int, float, str]:
    """A sort key: numbers as numbers, then texts, then what was left at its default."""
    if value is None:
        return (2, 0.0, "")
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")


def _collect(node: Any, key: str, flat: dict[str, Setting]) -> None:
    if not isinstance(node, dict):
        flat[key] = as_setting(node)
        return
    if isinstance(node.get("_target_"), str):
        flat[f"{key}._target_"] = node["_target_"].rpartition(".")[2]
    for name, value in node.items():
        if not (str(name).startswith("_") and str(name).endswith("_")):
            _collect(value, f"{key}.{name}" if key else str(name), flat)


def _number(text: str) -> Setting:
    # float() also takes "nan", "infinity" and "1_000", which nobody means as a number here.
    if not any(character.isdigit() for character in text) or "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    if not -_HUGE < number < _HUGE:
        return text
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
