"""What is checked about numbers that a user may give."""


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise a ValueError that opens with the parameter's name if its value is too small."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
