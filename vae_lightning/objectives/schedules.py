"""Schedules: pure functions of the optimizer step."""


def linear_warmup(step: int, num_steps: int) -> float:
    """Rises from 1/num_steps at step 0 to 1 at step num_steps - 1 and stays there; 1 throughout for num_steps = 0."""
    return min(1.0, (step + 1) / num_steps) if num_steps > 0 else 1.0
