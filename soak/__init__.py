"""Attacks on what the README promises: runs are killed, and strangers' files are opened, a thousand times.

`python -m soak` runs all parts; docs/reliability.md and docs/security.md say what came of it. It stands beside the
tests and not among them: it takes an hour, its record is kept like that of a benchmark, and tests/test_soak.py runs a
few seconds of each part.
"""
