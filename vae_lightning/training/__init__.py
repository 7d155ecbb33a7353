"""One run: what is refused, how a step is taken, how it ended."""
