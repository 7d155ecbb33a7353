"""What is checked about numbers that a user may give."""


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise a ValueError that opens with the parameter's name if its value is too small."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def require_frame_duration(name: str, milliseconds: int) -> None:
    """Raise a ValueError that opens with the parameter's name if a GIF can't show a frame for so long."""
    require_at_least(name, milliseconds, 20)  # viewers slow down what is shorter
    if milliseconds > 655_350:  # the file counts in hundredths of a second, of two bytes
        raise ValueError(f"{name} must be at most 655350, got {milliseconds}")
